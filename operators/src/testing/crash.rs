//! Players and daily activity that write their state as they go, die, and come back on another number of
//! workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::cold::{ColdRun, is_needed};
use datasets::hash::{KeyGroup, player_hash};
use datasets::rates::RateBook;
use datasets::rows::{
    ActivityRow, AuditRow, CompletionRow, Counters, DeadLetterRow, DispositionRow, EntityRows, PointsRow, TierRow,
};
use datasets::state::{Keeper, Kept, Packer, Section};
use datasets::{Epoch, Timestamp, Topics};

use super::script::{PLAYERS, batches};
use super::{Arrival, TierSpec, entity_rules, rules, tiered};
use crate::activity::{ActivityRules, DailyActivity, Reporting};
use crate::decode::rates_of;
use crate::definitions::DefinitionRecord;
use crate::ledger::LedgerRules;
use crate::players::{Clock, Players, Rules};
use crate::snapshot::{ColdRules, Restored, Terms, Visited};

/// What one epoch reads.
#[derive(Clone)]
pub(crate) struct EpochInput {
    pub definitions: Vec<DefinitionRecord>,
    pub arrival: Arrival,
}

/// Everything that one epoch puts out, in an order that no number of workers changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Out {
    completions: Vec<CompletionRow>,
    audit: Vec<AuditRow>,
    points: Vec<PointsRow>,
    tiers: Vec<TierRow>,
    dead_letters: Vec<DeadLetterRow>,
    dispositions: Vec<DispositionRow>,
    rows: Vec<ActivityRow>,
    entities: EntityRows,
    counters: Counters,
}

impl Out {
    /// Fails with the first rows that differ, kind by kind.
    pub(crate) fn assert_is(&self, expected: &Out, what: &str) {
        assert_same(&self.completions, &expected.completions, what);
        assert_same(&self.audit, &expected.audit, what);
        assert_same(&self.points, &expected.points, what);
        assert_same(&self.tiers, &expected.tiers, what);
        assert_same(&self.dead_letters, &expected.dead_letters, what);
        assert_same(&self.dispositions, &expected.dispositions, what);
        assert_same(&self.rows, &expected.rows, what);
        assert_eq!(self.entities, expected.entities, "{what}");
        assert_eq!(self.counters, expected.counters, "{what}");
    }
}

fn assert_same<T: PartialEq + std::fmt::Debug>(left: &[T], right: &[T], what: &str) {
    let first = (0..left.len().max(right.len())).find(|place| left.get(*place) != right.get(*place));
    if let Some(place) = first {
        assert_eq!(left.get(place), right.get(place), "{what}");
    }
}

/// What was written, by keeper and group.
pub(crate) type Archived = BTreeMap<(Keeper, KeyGroup), Written>;

/// A part, as it was written.
#[derive(Clone, Default)]
pub(crate) struct Written {
    /// The epoch that was written last.
    pub epoch: Epoch,
    /// What is needed of it.
    pub pieces: Vec<Vec<u8>>,
    /// The last section had more than one piece.
    pub cuts: bool,
    cold: Vec<ColdRun>,
}

impl Written {
    pub(crate) fn push(&mut self, section: Section) {
        assert!(section.needs <= self.pieces.len(), "it needs what it has said that nobody needs");
        self.pieces.drain(..self.pieces.len() - section.needs);
        (self.epoch, self.cuts) = (section.epoch, section.pieces.len() > 1);
        self.pieces.extend(section.pieces);
        self.cold.extend(section.cold);
    }

    /// Lets go of what is not needed once clock and ingest times have come as far as `oldest`, as a checkpoint does.
    fn drop_cold(&mut self, oldest: Timestamp) {
        self.cold.retain(|run| is_needed(run.until, oldest));
    }

    /// As a start reads it.
    pub(crate) fn kept(&self, packer: &mut Packer) -> Kept {
        let pieces = self.pieces.iter().map(|piece| packer.pack(piece).unwrap());
        Kept { epoch: self.epoch, pieces: pieces.collect(), cold: self.cold.clone() }
    }
}

struct Worker {
    players: Players,
    activity: DailyActivity,
}

