//! A small pipeline in the place of the real one: what it puts out depends on everything before, and its state is
//! written in sections as the operators do it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datasets::cold::{ColdBytes, ColdRun};
use datasets::hash::{KeyGroup, fingerprint, player_hash};
use datasets::rates::{Forgotten, RateRecord};
use datasets::rows::{
    ActivityKey, ActivityRow, AuditKind, AuditRow, Binding, CompletionKind, CompletionRow, CustomerRow, DeadLetterRow,
    DefinitionRow, Entity, EpochOutputs, Place, PointsKind, PointsReason, PointsRow, Restriction, ReviewReason,
    ReviewRow, TierKind, TierRow, Trigger, TriggerKind,
};
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use datasets::time::Date;
use datasets::{
    Coordinates, Epoch, EventBatch, EventName, EventRow, Identity, Money, Reason, SourceId, TextField, Timestamp,
    TopicId,
};

use crate::kafka::ProgressRecord;

pub const PLAYERS: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];
pub const PARTITIONS: usize = 3;
pub const LANES: u16 = 2;
pub const TOPIC: &str = "events";

/// How far each partition is read.
pub type Uppers = [i64; PARTITIONS];

/// A record of the input: a function of where it is.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub partition: usize,
    pub offset: i64,
    pub player: usize,
    pub amount: u64,
    pub ingest_time: Timestamp,
}

impl Record {
    fn at(partition: usize, offset: i64) -> Self {
        let mixed = fingerprint(format!("{partition} {offset}").as_bytes());
        let number = |shift: u32, below: u128| usize::try_from((mixed >> shift) % below).expect("small");
        Record {
            partition,
            offset,
            player: number(0, 6),
            amount: u64::try_from(number(16, 100)).expect("small"),
            // Midnight passes.
            ingest_time: Timestamp::from_millis(1_780_358_300_000 + offset * 7_000),
        }
    }

    fn rate(&self) -> RateRecord {
        let at = Coordinates { topic: TopicId(0), partition: number(self.partition), offset: self.offset, index: 0 };
        let mut identity = [0; 16];
        identity[..8].copy_from_slice(&self.offset.to_le_bytes());
        identity[8..12].copy_from_slice(&number(self.partition).to_le_bytes());
        RateRecord {
            at,
            event_time: self.ingest_time,
            ingest_time: self.ingest_time,
            identity: Identity::from_bytes(identity),
            content: self.amount,
            base: format!("X{}", self.player),
            quote: "EUR".to_owned(),
            rate: Money::from_units(1 + self.offset),
        }
    }

    pub fn place(&self) -> Place {
        Place { topic: TOPIC.into(), partition: number(self.partition), offset: self.offset }
    }
}

fn number(partition: usize) -> i32 {
    i32::try_from(partition).expect("few partitions")
}

/// What an epoch binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub epoch: Epoch,
    pub now: Timestamp,
    pub wall: Timestamp,
    pub newest: Timestamp,
    pub from: Uppers,
    pub to: Uppers,
}

impl Input {
    /// Follows `last`, which read up to `from`.
    pub fn next(
        epoch: Epoch,
        (now, wall): (Timestamp, Timestamp),
        newest: Timestamp,
        from: Uppers,
        to: Uppers,
    ) -> Self {
        let mut input = Input { epoch, now, wall, newest, from, to };
        input.newest = input.records().map(|record| record.ingest_time).max().unwrap_or_default().max(newest);
        input
    }

    /// As a record of the log says.
    pub fn logged(record: &ProgressRecord, (from, newest): (Uppers, Timestamp)) -> Self {
        let ProgressRecord { epoch, now, wall, bindings, .. } = record;
        Input::next(*epoch, (*now, *wall), newest, from, advanced(from, bindings))
    }

    pub fn bindings(&self) -> Vec<Binding> {
        let moved = (0..PARTITIONS).filter(|partition| self.from[*partition] < self.to[*partition]);
        let binding =
            |partition: usize| Binding { topic: TOPIC.into(), partition: number(partition), upper: self.to[partition] };
        moved.map(binding).collect()
    }

