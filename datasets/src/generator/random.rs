//! Draws that are the same on every machine: integers from ChaCha8, no floating point.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One million parts: shares are stated in parts per million.
pub(super) const MILLION: u64 = 1_000_000;

/// A seeded stream of draws.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in `0..bound`; 0 for a bound of 0. The bias is below `bound / 2^64`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a 128-bit product is 64 bits")
    }

    /// Uniform in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.abs_diff(low).saturating_add(1);
        low.saturating_add_unsigned(self.below(width))
    }

    /// Between `low` and `high`, each octave as likely as the next: waiting times from seconds to hours.
    pub(super) fn spread(&mut self, low: i64, high: i64) -> i64 {
        if high <= low {
            return low.min(high);
        }
        let octaves = (high / low.max(1)).ilog2() + 1;
        let octave = low.max(1) << self.below(u64::from(octaves));
        self.between(octave, octave.saturating_mul(2) - 1).min(high)
    }

    /// True in `per_million` of a million cases.
    pub(super) fn chance(&mut self, per_million: u64) -> bool {
        self.below(MILLION) < per_million
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(u64::try_from(choices.len()).expect("a length fits 64 bits"));
        &choices[usize::try_from(index).expect("below a length")]
    }

    /// One of `choices` by the weight that stands beside it.
    pub(super) fn weighted<'a, T>(&mut self, choices: &'a [(u32, T)]) -> &'a T {
        let total = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        by_weight(choices, self.below(total))
    }
}

/// The choice whose cumulated weight first exceeds `point`.
pub(super) fn by_weight<T>(choices: &[(u32, T)], mut point: u64) -> &T {
    for (weight, choice) in choices {
        match point.checked_sub(u64::from(*weight)) {
            Some(rest) => point = rest,
            None => return choice,
        }
    }
    panic!("a point below the total weight falls on a choice");
}

/// Mixes a number so that neighbours have nothing in common (the finaliser of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Decides which of the eligible events get a treatment, so that its share of **all** events is the
/// stated one, however few are eligible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    per_million: u64,
    eligible: u64,
}

impl Quota {
    pub(super) fn new(per_million: u32) -> Self {
        Quota { per_million: u64::from(per_million), eligible: 0 }
    }

    /// An eligible event comes by, after `emitted` events in all.
    pub(super) fn draw(&mut self, dice: &mut Dice, emitted: u64) -> bool {
        self.eligible += 1;
        let share = u128::from(self.per_million) * u128::from(emitted + 1) / u128::from(self.eligible);
        dice.chance(u64::try_from(share).unwrap_or(MILLION))
    }
}

/// Players by rank under the law of Zipf and Mandelbrot: the chance of a rank is proportional to
/// `1 / (rank + flat)`, ranks from 1.
///
/// Sampled by rejection: a rank's octave first, then a place in it, which is kept with a chance of
/// at least one half. The table has one line an octave, so ten million players cost 24 lines.
pub(super) struct Population {
    players: u64,
    flat: u64,
    octaves: Vec<Octave>,
    total: u64,
}

struct Octave {
    first: u64,
    count: u64,
    weight: u64,
}

impl Population {
    /// `flat` keeps the first ranks from being a large part of everything.
    pub(super) fn new(players: u32, flat: u64) -> Self {
        let players = u64::from(players);
        let (lowest, highest) = (flat + 1, flat + players);
        let octaves: Vec<Octave> = (lowest.ilog2()..=highest.ilog2())
            .map(|power| {
                let first = lowest.max(1 << power);
                let last = highest.min((2 << power) - 1);
                let count = last - first + 1;
                Octave { first, count, weight: (count << 32) / first }
            })
            .collect();
        let total = octaves.iter().map(|octave| octave.weight).sum();
        Population { players, flat, octaves, total }
    }

    /// A rank from 1, the most active player, to the number of players.
    pub(super) fn rank(&self, dice: &mut Dice) -> u64 {
        loop {
            let octave = self.octave(dice.below(self.total));
            let value = octave.first + dice.below(octave.count);
            // Kept with first / value: count / first * first / value / count = 1 / value.
            if dice.below(value) < octave.first {
                return value - self.flat;
            }
        }
    }

    fn octave(&self, mut point: u64) -> &Octave {
        for octave in &self.octaves {
            match point.checked_sub(octave.weight) {
                Some(rest) => point = rest,
                None => return octave,
            }
        }
        panic!("a point below the total weight falls into an octave");
    }

    /// A player's number, from 0: every rank another one, without order.
    pub(super) fn number(&self, rank: u64) -> u32 {
        // A prime above every population, so multiplication modulo `players` is a bijection.
        const PRIME: u64 = 2_654_435_761;
        u32::try_from(rank % self.players * PRIME % self.players).expect("below the number of players, a u32")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_pinned() {
        let mut dice = Dice::new(7);
        let drawn: Vec<u64> = (0..6).map(|_| dice.below(1000)).collect();
        assert_eq!(drawn, [157, 167, 704, 726, 601, 359]);
    }

    #[test]
    fn spread_stays_between() {
        let mut dice = Dice::new(1);
        for (low, high) in [(2, 21_600), (5, 5), (1, 2), (0, 9), (10, 3)] {
            for _ in 0..1000 {
                let drawn = dice.spread(low, high);
                assert!((low.min(high)..=high).contains(&drawn), "{low}..{high}: {drawn}");
            }
        }
    }

    #[test]
    fn a_quota_is_a_share_of_all_events() {
        let (mut dice, mut quota) = (Dice::new(3), Quota::new(10_000));
        let drawn = (0..1_000_000).filter(|emitted| emitted % 4 == 0 && quota.draw(&mut dice, *emitted)).count();
        assert!((9_500..10_500).contains(&drawn), "{drawn}");
    }

    #[test]
    fn every_rank_is_another_player() {
        for players in [1, 2, 97, 1000, 65_536] {
            let population = Population::new(players, 5);
            let mut numbers: Vec<u32> = (1..=u64::from(players)).map(|rank| population.number(rank)).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..players));
        }
    }

    /// Counts by rank follow `1 / (rank + flat)`, from the first rank to the tail.
    #[test]
    fn ranks_follow_zipf() {
        const DRAWS: u64 = 2_000_000;
        for (players, flat) in [(1, 0), (1000, 0), (1000, 10), (100_000, 50)] {
            let (population, mut dice) = (Population::new(players, flat), Dice::new(11));
            let mut counts = vec![0_u64; usize::try_from(players).unwrap() + 1];
            for _ in 0..DRAWS {
                counts[usize::try_from(population.rank(&mut dice)).unwrap()] += 1;
            }
            let chance = |rank: u32| 1.0 / (f64::from(rank) + f64::from(u32::try_from(flat).unwrap()));
            let total: f64 = (1..=players).map(chance).sum();
            for (low, high) in [(1, 1), (2, 10), (11, 100), (101, 1000), (1001, 100_000)] {
                let ranks = low.min(players + 1)..=high.min(players);
                let expected = 2_000_000.0 * ranks.clone().map(chance).sum::<f64>() / total;
                let drawn: u64 = ranks.map(|rank| counts[usize::try_from(rank).unwrap()]).sum();
                let drawn = f64::from(u32::try_from(drawn).unwrap());
                // Five standard deviations of a count.
                assert!((drawn - expected).abs() <= 5.0 * expected.sqrt(), "{players} {low}: {drawn} {expected}");
            }
        }
    }
}