/// All workers.
pub(crate) struct Cluster {
    workers: Vec<Worker>,
    next: Epoch,
    /// Clock and ingest times have come so far.
    oldest: Timestamp,
    terms: Terms,
    /// How often a group's turn had to go on later.
    pub unfinished: usize,
}

/// What a cluster works by.
#[derive(Clone)]
pub(crate) struct Setting {
    pub reporting: Reporting,
    pub ledger: LedgerRules,
    /// What goes cold when it is written.
    pub cold: Option<ColdRules>,
    /// How much of a group is written behind one epoch.
    pub bytes_at_once: usize,
    pub tiers: &'static [TierSpec],
    /// How long events are retained.
    pub retained_micros: i64,
    /// Entities are told.
    pub has_feed: bool,
}

impl Setting {
    /// That of most tests.
    pub(crate) fn new(reporting: Reporting) -> Self {
        Setting {
            reporting,
            ledger: rules().ledger,
            cold: None,
            bytes_at_once: usize::MAX,
            tiers: &[],
            retained_micros: 0,
            has_feed: false,
        }
    }
}

impl Setting {
    fn rules(&self) -> Rules {
        let mut rules = Rules { ledger: self.ledger.clone(), ..tiered(self.tiers) };
        rules.missions.retained_micros = self.retained_micros;
        if self.has_feed {
            let Rules { ledger, entities, .. } = entity_rules(rules.ledger);
            (rules.ledger, rules.entities) = (ledger, entities);
        }
        rules
    }
}

/// Epochs are further apart on the wall than in what they read, as when a backlog is read slowly.
fn wall(epoch: Epoch) -> Timestamp {
    Timestamp::from_micros(i64::try_from(epoch).unwrap() * 11 * 60_000_000)
}

/// The groups that anybody is in.
pub(crate) fn groups() -> Vec<KeyGroup> {
    PLAYERS.iter().map(|player| KeyGroup::of(player_hash(player))).collect()
}

impl Cluster {
    /// What an earlier one has written of the epochs of `log`, on `workers` workers. Begins with the first epoch that
    /// somebody does not know.
    pub(crate) fn restore(workers: usize, archived: &Archived, log: &[EpochInput], setting: &Setting) -> Self {
        let groups = groups();
        let mut packer = Packer::new().unwrap();
        let parts: Vec<(Keeper, KeyGroup, Kept)> =
            archived.iter().map(|((keeper, group), written)| (*keeper, *group, written.kept(&mut packer))).collect();
        let is_whole = groups.iter().all(|group| archived.contains_key(&(Keeper::Players, *group)));
        let known = parts.iter().map(|(_, _, kept)| kept.epoch + 1).min();
        let next = known.filter(|_| is_whole).unwrap_or(0);
        let before = &log[..usize::try_from(next).unwrap()];
        let definitions = (0..).zip(before).flat_map(|(epoch, input)| {
            let mut records = input.definitions.clone();
            records.sort_by_key(|record| record.at);
            records.into_iter().map(move |record| (epoch, record))
        });
        let definitions: Vec<(Epoch, DefinitionRecord)> = definitions.collect();
        let rates = rates_after(before, setting);
        let workers = (0..workers).map(|worker| {
            let mine = parts.iter().filter(|(_, group, _)| is_whole && group.worker(workers) == worker);
            let state = Restored {
                definitions: definitions.clone(),
                rates: rates.clone(),
                wall: (next > 0).then(|| wall(next - 1)),
                oldest_to_come: before.last().map(|epoch| epoch.arrival.now.min(epoch.arrival.newest)),
                parts: mine.cloned().collect::<Vec<_>>().into(),
                helpers: 1,
            };
            let rules = setting.rules();
            let mut worker = Worker::new(rules, setting.reporting, worker == 0);
            worker.players.restore(&state);
            worker.activity.restore(&state);
            worker
        });
        let Setting { cold, bytes_at_once, .. } = *setting;
        let oldest = before.last().map_or(Timestamp::MIN, |epoch| epoch.arrival.now.min(epoch.arrival.newest));
        Cluster { workers: workers.collect(), next, oldest, terms: Terms { cold, bytes_at_once }, unfinished: 0 }
    }

    /// The next epoch.
    pub(crate) fn next(&self) -> Epoch {
        self.next
    }

