use std::collections::{BTreeMap, BTreeSet};

use datasets::{Coordinates, TopicId};

use super::*;
use crate::testing::Rng;

const RULES: PointsRules = PointsRules { expiry: Some(10), kept: 0 };

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn order(at: i64, offset: i64) -> Order {
    (time(at), Coordinates { topic: TopicId(0), partition: 0, offset, index: 0 })
}

fn money(units: i64) -> Money {
    Money::from_units(units)
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}

/// What a test did, and the lines that came of it.
#[derive(Default)]
struct Book {
    points: Points,
    lines: Vec<Line>,
}

impl Book {
    fn earn(&mut self, number: u64, at: i64, amount: i64, now: i64) {
        let line = self.points.earn(id(number), (time(at), money(amount)), &RULES, time(now));
        self.lines.push(line);
    }

    fn spend(&mut self, at: i64, offset: i64, amount: i64, now: i64) {
        let transaction = format!("t{offset}");
        self.lines.extend(self.points.spend(order(at, offset), (&transaction, money(amount)), true, time(now)));
    }

    fn expire(&mut self, now: i64) {
        self.lines.extend(self.points.expire(time(now)).into_iter().map(|(_, line)| line));
    }

    /// (delta, balance, reason) of the lines since the last time.
    fn told(&mut self) -> Vec<(i64, i64, PointsReason)> {
        let units = |money: Money| i64::try_from(money.raw() / money_raw_of_one()).unwrap();
        let lines = std::mem::take(&mut self.lines).into_iter();
        lines.map(|line| (units(line.delta), units(line.balance), line.reason)).collect()
    }
}

fn money_raw_of_one() -> i128 {
    Money::ONE.raw()
}

use PointsReason::{Earn, Expire, Revoke, Spend};

#[test]
fn what_expires_first_is_spent_first() {
    let mut book = Book::default();
    book.earn(2, 5, 50, 5);
    book.earn(1, 1, 100, 6);
    book.spend(8, 0, 120, 8);
    book.expire(10);
    assert_eq!(book.told(), [(50, 50, Earn), (100, 150, Earn), (-120, 30, Spend)]);
    assert_eq!(book.points.next_expiry(), Some(time(15)), "what expires at 11 is spent");
    book.expire(14);
    assert_eq!(book.told(), []);
    book.expire(15);
    assert_eq!(book.told(), [(-30, 0, Expire)]);
    assert_eq!(book.points.next_expiry(), None);
}

#[test]
fn at_the_instant_of_its_expiry_nothing_can_be_spent() {
    for (at, told) in [(10, [(-5, 0, Spend)].as_slice()), (11, &[(-5, 0, Spend), (-5, -5, Expire)])] {
        let mut book = Book::default();
        book.earn(1, 1, 5, 1);
        book.told();
        book.spend(at, 0, 5, 12);
        book.expire(12);
        assert_eq!(book.told(), told, "{at}");
    }
}

#[test]
fn a_spending_that_comes_late_takes_back_what_expired_after_it() {
    let mut book = Book::default();
    book.earn(1, 1, 100, 1);
    book.expire(11);
    book.told();
    book.spend(10, 0, 60, 20);
    book.expire(20);
    assert_eq!(book.told(), [(-60, -60, Spend), (60, 0, Expire)]);
}

#[test]
fn a_revocation_takes_what_has_not_expired() {
    let mut book = Book::default();
    book.earn(1, 1, 100, 1);
    book.spend(2, 0, 30, 2);
    book.expire(11);
    assert_eq!(book.told(), [(100, 100, Earn), (-30, 70, Spend), (-70, 0, Expire)]);
    book.lines.extend(book.points.revoke(id(1)));
    book.expire(12);
    assert_eq!(book.told(), [(-30, -30, Revoke)]);
    // Nobody has it twice: what is gone cannot be taken again.
    assert_eq!(book.points.revoke(id(1)), None);
    // What is owed is paid by what comes next.
    book.earn(2, 13, 50, 13);
    book.expire(23);
    assert_eq!(book.told(), [(50, 20, Earn), (-20, 0, Expire)]);
}

