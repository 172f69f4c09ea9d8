//! Rows of one large key group that go cold, come back and are read again after crashes: so large that what a start reads is in many pieces,
//! the older of which know rows as they were before. Compared with rows that stay in memory.

use datasets::rates::RateBook;
use datasets::rows::ActivityRow;
use datasets::state::{Keeper, Packer};
use datasets::{Epoch, Money};

use super::super::{ActivityRules, DailyActivity, Reporting};
use super::*;
use crate::changes::Posting;
use crate::ledger::Side;
use crate::players::Clock;
use crate::snapshot::{Restored, Visited};
use crate::testing::{Rng, Written, seeds};

const GROUP: KeyGroup = KeyGroup(7);
const EPOCHS: Epoch = 150;
const INTERVAL: i64 = 10_000_000;

/// What an epoch posts.
type Postings = Vec<(Posting, (), isize)>;

/// Bets of 60 customers on five days, mostly the newest, and some of them taken back.
fn log(rng: &mut Rng) -> Vec<Postings> {
    let market = Arc::new(Market::new("slots", "EUR"));
    let mut standing: Vec<Posting> = Vec::new();
    let epochs = (0..EPOCHS).map(|epoch| {
        let mut postings = Vec::new();
        for _ in 0..rng.below(12) {
            if !standing.is_empty() && rng.one_in(3) {
                let place = usize::try_from(rng.below(i64::try_from(standing.len()).unwrap())).unwrap();
                postings.push((standing.swap_remove(place), (), -1));
                continue;
            }
            let newest = i32::try_from(epoch / 30).unwrap();
            let day = if rng.one_in(3) { i32::try_from(rng.below(5)).unwrap().min(newest) } else { newest };
            let customer = format!("p{}", rng.below(60));
            let key = RowKey::of(customer.as_str().into(), market.clone(), Date::from_days(day));
            let amount = Money::from_raw(i128::from(rng.below(3) + 1) * Money::ONE.raw());
            let posting = Posting { group: GROUP, key, side: Side::Bet, amount, bonus: Money::ZERO };
            standing.push(posting.clone());
            postings.push((posting, (), 1));
        }
        postings
    });
    epochs.collect()
}

/// The clock behind an epoch: thirty of them are a day, on the wall two seconds each.
fn clock(epoch: Epoch) -> Clock {
    let epoch = i64::try_from(epoch).unwrap();
    let now = Timestamp::from_micros(epoch * 24 * HOUR / 30);
    Clock { now, wall: Timestamp::from_micros(epoch * INTERVAL / 5), newest: now, is_last: false }
}

fn close(activity: &mut DailyActivity, epoch: Epoch, postings: &Postings) -> Vec<ActivityRow> {
    activity.wake(epoch);
    activity.update(postings);
    let mut rows = activity.report(&clock(epoch)).rows;
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

#[test]
fn a_crash_changes_nothing_of_rows_in_many_pieces() {
    let (mut lives, mut most_pieces, before) = (0, 0, answers());
    for seed in seeds(60) {
        let mut rng = Rng(110_000 + seed);
        let log = log(&mut rng);
        let reporting = rng.pick(&[Reporting::EveryEpoch, Reporting::Interval(INTERVAL)]);
        let new = || DailyActivity::new(ActivityRules::default(), reporting);
        let mut straight = new();
        let expected: Vec<_> = (0..).zip(&log).map(|(epoch, postings)| close(&mut straight, epoch, postings)).collect();
        let after_hours = rng.pick(&[-1_000_000, 0, 24]);
        let rules = ColdRules { after_hours, every_hours: 1, least_rows: rng.pick(&[1, 5]) };
        let mut written: Option<Written> = None;
        let mut reached = 0;
        while reached < EPOCHS {
            let mut activity = new();
            let kept = written.as_ref().map(|written| written.kept(&mut Packer::new().unwrap()));
            let next = kept.as_ref().map_or(0, |kept| kept.epoch + 1);
            lives += u32::from(next > 0);
            activity.restore(&Restored {
                definitions: Vec::new(),
                wall: next.checked_sub(1).map(|last| clock(last).wall),
                oldest_to_come: None,
                rates: RateBook::default(),
                parts: kept.into_iter().map(|kept| (Keeper::Activity, GROUP, kept)).collect::<Vec<_>>().into(),
                helpers: 0,
            });
            let (known, is_lost) = (written.clone(), rng.one_in(3));
            for (epoch, postings) in (0..).zip(&log).skip(usize::try_from(next).unwrap()) {
                let rows = close(&mut activity, epoch, postings);
                assert_eq!(rows, expected[usize::try_from(epoch).unwrap()], "epoch {epoch} of seed {seed}");
                // Nothing is written before the log has been followed to its end.
                if epoch < reached {
                    continue;
                }
                reached = epoch + 1;
                if rng.one_in(2) {
                    let Visited::Section(section) = activity.write(GROUP, epoch, Some(rules), clock(epoch).now) else {
                        panic!("it is awake, and small enough to be written at once");
                    };
                    let written = written.get_or_insert_default();
                    written.push(section);
                    most_pieces = most_pieces.max(written.pieces.len());
                }
                if rng.one_in(15) {
                    break;
                }
            }
            if is_lost {
                written = known;
            }
        }
    }
    let answers = answers() - before;
    assert!(
        lives > 300 && most_pieces >= 4,
        "{lives} lives went on from what was written, {most_pieces} pieces at most"
    );
    assert!(answers > 3_000, "only {answers} rows came back");
}
