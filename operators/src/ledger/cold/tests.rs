//! Of one ledger: what goes cold, when, for how long, and what becomes of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datasets::EventBatch;
use datasets::cold::ReadAt;

use super::super::{Admission, EffectKind, Markets, Reversal};
use super::*;
use crate::testing::{Input, at, batch, rules};

/// A ledger with what it needs.
#[derive(Default)]
struct Book {
    ledger: Ledger,
    markets: Markets,
}

const GROUP: KeyGroup = KeyGroup(0);

/// The hour that is so many after the start.
fn hour(hours: i64) -> i64 {
    at(hours).micros().div_euclid(HOUR)
}

impl Book {
    /// Admits and applies a bet of `id` that is ingested so many hours after the start.
    fn bet(&mut self, id: &str, hours: i64) -> Admission {
        let sent = Input::new("bet_placed", id, hours, "5");
        let batches = taken(&Input { event_time: at(-200), ..sent });
        let (event, rules) = (batches[0].get(0), rules().ledger);
        let admission = self.ledger.admit(&event, event.identity, &rules, &mut self.markets);
        if admission == Admission::Accepted {
            self.ledger.apply(&event, event.identity, &rules, &mut Vec::new());
        }
        admission
    }

    /// A reversal of `bet`; answers what becomes of it, and how many facts are taken back.
    fn reverse(&mut self, bet: &str, hours: i64) -> (Reversal, usize) {
        let batches = taken(&Input::reversal(&format!("back-{bet}"), bet, "bet", hours));
        let (event, rules) = (batches[0].get(0), rules().ledger);
        assert_eq!(self.ledger.admit(&event, event.identity, &rules, &mut self.markets), Admission::Accepted);
        let mut effects = Vec::new();
        let (outcome, _) = self.ledger.reverse(&event, event.identity, &rules, &mut effects);
        let back = effects.iter().filter(|effect| matches!(effect.kind, EffectKind::Toggle { live: false }));
        (outcome, back.filter(|effect| effect.booking.is_some()).count())
    }

    /// Sweeps, then lets go cold what is due in `group`.
    fn turn(&mut self, hours: i64, group: KeyGroup, cold: ColdRules) -> Option<ColdRun> {
        self.ledger.forget_before(hour(hours), &rules().ledger);
        self.ledger.freeze(group, Some(cold), &rules().ledger)
    }

    /// How many are in memory, and how many runs are not.
    fn sizes(&self) -> (usize, usize) {
        (self.ledger.len(), self.ledger.cold.runs.len())
    }
}

fn taken(input: &Input) -> Vec<Arc<EventBatch>> {
    let mut input = input.clone();
    input.at.offset = input.ingest_time.micros() / 1_000_000_000;
    batch(&[input])
}

/// As in a pipeline, without its phases.
const HOURLY: ColdRules = ColdRules { after_hours: 48, every_hours: 1, least_rows: 1 };

#[test]
fn goes_cold_after_two_days_and_is_forgotten_in_its_hour() {
    let mut book = Book::default();
    for hours in [0, 10, 30] {
        book.bet(&format!("b{hours}"), hours);
    }
    assert!(book.turn(48, GROUP, HOURLY).is_none());
    assert!(book.turn(49, GROUP, HOURLY).is_some());
    assert_eq!(book.sizes(), (2, 1));
    assert!(book.turn(57, GROUP, HOURLY).is_none());
    assert!(book.turn(59, GROUP, HOURLY).is_some());
    assert!(book.turn(60, GROUP, HOURLY).is_none());
    assert_eq!(book.sizes(), (1, 2));
    assert_eq!(book.bet("b0", 60), Admission::Duplicate);
    assert_eq!(book.bet("b10", 60), Admission::Duplicate);
    assert_eq!(book.sizes(), (1, 2), "a duplicate is answered from the file");

    // Twice eighteen days of 24 hours later.
    let kept = 2 * 18 * 24;
    assert_eq!(book.reverse("b10", 17 * 24).0, Reversal::Accepted);
    book.turn(kept, GROUP, HOURLY);
    assert_eq!(book.ledger.cold.runs.len(), 3, "b30 went cold, and b0 is still known");
    book.turn(kept + 2, GROUP, HOURLY);
    assert_eq!(book.ledger.cold.runs.len(), 2, "nobody knows b0 any more");
    book.turn(kept + 40, GROUP, HOURLY);
    assert_eq!(book.ledger.cold.runs.len(), 0);
    assert!(book.ledger.cold.filter.is_empty());
}

#[test]
fn a_reversal_brings_it_back_once() {
    let mut book = Book::default();
    book.bet("b", 0);
    book.bet("other", 0);
    assert!(book.turn(60, GROUP, HOURLY).is_some());
    assert_eq!(book.sizes(), (0, 1));
    assert_eq!(book.reverse("b", 100), (Reversal::Accepted, 1));
    assert_eq!(book.sizes(), (2, 1), "the bet and its reversal");
    assert_eq!(book.bet("b", 101), Admission::Duplicate);
    // What is reversed stays in memory.
    book.turn(200, GROUP, HOURLY);
    assert_eq!(book.sizes(), (2, 1));
    let batches = taken(&Input::reversal("again", "b", "bet", 201));
    let event = batches[0].get(0);
    book.ledger.admit(&event, event.identity, &rules().ledger, &mut book.markets);
    let (outcome, _) = book.ledger.reverse(&event, event.identity, &rules().ledger, &mut Vec::new());
    assert_eq!(outcome, Reversal::AlreadyReversed);
}

