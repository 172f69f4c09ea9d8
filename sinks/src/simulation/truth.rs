//! What was committed, computed from the log alone and without interruption.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use datasets::rates::{RateBook, RateChanges};
use datasets::rows::{ActivityRow, DefinitionRow, EntityRows, EpochOutputs, activity_key};
use datasets::schema::{self, Builder, EventNames, EventPage, Layout};
use datasets::state::{Keeper, Kept, Part};
use datasets::{Epoch, Timestamp, Topics};

use super::broker::{Sent, Where, partition_of};
use super::core::{self, Cells, Input, LANES, PLAYERS, Player, Players, TOPIC};
use super::world::PIPELINE;
use crate::checkpoint::{Before, Manifest, Recovered};
use crate::cut::{Cut, Table};
use crate::kafka::{Chain, Decoder, ProgressRecord, RecoveredLog};
use crate::lake::row_hash;

/// An epoch, and what is known after it.
struct Committed {
    input: Input,
    outputs: EpochOutputs,
    players: Players,
    chain: Chain,
}

/// The log, as coordinators decided it.
pub struct Truth {
    decoder: Decoder,
    records: Vec<ProgressRecord>,
    payloads: Vec<(Epoch, Vec<u8>)>,
    epochs: Vec<Committed>,
    pub cuts: BTreeSet<Cut>,
}

impl Truth {
    pub fn new() -> Self {
        Truth {
            decoder: Decoder::new(PIPELINE),
            records: Vec::new(),
            payloads: Vec::new(),
            epochs: Vec::new(),
            cuts: BTreeSet::new(),
        }
    }

    pub fn upper(&self) -> Epoch {
        self.epochs.len().try_into().expect("64 bits")
    }

    /// Another transaction was committed. Answers its epochs.
    pub fn extend(&mut self, payloads: impl Iterator<Item = Vec<u8>>) -> Range<usize> {
        let first = self.epochs.len();
        for payload in payloads {
            let record = self.decoder.read(&payload).unwrap_or_else(|error| panic!("the log is broken: {error}"));
            self.payloads.push((self.upper(), payload));
            if let Some(record) = record {
                self.follow(&record);
                self.records.push(record);
            }
        }
        self.decoder.end().expect("records are whole in a transaction");
        first..self.epochs.len()
    }

    fn follow(&mut self, record: &ProgressRecord) {
        let (uppers, newest) = self.epochs.last().map_or(([0; 3], Timestamp::default()), |last| {
            assert!(last.input.now <= record.now, "the clock runs backwards in epoch {}", record.epoch);
            (last.input.to, last.input.newest)
        });
        let mut players = self.epochs.last().map_or_else(
            || (0..PLAYERS.len()).map(|player| (player, Player::default())).collect(),
            |last| last.players.clone(),
        );
        let input = Input::logged(record, (uppers, newest));
        let mut outputs = core::close(&mut players, &input, |_| true);
        core::add_stateless(&mut outputs, &input, |_| true);
        let outputs = core::merge(vec![outputs]);
        assert_eq!(record.definitions, outputs.definitions, "definitions of epoch {}", record.epoch);
        for cut in &record.cuts {
            assert!(cut.last <= record.epoch, "{cut:?} is recorded ahead of what it names");
            assert!(self.cuts.insert(cut.clone()), "{cut:?} is recorded twice");
        }
        self.epochs.push(Committed { input, outputs, players, chain: record.chain });
    }

    /// Only the first `epochs` have happened.
    pub fn truncate(&mut self, epochs: Epoch) {
        let payloads = std::mem::take(&mut self.payloads);
        *self = Truth::new();
        self.extend(payloads.into_iter().take_while(|(epoch, _)| *epoch < epochs).map(|(_, payload)| payload));
    }

