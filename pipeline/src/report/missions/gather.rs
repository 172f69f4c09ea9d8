//! Who took part in what, who was in which segment when, and who is a customer: from the history, by the rules themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datasets::rows::DispositionKind;
use datasets::time::Date;
use datasets::{Coordinates, Epoch, EventBatch, EventName, TextField, Timestamp};
use jiff::tz::TimeZone;
use operators::attribution::{Membership, Window, WindowKey};
use operators::players::{Clock, Players};

use super::windows::{Calendar, windows};
use crate::history::complete::Read;
use crate::history::log::EpochInput;
use crate::plan::Prepared;

/// Whether a player entered a segment or left it, in the order in which that holds.
type Marks = BTreeMap<(Timestamp, Coordinates), bool>;

/// What the history says so far.
pub(super) struct Gathered {
    prepared: Prepared,
    players: Players,
    newest: Timestamp,
    /// With the times of their first events.
    customers: HashMap<Arc<str>, Timestamp>,
    /// Whose amounts ever waited for a rate, which may come with no event of theirs.
    waiting: BTreeSet<Arc<str>>,
    /// By player and segment.
    marks: BTreeMap<(Arc<str>, Arc<str>), Marks>,
    pub participations: BTreeSet<(WindowKey, Arc<str>)>,
    /// The lake has everything that was ingested from then on.
    pub began: Option<Timestamp>,
    /// The recorded clock.
    pub now: Timestamp,
    /// By epoch.
    pub read: Vec<Read>,
    pub epochs: Epoch,
}

impl Gathered {
    pub fn new(prepared: Prepared) -> Self {
        let players = Players::new(prepared.plan.players.clone(), prepared.plan.decode.topics.clone(), true);
        Gathered {
            newest: prepared.plan.begin.newest,
            prepared,
            players,
            customers: HashMap::new(),
            waiting: BTreeSet::new(),
            marks: BTreeMap::new(),
            participations: BTreeSet::new(),
            began: None,
            now: Timestamp::MIN,
            read: Vec::new(),
            epochs: 0,
        }
    }

    /// Takes the next epoch.
    ///
    /// # Errors
    /// Rows that are no events or definitions of this configuration.
    pub fn take(&mut self, input: &EpochInput) -> Result<(), String> {
        let mut definitions = input.definitions(self.prepared.missions)?;
        // What is forgotten in an epoch is forgotten with the next one here: until then it can be asked who took part.
        let newest = self.newest;
        let clock = Clock { newest, ..input.clock(&mut self.newest) };
        let batch = Arc::new(input.batch(None, &self.prepared.names)?);
        if self.began.is_none() {
            let read = batch.iter().map(|event| event.ingest_time).chain(definitions.iter().map(|one| one.ingest_time));
            self.began = read.chain([input.now]).min();
        }
        (self.now, self.epochs) = (input.now, input.epoch + 1);
        let first = batch.iter().map(|event| event.ingest_time).min();
        self.read.push(Read { now: input.now, wall: input.wall, first });
        let changes = self.players.close(clock, &mut definitions, std::slice::from_ref(&batch));
        let mut repeated = BTreeSet::new();
        for (at, row) in &changes.dispositions {
            match row.disposition {
                DispositionKind::Duplicate | DispositionKind::Conflict => drop(repeated.insert(*at)),
                DispositionKind::Held => drop(self.waiting.insert(row.player_id.as_str().into())),
                DispositionKind::AlreadyReversed | DispositionKind::Late | DispositionKind::Orphan => {}
            }
        }
        let mut touched = self.note(&batch, &repeated);
        // A definition can count what was there before; a rate, what waited for it.
        if !definitions.is_empty() {
            touched.extend(self.customers.keys().cloned());
        } else if batch.iter().any(|event| event.name == EventName::Rate) {
            touched.extend(self.waiting.iter().cloned());
        }
        for player in touched {
            for (mission_id, window, takes_part) in self.players.takes_part(&player) {
                let participation = (WindowKey { mission_id, window }, player.clone());
                match takes_part {
                    true => self.participations.insert(participation),
                    false => self.participations.remove(&participation),
                };
            }
        }
        Ok(())
    }

    /// Notes customers and segments. Answers whose events there are.
    fn note(&mut self, batch: &EventBatch, repeated: &BTreeSet<Coordinates>) -> BTreeSet<Arc<str>> {
        let mut touched: BTreeSet<Arc<str>> = BTreeSet::new();
        for event in batch.iter().filter(|event| event.name != EventName::Rate) {
            let known = self.customers.get_key_value(event.player_id()).map(|(known, _)| known.clone());
            let player: Arc<str> = known.unwrap_or_else(|| event.player_id().into());
            let first = self.customers.entry(player.clone()).or_insert(event.event_time);
            *first = (*first).min(event.event_time);
            let enters = event.name == EventName::SegmentEntered;
            let segment = event.text(TextField::Segment).filter(|_| enters || event.name == EventName::SegmentLeft);
            if let Some(segment) = segment.filter(|_| !repeated.contains(&event.at)) {
                let marks = self.marks.entry((player.clone(), segment.into())).or_default();
                marks.insert((event.event_time, event.at), enters);
            }
            touched.insert(player);
        }
        touched
    }

    /// The windows of missions.
    pub fn windows(&self, calendar: &Calendar) -> Vec<Window> {
        windows(self.players.definitions(), calendar, self.now)
    }

    /// Each customer with the day of the first event.
    pub fn customers(&self, zone: &TimeZone) -> BTreeSet<(Arc<str>, Date)> {
        self.customers.iter().map(|(customer, first)| (customer.clone(), first.date(zone))).collect()
    }

    /// Who was in which segment when.
    pub fn memberships(&self) -> BTreeSet<Membership> {
        let of = |((player, segment), marks): (&(Arc<str>, Arc<str>), &Marks)| {
            let times = intervals(marks.iter().map(|((time, _), enters)| (*time, *enters)));
            let (player, segment) = (player.clone(), segment.clone());
            let one = move |(from, until)| Membership { segment: segment.clone(), player: player.clone(), from, until };
            times.into_iter().map(one).collect::<Vec<_>>()
        };
        self.marks.iter().flat_map(of).collect()
    }
}

/// The times in between, by marks in the order of time: of two at one time the later one decides, so that nobody is in
/// for no time.
fn intervals(marks: impl Iterator<Item = (Timestamp, bool)>) -> Vec<(Timestamp, Timestamp)> {
    let (mut intervals, mut since) = (Vec::new(), None);
    for (time, enters) in marks {
        match (since, enters) {
            (None, true) => since = Some(time),
            (Some(from), false) => {
                intervals.push((from, time));
                since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    intervals.extend(since.map(|from| (from, Timestamp::MAX)));
    intervals.retain(|(from, until)| from < until);
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_enters_again_at_once_was_never_out() {
        let micros = Timestamp::from_micros;
        let of = |marks: &[(i64, bool)]| {
            let times = intervals(marks.iter().map(|(time, enters)| (micros(*time), *enters)));
            times.into_iter().map(|(from, until)| (from.micros(), until.micros())).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, true), (5, false), (9, true)]), [(1, 5), (9, i64::MAX)]);
        assert_eq!(of(&[(0, false), (1, true), (2, true), (5, false), (6, false)]), [(1, 5)]);
        assert_eq!(of(&[(3, true), (3, false)]), []);
        // Out and in again at one time: two that touch, as if there were one.
        assert_eq!(of(&[(1, true), (3, false), (3, true)]), [(1, 3), (3, i64::MAX)]);
    }
}
