//! Where a worker's raw history goes, and how it is read back.

pub(crate) mod cell;
pub(crate) mod complete;
pub(crate) mod events;
pub(crate) mod in_order;
pub(crate) mod log;

use std::sync::Arc;

use datasets::{Epoch, EventBatch};
use sinks::lake::LakeHandle;

use crate::dataflow::History;

/// To the lake, or nowhere without one.
pub fn history(worker: usize, lake: Option<LakeHandle>) -> Box<dyn History> {
    match lake {
        Some(lake) => Box::new(ToLake { worker, lake }),
        None => Box::new(Nowhere),
    }
}

struct ToLake {
    worker: usize,
    lake: LakeHandle,
}

impl History for ToLake {
    fn events(&mut self, epoch: Epoch, batch: &Arc<EventBatch>) {
        self.lake.history(self.worker, epoch, batch.clone());
    }

    fn upper(&mut self, upper: Epoch) {
        self.lake.history_upper(self.worker, upper);
    }
}

struct Nowhere;

impl History for Nowhere {
    fn events(&mut self, _: Epoch, _: &Arc<EventBatch>) {}
    fn upper(&mut self, _: Epoch) {}
}
