//! Records that a start needs and that Kafka has deleted. They are looked for before anything is read, so that all of them
//! can be named; see `kafka.missing_offsets`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use datasets::rows::Binding;
use datasets::{Epoch, TopicId, Topics};
use sinks::kafka::{ProgressRecord, RecoveredLog};
use sinks::lake::LakeReader;

use super::assign::Logged;
use super::checkpoint::Start;
use super::past::{Lack, LoggedEpoch, Past};
use crate::config::{Config, MissingOffsets};
use crate::plan::{Prepared, lake_config};
use crate::source::KafkaCluster;

/// Looks whether Kafka has all that is followed, and what the lake has of the rest: the epochs below the last one that
/// has read something which is missing. Partitions are then read from behind them.
///
/// # Errors
/// What is missing, where the policy is to stop or the lake does not have it.
pub fn fill(
    config: &Config,
    prepared: &Prepared,
    cluster: &KafkaCluster,
    (log, start): (&RecoveredLog, &Start),
    logged: &mut Logged,
) -> Result<Option<Past>, String> {
    let first = start.begin().first;
    let followed = || log.records.iter().filter(move |record| record.epoch >= first);
    let topics = &prepared.plan.decode.topics;
    let missing = Missing::find(cluster, logged, followed(), (topics, prepared.missions));
    if missing.is_empty() {
        return Ok(None);
    }
    let policy = config.kafka.as_ref().map(|kafka| kafka.missing_offsets).unwrap_or_default();
    let lake = match (policy, &config.lake) {
        (MissingOffsets::Lake, Some(lake)) => LakeReader::open(&lake_config(lake)),
        _ => return Err(missing.told()),
    };
    let lake = lake.map_err(|error| crate::chain(&error))?;
    let until = missing.epochs_end().unwrap_or(first);
    let passed = || followed().take_while(|record| record.epoch < until);
    let mut uppers = Uppers::new(start.uppers());
    let of_log = |record: &ProgressRecord| {
        let events = record.bindings.iter().filter(|binding| *binding.topic != **topics.name(prepared.missions));
        // Nothing is needed of an epoch that read no event.
        let read = if uppers.rise(events) { start.read_in(record.epoch) } else { Some(0) };
        LoggedEpoch { epoch: record.epoch, now: record.now, read }
    };
    let epochs = passed().map(of_log).collect();
    let past = Past { lake: Arc::new(lake), names: prepared.names.clone(), missions: prepared.missions, epochs };
    if let Some(nowhere) = missing.nowhere(&past.lacking()?) {
        return Err(nowhere);
    }
    let told = missing.told_gaps();
    tracing::warn!(
        first,
        until,
        "records that Kafka has deleted are read from the lake, with all of their epochs: {told}"
    );
    logged.pass(passed(), topics);
    Ok(Some(past))
}

/// How far partitions were read.
struct Uppers(BTreeMap<(Arc<str>, i32), i64>);

impl Uppers {
    fn new(before: &[Binding]) -> Self {
        Uppers(before.iter().map(|one| ((one.topic.clone(), one.partition), one.upper)).collect())
    }

    /// Takes the bindings of an epoch, and answers whether it read anything: the first binding of a partition says where it
    /// begins.
    fn rise<'a>(&mut self, bindings: impl Iterator<Item = &'a Binding>) -> bool {
        let mut has_read = false;
        for Binding { topic, partition, upper } in bindings {
            has_read |= self.0.insert((topic.clone(), *partition), *upper).is_some_and(|before| before < *upper);
        }
        has_read
    }
}

/// What helps when nothing else does.
const ANEW: &str = "start anew under another pipeline name, with output topics and a lake of its own";

/// Partitions of which Kafka has not all that a start needs.
#[derive(Debug, Default)]
struct Missing(Vec<Gap>);

/// A partition that begins behind the first offset that a start needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    topic: Arc<str>,
    partition: i32,
    /// The first offset that is needed.
    first: i64,
    /// How far the log has read.
    upper: i64,
    /// The first offset that is there.
    low: i64,
    /// Where the partition ends.
    end: i64,
    /// What is missing of what epochs of the log have read, in their order.
    read: Vec<(Epoch, Range<i64>)>,
}

