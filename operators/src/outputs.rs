//! Everything that an epoch put out, gathered on the first worker in an order that no worker's
//! share can change.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::rates::RateChanges;
use datasets::rows::{ActivityRow, Binding, EpochOutputs};
use datasets::time::Date;
use datasets::{Coordinates, Epoch};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use crate::changes::{Changes, Position};
use crate::decode::Read;
use crate::players::Clock;

/// A worker's part of an epoch's outputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// The epoch exists, and this is its reading of the clock. Exactly one an epoch.
    Clock(Clock),
    /// How far partitions were read.
    Bindings(Vec<Binding>),
    /// What decoding told.
    Read(Read),
    /// What the players operator changed.
    Changes(Box<Changes>),
    /// Rows of activity that were emitted.
    Activity(#[serde(with = "datasets::wire")] Vec<ActivityRow>),
}

/// Hands each closed epoch to `publish`, in order, on the first worker; with the rows of gaming activity of an operator's feed where it `has_feed`.
pub fn outputs(
    parts: StreamVec<'_, Epoch, Part>,
    has_feed: bool,
    mut publish: impl FnMut(Arc<EpochOutputs>) + 'static,
) {
    let mut open: BTreeMap<Epoch, Gathering> = BTreeMap::new();
    let to_first = Exchange::new(|_: &Part| 0);
    parts.sink(to_first, "Outputs", move |(parts, frontier)| {
        parts.for_each(|capability, parts| {
            let gathering = open.entry(*capability.time()).or_default();
            parts.drain(..).for_each(|part| gathering.add(part));
        });
        while let Some(entry) = open.first_entry()
            && !frontier.less_equal(entry.key())
        {
            let (epoch, gathering) = entry.remove_entry();
            publish(Arc::new(gathering.close(epoch, has_feed)));
        }
    });
}

#[derive(Default)]
struct Gathering {
    outputs: EpochOutputs,
    completions: Vec<(Position, datasets::rows::CompletionRow)>,
    audit: Vec<(Position, datasets::rows::AuditRow)>,
    dead_letters: Vec<(Coordinates, datasets::rows::DeadLetterRow)>,
    dispositions: Vec<(Coordinates, datasets::rows::DispositionRow)>,
    definitions: Vec<(Coordinates, datasets::rows::DefinitionRow)>,
}

impl Gathering {
    fn add(&mut self, part: Part) {
        match part {
            Part::Clock(Clock { now, wall, newest, .. }) => {
                (self.outputs.now, self.outputs.wall, self.outputs.newest) = (now, wall, newest);
            }
            Part::Bindings(bindings) => self.outputs.bindings.extend(bindings),
            Part::Read(read) => {
                self.outputs.counters.add(&read.counters);
                append(&mut self.dead_letters, read.dead_letters);
            }
            Part::Changes(changes) => {
                let changes = *changes;
                self.outputs.counters.add(&changes.counters);
                // One worker speaks for all.
                if changes.rates != RateChanges::default() {
                    self.outputs.rates = changes.rates;
                }
                append(&mut self.completions, changes.completions);
                append(&mut self.audit, changes.audit);
                append(&mut self.outputs.points, changes.points);
                append(&mut self.outputs.tiers, changes.tiers);
                self.outputs.entities.append(changes.entities);
                append(&mut self.dead_letters, changes.dead_letters);
                append(&mut self.dispositions, changes.dispositions);
                append(&mut self.definitions, changes.definitions);
            }
            Part::Activity(rows) => append(&mut self.outputs.activity, rows),
        }
    }

    fn close(self, epoch: Epoch, has_feed: bool) -> EpochOutputs {
        let mut outputs = self.outputs;
        outputs.epoch = epoch;
        outputs.bindings.sort();
        outputs.activity = sorted_activity(outputs.activity);
        if has_feed {
            let EpochOutputs { activity, entities, .. } = &mut outputs;
            activity.iter().for_each(|row| entities.take_activity(row));
            entities.sort();
        }
        outputs.completions = in_order(self.completions);
        outputs.audit = in_order(self.audit);
        outputs.points.sort_by(|a, b| (&a.player_id, a.line).cmp(&(&b.player_id, b.line)));
        outputs.tiers.sort_by(|a, b| (&a.player_id, a.revision).cmp(&(&b.player_id, b.revision)));
        outputs.dead_letters = in_order(self.dead_letters);
        outputs.dispositions = in_order(self.dispositions);
        outputs.definitions = in_order(self.definitions);
        outputs
    }
}

/// What only one worker has is moved as a whole.
fn append<T>(all: &mut Vec<T>, mut more: Vec<T>) {
    if all.is_empty() { *all = more } else { all.append(&mut more) }
}

