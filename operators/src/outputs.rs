//! Everything that an epoch put out, gathered on the first worker in an order that no worker's
//! share can change.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::rows::{ActivityRow, Binding, EpochOutputs};
use datasets::{Coordinates, Epoch, Timestamp};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use crate::changes::{Changes, Position};
use crate::decode::Read;

/// A worker's part of an epoch's outputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// The epoch exists, and this is its reading of the clock. Exactly one an epoch.
    Clock(Timestamp),
    /// How far partitions were read.
    Bindings(Vec<Binding>),
    /// What decoding told.
    Read(Read),
    /// What the players operator changed.
    Changes(Changes),
    /// Rows of activity that were emitted.
    Activity(ActivityRow),
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
            Part::Clock(now) => self.outputs.now = now,
            Part::Bindings(bindings) => self.outputs.bindings.extend(bindings),
            Part::Read(read) => {
                self.outputs.counters.add(&read.counters);
                self.dead_letters.extend(read.dead_letters);
            }
            Part::Changes(changes) => {
                self.outputs.counters.add(&changes.counters);
                self.completions.extend(changes.completions);
                self.dead_letters.extend(changes.dead_letters);
                self.dispositions.extend(changes.dispositions);
                self.definitions.extend(changes.definitions);
            }
            Part::Activity(row) => self.outputs.activity.push(row),
        }
    }

    fn close(self, epoch: Epoch) -> EpochOutputs {
        let mut outputs = self.outputs;
        outputs.epoch = epoch;
        outputs.bindings.sort();
        outputs.activity.sort_by(|a, b| a.key.cmp(&b.key));
        outputs.completions = in_order(self.completions);
        outputs.dead_letters = in_order(self.dead_letters);
        outputs.dispositions = in_order(self.dispositions);
        outputs.definitions = in_order(self.definitions);
        outputs
    }
}

fn in_order<K: Ord, V>(mut rows: Vec<(K, V)>) -> Vec<V> {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter().map(|(_, row)| row).collect()
}