impl Missing {
    /// Asks where the partitions begin that the log names, but for those of `definitions`, which the log has itself. A partition
    /// that cannot be asked for now is left to its consumer, which stops at an offset that is not there.
    fn find<'a>(
        cluster: &KafkaCluster,
        logged: &Logged,
        followed: impl Iterator<Item = &'a ProgressRecord>,
        (topics, definitions): (&Topics, TopicId),
    ) -> Self {
        let mut gaps = Vec::new();
        for (position, upper) in logged.partitions().filter(|(position, _)| position.topic != definitions) {
            let (topic, partition) = (topics.name(position.topic).clone(), position.partition);
            match cluster.watermarks(&topic, partition) {
                Ok((low, end)) if low > position.offset => {
                    gaps.push(Gap { topic, partition, first: position.offset, upper, low, end, read: Vec::new() });
                }
                Ok(_) => {}
                Err(error) => {
                    // The others would keep a start waiting that the client may get through.
                    tracing::warn!(%topic, partition, error = crate::chain(&error), "cannot ask what records are there");
                    break;
                }
            }
        }
        Self::of(gaps, followed.map(|record| (record.epoch, record.bindings.as_slice())))
    }

    /// Which epochs have read what is missing.
    fn of<'a>(mut gaps: Vec<Gap>, followed: impl Iterator<Item = (Epoch, &'a [Binding])>) -> Self {
        let by_name = |gap: &Gap| (gap.topic.clone(), gap.partition);
        let places: BTreeMap<_, _> = gaps.iter().enumerate().map(|(place, gap)| (by_name(gap), place)).collect();
        let mut reached: Vec<i64> = gaps.iter().map(|gap| gap.first).collect();
        for (epoch, bindings) in followed.take_while(|_| !places.is_empty()) {
            for Binding { topic, partition, upper } in bindings {
                let Some(place) = places.get(&(topic.clone(), *partition)).copied() else { continue };
                let (gap, reached) = (&mut gaps[place], &mut reached[place]);
                let missing = *reached..gap.low.min(*upper);
                gap.read.extend((!missing.is_empty()).then_some((epoch, missing)));
                *reached = (*upper).max(*reached);
            }
        }
        Missing(gaps)
    }

    /// Kafka has everything.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Epochs below this have read what is missing, if any have.
    fn epochs_end(&self) -> Option<Epoch> {
        self.0.iter().filter_map(|gap| gap.read.last()).map(|(epoch, _)| epoch + 1).max()
    }

    /// All of it, for people, when a start stops for it.
    fn told(&self) -> String {
        let is_read = self.0.iter().all(|gap| gap.unread().is_empty());
        let lake = if is_read { "have them read from the lake by kafka.missing_offsets = \"lake\", " } else { "" };
        format!("Kafka has deleted records that this start needs. {}. Restore them, {lake}or {ANEW}", self.told_gaps())
    }

    /// Each partition with what is missing.
    fn told_gaps(&self) -> String {
        let gaps: Vec<String> = self.0.iter().map(Gap::to_string).collect();
        gaps.join("; ")
    }

    /// What is in Kafka no more and, where these epochs are `lacking`, not in the lake either. `None` where the lake has the rest.
    fn nowhere(&self, lacking: &[Lack]) -> Option<String> {
        let mut runs: Vec<Range<Epoch>> = Vec::new();
        for Lack { epochs, .. } in lacking {
            match runs.last_mut().filter(|last| last.end == epochs.start) {
                Some(last) => last.end = epochs.end,
                None => runs.push(epochs.clone()),
            }
        }
        let mut lost: Vec<String> = Vec::new();
        for gap in &self.0 {
            let runs = runs.iter().filter_map(|run| gap.read_in(run));
            lost.extend(runs.map(|read| format!("{}: {read}", gap.name())));
            let unread = gap.unread();
            lost.extend(
                (!unread.is_empty()).then(|| format!("{}: {}, which nobody has read", gap.name(), Span(unread))),
            );
        }
        if lost.is_empty() && lacking.is_empty() {
            return None;
        }
        let lacking: Vec<String> = lacking.iter().map(Lack::to_string).collect();
        if lost.is_empty() {
            lost.push("Kafka has what these epochs read, but an epoch comes whole from one of them".to_owned());
        }
        let lake = if lacking.is_empty() { String::new() } else { format!(" (in the lake, {})", lacking.join("; ")) };
        Some(format!(
            "Kafka has deleted records that this start needs, and the lake does not have all of them{lake}. {}. Restore \
             them, or {ANEW}",
            lost.join("; ")
        ))
    }
}

impl Gap {
    fn name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }

    /// What is missing beyond the log.
    fn unread(&self) -> Range<i64> {
        self.upper.max(self.first)..self.low
    }

    /// What is missing of what these epochs have read.
    fn read_in(&self, epochs: &Range<Epoch>) -> Option<Read> {
        let mut ours = self.read.iter().filter(|(epoch, _)| epochs.contains(epoch));
        let (first, from) = ours.next()?;
        let (last, to) = ours.next_back().unwrap_or(&(*first, from.clone())).clone();
        Some(Read { epochs: (*first, last), offsets: from.start..to.end })
    }
}

impl Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap { first, low, end, .. } = self;
        let name = self.name();
        write!(f, "{name}: the first offset needed is {first}, the first available is {low}, the end is {end}: ")?;
        let read = self.read_in(&(0..Epoch::MAX));
        if let Some(read) = &read {
            read.fmt(f)?;
        }
        let unread = self.unread();
        if !unread.is_empty() {
            let and = if read.is_some() { ", and " } else { "" };
            write!(f, "{and}{}, which nobody has read", Span(unread))?;
        }
        Ok(())
    }
}

/// Offsets and the epochs that have read them.
struct Read {
    epochs: (Epoch, Epoch),
    offsets: Range<i64>,
}

impl Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.epochs;
        write!(f, "{}, which epochs {first} to {last} have read", Span(self.offsets.clone()))
    }
}

