//! Removes from the progress topic what checkpoints have made superfluous.

use datasets::Epoch;

use super::CommitterConfig;
use super::broker::{Cluster, Isolation};
use super::client::Client;
use super::progress::Decoder;
use crate::SinkError;

/// Removes the records of epochs below `epoch`, which no start may need any more: see
/// [`CheckpointHandle::log_needed_from`](crate::checkpoint::CheckpointHandle::log_needed_from).
///
/// # Errors
/// [`SinkError::Rejected`] when brokers cannot be reached within the startup timeout or refuse;
/// [`SinkError::Conflict`] when the progress topic is not a log of this pipeline. Either way nothing was removed.
pub fn trim_log(config: &CommitterConfig, epoch: Epoch) -> Result<(), SinkError> {
    trim(&Client::new(config)?, config, epoch)
}

pub(crate) fn trim(cluster: &impl Cluster, config: &CommitterConfig, epoch: Epoch) -> Result<(), SinkError> {
    let topic = &config.topics.progress;
    let start = cluster.offsets(Isolation::Committed)?.start;
    let mut decoder = Decoder::new(&config.pipeline);
    // Where the record that is being read begins, and where the first one begins that stays.
    let (mut began, mut stays) = (None, None);
    cluster.read_committed(start, &mut |at, payload| {
        if stays.is_none() {
            let record = decoder.read(payload);
            let record = record.map_err(|error| SinkError::Conflict(format!("{topic}, offset {at}: {error}")))?;
            let first = *began.get_or_insert(at);
            if let Some(record) = record {
                stays = (record.epoch >= epoch).then_some(first);
                began = None;
            }
        }
        Ok(())
    })?;
    match stays.filter(|stays| *stays > start) {
        Some(stays) => cluster.remove_below(stays),
        None => Ok(()),
    }
}