#[test]
fn an_id_that_is_used_again_is_the_newest() {
    let mut book = Book::default();
    book.bet("b", 0);
    assert!(book.turn(60, GROUP, HOURLY).is_some());
    // Identities are remembered for six days.
    assert_eq!(book.bet("b", 150), Admission::Accepted);
    assert_eq!(book.sizes(), (2, 1), "the old one was set aside");
    assert!(book.turn(250, GROUP, HOURLY).is_some());
    assert_eq!(book.sizes(), (1, 2));
    assert_eq!(book.bet("b", 280), Admission::Duplicate, "130 hours after the second, 280 after the first");
}

#[test]
fn what_comes_late_goes_cold_with_the_next() {
    let mut book = Book::default();
    book.bet("b", 30);
    assert!(book.turn(100, GROUP, HOURLY).is_some());
    // Of a partition that is behind.
    assert_eq!(book.bet("late", 20), Admission::Accepted);
    assert!(book.turn(100, GROUP, HOURLY).is_some());
    assert_eq!(book.sizes(), (0, 2));
    // What is due to be forgotten when it comes is forgotten with the next sweep, and known until then.
    book.turn(2_000, GROUP, HOURLY);
    assert_eq!(book.bet("overdue", 21), Admission::Accepted);
    assert!(book.ledger.freeze(GROUP, Some(HOURLY), &rules().ledger).is_none());
    assert_eq!(book.bet("overdue", 21), Admission::Duplicate);
}

#[test]
fn each_group_has_a_time_of_the_day() {
    let mut times = Vec::new();
    for group in [0, 256, 512, 768].map(KeyGroup) {
        let mut book = Book::default();
        // Goes cold with the first turn, so that the next is a day's.
        book.bet("first", -100);
        book.turn(0, group, ColdRules::default());
        let mut days = Vec::new();
        for hours in 0..200 {
            book.bet(&format!("b{hours}"), hours);
            days.extend(book.turn(hours + 1, group, ColdRules::default()).map(|_| hours));
        }
        assert!((5..=8).contains(&days.len()), "{days:?}");
        assert!(days.windows(2).all(|pair| pair[1] - pair[0] == 24), "{days:?}");
        times.push(days[0] % 24);
    }
    times.sort_unstable();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 6), "{times:?}");
}

#[test]
fn what_is_forgotten_leaves_nothing_in_the_filter() {
    let mut book = Book::default();
    // An hour's run each, so that more live than there are tags.
    for hours in 0..1_500 {
        book.bet(&format!("b{hours}"), hours);
        book.turn(hours, GROUP, HOURLY);
    }
    let runs = book.ledger.cold.runs.len();
    assert!(runs > 2 * 256, "only {runs} runs");
    assert_eq!(book.ledger.cold.filter.len(), runs, "one transaction each");
}

#[test]
fn without_a_place_for_more_the_rest_is_forgotten_all_the_same() {
    let mut book = Book::default();
    book.bet("b", 0);
    assert!(book.turn(60, GROUP, HOURLY).is_some());
    book.ledger.forget_before(hour(2_000), &rules().ledger);
    assert!(book.ledger.freeze(GROUP, None, &rules().ledger).is_none());
    assert_eq!(book.sizes(), (0, 0));
}

/// A file with nothing in it, and whether it was set aside.
#[derive(Debug, Default)]
struct Broken(AtomicBool);

impl ReadAt for Broken {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::Error::other("the disk is gone"))
    }

    fn place(&self) -> String {
        "/disk/cold-7".to_owned()
    }

    fn set_aside(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn without_its_file_there_is_no_answer() {
    let mut book = Book::default();
    book.bet("b", 0);
    let file = Arc::new(Broken::default());
    book.turn(60, GROUP, HOURLY).unwrap().bytes.move_to(file.clone(), 0);
    assert_eq!(book.bet("new", 60), Admission::Accepted, "nobody has to ask");
    assert!(!file.0.load(Ordering::Relaxed));
    let panic = catch_unwind(AssertUnwindSafe(|| book.bet("b", 60))).unwrap_err();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("cold transactions in /disk/cold-7 cannot be used: the disk is gone."), "{said}");
    assert!(file.0.load(Ordering::Relaxed), "the next start fetches another one");
}

#[test]
fn what_is_forgotten_needs_no_file() {
    let mut book = Book::default();
    book.bet("b", 0);
    book.turn(60, GROUP, HOURLY).unwrap().bytes.move_to(Arc::new(Broken::default()), 0);
    book.ledger.forget_before(hour(2_000), &rules().ledger);
    assert_eq!(book.bet("b", 2_000), Admission::Accepted);
}