#[test]
fn what_expired_unspent_is_spent_when_it_is_needed_after_all() {
    let mut book = Book::default();
    book.earn(1, 1, 100, 1);
    book.earn(2, 2, 50, 2);
    book.spend(3, 0, 60, 3);
    book.expire(12);
    assert_eq!(book.told(), [(100, 100, Earn), (50, 150, Earn), (-60, 90, Spend), (-40, 50, Expire), (-50, 0, Expire)]);
    // Without the first, the second had been spent.
    book.lines.extend(book.points.revoke(id(1)));
    book.expire(12);
    assert_eq!(book.told(), [(-60, -60, Revoke), (50, -10, Expire)]);
}

#[test]
fn a_spending_is_reversed_and_stands_again() {
    let mut book = Book::default();
    book.earn(1, 1, 100, 1);
    book.spend(2, 7, 60, 2);
    book.told();
    for _ in 0..2 {
        book.lines.extend(book.points.toggle(order(2, 7), false));
        assert_eq!(book.points.toggle(order(2, 7), false), None, "not twice");
        book.lines.extend(book.points.toggle(order(2, 7), true));
        assert_eq!(book.told(), [(60, 100, Revoke), (-60, 40, Spend)]);
    }
    assert_eq!(book.points.toggle(order(2, 8), false), None, "of something else");
    assert_eq!(book.points.spend(order(3, 9), ("r", money(5)), false, time(3)), None, "it arrives reversed");
    book.lines.extend(book.points.toggle(order(3, 9), true));
    assert_eq!(book.told(), [(-5, 35, Spend)]);
}

/// What is known in a random script, as a list.
#[derive(Clone, Default)]
struct Known {
    /// By completion: when, how much, until when.
    earned: BTreeMap<u64, (i64, i64, i64)>,
    /// By order: how much.
    spent: BTreeMap<(i64, i64), i64>,
}

impl Known {
    /// Point by point, instant by instant: what of each completion has expired at `now`.
    fn expired(&self, now: i64) -> BTreeMap<u64, i64> {
        let mut expired = BTreeMap::new();
        // Each point by when it expires, when it was earned, and by which completion.
        let mut held: Vec<(i64, i64, u64)> = Vec::new();
        let mut owed = 0;
        for instant in 0..200 {
            held.retain(|(expires, _, completion)| {
                if *expires == instant && instant <= now {
                    *expired.entry(*completion).or_default() += 1;
                }
                *expires > instant
            });
            for (completion, (at, amount, expires)) in &self.earned {
                if *at == instant {
                    for _ in 0..*amount {
                        if owed > 0 { owed -= 1 } else { held.push((*expires, *at, *completion)) }
                    }
                }
            }
            for (_, amount) in self.spent.range((instant, 0)..=(instant, i64::MAX)) {
                for _ in 0..*amount {
                    held.sort_unstable();
                    if held.is_empty() {
                        owed += 1;
                    } else {
                        held.remove(0);
                    }
                }
            }
        }
        expired
    }

    fn balance(&self, now: i64) -> i64 {
        let earned: i64 = self.earned.values().map(|(_, amount, _)| amount).sum();
        earned - self.spent.values().sum::<i64>() - self.expired(now).values().sum::<i64>()
    }
}

