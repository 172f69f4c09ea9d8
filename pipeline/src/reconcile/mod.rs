//! `questline reconcile`: the account of what was read, what it comes to, and what was told of it.
//!
//! The recomputation is that of [`verify`](crate::verify), with its verdict on every record; beside it stand the sums
//! that an auditor asks for: offsets by partition and day, activity by day and game, completions and changes of tiers by day, each as
//! recomputed and as the lake has it, and the operator's own totals. All are compared as they are: the tolerance is 0.

mod behind;
mod books;
mod due;
mod inputs;
pub(crate) mod metrics;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datasets::rows::ActivityKey;
use datasets::time::Date;
use datasets::{Epoch, Money, Timestamp};
use serde::Serialize;
use sinks::cut::Table;
use sinks::lake::LakeReader;

use crate::config::Config;
use crate::history::complete::reported_until;
use crate::history::log::Settled;
use crate::verify::{Proof, Verdict};
pub use behind::EventBehind;
use books::{Book, TierChanges, lake_completions, lake_rows, lake_tiers, utc_day};
pub use due::Completeness;
pub use inputs::{Input, Partition};
pub use totals::{OwnTotals, read_totals};

/// Keys that differ and are named.
const NAMED: usize = 5;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only this day: of activity the reporting day, of completions the day of emission, of records that of ingestion.
    pub date: Option<Date>,
    /// Only days that are over by the recorded clock: reporting days, and UTC days, each in their zone.
    pub only_closed: bool,
    /// What the operator's own books say.
    pub totals: Vec<OwnTotals>,
    /// When it is asked, by the wall's clock.
    pub at: Timestamp,
}

impl Question {
    /// It is about this day, while the clock stands in the day `open`.
    fn asks(&self, date: Date, open: Date) -> bool {
        self.date.is_none_or(|asked| asked == date) && (!self.only_closed || date < open)
    }
}

/// Sums of rows of activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of the row")]
pub struct Sums {
    pub bets_count: i64,
    pub total_bets: Money,
    pub wins: Money,
    pub ggr: Money,
    pub ngr: Money,
    pub jackpot_contribution: Money,
    pub jackpot_wins: Money,
    pub chargebacks: Money,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.bets_count += other.bets_count;
        self.total_bets += other.total_bets;
        self.wins += other.wins;
        self.ggr += other.ggr;
        self.ngr += other.ngr;
        self.jackpot_contribution += other.jackpot_contribution;
        self.jackpot_wins += other.jackpot_wins;
        self.chargebacks += other.chargebacks;
    }

    /// Names of the columns, and what they show.
    fn columns(&self) -> [(&'static str, String); 8] {
        let Sums { bets_count, total_bets, wins, ggr, ngr, jackpot_contribution, jackpot_wins, chargebacks } = self;
        [
            ("bets_count", bets_count.to_string()),
            ("total_bets", total_bets.to_string()),
            ("wins", wins.to_string()),
            ("ggr", ggr.to_string()),
            ("ngr", ngr.to_string()),
            ("jackpot_contribution", jackpot_contribution.to_string()),
            ("jackpot_wins", jackpot_wins.to_string()),
            ("chargebacks", chargebacks.to_string()),
        ]
    }
}

/// A day of activity, by game type and currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayOfActivity {
    /// Reporting day.
    pub date: Date,
    /// Game type.
    pub game_type: String,
    /// Currency.
    pub currency: String,
    /// From the events.
    pub recomputed: Sums,
    /// Of the last revisions in the lake.
    pub lake: Sums,
    /// The operator's own, where the file has this day, game and currency for all customers together.
    pub own_equal: Option<bool>,
}

/// A day of completions, by emission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayOfCompletions {
    /// UTC day.
    pub date: Date,
    /// (completed, revoked), from the events.
    pub recomputed: (u64, u64),
    /// The same in the lake.
    pub lake: (u64, u64),
}

/// Changes to a tier on a day, by emission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayOfTiers {
    /// UTC day.
    pub date: Date,
    /// What players have from then on; null: none.
    pub tier: Option<String>,
    /// How many changed to it, from the events.
    pub recomputed: u64,
    /// The same in the lake.
    pub lake: u64,
}

/// A key that differs, with what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyDifference {
    /// Reporting day.
    pub date: Date,
    /// The customer; absent for totals of all.
    pub customer_id: Option<String>,
    /// Game type.
    pub game_type: String,
    /// Currency.
    pub currency: String,
    /// Whose figure differs: `lake`, or `totals` with the line of the file.
    pub of: String,
    /// The first column that does; `row` if one side has none.
    pub column: String,
    /// As it is there.
    pub found: String,
    /// As recomputed.
    pub recomputed: String,
    /// The first events of the key, in the order of event time.
    pub events: Vec<EventBehind>,
    /// How many there are.
    pub events_in_all: u64,
}

