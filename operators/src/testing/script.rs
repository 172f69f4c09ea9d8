//! Scripts: inputs as they are written down, and random ones with everything that makes trouble.

use std::sync::Arc;

use datasets::currency::Currencies;
use datasets::hash::{KeyGroup, player_hash};
use datasets::mission::MissionDefaults;
use datasets::{Coordinates, EventBatch, EventName, EventRow, Family, Money, SourceId, TextField, Timestamp, TopicId};
use jiff::tz::TimeZone;

use crate::definitions::DefinitionRecord;
use crate::ledger::{Attribution, LedgerRules};
use crate::players::Rules;
use crate::points::PointsRules;

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// `hours` after the Monday on which every script starts.
pub(crate) fn at(hours: i64) -> Timestamp {
    let monday: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    monday.plus_micros(hours * HOUR)
}

/// One event, as a source would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub at: Coordinates,
    pub event_time: Timestamp,
    pub ingest_time: Timestamp,
    pub name: &'static str,
    pub player: &'static str,
    pub id: String,
    pub amount: Option<Money>,
    pub bonus: Money,
    /// A jackpot's part.
    pub jackpot: Money,
    pub rate: Option<Money>,
    pub currency: &'static str,
    pub game_type: &'static str,
    pub status: Option<&'static str>,
    pub reference: Option<String>,
    pub family: Option<&'static str>,
    /// The mission, segment or channel of a control event, or the currencies of a rate, such as `USD/EUR`.
    pub about: Option<&'static str>,
    /// The end of an exclusion.
    pub until: Option<Timestamp>,
    /// Of a consent.
    pub granted: Option<bool>,
    /// The event's JSON, for its attributes.
    pub payload: &'static str,
}

impl Input {
    /// An event of player `p`, ingested at its own time.
    pub(crate) fn new(name: &'static str, id: &str, hours: i64, amount: &str) -> Self {
        Input {
            at: Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 },
            event_time: at(hours),
            ingest_time: at(hours),
            name,
            player: "p",
            id: id.to_owned(),
            amount: amount.parse().ok(),
            bonus: Money::ZERO,
            jackpot: Money::ZERO,
            rate: None,
            currency: "EUR",
            game_type: "slots",
            status: None,
            reference: None,
            family: None,
            about: None,
            until: None,
            granted: None,
            payload: "{}",
        }
    }

    /// A reversal of `reference`, in `family` if that is not empty.
    pub(crate) fn reversal(id: &str, reference: &str, family: &'static str, hours: i64) -> Self {
        let family = (!family.is_empty()).then_some(family);
        Input { reference: Some(reference.to_owned()), family, ..Input::new("reversal", id, hours, "") }
    }

    pub(crate) fn status(self, status: &'static str) -> Self {
        Input { status: Some(status), ..self }
    }

    /// The mapped content: everything but where and when it was taken, and attributes.
    pub(crate) fn is_same_content(&self, other: &Input) -> bool {
        let (at, ingest_time, payload) = (self.at, self.ingest_time, self.payload);
        Input { at, ingest_time, payload, ..other.clone() } == *self
    }

    /// Source, family and player are one; then the id decides.
    pub(crate) fn key(&self) -> (Family, &'static str, &'static str, &str) {
        let family = EventName::of_source(self.name, true).family();
        (family, if family == Family::Other { self.name } else { "" }, self.player, &self.id)
    }

    pub(crate) fn order(&self) -> (Timestamp, Coordinates) {
        (self.event_time, self.at)
    }

    pub(crate) fn push(&self, batch: &mut EventBatch) {
        let mut row = EventRow::new(self.at, SourceId(0), self.event_time, self.ingest_time);
        let about = |names: &[&str]| self.about.filter(|_| names.contains(&self.name));
        let pair = about(&["rate"]).and_then(|about| about.split_once('/'));
        let texts = [
            (TextField::EventName, Some(self.name)),
            (TextField::PlayerId, Some(self.player)),
            (TextField::TransactionId, Some(self.id.as_str())),
            (TextField::Currency, Some(self.currency)),
            (TextField::GameType, Some(self.game_type)),
            (TextField::Status, self.status),
            (TextField::ReferenceId, self.reference.as_deref()),
            (TextField::ReferenceFamily, self.family),
            (TextField::MissionId, about(&["opted_in", "opted_out"])),
            (TextField::Segment, about(&["segment_entered", "segment_left"])),
            (TextField::Channel, about(&["consent_changed"])),
            (TextField::Base, pair.map(|(base, _)| base)),
            (TextField::Quote, pair.map(|(_, quote)| quote)),
        ];
        row.name = EventName::of_source(self.name, true);
        row.amount = self.amount;
        row.bonus_amount = self.bonus;
        row.jackpot = self.jackpot;
        row.exchange_rate = self.rate;
        row.until = self.until;
        row.granted = self.granted;
        batch.push(&row, texts.into_iter().filter_map(|(field, text)| Some((field, text?))), self.payload);
    }
}

