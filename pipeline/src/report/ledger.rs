//! `questline report ledger`: the liability of points and the cost of bonuses, day by day, in double entry.
//!
//! A row is booked on the day on which it left, in the zone of reporting days. So a day that is over never changes:
//! what corrects it is booked on a later day, a restated bonus cost with the day of activity that it belongs to. Every
//! amount is debited to one account and credited to another; balances are what was booked, summed since the
//! pipeline's first row, so that the closing balance of a day is the opening balance of the next.

use std::collections::{BTreeMap, HashMap};

use datasets::rows::ActivityKey;
use datasets::time::Date;
use datasets::{Money, Timestamp};
use serde::Serialize;
use sinks::cut::Table;
use sinks::lake::LakeReader;

use crate::config::Config;
use crate::history::cell::{Cell, Row, each_row};
use crate::history::log::LakeHistory;

/// The unit of points in journal and balances; amounts of money have their currency.
pub const POINTS: &str = "points";

/// What amounts are booked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Points that players can still spend: what the operator owes.
    PointsLiability,
    /// What granting them cost, less what was revoked.
    PointsExpense,
    /// Points that were spent.
    PointsRedeemed,
    /// Points whose time was over.
    PointsExpired,
    /// Bonus money that players were given and won with.
    BonusLiability,
    /// What it cost (DOMAIN §5: `bonus_cost`).
    BonusExpense,
}

impl Account {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Account::PointsLiability => "points_liability",
            Account::PointsExpense => "points_expense",
            Account::PointsRedeemed => "points_redeemed",
            Account::PointsExpired => "points_expired",
            Account::BonusLiability => "bonus_liability",
            Account::BonusExpense => "bonus_expense",
        }
    }

    /// Its balance grows by what is debited; that of any other by what is credited.
    pub fn is_debit(self) -> bool {
        matches!(self, Account::PointsExpense | Account::BonusExpense)
    }
}

/// Why an amount is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the movements of the ledger, by the reasons of its lines")]
pub enum Movement {
    Granted,
    Redeemed,
    Expired,
    Revoked,
    BonusCost,
}

impl Movement {
    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Movement::Granted => "granted",
            Movement::Redeemed => "redeemed",
            Movement::Expired => "expired",
            Movement::Revoked => "revoked",
            Movement::BonusCost => "bonus_cost",
        }
    }
}

/// An amount above 0 that moves from one account to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Posting {
    /// Why.
    pub movement: Movement,
    /// The account that is debited.
    pub debit: Account,
    /// The account that is credited.
    pub credit: Account,
    /// [`POINTS`] or a currency.
    pub unit: String,
    /// Of a bonus cost: the reporting day of the activity. Where that is not the day of booking, it was restated.
    pub activity_date: Option<Date>,
}

/// All that was booked on one day for one [`Posting`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// From where to where.
    #[serde(flatten)]
    pub posting: Posting,
    /// Above 0.
    pub amount: Money,
    /// How many rows of the lake it sums up.
    pub rows: u64,
}

/// An account's balances on one day, on the side on which it grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of the file")]
pub struct Balance {
    pub account: Account,
    pub unit: String,
    pub opening: Money,
    pub debit: Money,
    pub credit: Money,
    pub closing: Money,
}

/// One day's books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The day of booking.
    pub date: Date,
    /// In the order of [`Posting`].
    pub entries: Vec<Entry>,
    /// Of every account that was ever booked to, by account and unit.
    pub balances: Vec<Balance>,
}

/// The books of every day that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Without gaps, from the first day on which something was booked.
    pub days: Vec<Day>,
    /// The last day of which all rows are in the lake; `None` of a replay's lake, which gets no more.
    pub complete: Option<Date>,
}

/// Reads the books of the lake of `config`.
///
/// # Errors
/// A lake that cannot be read, was written by a later release, or is too young for a day to be complete.
pub fn read(config: &Config) -> Result<Books, String> {
    let history = LakeHistory::open(config, "`report ledger` sums what is in it")?;
    let zone = config.activity.zone.time_zone();
    let date_of = |at: Timestamp| at.date(zone);
    let mut journal = Journal::default();
    journal.book_points(&history.lake, date_of)?;
    journal.book_bonuses(&history.lake, date_of)?;
    if history.settled.until() == Some(Timestamp::MIN) {
        return Err("no day is complete: the lake has too few files yet to tell what of it is there".to_owned());
    }
    // Rows of this instant and later may be in no file yet.
    let complete = history.settled.until().map(|until| Date::from_days(date_of(until.plus_micros(1)).days() - 1));
    Ok(journal.close(complete))
}

/// What is booked, by day.
#[derive(Debug, Default)]
pub(super) struct Journal(BTreeMap<Date, BTreeMap<Posting, (Money, u64)>>);

impl Journal {
    /// Books an `amount` of any sign but for 0, which moves nothing: `more` is where the posting goes above 0, with the accounts
    /// in the other order below.
    pub(super) fn book(&mut self, date: Date, more: Posting, amount: Money) {
        let (posting, amount) = match amount {
            nothing if nothing.is_zero() => return,
            less if less.is_negative() => (Posting { debit: more.credit, credit: more.debit, ..more }, -less),
            amount => (more, amount),
        };
        let entry = self.0.entry(date).or_default().entry(posting).or_default();
        *entry = (entry.0 + amount, entry.1 + 1);
    }