/// By key. What is sorted is the beginning of each key and where its row is: rows are large, and few begin alike.
fn sorted_activity(rows: Vec<ActivityRow>) -> Vec<ActivityRow> {
    let mut order: Vec<(Date, u128, usize)> = Vec::with_capacity(rows.len());
    order.extend((0..).zip(&rows).map(|(place, row)| (row.key.date, first_letters(&row.key.customer_id), place)));
    order.sort_unstable_by(|a, b| {
        let by_beginnings = (a.0, a.1).cmp(&(b.0, b.1));
        by_beginnings.then_with(|| rows[a.2].key.cmp(&rows[b.2].key))
    });
    let mut rows: Vec<Option<ActivityRow>> = rows.into_iter().map(Some).collect();
    order.into_iter().map(|(_, _, place)| rows[place].take().expect("each place is there once")).collect()
}

/// A number that orders as the text does, unless two texts begin with the same 16 bytes.
fn first_letters(text: &str) -> u128 {
    let mut letters = [0; 16];
    let len = text.len().min(letters.len());
    letters[..len].copy_from_slice(&text.as_bytes()[..len]);
    u128::from_be_bytes(letters)
}

fn in_order<K: Ord, V>(mut rows: Vec<(K, V)>) -> Vec<V> {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use datasets::rows::{DeadLetterRow, EntityRows, Place};
    use datasets::{EventBatch, Reason, TopicId};
    use timely::bytes::arc::BytesMut;
    use timely::dataflow::channels::ContainerBytes;

    use super::*;
    use crate::testing::{
        MIXED, Rng, Run, batch, cut, definitions, entity_rules, random_script, random_script_with_entities,
        random_script_with_restrictions, restricted_definitions, rules, tiered,
    };

    /// What another process gets.
    fn crossed<T: Clone + Debug>(sent: &[T]) -> Vec<T>
    where
        Vec<T>: ContainerBytes,
    {
        let mut bytes = Vec::new();
        let sent = sent.to_vec();
        sent.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), sent.length_in_bytes());
        let received = Vec::from_bytes(BytesMut::from(bytes).freeze());
        assert!(format!("{received:?}") == format!("{sent:?}"), "sent {sent:?}\nreceived {received:?}");
        received
    }

    fn refused() -> Read {
        let at = Coordinates { topic: TopicId(0), partition: 3, offset: 1 << 40, index: 2 };
        let place = Place { topic: "events".into(), partition: 3, offset: 1 << 40 };
        let row = DeadLetterRow {
            reason: Reason::UnknownCurrency,
            detail: "currency: \"\u{0}¤\n\"".to_owned(),
            place,
            index: 2,
            ingest_time: datasets::Timestamp::MAX,
            player_id: None,
            raw: Some("{\"currency\":\"¤\"}".to_owned()),
            raw_base64: None,
            truncated: true,
        };
        Read { dead_letters: vec![(at, row)], ..Read::default() }
    }

    #[test]
    fn rows_of_the_feed_are_the_same_in_another_process() {
        let mut rng = Rng(3);
        let script = random_script_with_entities(&mut rng, 200);
        let mut run = Run::with(entity_rules(rules().ledger), Vec::new());
        let mut all = EntityRows::default();
        for arrival in cut(&mut rng, &script, 30) {
            let changes = run.step(&arrival);
            all.append(changes.entities.clone());
            crossed(&[Part::Changes(Box::new(changes))]);
        }
        assert!(!all.transactions.is_empty() && !all.customers.is_empty() && !all.reviews.is_empty());
    }

    #[test]
    fn everything_is_the_same_in_another_process() {
        crossed(&[Part::Read(refused()), Part::Read(Read::default())]);
        let (mut completions, mut rows, mut dispositions, mut dead_letters, mut audit) = (0, 0, 0, 0, 0);
        let mut tiers = 0;
        for seed in 0..8 {
            let mut rng = Rng(seed);
            let (script, missions) = match seed % 2 {
                0 => (random_script(&mut rng, 140), definitions(1)),
                _ => (random_script_with_restrictions(&mut rng, 140), restricted_definitions(1)),
            };
            let mut run = Run::with(tiered(&MIXED), missions);
            for arrival in cut(&mut rng, &script, 30) {
                let batches: Vec<Arc<EventBatch>> = crossed(&batch(&arrival.inputs));
                assert!(batches.iter().flat_map(|batch| batch.iter()).all(|event| !event.player_id().is_empty()));
                let before = run.rows.len();
                let changes = run.step(&arrival);
                completions += changes.completions.len();
                audit += changes.audit.len();
                tiers += changes.tiers.len();
                dispositions += changes.dispositions.len();
                dead_letters += changes.dead_letters.len();
                rows += run.rows.len() - before;
                let clock = Clock { now: arrival.now, wall: arrival.now, newest: arrival.newest, is_last: false };
                crossed(&[
                    Part::Changes(Box::new(changes)),
                    Part::Activity(run.rows[before..].to_vec()),
                    Part::Clock(clock),
                ]);
            }
        }
        assert!(completions > 0 && rows > 0 && dispositions > 0 && dead_letters > 0 && audit > 0 && tiers > 0);
    }
}