    /// In the order in which they apply.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let ranges = self.from.into_iter().zip(self.to).enumerate();
        ranges.flat_map(|(partition, (from, to))| (from..to).map(move |offset| Record::at(partition, offset)))
    }

    /// Raw history of one lane, as the worker delivers it that reads these partitions.
    pub fn history(&self, lane: u16, reads: impl Fn(usize) -> bool) -> Option<Arc<EventBatch>> {
        let mut batch = EventBatch::new(0, lane);
        let mut is_empty = true;
        for record in self.records().filter(|record| lane_of(record.partition) == lane && reads(record.partition)) {
            is_empty = false;
            let place = record.place();
            let at = Coordinates { topic: TopicId(0), partition: place.partition, offset: place.offset, index: 0 };
            let mut row = EventRow::new(at, SourceId(0), record.ingest_time, record.ingest_time);
            row.name = EventName::BetPlaced;
            row.amount = Some(units(record.amount));
            let texts = [(TextField::EventName, "bet_placed"), (TextField::PlayerId, PLAYERS[record.player])];
            batch.push(&row, texts, "{}");
        }
        (!is_empty).then(|| Arc::new(batch))
    }
}

pub fn advanced(mut uppers: Uppers, bindings: &[Binding]) -> Uppers {
    for binding in bindings {
        uppers[usize::try_from(binding.partition).expect("a partition")] = binding.upper;
    }
    uppers
}

pub fn lane_of(partition: usize) -> u16 {
    u16::try_from(partition).expect("few partitions") % LANES
}

fn units(amount: u64) -> Money {
    Money::from_units(i64::try_from(amount).expect("small sums"))
}

/// Numbers that are written as they change, and as many again going round.
#[derive(Clone, Debug)]
pub struct Cells<const N: usize> {
    pub values: [Option<u64>; N],
    changed: [bool; N],
    /// Pieces that an earlier life has left.
    left: usize,
    /// Those of the last sections of this one, of fewer than `N` when one is written.
    pieces: VecDeque<usize>,
    turns: usize,
}

impl<const N: usize> Default for Cells<N> {
    fn default() -> Self {
        Cells { values: [None; N], changed: [false; N], left: 0, pieces: VecDeque::new(), turns: 0 }
    }
}

impl<const N: usize> Cells<N> {
    fn get(&self, cell: usize) -> u64 {
        self.values[cell].unwrap_or_default()
    }

    fn set(&mut self, cell: usize, value: u64) {
        (self.values[cell], self.changed[cell]) = (Some(value), true);
    }

    /// What changed since the last turn, and the next cell, now and then in two pieces. Answers how many before them are needed.
    fn write(&mut self) -> (Vec<Vec<u8>>, usize) {
        self.changed[self.turns % N] = true;
        self.turns += 1;
        // Every cell was written in the last `N` turns, once there were so many.
        if self.turns >= N {
            self.left = 0;
        }
        if self.pieces.len() >= N {
            self.pieces.pop_front();
        }
        let needs = self.left + self.pieces.iter().sum::<usize>();
        let written: Vec<(usize, Option<u64>)> =
            (0..N).filter(|cell| self.changed[*cell]).map(|cell| (cell, self.values[cell])).collect();
        self.changed = [false; N];
        let (first, second) = written.split_at(if self.turns.is_multiple_of(3) { written.len() / 2 } else { 0 });
        let pieces = [first, second].into_iter().filter(|some| some.len() == written.len() || !some.is_empty());
        let pieces: Vec<_> = pieces.map(|some| postcard::to_allocvec(some).expect("numbers")).collect();
        self.pieces.push_back(pieces.len());
        (pieces, needs)
    }

    /// What a piece says of them, and what is behind.
    fn split(piece: &[u8]) -> (Vec<(usize, Option<u64>)>, &[u8]) {
        postcard::take_from_bytes(piece).expect("a piece")
    }