    fn book_points(&mut self, lake: &LakeReader, date_of: impl Fn(Timestamp) -> Date) -> Result<(), String> {
        let mut unknown = None;
        each_row(
            lake,
            Table::Points,
            |_| true,
            |row| {
                let delta = money(row, "delta");
                let date = date_of(row.time("emitted_at").unwrap_or_default());
                match of_points(row.text("reason"), delta) {
                    Some(posting) => self.book(date, posting, delta),
                    None => unknown = Some(row.text("reason").to_owned()),
                }
            },
        )?;
        unknown.map_or(Ok(()), |reason| {
            Err(format!("the lake has points for the reason {reason:?}: a later release wrote it"))
        })
    }

    /// A row of activity is booked with what it changes of the bonus cost of the revision before it.
    fn book_bonuses(&mut self, lake: &LakeReader, date_of: impl Fn(Timestamp) -> Date) -> Result<(), String> {
        // Only of rows that cost something. Objects come in the order of their cuts, and a row's revisions in that of epochs.
        let mut costs: HashMap<ActivityKey, Money> = HashMap::new();
        each_row(
            lake,
            Table::Activity,
            |_| true,
            |row| {
                let Some(Cell::Date(activity_date)) = row.cell("date") else { return };
                let [customer_id, game_type, currency] =
                    ["customer_id", "game_type", "currency"].map(|name| row.text(name));
                let cost = money(row, "bonus_cost");
                let key = ActivityKey {
                    date: activity_date,
                    customer_id: customer_id.into(),
                    game_type: game_type.into(),
                    currency: currency.into(),
                };
                let before = if cost.is_zero() { costs.remove(&key) } else { costs.insert(key, cost) };
                let posting = Posting {
                    movement: Movement::BonusCost,
                    debit: Account::BonusExpense,
                    credit: Account::BonusLiability,
                    unit: currency.to_owned(),
                    activity_date: Some(activity_date),
                };
                let date = date_of(row.time("updated_at").unwrap_or_default());
                self.book(date, posting, cost - before.unwrap_or(Money::ZERO));
            },
        )
    }

    /// The books of all days from the first booking to the last day that is `complete`, or to the last booking.
    pub(super) fn close(mut self, complete: Option<Date>) -> Books {
        let bounds =
            self.0.first_key_value().zip(self.0.last_key_value()).map(|((first, _), (last, _))| (*first, *last));
        let Some((first, last)) = bounds else { return Books { days: Vec::new(), complete } };
        let mut balances: BTreeMap<(Account, String), Money> = BTreeMap::new();
        let days = (first.days()..=complete.unwrap_or(last).days()).map(Date::from_days).map(|date| {
            let booked = self.0.remove(&date).unwrap_or_default();
            let entries = booked.into_iter().map(|(posting, (amount, rows))| Entry { posting, amount, rows });
            let entries: Vec<Entry> = entries.collect();
            let balances = close_day(&entries, &mut balances);
            Day { date, entries, balances }
        });
        Books { days: days.collect(), complete }
    }
}

/// Carries `balances` over one day's `entries`.
fn close_day(entries: &[Entry], balances: &mut BTreeMap<(Account, String), Money>) -> Vec<Balance> {
    let mut moved: BTreeMap<(Account, String), (Money, Money)> = BTreeMap::new();
    for Entry { posting, amount, .. } in entries {
        moved.entry((posting.debit, posting.unit.clone())).or_default().0 += *amount;
        moved.entry((posting.credit, posting.unit.clone())).or_default().1 += *amount;
    }
    for key in moved.keys() {
        balances.entry(key.clone()).or_default();
    }
    let day = balances.iter_mut().map(|((account, unit), balance)| {
        let opening = *balance;
        let (debit, credit) = moved.get(&(*account, unit.clone())).copied().unwrap_or_default();
        *balance += if account.is_debit() { debit - credit } else { credit - debit };
        Balance { account: *account, unit: unit.clone(), opening, debit, credit, closing: *balance }
    });
    day.collect()
}

/// Where a line of the points ledger is booked when it is above 0. `None`: for a reason that is not known.
pub(super) fn of_points(reason: &str, delta: Money) -> Option<Posting> {
    let (movement, against) = match reason {
        "earn" => (Movement::Granted, Account::PointsExpense),
        "spend" => (Movement::Redeemed, Account::PointsRedeemed),
        "expire" => (Movement::Expired, Account::PointsExpired),
        // What a completion had earned is taken back, what a spending took is given back.
        "revoke" if delta.is_negative() => (Movement::Revoked, Account::PointsExpense),
        "revoke" => (Movement::Revoked, Account::PointsRedeemed),
        _ => return None,
    };
    Some(Posting {
        movement,
        debit: against,
        credit: Account::PointsLiability,
        unit: POINTS.to_owned(),
        activity_date: None,
    })
}

fn money(row: Row<'_>, column: &str) -> Money {
    if let Some(Cell::Money(money)) = row.cell(column) { money } else { Money::ZERO }
}