/// The whole account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Record by record.
    pub verdict: Verdict,
    /// What was read of each partition.
    pub partitions: Vec<Partition>,
    /// The same by day of ingestion.
    pub inputs: Vec<Input>,
    /// Activity.
    pub activity: Vec<DayOfActivity>,
    /// Rows of activity whose last revision is in no file yet: not judged here.
    pub unwritten: u64,
    /// Which reporting days are complete.
    pub days: Completeness,
    /// Completions.
    pub completions: Vec<DayOfCompletions>,
    /// Tiers; none where none are configured.
    pub tiers: Vec<DayOfTiers>,
    /// How many keys differ, from the lake and from the operator's totals.
    pub differences: u64,
    /// The first of them.
    pub first: Vec<KeyDifference>,
}

impl Account {
    /// Nothing differs.
    pub fn is_equal(&self) -> bool {
        self.differing().iter().all(|(_, differing)| *differing == 0)
    }

    /// How much differs of each kind. `activity`: keys, of rows in the lake and of the operator's totals. `lake …` and
    /// `topic …`: records.
    pub fn differing(&self) -> Vec<(&str, u64)> {
        let count = |all: usize| u64::try_from(all).unwrap_or(u64::MAX);
        let partitions = self.partitions.iter().filter(|partition| !partition.is_whole()).count();
        let completions = self.completions.iter().filter(|day| day.recomputed != day.lake).count();
        let tiers = self.tiers.iter().filter(|day| day.recomputed != day.lake).count();
        let sums = [
            ("activity", self.differences),
            ("days of completions", count(completions)),
            ("days of tiers", count(tiers)),
            ("partitions", count(partitions)),
        ];
        let records = self.verdict.compared.iter();
        sums.into_iter().chain(records.map(|compared| (compared.what.as_str(), compared.differences))).collect()
    }
}

/// Recomputes and compares.
///
/// # Errors
/// What cannot be read, for people.
pub fn reconcile(
    (config, proof): (&Config, Proof),
    question: &Question,
    workers: usize,
    advance: impl Fn(u64) + Send + 'static,
) -> Result<Account, String> {
    let (lake, settled) = (proof.lake(), proof.settled());
    let book = Arc::new(Mutex::new(Book::new(&lake)));
    let verdict = proof.observed(workers, advance, {
        let book = book.clone();
        move |outputs| book.lock().unwrap_or_else(PoisonError::into_inner).take(outputs)
    })?;
    let book = std::mem::take(&mut *book.lock().unwrap_or_else(PoisonError::into_inner));
    Reconciling { config, lake: &lake, settled, question, book }.account(verdict)
}

struct Reconciling<'a> {
    config: &'a Config,
    lake: &'a LakeReader,
    settled: Settled,
    question: &'a Question,
    book: Book,
}

/// Sums by day, game type and currency.
type ByGame = BTreeMap<(Date, String, String), Sums>;

fn by_game<'a>(rows: impl Iterator<Item = (&'a ActivityKey, &'a Sums)>) -> ByGame {
    let mut games = ByGame::new();
    for (key, sums) in rows {
        games.entry((key.date, key.game_type.to_string(), key.currency.to_string())).or_default().add(sums);
    }
    games
}

