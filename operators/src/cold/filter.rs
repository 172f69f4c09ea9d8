//! Which runs may hold a key: 32 bits of each key's hash and 8 of its run's number, in 4.3 to 4.6 bytes.
//!
//! The first bits of the hash choose a bucket, the rest is an entry of it. All buckets lie behind each other without
//! gaps, so a question reads two places: where the bucket is, and the bucket. Nothing is changed in place: what comes
//! and what goes are merged into a new filter, in one pass over entries that are in order.

/// Bits of an entry that tell the run; the others are of the hash.
const TAG_BITS: u32 = 8;
/// Buckets are told apart by so many bits at least, so that the others fit in an entry.
const LEAST_BITS: u32 = TAG_BITS;
const MOST_BITS: u32 = 24;
/// Entries of a bucket, on average: at least so many, and fewer than twice as many.
const PER_BUCKET: usize = 8;

/// A hash of a key, and the low bits of its run's number.
pub(crate) type Entry = (u32, u8);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    bits: u32,
    /// Where each bucket begins, and where the last one ends.
    starts: Vec<u32>,
    entries: Vec<u32>,
}

impl Filter {
    /// Of `sorted` entries, `len` of them.
    pub(crate) fn new(sorted: impl Iterator<Item = Entry>, len: usize) -> Self {
        if len == 0 {
            return Filter::default();
        }
        let bits = (len / PER_BUCKET).max(1).ilog2().clamp(LEAST_BITS, MOST_BITS);
        let mut filter = Filter { bits, starts: Vec::with_capacity((1 << bits) + 1), entries: Vec::with_capacity(len) };
        for (hash, tag) in sorted {
            let bucket = filter.bucket(hash);
            // Buckets in between are empty.
            filter.starts.resize(filter.starts.len().max(bucket + 1), count(filter.entries.len()));
            filter.entries.push(filter.remainder(hash) << TAG_BITS | u32::from(tag));
        }
        filter.starts.resize((1 << bits) + 1, count(filter.entries.len()));
        filter
    }

    /// A filter with `new` hashes beside what of this one `stays`, without those `removed`, each once; `new` is sorted, and
    /// all of one run; `removed` is sorted, and in the filter.
    pub(crate) fn merged(&self, (stays, removed): (impl Fn(u8) -> bool, &[Entry]), (new, tag): (&[u32], u8)) -> Self {
        let staying = self.entries.iter().filter(|entry| stays(entry.to_le_bytes()[0])).count();
        let len = staying.saturating_sub(removed.len()) + new.len();
        let mut removed = removed.iter().peekable();
        let is_left = |entry: &Entry| {
            while removed.next_if(|next| *next < entry).is_some() {}
            removed.next_if_eq(&entry).is_none()
        };
        let mut old = self.iter().filter(|(_, tag)| stays(*tag)).filter(is_left).peekable();
        let mut new = new.iter().map(|hash| (*hash, tag)).peekable();
        let merged = std::iter::from_fn(|| match (old.peek(), new.peek()) {
            (Some(one), Some(other)) if other < one => new.next(),
            (Some(_), _) => old.next(),
            (None, _) => new.next(),
        });
        Filter::new(merged, len)
    }

    /// The runs that may hold a key of this hash, each once or more.
    pub(crate) fn tags(&self, hash: u32) -> impl Iterator<Item = u8> {
        let remainder = self.remainder(hash);
        self.bucket_of(hash).iter().filter(move |entry| **entry >> TAG_BITS == remainder).map(|entry| tag(*entry))
    }

    /// Some run may hold a key of this hash.
    pub(crate) fn may_hold(&self, hash: u32) -> bool {
        !self.is_empty() && self.tags(hash).next().is_some()
    }

    /// All entries, in order.
    fn iter(&self) -> impl Iterator<Item = Entry> {
        let bits = self.bits;
        let buckets = (0..).zip(self.starts.windows(2));
        buckets.flat_map(move |(bucket, bounds): (u32, _)| {
            let entries = self.entries[index(bounds[0])..index(bounds[1])].iter();
            entries.map(move |entry| (bucket << (u32::BITS - bits) | entry >> TAG_BITS, tag(*entry)))
        })
    }

