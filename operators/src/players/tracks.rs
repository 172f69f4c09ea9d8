//! What a player's events contributed, by class: kept once for all the missions that share it.

use std::collections::BTreeMap;
use std::rc::Rc;

use datasets::Timestamp;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::gate::Passage;
use super::occurrences::OccurrenceKey;
use super::tally::Tally;
use super::timeline::Timeline;
use crate::contributions::{Contribution, Contributions};
use crate::definitions::{ClassId, Definitions, Generation};
use crate::ledger::Order;
use crate::progress::{Counted, Sequence};
use crate::room::make_room;

/// Contributions by class, sorted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tracks {
    tracks: Vec<Track>,
    /// What is otherwise for one occurrence than the contribution itself says.
    overrides: Option<Box<Overrides>>,
}

/// The contributions to one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Track {
    pub(super) class: ClassId,
    pub(super) tally: Tally,
    /// By the generation in which they came.
    contributions: SmallVec<[(Generation, Contributions); 1]>,
}

/// By contribution and occurrence.
type Overrides = BTreeMap<(Order, ClassId, OccurrenceKey), Override>;

/// What a contribution is in one occurrence, whatever it says itself: what came too late left it as it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Override {
    /// It never entered, so nothing can take it back or restore it.
    Never,
    /// It still counts.
    Live,
    /// It still does not.
    Dead,
}

impl Tracks {
    /// Adds `contribution` to a generation of a class, or puts it in the place of what its event contributed
    /// before, if that `is_known`.
    pub(super) fn put(&mut self, class: ClassId, generation: Generation, contribution: Contribution, is_known: bool) {
        let index = self.position(class).unwrap_or_else(|index| {
            let contributions = smallvec![(generation, Contributions::default())];
            make_room(&mut self.tracks, 1);
            self.tracks.insert(index, Track { class, tally: Tally::default(), contributions });
            index
        });
        let track = &mut self.tracks[index].contributions;
        let holds = |(_, contributions): &(_, Contributions)| contributions.find(contribution.order).is_some();
        let place = is_known.then(|| track.iter().position(holds)).flatten();
        let place = place.or_else(|| track.iter().position(|(known, _)| *known == generation));
        let place = place.unwrap_or_else(|| {
            // What waited for a rate may be of one before the last.
            let place = track.partition_point(|(known, _)| *known < generation);
            track.insert(place, (generation, Contributions::default()));
            place
        });
        track[place].1.put(contribution);
    }

    /// What the event of `order` contributed, by class.
    pub(super) fn of(&self, order: Order) -> Vec<(ClassId, Generation, Contribution)> {
        let found = self.tracks.iter().filter_map(|track| {
            let (generation, contribution) = track.find(order)?;
            Some((track.class, generation, contribution))
        });
        found.collect()
    }

    /// Whether `contribution` to a class counts for an occurrence.
    pub(super) fn is_live(&self, class: ClassId, contribution: &Contribution, key: OccurrenceKey) -> bool {
        match self.get_override(class, contribution.order, key) {
            None => contribution.live,
            Some(known) => known == Override::Live,
        }
    }

    /// Something is otherwise for one occurrence than the contributions say.
    pub(super) fn has_overrides(&self) -> bool {
        self.overrides.is_some()
    }

    /// Occurrences for which something is otherwise, some of them more than once.
    pub(super) fn overridden(&self) -> impl Iterator<Item = OccurrenceKey> {
        self.overrides.iter().flat_map(|overrides| overrides.keys()).map(|(_, _, key)| *key)
    }

    /// What the contribution of `order` is for one occurrence, if that is not what it says.
    pub(super) fn get_override(&self, class: ClassId, order: Order, key: OccurrenceKey) -> Option<Override> {
        self.overrides.as_ref()?.get(&(order, class, key)).copied()
    }

    /// Whatever the contribution of `order` says, for one occurrence it is this.
    pub(super) fn set_override(&mut self, class: ClassId, order: Order, key: OccurrenceKey, is: Override) {
        self.overrides.get_or_insert_default().insert((order, class, key), is);
    }

    /// For one occurrence the contribution of `order` is what it says.
    pub(super) fn clear_override(&mut self, class: ClassId, order: Order, key: OccurrenceKey) {
        if let Some(overrides) = &mut self.overrides {
            overrides.remove(&(order, class, key));
        }
    }

    /// An occurrence is forgotten. Of each of its `classes`, contributions stay from the given time on.
    pub(super) fn forget(&mut self, key: OccurrenceKey, classes: &[(ClassId, Option<Timestamp>)]) {
        if let Some(overrides) = &mut self.overrides {
            overrides.retain(|(_, _, other), _| *other != key);
            if overrides.is_empty() {
                self.overrides = None;
            }
        }
        for (class, keep) in classes {
            self.keep_from(*class, *keep);
        }
    }