impl Reconciling<'_> {
    fn account(self, verdict: Verdict) -> Result<Account, String> {
        let Reconciling { config, lake, settled, question, mut book } = self;
        let open_day = verdict.until.date(config.activity.zone.time_zone());
        let open_utc_day = utc_day(verdict.until);
        let is_asked = |date: Date| question.asks(date, open_day);
        let is_asked_utc = |date: Date| question.asks(date, open_utc_day);
        let (partitions, mut inputs, first) = inputs::read(lake, &config.missions.topic, verdict.epochs)?;
        inputs.retain(|input| is_asked_utc(input.date));
        for (epoch, read) in (0..).zip(&mut book.read) {
            read.first = first.get(&epoch).copied();
        }
        let began = book.read.first().map_or(verdict.until, |first| first.now);
        let within = (began, reported_until(config, settled, &book.read));
        let at = settled.until().map(|_| question.at);
        let complete = Completeness::new(config.activity.zone.time_zone(), within, at);

        let mut recomputed = book.rows.settled;
        let mut stored = lake_rows(lake, book.rows.judged)?;
        recomputed.retain(|key, _| is_asked(key.date));
        stored.retain(|key, _| is_asked(key.date));
        let mut differing = different_rows(&recomputed, &stored);
        let games = by_game(recomputed.iter().map(|(key, (_, sums))| (key, sums)));
        let in_lake = by_game(stored.iter().map(|(key, (_, sums))| (key, sums)));
        let own = totals::compare(question, open_day, (&games, &recomputed));
        differing.extend(own.differing);

        let days: BTreeSet<_> = games.keys().chain(in_lake.keys()).cloned().collect();
        let activity = days.into_iter().map(|key| {
            let sums = |of: &ByGame| of.get(&key).copied().unwrap_or_default();
            let (recomputed, lake, own_equal) = (sums(&games), sums(&in_lake), own.equal.get(&key).copied());
            let (date, game_type, currency) = key;
            DayOfActivity { date, game_type, currency, recomputed, lake, own_equal }
        });
        let activity = activity.collect();

        let stored = lake_completions(lake, book.completions.judged)?;
        let days: BTreeSet<Date> = book.completions.settled.keys().chain(stored.keys()).copied().collect();
        let completions = days.into_iter().filter(|date| is_asked_utc(*date)).map(|date| {
            let of = |counts: &BTreeMap<Date, (u64, u64)>| counts.get(&date).copied().unwrap_or_default();
            DayOfCompletions { date, recomputed: of(&book.completions.settled), lake: of(&stored) }
        });
        let completions = completions.collect();

        let stored = lake_tiers(lake, book.tiers.judged)?;
        let keys: BTreeSet<_> = book.tiers.settled.keys().chain(stored.keys()).cloned().collect();
        let tiers = keys.into_iter().filter(|(date, _)| is_asked_utc(*date)).map(|key| {
            let of = |changes: &TierChanges| changes.get(&key).copied().unwrap_or_default();
            let (recomputed, lake) = (of(&book.tiers.settled), of(&stored));
            let (date, tier) = key;
            DayOfTiers { date, tier, recomputed, lake }
        });
        let tiers = tiers.collect();

        let differences = u64::try_from(differing.len()).unwrap_or(u64::MAX);
        differing.sort_by(|a, b| a.key().cmp(&b.key()));
        differing.truncate(NAMED);
        behind::find(config, lake, verdict.epochs, &mut differing)?;
        let unwritten = u64::try_from(book.rows.pending.len()).unwrap_or(u64::MAX);
        let first = differing;
        Ok(Account {
            verdict,
            partitions,
            inputs,
            activity,
            unwritten,
            days: complete,
            completions,
            tiers,
            differences,
            first,
        })
    }
}

impl KeyDifference {
    fn key(&self) -> (Date, &str, &str, Option<&str>, &str) {
        (self.date, &self.game_type, &self.currency, self.customer_id.as_deref(), &self.of)
    }
}

/// Last revisions by key: the revision, and the sums.
type Rows = HashMap<ActivityKey, (u64, Sums)>;

/// Rows whose last revisions differ.
fn different_rows(recomputed: &Rows, stored: &Rows) -> Vec<KeyDifference> {
    let keys: BTreeSet<&ActivityKey> = recomputed.keys().chain(stored.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (column, found, recomputed) = match (stored.get(key), recomputed.get(key)) {
            (Some(stored), Some(recomputed)) => first_column(*stored, *recomputed)?,
            (found, recomputed) => ("row", shown_row(found.is_some()), shown_row(recomputed.is_some())),
        };
        Some(KeyDifference {
            date: key.date,
            customer_id: Some(key.customer_id.to_string()),
            game_type: key.game_type.to_string(),
            currency: key.currency.to_string(),
            of: "lake".to_owned(),
            column: column.to_owned(),
            found,
            recomputed,
            events: Vec::new(),
            events_in_all: 0,
        })
    });
    differing.collect()
}

fn shown_row(is_there: bool) -> String {
    if is_there { "there".to_owned() } else { "missing".to_owned() }
}

fn first_column(found: (u64, Sums), recomputed: (u64, Sums)) -> Option<(&'static str, String, String)> {
    let texts = |(revision, sums): (u64, Sums)| sums.columns().into_iter().chain([("revision", revision.to_string())]);
    let mut columns = texts(found).zip(texts(recomputed));
    columns
        .find(|(found, recomputed)| found != recomputed)
        .map(|((column, found), (_, recomputed))| (column, found, recomputed))
}

/// The ends of a table's cuts, in the order of epochs.
fn ends(lake: &LakeReader, table: Table) -> BTreeSet<Epoch> {
    lake.objects(table).iter().map(|object| object.cut.last).collect()
}