/// `inputs` as decoding would hand them to the only worker.
pub(crate) fn batch(inputs: &[Input]) -> Vec<Arc<EventBatch>> {
    batches(inputs, 1)
}

/// `inputs` as decoding would hand them to their owners among `workers`.
pub(crate) fn batches(inputs: &[Input], workers: usize) -> Vec<Arc<EventBatch>> {
    let mut batches: Vec<EventBatch> = (0..workers).map(|worker| EventBatch::new(worker, 0)).collect();
    for input in inputs {
        let owner = KeyGroup::of(player_hash(input.player)).worker(workers);
        input.push(&mut batches[owner]);
    }
    batches.into_iter().filter(|batch| !batch.is_empty()).map(Arc::new).collect()
}

/// A definition record on the topic `missions`.
pub(crate) fn record(key: &str, text: Option<String>, hours: i64, offset: i64) -> DefinitionRecord {
    let at_record = Coordinates { topic: TopicId(1), partition: 0, offset, index: 0 };
    DefinitionRecord { at: at_record, ingest_time: at(hours), key: key.to_owned(), text, was_refused: false }
}

/// Settings whose retentions a script of a month gets past.
pub(crate) fn rules() -> Rules {
    Rules {
        pipeline: "test".into(),
        ledger: LedgerRules {
            identity_retention: 6 * DAY,
            ledger_retention: 18 * DAY,
            orphan_wait: 2 * DAY,
            lifecycle: vec![Family::Deposit, Family::Withdrawal],
            counted_status: vec!["approved".to_owned(), "settled".to_owned()],
            attribution: Attribution::Transaction,
            whole: Vec::new(),
        },
        activity_zone: TimeZone::UTC,
        points: PointsRules { expiry: Some(5 * DAY), kept: 36 * DAY },
        missions: MissionDefaults::utc("EUR", Currencies::default()),
        tiers: Vec::new(),
        entities: None,
    }
}

/// Random numbers that are the same for ever (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `0..bound`.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(i64::try_from(len).unwrap())).unwrap()
    }

    pub(crate) fn one_in(&mut self, bound: i64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const PLAYERS: [&str; 3] = ["p", "q", "r"];
const STATUSES: [&str; 4] = ["requested", "approved", "settled", "reversed"];

/// `len` events of about a month, in the order in which brokers took them: few ids and coarse times, so
/// that they meet. What has one identity shares a partition: a conflict across partitions follows the
/// order of arrival, and nothing else here does.
pub(crate) fn random_script(rng: &mut Rng, len: usize) -> Vec<Input> {
    random_script_of(rng, len, random_input)
}

/// The same of what `next` makes of the script so far and of the hour.
pub(crate) fn random_script_of(
    rng: &mut Rng,
    len: usize,
    next: impl Fn(&mut Rng, &[Input], i64) -> Input,
) -> Vec<Input> {
    let mut script: Vec<Input> = Vec::new();
    let mut offsets = [0; 3];
    let mut hours = 0;
    for _ in 0..len {
        hours += rng.below(2 * 24 * 30 / i64::try_from(len).unwrap() + 1);
        let mut input = next(rng, &script, hours);
        input.ingest_time = at(hours);
        let (family, name, player, id) = input.key();
        let partition = player_hash(&format!("{family:?}{name}{player}{id}")) % 3;
        input.at.partition = i32::try_from(partition).unwrap();
        let offset = &mut offsets[usize::try_from(partition).unwrap()];
        input.at.offset = *offset;
        *offset += 1;
        script.push(input);
    }
    script
}

/// A month's script in which an id is used in a few hours only, so that there are more of them the longer it is.
pub(crate) fn random_script_of_many(rng: &mut Rng, len: usize) -> Vec<Input> {
    let hours = |place: usize| i64::try_from(place * 30 * 24 / len).unwrap();
    let mut script = random_script_of(rng, len, |rng, script, _| {
        let input = random_input(rng, script, hours(script.len()));
        // Those that come again have it already.
        if input.id.contains('-') {
            return input;
        }
        let of_now = |id: String| format!("{id}-{}", script.len() / 16);
        Input { id: of_now(input.id), reference: input.reference.map(of_now), ..input }
    });
    for (place, input) in script.iter_mut().enumerate() {
        input.ingest_time = at(hours(place));
    }
    script
}

pub(super) fn random_input(rng: &mut Rng, script: &[Input], hours: i64) -> Input {
    if !script.is_empty() && rng.one_in(12) {
        return script[rng.index(script.len())].clone();
    }
    if !script.is_empty() && rng.one_in(20) {
        let known = script[rng.index(script.len())].clone();
        return Input { amount: known.amount.map(|amount| amount + Money::ONE), game_type: "table", ..known };
    }
    let occurred = hours - rng.pick(&[0, 0, 0, 1, 2, 6, 24, 60]);
    let id = format!("t{}", rng.below(9));
    let amount = rng.pick(&["0", "2.50", "5", "10", "0.01", "20"]);
    let input = match rng.below(20) {
        0..6 => Input::new("bet_placed", &id, occurred, amount),
        6..8 => Input::new("win", &id, occurred, amount),
        8..11 => Input::new("bet_settled", &id, occurred, amount),
        11..13 => {
            let deposit = Input::new(rng.pick(&["deposit", "withdrawal"]), &id, occurred, amount);
            if rng.one_in(6) { deposit } else { deposit.status(rng.pick(&STATUSES)) }
        }
        13 => Input::new("login", &format!("l{}", rng.below(30)), occurred, ""),
        14 => Input::new("adjustment", &id, occurred, rng.pick(&["-3", "4"])),
        15..18 => {
            let family = rng.pick(&["", "", "bet", "settlement", "deposit", "win"]);
            Input::reversal(&format!("r{}", rng.below(12)), &id, family, occurred)
        }
        _ => {
            let family = rng.pick(&["", "reversal"]);
            Input::reversal(&format!("r{}", rng.below(12)), &format!("r{}", rng.below(12)), family, occurred)
        }
    };
    let is_money = input.amount.is_some();
    Input {
        player: rng.pick(&PLAYERS),
        game_type: rng.pick(&["slots", "slots", "table"]),
        bonus: if is_money && amount == "10" && rng.one_in(3) { Money::from_units(4) } else { Money::ZERO },
        currency: if is_money && rng.one_in(6) { "USD" } else { "EUR" },
        rate: (is_money && rng.one_in(2)).then(|| "0.5".parse().unwrap()),
        ..input
    }
}

/// One epoch of a script as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub inputs: Vec<Input>,
    pub now: Timestamp,
    pub newest: Timestamp,
}