    /// Of a class, contributions stay from the given time on; `None`: none does.
    pub(super) fn keep_from(&mut self, class: ClassId, keep: Option<Timestamp>) {
        let Ok(index) = self.position(class) else { return };
        let track = &mut self.tracks[index].contributions;
        match keep {
            Some(from) => track.iter_mut().for_each(|(_, contributions)| contributions.drop_before(from)),
            None => track.clear(),
        }
        track.retain(|(_, contributions)| !contributions.is_empty());
        if track.is_empty() {
            self.tracks.remove(index);
        }
    }

    /// The contributions to a class.
    pub(super) fn get(&self, class: ClassId) -> Option<&Track> {
        self.position(class).ok().map(|index| &self.tracks[index])
    }

    /// The contributions to a class.
    pub(super) fn get_mut(&mut self, class: ClassId) -> Option<&mut Track> {
        self.position(class).ok().map(|index| &mut self.tracks[index])
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter()
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The least class that has any.
    pub(super) fn first(&self) -> Option<ClassId> {
        self.tracks.first().map(|track| track.class)
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        self.tracks.iter_mut()
    }

    /// Where the class is, or else where it belongs.
    fn position(&self, class: ClassId) -> Result<usize, usize> {
        self.tracks.binary_search_by_key(&class, |track| track.class)
    }
}

impl Track {
    /// What the event of `order` contributed, and in which generation.
    pub(super) fn find(&self, order: Order) -> Option<(Generation, Contribution)> {
        self.contributions
            .iter()
            .find_map(|(generation, contributions)| Some((*generation, contributions.find(order)?)))
    }

    /// The generations and times of contributions at `from` or later, in order within each generation.
    pub(super) fn times_from(&self, from: Timestamp) -> impl Iterator<Item = (Generation, Timestamp)> {
        self.contributions.iter().flat_map(move |(generation, contributions)| {
            let times = contributions.between((from, None), None).map(|contribution| contribution.order.0);
            times.map(move |time| (*generation, time))
        })
    }

    /// The time of the first contribution.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let firsts = self.contributions.iter().filter(|(_, contributions)| !contributions.is_empty());
        firsts.map(|(_, contributions)| contributions.get(0).order.0).min()
    }

    /// The last contribution's place in the order.
    pub(super) fn last(&self) -> Option<Order> {
        self.contributions.iter().filter_map(|(_, contributions)| contributions.last()).max()
    }

    /// The time of the contribution that came last in the last generation.
    #[inline]
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.contributions.last()?.1.newest()
    }

    /// Adds a contribution that comes behind all others, to the generation that came last.
    pub(super) fn push(&mut self, contribution: Contribution) {
        let (_, contributions) = self.contributions.last_mut().expect("a track has contributions");
        contributions.put(contribution);
    }

    /// The generation that came last.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.contributions.last().map(|(generation, _)| *generation)
    }
}

/// The contributions that count for one occurrence.
pub(super) struct OccurrenceSequence<'a> {
    pub(super) tracks: &'a Tracks,
    pub(super) timeline: Option<&'a Timeline>,
    pub(super) definitions: &'a Definitions,
    pub(super) key: OccurrenceKey,
}

impl OccurrenceSequence<'_> {
    /// What counts behind `bound`, by stage, version and generation; each in order.
    fn sources(&self, bound: Option<Order>) -> impl Iterator<Item = impl DoubleEndedIterator<Item = Counted>> {
        let OccurrenceKey { slot, window, .. } = self.key;
        let history = self.definitions.history(slot);
        let tracks = history.classes().filter_map(move |(version, stage, class)| {
            let track = self.tracks.get(class)?;
            // An edit can give the same start another end.
            let times = history.times_of(version, window)?;
            let passage = Rc::new(Passage::new(self.timeline, self.definitions, (slot, version), times.1));
            Some(track.contributions.iter().map(move |(generation, contributions)| {
                let counts = move |contribution: &Contribution| {
                    let time = contribution.order.0;
                    self.tracks.is_live(class, contribution, self.key)
                        && history.counts(version, stage, *generation, time)
                        && history.window_at(version, time).is_some_and(|(start, _)| start == window)
                };
                let (all, passage) = (contributions.between(times, bound).filter(counts), passage.clone());
                all.filter_map(move |contribution| {
                    let since = passage.since(contribution.order)?;
                    Some(Counted::new(&contribution, stage, since))
                })
            }))
        });
        tracks.flatten()
    }
}

impl Sequence for OccurrenceSequence<'_> {
    fn after(&self, bound: Option<Order>) -> SmallVec<[Counted; 4]> {
        let mut counted: SmallVec<[Counted; 4]> = SmallVec::new();
        let mut sources = 0;
        for source in self.sources(bound) {
            let before = counted.len();
            counted.extend(source);
            sources += usize::from(counted.len() > before);
        }
        if sources > 1 {
            counted.sort_unstable_by_key(|one| (one.order, one.stage));
        }
        counted
    }

    fn any(&self, wanted: &mut dyn FnMut(&Counted) -> bool) -> bool {
        self.sources(None).any(|source| source.rev().any(|counted| wanted(&counted)))
    }
}