    pub fn read(kept: &Kept) -> Self {
        let mut cells = Cells { left: kept.pieces.len(), ..Cells::default() };
        for piece in unpacked(kept) {
            Self::split(&piece).0.into_iter().for_each(|(cell, value)| cells.values[cell] = value);
        }
        cells
    }
}

fn unpacked(kept: &Kept) -> Vec<Vec<u8>> {
    let mut unpacker = Unpacker::new().expect("memory");
    kept.pieces.iter().map(|piece| unpacker.unpack(piece).expect("what was packed").to_vec()).collect()
}

/// Everything that is known of a player.
#[derive(Clone, Debug, Default)]
pub struct Player {
    /// Records, their sum, and a number that all of them mix.
    pub progress: Cells<3>,
    /// Revisions of the row of activity.
    pub activity: Cells<2>,
    /// What no output asks for: each record's time, with what was mixed then. The older ones go cold.
    pub memory: Vec<Memory>,
    touched: bool,
}

/// See [`Player::memory`].
pub type Memory = (Timestamp, u64);

/// How long clock and ingest times have to be ahead of a record until its memory is of no use.
pub const KEEP_MICROS: i64 = 90_000_000;

/// What `memory` still matters when the least of clock and ingest times is `oldest`.
pub fn remembered(memory: impl IntoIterator<Item = Memory>, oldest: Timestamp) -> Vec<Memory> {
    memory.into_iter().filter(|(time, _)| oldest < time.plus_micros(KEEP_MICROS)).collect()
}

/// All that was written of a player's memory: what the last section has, and what went cold.
pub fn memory(kept: &Kept) -> (Vec<Memory>, Vec<Memory>) {
    let read = |bytes: &[u8]| -> Vec<Memory> { postcard::from_bytes(bytes).expect("pairs") };
    let cold = kept.cold.iter().flat_map(|run| read(&run.bytes.read(0..run.bytes.len()).expect("memory")));
    let hot = unpacked(kept).last().map_or_else(Vec::new, |piece| read(Cells::<3>::split(piece).1));
    (hot, cold.collect())
}

impl Player {
    fn apply(&mut self, record: &Record, input: &Input, outputs: &mut EpochOutputs) {
        let (count, sum) = (self.progress.get(0) + 1, self.progress.get(1) + record.amount);
        let mixed = (self.progress.get(2) ^ record.amount).rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.progress.set(0, count);
        self.progress.set(1, sum);
        self.progress.set(2, mixed);
        self.memory.push((record.ingest_time, mixed));
        self.touched = true;
        self.keep_back(record, input, outputs);
        // Every third record completes, and every sixth takes it back.
        if count % 3 == 0 {
            let is_revoked = count % 6 == 0;
            outputs.completions.push(CompletionRow {
                kind: if is_revoked { CompletionKind::MissionRevoked } else { CompletionKind::MissionCompleted },
                completion_id: format!("{}-{}", PLAYERS[record.player], count.div_ceil(6)),
                revision: 1,
                player_id: PLAYERS[record.player].to_owned(),
                mission_id: format!("{mixed:x}"),
                mission_version: 1,
                occurrence: 1,
                window_start: Timestamp::default(),
                window_end: None,
                completed_at: record.ingest_time,
                emitted_at: input.now,
                reversed_by: None,
                trigger: Trigger { kind: TriggerKind::Event, transaction_id: None, place: record.place() },
                progress: units(sum),
                target: Money::ONE,
                reward: None,
                channels: Vec::new(),
            });
            outputs.points.push(PointsRow {
                kind: PointsKind::PointsChanged,
                player_id: PLAYERS[record.player].to_owned(),
                line: count / 3,
                delta: if is_revoked { -Money::ONE } else { Money::ONE },
                balance: if is_revoked { Money::ZERO } else { Money::ONE },
                reason: if is_revoked { PointsReason::Revoke } else { PointsReason::Earn },
                reference: format!("{mixed:x}"),
                changed_at: record.ingest_time,
                expires_at: None,
                emitted_at: input.now,
                trigger: None,
            });
            let tier = |rises: bool| rises.then(|| "Gold".to_owned());
            outputs.tiers.push(TierRow {
                kind: TierKind::TierChanged,
                player_id: PLAYERS[record.player].to_owned(),
                revision: count / 3,
                tier: tier(!is_revoked),
                previous: tier(is_revoked),
                changed_at: record.ingest_time,
                emitted_at: input.now,
                trigger: None,
            });
            self.feed(record, input, outputs);
        }
    }