/// `script` in a random order that only keeps that of each partition.
pub(crate) fn interleave(rng: &mut Rng, script: &[Input]) -> Vec<Input> {
    let mut queues: Vec<Vec<Input>> = (0..PARTITIONS)
        .map(|partition| script.iter().rev().filter(|input| input.at.partition == partition).cloned().collect())
        .collect();
    let mut arrived = Vec::new();
    while arrived.len() < script.len() {
        let queue = rng.index(queues.len());
        // In runs: one partition gets far ahead of the others.
        for _ in 0..1 + rng.below(20) {
            arrived.extend(queues[queue].pop());
        }
    }
    arrived
}

/// `script` as it arrives: in its order, or [`interleave`]d, by a throw of `rng`.
pub(crate) fn arrived(rng: &mut Rng, script: Vec<Input>) -> Vec<Input> {
    if rng.one_in(2) { interleave(rng, &script) } else { script }
}

/// `arrived` in epochs of at most `longest` inputs, with the clock of a pipeline that catches up: it
/// reads what the slowest partition has reached, until all are at their end.
pub(crate) fn cut(rng: &mut Rng, arrived: &[Input], longest: i64) -> Vec<Arrival> {
    let mut epochs = Vec::new();
    let mut rest = arrived;
    let (mut now, mut newest) = (Timestamp::MIN, Timestamp::MIN);
    while !rest.is_empty() {
        let len = usize::try_from(1 + rng.below(longest)).unwrap().min(rest.len());
        let (inputs, later) = rest.split_at(len);
        let read = &arrived[..arrived.len() - later.len()];
        newest = newest.max(inputs.iter().map(|input| input.ingest_time).max().unwrap());
        let reached = |partition: i32| {
            let is_behind = later.iter().any(|input| input.at.partition == partition);
            let last = read.iter().rev().find(|input| input.at.partition == partition);
            is_behind.then(|| last.map_or(Timestamp::MIN, |input| input.ingest_time))
        };
        now = now.max((0..PARTITIONS).filter_map(reached).min().unwrap_or(newest));
        epochs.push(Arrival { inputs: inputs.to_vec(), now, newest });
        rest = later;
    }
    epochs
}

/// The hour in which missions of scripts end; they begin 240 hours before the script does.
pub(super) const END: i64 = 24 * 25;

/// The window of `time`, of so many days; of 0, all the time of a mission.
pub(super) fn window_of(days: i64, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
    if time < at(-240) || time > at(END) {
        return None;
    }
    if days == 0 {
        return Some((at(-240), at(END)));
    }
    // Scripts begin on a Monday.
    let length = days * 24;
    let number = time.micros_since(at(0)).div_euclid(length * HOUR);
    Some((at(number * length), at((number + 1) * length)))
}