    /// What these epochs put out, by partition.
    pub fn messages(&self, epochs: Range<usize>) -> BTreeMap<Where, Vec<Sent>> {
        let mut messages: BTreeMap<Where, Vec<Sent>> = BTreeMap::new();
        let mut send = |topic: &str, key: Option<String>, row: Vec<u8>| {
            let key = key.map(String::into_bytes);
            let at = partition_of(topic, key.as_deref());
            messages.entry(at).or_default().push(Sent { key, payload: row });
        };
        for Committed { outputs, .. } in &self.epochs[epochs] {
            for row in &outputs.completions {
                send("completions", Some(row.player_id.clone()), json(row));
            }
            for row in &outputs.audit {
                send("audit", Some(row.player_id.clone()), json(row));
            }
            for row in &outputs.points {
                send("completions", Some(row.player_id.clone()), json(row));
            }
            for row in &outputs.tiers {
                send("completions", Some(row.player_id.clone()), json(row));
            }
            for row in &outputs.activity {
                send("activity", Some(activity_key(&row.key)), json(row));
            }
            for row in &outputs.dead_letters {
                send("dead-letters", None, json(row));
            }
            let EntityRows { customers, reviews, .. } = &outputs.entities;
            for row in customers {
                send("customers", Some(row.customer_id.clone()), json(row));
            }
            for row in reviews {
                send("reviews", Some(row.customer_id.clone()), json(row));
            }
            // One tombstone a key.
            for key in reviews.iter().map(|row| &row.key).collect::<BTreeSet<_>>() {
                send("transactions", Some(key.clone()), Vec::new());
            }
        }
        messages
    }

    /// All that was committed.
    pub fn all_messages(&self) -> BTreeMap<Where, Vec<Sent>> {
        self.messages(0..self.epochs.len())
    }

    /// What a start has read is what was committed, and not yet removed.
    pub fn check_log(&self, log: &RecoveredLog) {
        let known = &self.records[place(log.first)..place(log.upper)];
        assert_eq!(log.records, known, "a start has read another log");
        assert_eq!(log.now, known.last().map(|last| last.now));
        assert_eq!(log.chain, known.last().map_or(Chain::start(PIPELINE), |last| last.chain));
    }

    /// A manifest that is put knows nothing that was not committed.
    pub fn check_manifest(&self, manifest: &Manifest) {
        let Manifest { seq, reached, first, .. } = manifest;
        let at = place(*reached);
        assert!(at < self.epochs.len(), "manifest {seq} knows epoch {reached}, which is not committed");
        assert_eq!(manifest.chain, self.epochs[at].chain.into(), "manifest {seq} is of another course");
        let unknown = manifest.lanes.iter().find(|lane| lane.covered.max(lane.rows_from) > self.upper());
        assert_eq!(
            unknown,
            None,
            "manifest {seq} knows rows of epochs from {} on, which are not committed",
            self.upper()
        );
        assert_eq!(manifest.before, self.before(*first), "before epoch {first} in manifest {seq}");
    }

    /// What was read is what was true then.
    pub fn check_recovered(&self, Recovered { manifest, parts, outputs, .. }: &Recovered) {
        self.check_manifest(manifest);
        for (part, kept) in parts {
            let player = (0..PLAYERS.len()).find(|player| core::group(*player) == part.group);
            let Some(player) = player else { continue };
            let Committed { players, input, .. } = &self.epochs[place(kept.epoch)];
            check_part(&players[&player], *part, kept, input.now.min(input.newest));
        }
        for lane in &manifest.lanes {
            assert!(lane.rows_from >= manifest.first, "{lane:?} needs epochs before {}", manifest.first);
        }
        for (epoch, known) in outputs {
            assert_eq!(
                without_newest(known),
                without_newest(&self.epochs[place(*epoch)].outputs),
                "outputs of {epoch}"
            );
        }
    }

    fn before(&self, first: Epoch) -> Before {
        let known = &self.epochs[..place(first)];
        let Some(last) = known.last() else { return Before::default() };
        let uppers = Input { from: [0; 3], to: last.input.to, ..last.input.clone() }.bindings();
        let definitions = |one: &Committed| -> Vec<(Epoch, DefinitionRow)> {
            one.outputs.definitions.iter().map(|row| (one.input.epoch, row.clone())).collect()
        };
        let mut rates = RateBook::default();
        known.iter().for_each(|one| rates.follow(&one.outputs.rates));
        Before {
            now: last.input.now,
            wall: Some(last.input.wall),
            newest: last.input.newest,
            uppers,
            definitions: known.iter().flat_map(definitions).collect(),
            rates,
        }
    }