    /// Closes the next epoch.
    pub(crate) fn close(&mut self, EpochInput { definitions, arrival }: &EpochInput) -> Out {
        let epoch = self.next;
        self.next += 1;
        self.oldest = self.oldest.max(arrival.now.min(arrival.newest));
        let clock = Clock { now: arrival.now, wall: wall(epoch), newest: arrival.newest, is_last: false };
        let (mut out, mut completions, mut audit) = (Out::default(), Vec::new(), Vec::new());
        let batches = batches(&arrival.inputs, self.workers.len());
        let rates = rates_of(&batches);
        for (number, worker) in self.workers.iter_mut().enumerate() {
            let mine: Vec<_> = batches.iter().filter(|batch| batch.worker == number).cloned().collect();
            worker.players.wake(epoch);
            worker.activity.wake(epoch);
            let all = (&mut definitions.clone()[..], &mut rates.clone()[..]);
            let changes = worker.players.close_share(clock, all, &mine);
            let postings: Vec<_> = changes.postings.into_iter().map(|(posting, diff)| (posting, (), diff)).collect();
            worker.activity.update(&postings);
            out.rows.extend(worker.activity.report(&clock).rows);
            completions.extend(changes.completions);
            audit.extend(changes.audit);
            out.points.extend(changes.points);
            out.tiers.extend(changes.tiers);
            out.entities.append(changes.entities);
            out.counters.add(&changes.counters);
            out.dead_letters.extend(changes.dead_letters.into_iter().map(|(_, row)| row));
            out.dispositions.extend(changes.dispositions.into_iter().map(|(_, row)| row));
        }
        completions.sort_by(|(a, _), (b, _)| a.cmp(b));
        out.points.sort_by(|a, b| (&a.player_id, a.line).cmp(&(&b.player_id, b.line)));
        out.tiers.sort_by(|a, b| (&a.player_id, a.revision).cmp(&(&b.player_id, b.revision)));
        out.completions = completions.into_iter().map(|(_, row)| row).collect();
        audit.sort_by(|(a, _), (b, _)| a.cmp(b));
        out.audit = audit.into_iter().map(|(_, row)| row).collect();
        out.dead_letters.sort_by(|a, b| (&a.place, a.index).cmp(&(&b.place, b.index)));
        out.dispositions.sort();
        out.rows.sort_by(|a, b| a.key.cmp(&b.key));
        out.entities.sort();
        out
    }

    /// Writes one group as it is now, or some of it: then it is not in the archive yet.
    pub(crate) fn write(&mut self, group: KeyGroup, archived: &mut Archived) {
        let owner = group.worker(self.workers.len());
        let Worker { players, activity } = &mut self.workers[owner];
        let (epoch, oldest) = (self.next - 1, self.oldest);
        let mut keep = |visited| match visited {
            Visited::Section(section) => {
                let written = archived.entry((section.part.keeper, group)).or_default();
                written.push(section);
                written.drop_cold(oldest);
            }
            Visited::Asleep => {}
            Visited::Unfinished => panic!("it was put off"),
        };
        match players.write(group, epoch, self.terms) {
            Visited::Unfinished => self.unfinished += 1,
            visited => {
                keep(visited);
                keep(activity.write(group, epoch, self.terms.cold, oldest));
            }
        }
    }
}

/// What is known of rates after these epochs, as the manifest of a checkpoint has it.
fn rates_after(log: &[EpochInput], setting: &Setting) -> RateBook {
    let rules = setting.rules();
    let mut players = Worker::new(rules, setting.reporting, true).players;
    let mut known = RateBook::default();
    for (EpochInput { arrival, .. }, epoch) in log.iter().zip(0..) {
        let clock = Clock { now: arrival.now, wall: wall(epoch), newest: arrival.newest, is_last: false };
        let mut rates = rates_of(&batches(&arrival.inputs, 1));
        known.follow(&players.close_share(clock, (&mut [], &mut rates), &[]).rates);
    }
    assert_eq!(known, *players.rates());
    known
}

impl Worker {
    fn new(rules: Rules, reporting: Reporting, speaks: bool) -> Self {
        let topics = Arc::new(Topics::new(["events", "missions"]));
        Worker {
            players: Players::new(rules, topics, speaks),
            activity: DailyActivity::new(ActivityRules::default(), reporting),
        }
    }
}