/// Offsets, of which not every one need have had a record.
struct Span(Range<i64>);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.0;
        write!(f, "offsets {start} to {} (at most {} records)", end - 1, end - start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::past::Lacks;
    use super::*;

    fn gap(partition: i32, (first, upper): (i64, i64), (low, end): (i64, i64)) -> Gap {
        Gap { topic: "events".into(), partition, first, upper, low, end, read: Vec::new() }
    }

    /// Epochs from 5 on, each with one binding.
    fn missing(gaps: Vec<Gap>, log: &[(i32, i64)]) -> Missing {
        let bind = |(partition, upper): &(i32, i64)| {
            [Binding { topic: "events".into(), partition: *partition, upper: *upper }]
        };
        let log: Vec<[Binding; 1]> = log.iter().map(bind).collect();
        Missing::of(gaps, (5..).zip(log.iter().map(<[Binding; 1]>::as_slice)))
    }

    #[test]
    fn epochs_that_have_read_what_is_missing_are_known() {
        // Partition 1 begins in epoch 6, and has nothing before epoch 8.
        let log = [(0, 10), (1, 3), (0, 20), (1, 9), (0, 40), (2, 7)];
        let found = missing(vec![gap(0, (4, 40), (15, 90)), gap(1, (3, 9), (5, 12))], &log);
        assert_eq!(found.0[0].read, [(5, 4..10), (7, 10..15)]);
        assert_eq!(found.0[1].read, [(8, 3..5)]);
        assert_eq!(found.epochs_end(), Some(9));
        assert_eq!(
            found.told(),
            "Kafka has deleted records that this start needs. events-0: the first offset needed is 4, the first available is \
             15, the end is 90: offsets 4 to 14 (at most 11 records), which epochs 5 to 7 have read; events-1: the first offset \
             needed is 3, the first available is 5, the end is 12: offsets 3 to 4 (at most 2 records), which epochs 8 to 8 have \
             read. Restore them, have them read from the lake by kafka.missing_offsets = \"lake\", or start anew under another \
             pipeline name, with output topics and a lake of its own"
        );
        assert_eq!(found.nowhere(&[]), None);
    }

    #[test]
    fn an_epoch_has_read_what_it_rose_by() {
        let bind = |partition, upper| Binding { topic: "events".into(), partition, upper };
        let mut uppers = Uppers::new(&[bind(0, 5)]);
        assert!(!uppers.rise([bind(0, 5), bind(1, 9)].iter()), "partition 1 begins at 9");
        assert!(!uppers.rise([].iter()));
        assert!(uppers.rise([bind(0, 5), bind(1, 10)].iter()));
    }

    #[test]
    fn what_only_the_lake_lacks_is_told_too() {
        let found = missing(vec![gap(0, (0, 20), (15, 90))], &[(0, 10), (1, 5), (0, 20)]);
        let told = found.nowhere(&[Lack { epochs: 6..7, what: Lacks::Row }]).unwrap();
        let expected = "(in the lake, epoch 6 is not in table epochs). Kafka has what these epochs read, but an epoch comes whole \
                        from one of them. Restore";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn what_nobody_has_read_is_nowhere() {
        let found = missing(vec![gap(0, (4, 20), (30, 30)), gap(1, (7, 7), (8, 9))], &[(0, 10), (0, 20)]);
        assert_eq!(found.epochs_end(), Some(7));
        let told = found.told();
        assert!(
            told.contains(
                "events-0: the first offset needed is 4, the first available is 30, the end is 30: offsets 4 to 19 (at most \
                 16 records), which epochs 5 to 6 have read, and offsets 20 to 29 (at most 10 records), which nobody has \
                 read; events-1: the first offset needed is 7, the first available is 8, the end is 9: offsets 7 to 7 (at \
                 most 1 records), which nobody has read. Restore them, or start anew"
            ),
            "{told}"
        );
        assert_eq!(
            found.nowhere(&[]).unwrap(),
            "Kafka has deleted records that this start needs, and the lake does not have all of them. events-0: offsets 20 to 29 \
             (at most 10 records), which nobody has read; events-1: offsets 7 to 7 (at most 1 records), which nobody has read. \
             Restore them, or start anew under another pipeline name, with output topics and a lake of its own"
        );
    }

    #[test]
    fn what_the_lake_lacks_too_is_told_by_offset() {
        let log = [(0, 10), (1, 5), (0, 20), (0, 30), (0, 40)];
        let found = missing(vec![gap(0, (0, 40), (35, 90)), gap(1, (0, 5), (5, 5))], &log);
        let lacking = [
            Lack { epochs: 7..8, what: Lacks::Events { found: 3, read: 10 } },
            Lack { epochs: 8..10, what: Lacks::Row },
        ];
        assert_eq!(
            found.nowhere(&lacking).unwrap(),
            "Kafka has deleted records that this start needs, and the lake does not have all of them (in the lake, epoch 7 has 3 \
             of the 10 events and refusals that it read; epochs 8 to 9 are not in table epochs). events-0: offsets 10 to 34 \
             (at most 25 records), which epochs 7 to 9 have read. Restore them, or start anew under another pipeline name, with \
             output topics and a lake of its own"
        );
    }
}