    /// Rows of each table, and the sum of their hashes, when epochs up to the last are in objects.
    pub fn lake(&self) -> BTreeMap<Table, (u64, u64)> {
        let names =
            Arc::new(EventNames { topics: Topics::new([TOPIC]), sources: vec!["s".into()], chargebacks: Vec::new() });
        let mut tables = BTreeMap::new();
        for one in &self.epochs {
            let epoch = one.input.epoch;
            for lane in 0..LANES {
                let Some(batch) = one.input.history(lane, |_| true) else { continue };
                add(&mut tables, Table::Events, schema::events(), &EventPage { epoch, batch, names: names.clone() });
            }
            add(&mut tables, Table::Completions, schema::completions(), &one.outputs);
            add(&mut tables, Table::Audit, schema::audit(), &one.outputs);
            add(&mut tables, Table::Points, schema::points(), &one.outputs);
            add(&mut tables, Table::Tiers, schema::tiers(), &one.outputs);
            add(&mut tables, Table::DeadLetters, schema::dead_letters(), &one.outputs);
            add(&mut tables, Table::Customers, schema::customers(), &one.outputs);
            add(&mut tables, Table::Reviews, schema::reviews(), &one.outputs);
            add(&mut tables, Table::MissionDefinitions, schema::mission_definitions(), &one.outputs);
            add(&mut tables, Table::Epochs, schema::epochs(), &one.outputs);
        }
        for cut in self.cuts.iter().filter(|cut| cut.table == Table::Activity) {
            let mut latest: BTreeMap<_, (Epoch, &ActivityRow)> = BTreeMap::new();
            for one in &self.epochs[place(cut.first)..=place(cut.last)] {
                latest.extend(one.outputs.activity.iter().map(|row| (&row.key, (one.input.epoch, row))));
            }
            for (epoch, row) in latest.into_values() {
                let page = EpochOutputs { epoch, activity: vec![row.clone()], ..EpochOutputs::default() };
                add(&mut tables, Table::Activity, schema::activity(), &page);
            }
        }
        tables
    }
}

fn check_part(truth: &Player, part: Part, kept: &Kept, oldest: Timestamp) {
    let what = || format!("{part:?} after epoch {}", kept.epoch);
    match part.keeper {
        Keeper::Players => {
            assert_eq!(Cells::read(kept).values, truth.progress.values, "{}", what());
            // Nobody has it twice, and in no place it is missing.
            let (hot, cold) = core::memory(kept);
            let known = core::remembered(cold.into_iter().chain(hot), oldest);
            assert_eq!(known, core::remembered(truth.memory.iter().copied(), oldest), "memory of {}", what());
        }
        Keeper::Activity => assert_eq!(Cells::read(kept).values, truth.activity.values, "{}", what()),
    }
}

/// Epochs behind the end of a dataflow, in which only cuts are recorded, are not told what the highest ingest time is. And
/// rates are not written with outputs.
fn without_newest(outputs: &EpochOutputs) -> EpochOutputs {
    EpochOutputs { newest: Timestamp::default(), rates: RateChanges::default(), ..outputs.clone() }
}

fn add<S>(tables: &mut BTreeMap<Table, (u64, u64)>, table: Table, layout: Layout<S>, source: &S) {
    let rows = (layout.len)(source);
    if rows == 0 {
        return;
    }
    let mut builder = Builder::new(Arc::new(layout));
    builder.append(source, 0..rows);
    let sums = tables.entry(table).or_default();
    sums.0 += u64::try_from(rows).expect("64 bits");
    sums.1 = sums.1.wrapping_add(row_hash(&builder.finish()));
}

fn json(row: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows are JSON")
}

pub fn place(epoch: Epoch) -> usize {
    usize::try_from(epoch).expect("few epochs")
}