    /// A row of an operator's feed, and one that is withheld.
    fn feed(&self, record: &Record, input: &Input, outputs: &mut EpochOutputs) {
        let (player, count) = (PLAYERS[record.player], self.progress.get(0));
        outputs.entities.customers.push(CustomerRow {
            customer_id: player.to_owned(),
            signup_date: Timestamp::default(),
            affiliate_id: count.to_string(),
            last_modified_date: record.ingest_time,
            campaign_id: None,
            click_id: None,
            lang_id: None,
            country_code: None,
            kyc_status_id: None,
            sales_status_id: None,
            first_name: None,
            last_name: None,
            email: None,
            updated_at: input.now,
        });
        outputs.entities.reviews.push(ReviewRow {
            entity: Entity::Transactions,
            key: format!("s|deposit|{player}|{}", count / 2),
            field: "amount_currency".to_owned(),
            reason: ReviewReason::PrecisionExceeded,
            detail: count.to_string(),
            withheld: true,
            customer_id: player.to_owned(),
            date: None,
            game_type: None,
            currency: None,
            updated_at: input.now,
        });
    }

    /// A third of the others would complete, but may not be told.
    fn keep_back(&self, record: &Record, input: &Input, outputs: &mut EpochOutputs) {
        let count = self.progress.get(0);
        if count % 3 != 1 {
            return;
        }
        outputs.audit.push(AuditRow {
            kind: AuditKind::Suppressed,
            reason: Restriction::SelfExcluded,
            until: None,
            completion_id: format!("{}-not-{count}", PLAYERS[record.player]),
            revision: 1,
            player_id: PLAYERS[record.player].to_owned(),
            mission_id: format!("{:x}", self.progress.get(2)),
            mission_version: 1,
            occurrence: 1,
            window_start: Timestamp::default(),
            window_end: None,
            completed_at: record.ingest_time,
            emitted_at: input.now,
            trigger: Trigger { kind: TriggerKind::Event, transaction_id: None, place: record.place() },
            progress: units(self.progress.get(1)),
            target: Money::ONE,
            reward: None,
            channels: Vec::new(),
        });
    }

    fn close(&mut self, player: usize, input: &Input, outputs: &mut EpochOutputs) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        let revision = self.activity.get(0) + 1;
        self.activity.set(0, revision);
        self.activity.set(1, self.progress.get(2));
        let total = units(self.progress.get(1));
        outputs.activity.push(ActivityRow {
            key: ActivityKey {
                date: Date::from_days(20_605),
                customer_id: PLAYERS[player].into(),
                game_type: "slots".into(),
                currency: "EUR".into(),
            },
            bets_count: i64::try_from(self.progress.get(0)).expect("small"),
            total_bets: total,
            wins: Money::ZERO,
            ggr: total,
            ngr: total,
            bonus_bets: Money::ZERO,
            bonus_wins: Money::ZERO,
            bonus_cost: Money::ZERO,
            jackpot_contribution: Money::ZERO,
            jackpot_wins: Money::ZERO,
            chargebacks: Money::ZERO,
            revision,
            updated_at: input.now,
        });
    }

    /// The sections of both keepers after `epoch`. All that is remembered goes cold then, but for the last, and where
    /// there is little of it.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch) -> [Section; 2] {
        let section =
            |keeper, (pieces, needs), cold| Section { part: Part { keeper, group }, epoch, needs, pieces, cold };
        let last = self.memory.len().saturating_sub(1);
        let cold = (last >= 2).then(|| cold_of(self.memory.drain(..last).collect()));
        let (mut pieces, needs) = self.progress.write();
        pieces.last_mut().expect("there is one").extend(postcard::to_allocvec(&self.memory).expect("pairs"));
        let activity = section(Keeper::Activity, self.activity.write(), None);
        [section(Keeper::Players, (pieces, needs), cold), activity]
    }
}