#[test]
fn agrees_with_a_recomputation_point_by_point() {
    let (mut corrected, mut below, mut owed) = (0, 0, 0);
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let (mut book, mut known, mut now) = (Book::default(), Known::default(), 0);
        let mut reversed: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut revoked = BTreeSet::new();
        let mut by_reference: BTreeMap<(String, PointsReason), i64> = BTreeMap::new();
        for step in 0..40_i64 {
            let pick = |rng: &mut Rng, below: i64| i64::try_from(rng.next() % below.unsigned_abs()).unwrap();
            // Of late, at once, or a little ahead of the clock.
            let at = (now + 3 - pick(&mut rng, 16)).max(0);
            match pick(&mut rng, 8) {
                0..=2 => {
                    let (number, amount) = (rng.next() % 6, 1 + pick(&mut rng, 9));
                    if let std::collections::btree_map::Entry::Vacant(vacant) = known.earned.entry(number) {
                        vacant.insert((at, amount, at + 10));
                        book.earn(number, at, amount, now);
                    } else {
                        known.earned.remove(&number);
                        revoked.insert(number);
                        book.lines.extend(book.points.revoke(id(number)));
                    }
                }
                3 | 4 => {
                    let amount = 1 + pick(&mut rng, 9);
                    known.spent.insert((at, step), amount);
                    book.spend(at, step, amount, now);
                }
                5 => {
                    let from = if rng.one_in(2) { &mut reversed } else { &mut known.spent };
                    let Some(((at, offset), amount)) = from.pop_first() else { continue };
                    let stands =
                        book.points.toggle(order(at, offset), false).map(|line| book.lines.push(line)).is_none();
                    if stands {
                        book.lines.extend(book.points.toggle(order(at, offset), true));
                        known.spent.insert((at, offset), amount);
                    } else {
                        reversed.insert((at, offset), amount);
                    }
                }
                _ => now += pick(&mut rng, 5),
            }
            // An epoch ends now and then, and sees everything that is known.
            if rng.one_in(3) {
                book.expire(now);
                let bytes = postcard::to_allocvec(&book.points).unwrap();
                book.points = postcard::from_bytes(&bytes).unwrap();
                assert_eq!(book.points.balance, money(known.balance(now)), "seed {seed} step {step}");
            }
        }
        book.expire(now);
        let (mut balance, mut number) = (Money::ZERO, 0);
        for line in &book.lines {
            (balance, number) = (balance + line.delta, number + 1);
            assert_eq!((line.balance, line.number), (balance, number), "seed {seed}: the sum of all lines");
            assert!(!line.delta.is_zero());
            let units = i64::try_from(line.delta.raw() / Money::ONE.raw()).unwrap();
            *by_reference.entry((line.reference.clone(), line.reason)).or_default() += units;
            corrected += usize::from(line.reason == Expire && !line.delta.is_negative());
            below += usize::from(line.balance.is_negative());
        }
        assert_eq!(balance, money(known.balance(now)), "seed {seed}");
        let expired = known.expired(now);
        for completion in known.earned.keys() {
            let told = by_reference.get(&(id(*completion).to_string(), Expire)).copied().unwrap_or_default();
            let expected = -expired.get(completion).copied().unwrap_or_default();
            assert!(
                revoked.contains(completion) || told == expected,
                "seed {seed}: {told} of {completion} told, {expected} expected"
            );
        }
        owed += usize::from(known.balance(now) < 0);
    }
    assert!(corrected > 50 && below > 50 && owed > 10, "{corrected} {below} {owed}");
}

#[test]
fn what_is_forgotten_is_not_missed() {
    let mut forgotten = 0;
    for seed in 0..40 {
        let mut rng = Rng(seed);
        let (mut whole, mut short, mut now) = (Book::default(), Book::default(), 0);
        for step in 0..400_i64 {
            let pick = |rng: &mut Rng, below: u64| i64::try_from(rng.next() % below).unwrap();
            let (amount, at) = (1 + pick(&mut rng, 9), (now - pick(&mut rng, 6)).max(0));
            let number = u64::try_from(step).unwrap();
            let kind = pick(&mut rng, 4);
            for book in [&mut whole, &mut short] {
                match kind {
                    0 => book.earn(number, at, amount, now),
                    1 => book.spend(at, step, amount, now),
                    // Of what was told of late.
                    2 => book.lines.extend(number.checked_sub(3).and_then(|number| book.points.revoke(id(number)))),
                    _ => {
                        let spent = book.points.spent.iter().rev().take(1).map(|spent| spent.order).next();
                        let recent = spent.filter(|(time, _)| time.micros() > now - 8);
                        book.lines.extend(recent.and_then(|order| book.points.toggle(order, false)));
                    }
                }
                book.expire(now);
            }
            short.points.forget_before(time(now - 30));
            now += pick(&mut rng, 4);
            assert_eq!(whole.lines, short.lines, "seed {seed} step {step}");
            assert_eq!(whole.points.next_expiry(), short.points.next_expiry(), "seed {seed} step {step}");
        }
        forgotten += whole.points.earned.len() + whole.points.spent.len();
        let left = short.points.earned.len() + short.points.spent.len();
        assert!(left < 100, "{left} are left");
        forgotten -= left;
    }
    assert!(forgotten > 40 * 50, "{forgotten}");
}

#[test]
fn points_that_never_expire_are_kept_as_one() {
    let mut points = Points::default();
    let never = PointsRules::default();
    for number in 0..100 {
        points.earn(id(number), (time(0), money(1)), &never, time(0));
    }
    points.forget_before(time(1));
    assert_eq!((points.earned.len(), points.balance), (1, money(100)));
    points.spend(order(2, 0), ("t", money(99)), true, time(2));
    assert_eq!((points.expire(Timestamp::MAX).len(), points.next_expiry()), (0, None));
}