    /// No run holds any key.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.starts.capacity() + self.entries.capacity())
    }

    fn bucket_of(&self, hash: u32) -> &[u32] {
        if self.is_empty() {
            return &[];
        }
        let bucket = self.bucket(hash);
        &self.entries[index(self.starts[bucket])..index(self.starts[bucket + 1])]
    }

    fn bucket(&self, hash: u32) -> usize {
        index(hash >> (u32::BITS - self.bits))
    }

    fn remainder(&self, hash: u32) -> u32 {
        hash << self.bits >> self.bits
    }
}

fn tag(entry: u32) -> u8 {
    entry.to_le_bytes()[0]
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("usize holds a u32")
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 cold records in one key group")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::Rng;

    fn hashes(seed: u64, len: usize) -> Vec<u32> {
        let mut rng = Rng(seed);
        let mut hashes: Vec<u32> = (0..len).map(|_| u32::try_from(rng.next() >> 32).unwrap()).collect();
        hashes.sort_unstable();
        hashes
    }

    proptest! {
        #[test]
        fn knows_what_was_merged_and_stays(
            runs in prop::collection::vec((prop::collection::vec(prop_oneof![any::<u32>(), 0..40_u32, u32::MAX - 40..], 0..300), any::<u8>(), any::<u8>()), 1..6),
        ) {
            let mut filter = Filter::default();
            let mut known: BTreeSet<Entry> = BTreeSet::new();
            for (mut hashes, tag, gone) in runs {
                hashes.sort_unstable();
                filter = filter.merged((|tag| tag != gone, &[]), (&hashes, tag));
                known.retain(|(_, tag)| *tag != gone);
                known.extend(hashes.iter().map(|hash| (*hash, tag)));
                prop_assert_eq!(filter.iter().collect::<BTreeSet<_>>(), known.clone());
                prop_assert!(filter.iter().is_sorted());
                for (hash, tag) in &known {
                    prop_assert!(filter.tags(*hash).any(|found| found == *tag));
                    prop_assert!(filter.may_hold(*hash));
                }
                let tags = |hash: u32| filter.tags(hash).collect::<BTreeSet<_>>();
                for hash in (0..50).chain(u32::MAX - 50..=u32::MAX) {
                    let expected: BTreeSet<u8> = known.iter().filter(|(known, _)| *known == hash).map(|(_, tag)| *tag).collect();
                    prop_assert_eq!(tags(hash), expected);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn takes_out_one_run_of_those_that_share_a_tag(
            runs in prop::collection::vec((prop::collection::vec(0..60_u32, 0..40), 0..3_u8), 1..6),
            gone in any::<prop::sample::Index>(),
        ) {
            let sorted = |hashes: &[u32]| {
                let mut hashes = hashes.to_vec();
                hashes.sort_unstable();
                hashes
            };
            let all = runs.iter().fold(Filter::default(), |filter, (hashes, tag)| {
                filter.merged((|_| true, &[]), (&sorted(hashes), *tag))
            });
            let gone = gone.index(runs.len());
            let (hashes, tag) = &runs[gone];
            let removed: Vec<Entry> = sorted(hashes).into_iter().map(|hash| (hash, *tag)).collect();
            let left = all.merged((|_| true, &removed), (&[7], 9));
            let others = runs.iter().enumerate().filter(|(number, _)| *number != gone);
            let mut expected: Vec<Entry> =
                others.flat_map(|(_, (hashes, tag))| hashes.iter().map(|hash| (*hash, *tag))).chain([(7, 9)]).collect();
            expected.sort_unstable();
            prop_assert_eq!(left.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn takes_less_than_five_bytes_a_key_and_is_rarely_wrong() {
        for len in [10_000, 100_000, 1_000_000] {
            let filter = Filter::default().merged((|_| true, &[]), (&hashes(1, len), 7));
            assert!(filter.bytes() * 10 < len * 47, "{} bytes for {len}", filter.bytes());
            let mut rng = Rng(2);
            let wrong = (0..1_000_000).filter(|_| filter.may_hold(u32::try_from(rng.next() >> 32).unwrap())).count();
            // len / 2^32 of them.
            assert!(wrong < 50 + len / 2_000, "{wrong} of a million with {len} keys");
        }
    }
}
