//! Everything that an epoch put out, gathered on the first worker in an order that no worker's
//! share can change.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    Changes(Changes),
    /// Rows of activity that were emitted.
    Activity(Vec<ActivityRow>),
}

/// Hands each closed epoch to `publish`, in order, on the first worker.
pub fn outputs(parts: StreamVec<'_, Epoch, Part>, mut publish: impl FnMut(Arc<EpochOutputs>) + 'static) {
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
            publish(Arc::new(gathering.close(epoch)));
        }
    });
}

#[derive(Default)]
struct Gathering {
    outputs: EpochOutputs,
    completions: Vec<(Position, datasets::rows::CompletionRow)>,
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
                self.outputs.counters.add(&changes.counters);
                append(&mut self.completions, changes.completions);
                append(&mut self.dead_letters, changes.dead_letters);
                append(&mut self.dispositions, changes.dispositions);
                append(&mut self.definitions, changes.definitions);
            }
            Part::Activity(rows) => append(&mut self.outputs.activity, rows),
        }
    }

    fn close(self, epoch: Epoch) -> EpochOutputs {
        let mut outputs = self.outputs;
        outputs.epoch = epoch;
        outputs.bindings.sort();
        outputs.activity = sorted_activity(outputs.activity);
        outputs.completions = in_order(self.completions);
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
