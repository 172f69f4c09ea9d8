//! A steady load.

use crate::scenario::Scenario;

/// Feeds as the log of epochs grows, so that there is always something to do.
pub struct Load<'a> {
    scenario: &'a Scenario,
    share: usize,
    begun: i64,
    seen: i64,
}

impl<'a> Load<'a> {
    /// Of `share` records, then of single ones.
    pub fn new(scenario: &'a Scenario, share: usize) -> Self {
        let begun = scenario.watch().end(&scenario.topic("progress"), 0);
        Load { scenario, share, begun, seen: begun }
    }

    /// Feeds if it is time to, and says by how much the log has grown.
    pub fn go_on(&mut self) -> i64 {
        let end = self.scenario.watch().end(&self.scenario.topic("progress"), 0);
        if end > self.seen {
            self.seen = end;
            // Beyond its share, no more than keeps it going.
            let piece = self.share.clamp(1, 500);
            self.scenario.feed(piece);
            self.share = self.share.saturating_sub(piece);
        }
        end - self.begun
    }
}
