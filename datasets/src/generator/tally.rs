//! The generator's own book: what a pipeline must arrive at, kept while events are made up.

use std::collections::BTreeMap;

use super::config::{Currency, DAY_MICROS};
use super::play::{Game, Transaction};
use crate::time::Date;
use crate::{EventName, Money, Reason, Timestamp};

/// Late bets are at most this many days old.
pub(super) const LATE_DAYS: i64 = 3;

/// What the events emitted so far come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records emitted, whatever they are.
    pub events: u64,
    /// Resends of what was accepted, with the same content.
    pub duplicates: u64,
    /// Reversals that took something back.
    pub reversals: u64,
    /// Reversals of what was reversed already.
    pub already_reversed: u64,
    /// Bets that came in hours to days late. All are within the default lateness of seven days, so a
    /// pipeline counts none of them as late.
    pub late: u64,
    /// Refused records by reason; resends with another amount are `idempotency_conflict`.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Bets and wins by UTC day of the event, net of reversals.
    pub activity: BTreeMap<TallyKey, TallyTotals>,
}

/// What totals are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey {
    /// Day of the event time, UTC.
    pub date: Date,
    /// `game_type`.
    pub game_type: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// Totals as the daily activity has them in basis cash (DOMAIN §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyTotals {
    /// Bets that stand.
    pub bets_count: u64,
    /// Their stake without bonus money.
    pub total_bets: Money,
    /// Bonus money staked.
    pub bonus_bets: Money,
    /// Wins and payouts of settlements.
    pub wins: Money,
}

impl TallyTotals {
    /// Gross gaming revenue.
    pub fn ggr(&self) -> Money {
        self.total_bets - self.wins
    }
}

impl Tally {
    /// Refused records in all.
    pub fn refused(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Events that count: neither duplicate, already reversed nor refused.
    pub fn accepted(&self) -> u64 {
        self.events - self.duplicates - self.already_reversed - self.refused()
    }
}

/// The book as it is kept: dense, in smallest units.
pub(super) struct Book {
    counts: Tally,
    first_day: i64,
    currencies: usize,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    bets: i64,
    stake: i128,
    bonus: i128,
    wins: i128,
}

impl Book {
    /// For events between `start` less [`LATE_DAYS`] and the end of the span.
    pub(super) fn new(start: Timestamp, span_micros: i64, currencies: usize) -> Self {
        let first_day = start.micros().div_euclid(DAY_MICROS) - LATE_DAYS;
        let last_day = start.plus_micros(span_micros).micros().div_euclid(DAY_MICROS);
        let days = usize::try_from(last_day - first_day + 1).expect("a span of ten years at most");
        let cells = vec![Cell::default(); days * Game::ALL.len() * currencies];
        Book { counts: Tally::default(), first_day, currencies, cells }
    }

    pub(super) fn events(&self) -> u64 {
        self.counts.events
    }

    pub(super) fn record(&mut self) {
        self.counts.events += 1;
    }

    pub(super) fn duplicate(&mut self) {
        self.counts.duplicates += 1;
    }

    pub(super) fn already_reversed(&mut self) {
        self.counts.already_reversed += 1;
    }

    pub(super) fn late(&mut self) {
        self.counts.late += 1;
    }

    pub(super) fn refused(&mut self, reason: Reason) {
        *self.counts.dead_letters.entry(reason).or_default() += 1;
    }

    pub(super) fn accept(&mut self, event: &Transaction) {
        self.post(event, 1);
    }

    /// The payout is another one now, and stays on the day of the first.
    pub(super) fn resettle(&mut self, first: &Transaction, settlement: &Transaction) {
        self.post(first, -1);
        self.post(&Transaction { event_time: first.event_time, ..*settlement }, 1);
    }

    pub(super) fn reverse(&mut self, event: &Transaction) {
        self.counts.reversals += 1;
        self.post(event, -1);
    }

    fn post(&mut self, event: &Transaction, sign: i64) {
        let Some(game) = event.game() else { return };
        let day = event.event_time.micros().div_euclid(DAY_MICROS) - self.first_day;
        let day = usize::try_from(day).expect("no event is before the first day");
        let game = Game::ALL.iter().position(|other| *other == game).expect("every game is listed");
        let index = (day * Game::ALL.len() + game) * self.currencies + usize::from(event.player.currency);
        let cell = &mut self.cells[index];
        match event.name {
            EventName::BetPlaced => {
                cell.bets += sign;
                cell.stake += i128::from(sign * (event.amount - event.bonus));
                cell.bonus += i128::from(sign * event.bonus);
            }
            EventName::Win | EventName::BetSettled => cell.wins += i128::from(sign * event.amount),
            _ => {}
        }
    }

    /// The book in exact amounts. Totals of nothing are left out.
    pub(super) fn tally(&self, currencies: &[Currency]) -> Tally {
        let mut tally = self.counts.clone();
        for (index, cell) in self.cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::default()) {
            let (rest, currency) = (index / self.currencies, &currencies[index % self.currencies]);
            let (day, game) = (rest / Game::ALL.len(), Game::ALL[rest % Game::ALL.len()]);
            let day = self.first_day + i64::try_from(day).expect("a span of ten years at most");
            let date = Date::from_days(i32::try_from(day).expect("within the calendar"));
            let key = TallyKey { date, game_type: game.name().to_owned(), currency: currency.code.clone() };
            let totals = TallyTotals {
                bets_count: u64::try_from(cell.bets).expect("what is reversed was placed"),
                total_bets: currency.money(cell.stake),
                bonus_bets: currency.money(cell.bonus),
                wins: currency.money(cell.wins),
            };
            tally.activity.insert(key, totals);
        }
        tally
    }
}
