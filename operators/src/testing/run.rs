//! The cores of players and daily activity behind each other, fed with scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::rows::{ActivityRow, CompletionKind, CompletionRow, Counters};
use datasets::{EventBatch, Timestamp, Topics};

use super::{Arrival, Input, Occurrence, Standing, batch, rules};
use crate::activity::{ActivityRules, DailyActivity, Reporting};
use crate::changes::{Changes, Posting};
use crate::definitions::DefinitionRecord;
use crate::players::{Clock, Players, Rules};

/// What came out so far, and the state behind it.
pub(crate) struct Run {
    pub players: Players,
    pub activity: DailyActivity,
    pub postings: BTreeMap<Posting, isize>,
    /// Every emitted revision, in order.
    pub rows: Vec<ActivityRow>,
    /// Every message, in order.
    pub messages: Vec<CompletionRow>,
    pub counters: Counters,
    pub read: Vec<Input>,
    waiting_definitions: Vec<DefinitionRecord>,
}

impl Run {
    /// `definitions` arrive before the first event of their time.
    pub(crate) fn new(definitions: Vec<DefinitionRecord>) -> Self {
        Self::with(rules(), definitions)
    }

    /// The same with other settings.
    pub(crate) fn with(rules: Rules, definitions: Vec<DefinitionRecord>) -> Self {
        let topics = Arc::new(Topics::new(["events", "missions"]));
        Run {
            players: Players::new(rules, topics, true),
            activity: DailyActivity::new(ActivityRules::default(), Reporting::EveryEpoch),
            postings: BTreeMap::new(),
            rows: Vec::new(),
            messages: Vec::new(),
            counters: Counters::default(),
            read: Vec::new(),
            waiting_definitions: definitions,
        }
    }

    /// Takes an epoch.
    pub(crate) fn step(&mut self, arrival: &Arrival) -> Changes {
        let latest = arrival.inputs.iter().map(|input| input.event_time).max();
        let due = self.waiting_definitions.iter().take_while(|record| Some(record.ingest_time) <= latest).count();
        let definitions: Vec<DefinitionRecord> = self.waiting_definitions.drain(..due).collect();
        self.read.extend(arrival.inputs.iter().cloned());
        self.close(definitions, &batch(&arrival.inputs), (arrival.now, arrival.newest))
    }

    /// Takes an epoch of these parts.
    pub(crate) fn close(
        &mut self,
        mut definitions: Vec<DefinitionRecord>,
        batches: &[Arc<EventBatch>],
        (now, newest): (Timestamp, Timestamp),
    ) -> Changes {
        let clock = Clock { now, wall: now, newest, is_last: false };
        let changes = self.players.close(clock, &mut definitions, batches);
        for (posting, diff) in &changes.postings {
            self.activity.update(&[(posting.clone(), (), *diff)]);
            *self.postings.entry(posting.clone()).or_default() += diff;
        }
        self.postings.retain(|_, count| *count != 0);
        self.rows.extend(self.activity.report(&clock).rows);
        let mut messages = changes.completions.clone();
        messages.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.messages.extend(messages.into_iter().map(|(_, message)| message));
        self.counters.add(&changes.counters);
        changes
    }

    /// Completions that stand by what was told. Checks that messages take turns and count on.
    pub(crate) fn live(&self) -> Vec<Occurrence> {
        let mut told: BTreeMap<&str, (Occurrence, u32, bool)> = BTreeMap::new();
        for message in &self.messages {
            let occurrence = (message.player_id.clone(), message.mission_id.clone(), message.window_start);
            let completed = message.kind == CompletionKind::MissionCompleted;
            let (known, revision, live) =
                told.entry(&message.completion_id).or_insert_with(|| (occurrence.clone(), 0, false));
            assert_eq!(*known, occurrence, "one id, one occurrence");
            assert_ne!(*live, completed, "completed and revoked take turns");
            *revision += u32::from(completed);
            assert_eq!(*revision, message.revision);
            *live = completed;
        }
        let mut live: Vec<Occurrence> =
            told.into_values().filter(|(_, _, live)| *live).map(|(occurrence, ..)| occurrence).collect();
        live.sort();
        live
    }

    /// Where everybody stands, by the state.
    pub(crate) fn standings(&self) -> BTreeMap<Occurrence, Standing> {
        let groups = (0..KEY_GROUPS).map(|group| self.players.group(KeyGroup(group)));
        groups
            .flat_map(|group| self.players.standings(group))
            .filter(|(_, standing)| *standing != Standing::default())
            .collect()
    }
}
