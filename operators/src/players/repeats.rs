//! What is to be announced of a mission's occurrences, once or again and again.
//!
//! A limit can be of a longer time than a window, or of another one that overlaps it: then what completes in a window depends
//! on the windows before. So all windows of a mission are told one behind the other, from the laps that each has reached:
//! those that come first in time are completions, whatever came first. What is late for a window leaves its laps as
//! they are; a window is kept for as long as one that depends on it can move.

use super::Player;
use super::occurrences::OccurrenceKey;
use super::tracks::OccurrenceSequence;
use crate::definitions::Definitions;
use crate::progress::{Announcement, Cause, Limits};

/// Something to announce.
pub(super) struct Told {
    pub(super) key: OccurrenceKey,
    /// Counts completions in the window, from 1.
    pub(super) occurrence: u32,
    pub(super) announcement: Announcement,
}

/// What is to be announced of one mission, of which `moved` occurrences have changed. In order of window, then occurrence.
pub(super) fn announce(
    player: &mut Player,
    moved: &[OccurrenceKey],
    cause: Cause,
    definitions: &Definitions,
) -> Vec<Told> {
    let Some(slot) = moved.first().map(|key| key.slot) else { return Vec::new() };
    let history = definitions.history(slot);
    let Player { occurrences, tracks, timeline, .. } = player;
    let timeline = timeline.as_deref();
    let repeats = history.repeats();
    let mut told = Vec::new();
    for key in moved.iter().copied() {
        let progress = occurrences.get_mut(key).expect("it has just moved");
        let sequence = OccurrenceSequence { tracks, timeline, definitions, key };
        if repeats {
            progress.judge_laps(history, &sequence);
        } else {
            let announcement = progress.announce(cause, history, &sequence);
            told.extend(announcement.map(|announcement| Told { key, occurrence: 1, announcement }));
        }
    }
    if repeats {
        let mut limits = Limits::default();
        let windows = occurrences.of_mission(slot, definitions);
        windows.for_each(|(_, progress)| progress.stand(history, &mut limits));
        for (key, progress) in occurrences.of_mission(slot, definitions) {
            let announcements = progress.award(cause, history, &mut limits).into_iter();
            told.extend(announcements.map(|(occurrence, announcement)| Told { key, occurrence, announcement }));
        }
    }
    told
}
