//! What a proof comes to.

use datasets::{Epoch, Timestamp};
use serde::Serialize;

/// Everything that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Epochs that were recomputed, from 0.
    pub epochs: Epoch,
    /// Epochs of the lake's log. Those beyond [`Verdict::epochs`] have events that are not in the lake yet.
    pub epochs_in_lake: Epoch,
    /// Events that were recomputed from.
    pub events: u64,
    /// The clock of the last epoch that was recomputed.
    pub until: Timestamp,
    /// By table and topic.
    pub compared: Vec<Comparison>,
}

impl Verdict {
    /// Nothing differs.
    pub fn is_equal(&self) -> bool {
        self.compared.iter().all(|comparison| comparison.differences == 0)
    }

    /// The lake and the topics end together: nothing is on its way between them.
    pub fn is_complete(&self) -> bool {
        let is_complete = |comparison: &Comparison| comparison.newer == 0 && comparison.unwritten == 0;
        self.epochs == self.epochs_in_lake && self.compared.iter().all(is_complete)
    }
}

/// A table or a topic beside its recomputation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Such as `lake completions`.
    pub what: String,
    /// Records that were emitted and judged.
    pub records: u64,
    /// Records that differ, are missing, doubled or not explained.
    pub differences: u64,
    /// The first of them.
    pub first: Option<Difference>,
    /// Emitted records beyond the last epoch that was recomputed: not judged.
    pub newer: u64,
    /// Recomputed records whose file is not there and may still be put: not judged.
    pub unwritten: u64,
    /// Recomputed records that the topic's retention may have removed: not judged.
    pub expired: u64,
    /// Emitted records that do not follow from decoded events: not judged.
    pub undecoded: u64,
}

/// A record that is not as recomputed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The epoch, of the recomputed record where there is one.
    pub epoch: Option<Epoch>,
    /// What identifies the record.
    pub key: String,
    /// What is wrong with it.
    #[serde(flatten)]
    pub fault: Fault,
}

/// See [`Difference::fault`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// It was recomputed, and is not there.
    Missing,
    /// It is there, and was not recomputed.
    Unexpected,
    /// It is there more often than it was recomputed.
    Doubled {
        /// How often.
        times: u64,
    },
    /// A value differs.
    Differs {
        /// The first column that does.
        column: String,
        /// As emitted.
        emitted: String,
        /// As recomputed.
        recomputed: String,
    },
}

impl Comparison {
    /// Of nothing yet.
    pub fn new(what: impl Into<String>) -> Self {
        Comparison { what: what.into(), ..Comparison::default() }
    }

    /// Counts a difference, and keeps it if it is the first one: that of the earliest epoch, then of the least key.
    pub fn differ(&mut self, epoch: Option<Epoch>, key: impl Into<String>, fault: Fault) {
        self.differences += 1;
        let difference = Difference { epoch, key: key.into(), fault };
        let order = |difference: &Difference| (difference.epoch.unwrap_or(Epoch::MAX), difference.key.clone());
        if self.first.as_ref().is_none_or(|first| order(&difference) < order(first)) {
            self.first = Some(difference);
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(epoch) = self.epoch {
            write!(f, ", epoch {epoch}")?;
        }
        match &self.fault {
            Fault::Missing => write!(f, ": was recomputed, and is missing"),
            Fault::Unexpected => write!(f, ": was emitted, and is not recomputed"),
            Fault::Doubled { times } => write!(f, ": is there {times} times"),
            Fault::Differs { column, emitted, recomputed } => {
                write!(f, ": {column} was emitted as {emitted}, and is recomputed as {recomputed}")
            }
        }
    }
}
