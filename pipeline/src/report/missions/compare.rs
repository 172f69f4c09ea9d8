//! Participants beside the others, by customer and day.

use std::sync::Arc;

use datasets::rows::{Cohort, MissionGgrRow, Period};
use datasets::{Money, Timestamp};
use serde::Serialize;

/// One cohort, before, during and after. Averages are by customer and complete day, customers who did not play included, rounded
/// half-up to 8 places; null where there is no customer or no complete day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// How many there are.
    pub customers: i64,
    /// How many of them played in each period.
    pub players: [i64; 3],
    /// Gross gaming revenue by customer and day.
    pub ggr: [Option<Money>; 3],
    /// Net gaming revenue by customer and day.
    pub ngr: [Option<Money>; 3],
}

/// A population of a window in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The mission.
    pub mission_id: Arc<str>,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// Its end, if it has one.
    pub window_end: Option<Timestamp>,
    /// The segment; null: all customers.
    pub segment: Option<Arc<str>>,
    /// The currency.
    pub currency: Arc<str>,
    /// Days of each period.
    pub days: [i64; 3],
    /// Those of them that are complete.
    pub days_complete: [i64; 3],
    /// Who took part.
    pub participants: Side,
    /// Who did not.
    pub others: Side,
}

impl Side {
    fn of(rows: [&MissionGgrRow; 3]) -> Self {
        let average = |read: fn(&MissionGgrRow) -> Money| rows.map(|row| average(read(row), row));
        Side {
            customers: rows[1].customers,
            players: rows.map(|row| row.players),
            ggr: average(|row| row.ggr),
            ngr: average(|row| row.ngr),
        }
    }
}

impl Comparison {
    /// By how much more than the others' the participants' average rose from before to during.
    pub fn rise(&self, read: fn(&Side) -> &[Option<Money>; 3]) -> Option<Money> {
        Some(change(read(&self.participants))? - change(read(&self.others))?)
    }
}

/// By how much an average rose from before to during.
pub fn change([before, during, _]: &[Option<Money>; 3]) -> Option<Money> {
    Some((*during)? - (*before)?)
}

fn average(sum: Money, row: &MissionGgrRow) -> Option<Money> {
    let times = i128::from(row.customers) * i128::from(row.days_complete);
    (times > 0).then(|| {
        let magnitude = (sum.raw().abs() + times / 2) / times;
        Money::from_raw(if sum.is_negative() { -magnitude } else { magnitude })
    })
}

/// Of rows in the order of their keys.
pub fn comparisons(rows: &[MissionGgrRow]) -> Vec<Comparison> {
    let of_one = |row: &MissionGgrRow| {
        let key = &row.key;
        (key.mission_id.clone(), key.window_start, key.segment.clone(), key.currency.clone())
    };
    let groups = rows.chunk_by(|a, b| of_one(a) == of_one(b));
    let compared = groups.filter_map(|rows| {
        let cell = |cohort, period| rows.iter().find(|row| (row.key.cohort, row.key.period) == (cohort, period));
        let side = |cohort| {
            let [before, during, after] = Period::ALL.map(|period| cell(cohort, period));
            Some([before?, during?, after?])
        };
        let (participants, others) = (side(Cohort::Participants)?, side(Cohort::Others)?);
        let (mission_id, window_start, segment, currency) = of_one(participants[0]);
        Some(Comparison {
            mission_id,
            window_start,
            window_end: participants[0].window_end,
            segment,
            currency,
            days: participants.map(|row| row.days),
            days_complete: participants.map(|row| row.days_complete),
            participants: Side::of(participants),
            others: Side::of(others),
        })
    });
    compared.collect()
}