fn cold_of(memory: Vec<Memory>) -> ColdRun {
    let bytes = postcard::to_allocvec(&memory).expect("pairs");
    let until = memory.iter().map(|(time, _)| time.plus_micros(KEEP_MICROS)).max().expect("it is of some");
    ColdRun { head: bytes.len(), bytes: Arc::new(ColdBytes::new(bytes)), until: Some(until) }
}

pub fn group(player: usize) -> KeyGroup {
    KeyGroup::of(player_hash(PLAYERS[player]))
}

/// Players by their number.
pub type Players = BTreeMap<usize, Player>;

/// What `input` leads to for those of `players` that are awake.
pub fn close(players: &mut Players, input: &Input, is_awake: impl Fn(usize) -> bool) -> EpochOutputs {
    let Input { epoch, now, wall, newest, .. } = *input;
    let mut outputs = EpochOutputs { epoch, now, wall, newest, bindings: input.bindings(), ..EpochOutputs::default() };
    for record in input.records() {
        if let Some(player) = players.get_mut(&record.player).filter(|_| is_awake(record.player)) {
            player.apply(&record, input, &mut outputs);
        }
    }
    for (number, player) in players {
        player.close(*number, input, &mut outputs);
    }
    outputs
}

/// Adds what needs no state: rows of `input` that the worker makes which reads these partitions.
pub fn add_stateless(outputs: &mut EpochOutputs, input: &Input, reads: impl Fn(usize) -> bool) {
    for record in input.records().filter(|record| reads(record.partition)) {
        match record.amount {
            13..20 => outputs.dead_letters.push(DeadLetterRow {
                reason: Reason::NotJson,
                detail: String::new(),
                place: record.place(),
                index: 0,
                ingest_time: record.ingest_time,
                player_id: None,
                raw: None,
                raw_base64: None,
                truncated: false,
            }),
            34..37 => outputs.rates.taken.push(record.rate()),
            30..34 => outputs.definitions.push(DefinitionRow {
                place: record.place(),
                ingest_time: record.ingest_time,
                mission_id: format!("m{}", record.amount),
                version: Some(record.offset),
                accepted: true,
                definition: Some("{}".to_owned()),
            }),
            _ => {}
        }
    }
}

/// One epoch of all workers, in the order that no number of workers changes.
pub fn merge(parts: Vec<EpochOutputs>) -> EpochOutputs {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().expect("a worker");
    for part in parts {
        whole.completions.extend(part.completions);
        whole.audit.extend(part.audit);
        whole.points.extend(part.points);
        whole.tiers.extend(part.tiers);
        whole.activity.extend(part.activity);
        whole.dead_letters.extend(part.dead_letters);
        whole.entities.append(part.entities);
        whole.definitions.extend(part.definitions);
        whole.rates.taken.extend(part.rates.taken);
    }
    whole.completions.sort_by(|a, b| a.trigger.place.cmp(&b.trigger.place));
    whole.audit.sort_by(|a, b| a.trigger.place.cmp(&b.trigger.place));
    whole.points.sort_by(|a, b| (&a.player_id, a.line).cmp(&(&b.player_id, b.line)));
    whole.tiers.sort_by(|a, b| (&a.player_id, a.revision).cmp(&(&b.player_id, b.revision)));
    whole.activity.sort_by(|a, b| a.key.cmp(&b.key));
    whole.dead_letters.sort_by(|a, b| a.place.cmp(&b.place));
    whole.entities.sort();
    whole.definitions.sort_by(|a, b| a.place.cmp(&b.place));
    whole.rates.taken.sort_by_key(|rate| rate.at);
    let before = |hours: i64| whole.now.plus_micros(-hours * 3_600_000_000);
    whole.rates.forgotten = Some(Forgotten { identities: before(1), rates: before(2) });
    whole
}
