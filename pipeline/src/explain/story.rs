//! What is gathered while epochs are read again, and the answer that it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::mission::{Measure, Mission, MissionDefaults, Window};
use datasets::rates::RateBook;
use datasets::rows::{AuditRow, CompletionRow, DispositionKind, Place, TierRow};
use datasets::{Coordinates, Epoch, Event, EventBatch, EventName, Money, TextField, Timestamp, Topics};
use operators::changes::Changes;
use operators::definitions::DefinitionRecord;
use operators::players::{Account, Players};
use operators::progress::{Counted, Step};

use super::passed::reason;
use super::versions::Versions;
use super::{Contributed, EventLine, Explanation, JudgedBy, Passed, Question, Stage, Standing, ToldOfTier};

/// One player and one mission.
pub(super) struct Story {
    player: String,
    mission: String,
    topics: Arc<Topics>,
    defaults: MissionDefaults,
    versions: Versions,
    /// All of the player's events: their batches, and their places in them.
    events: BTreeMap<Coordinates, (Arc<EventBatch>, usize)>,
    dispositions: BTreeMap<Coordinates, DispositionKind>,
    /// By the transaction that is named: who took it back, last.
    reversed: BTreeMap<String, String>,
    messages: Vec<CompletionRow>,
    audit: Vec<AuditRow>,
    /// Rates that converted what counts, by record and currency.
    rates: BTreeMap<(Coordinates, String), Money>,
    /// By the start of the window.
    windows: BTreeMap<Timestamp, Seen>,
    /// Since when completions of missions that this one requires have been in force.
    pub required: BTreeMap<Arc<str>, Timestamp>,
    /// The recorded clock.
    pub until: Timestamp,
    /// Where a tier is asked for, and no mission: what was told of it, and until when it is held.
    tier: Option<(Vec<TierRow>, Option<Timestamp>)>,
}

/// A window as it was seen last, and what counted in it before.
struct Seen {
    account: Account,
    /// What counted once and does not any more, by record and stage, with what took it back.
    gone: BTreeMap<(Coordinates, u8), (Counted, String)>,
}

impl Story {
    pub fn new((player, mission): (String, String), topics: Arc<Topics>, defaults: MissionDefaults) -> Self {
        Story {
            player,
            mission,
            topics,
            defaults,
            versions: Versions::default(),
            events: BTreeMap::new(),
            dispositions: BTreeMap::new(),
            reversed: BTreeMap::new(),
            messages: Vec::new(),
            audit: Vec::new(),
            rates: BTreeMap::new(),
            windows: BTreeMap::new(),
            required: BTreeMap::new(),
            until: Timestamp::MIN,
            tier: None,
        }
    }

    /// It is about a tier, not about a mission that may have its name.
    pub fn ask_for_tier(&mut self, versions: Versions) {
        self.versions = versions;
        self.tier = Some((Vec::new(), None));
    }

    /// Takes what an epoch told of the player's tier, and until when the one that is asked for is held.
    pub fn take_tiers(&mut self, changes: &Changes, held_until: Option<Timestamp>) {
        let Some((told, held)) = &mut self.tier else { return };
        told.extend(changes.tiers.iter().filter(|row| row.player_id == self.player).cloned());
        *held = held_until;
    }

    /// Takes an epoch: the player's events, definitions, what they changed, and how far that leaves the player.
    pub fn take(
        &mut self,
        batch: &Arc<EventBatch>,
        definitions: Vec<DefinitionRecord>,
        changes: &Changes,
        (accounts, rates): (Vec<Account>, &RateBook),
    ) {
        let is_mission = self.tier.is_none();
        for record in definitions.into_iter().filter(|record| is_mission && record.key == self.mission) {
            self.versions.take(record, &self.defaults);
        }
        let disposed = changes.dispositions.iter().map(|(at, row)| (*at, row.disposition));
        self.dispositions.extend(disposed);
        for event in batch.iter().filter(|event| event.name == EventName::Reversal) {
            if let (None, Some(id)) = (self.dispositions.get(&event.at), event.text(TextField::ReferenceId)) {
                self.reversed.insert(id.to_owned(), event.transaction_id().to_owned());
            }
        }
        let of_it = |row: &&CompletionRow| is_mission && row.player_id == self.player && row.mission_id == self.mission;
        self.messages.extend(changes.completions.iter().map(|(_, row)| row).filter(of_it).cloned());
        let of_it = |row: &&AuditRow| is_mission && row.player_id == self.player && row.mission_id == self.mission;
        self.audit.extend(changes.audit.iter().map(|(_, row)| row).filter(of_it).cloned());
        // Rates are of nobody.
        let places = (0..batch.len()).filter(|place| batch.get(*place).name != EventName::Rate);
        self.events.extend(places.map(|place| (batch.get(place).at, (batch.clone(), place))));
        for account in accounts {
            self.see_rates(&account, rates);
            self.see(account);
        }
    }

    /// What counts for the first time was converted by what is known now, and is never converted again.
    fn see_rates(&mut self, account: &Account, rates: &RateBook) {
        for Counted { order: (time, at), stage, .. } in account.counted.iter().copied() {
            let measure = account.mission.stages.get(usize::from(stage)).map(|stage| &stage.measure);
            let Some(event) = self.event(at) else { continue };
            let Some(into) = measure.and_then(|measure| foreign(&event, measure)) else { continue };
            let known = event.exchange_rate().or_else(|| Some(rates.find(event.currency(), into, time)?.rate));
            if let Some(rate) = known {
                self.rates.entry((at, into.to_owned())).or_insert(rate);
            }
        }
    }

    fn see(&mut self, account: Account) {
        // The only window of a mission keeps its progress when an edit moves its start.
        let key = if account.mission.window == Window::Once { Timestamp::MIN } else { account.window_start };
        let (before, mut gone) = match self.windows.remove(&key) {
            Some(Seen { account, gone }) => (account.counted, gone),
            None => (Vec::new(), BTreeMap::new()),
        };
        // One that counts from another time on is the same.
        let place = |counted: &Counted| (counted.order.1, counted.stage);
        let here: BTreeSet<_> = account.counted.iter().map(place).collect();
        for counted in before {
            if !here.contains(&place(&counted)) {
                let event = self.event(counted.order.1);
                let by = event.and_then(|event| self.taken_back_by(&event));
                let otherwise = if account.mission.gate.is_open() {
                    "a change of the transaction"
                } else {
                    "a change of the transaction, of the opt-in, of segments or of what is required"
                };
                gone.insert(place(&counted), (counted, by.unwrap_or(otherwise).to_owned()));
            }
        }
        gone.retain(|place, _| !here.contains(place));
        self.windows.insert(key, Seen { account, gone });
    }

    fn taken_back_by(&self, event: &Event<'_>) -> Option<&str> {
        self.reversed.get(event.transaction_id()).map(String::as_str)
    }

    fn event(&self, at: Coordinates) -> Option<Event<'_>> {
        self.events.get(&at).map(|(batch, place)| batch.get(*place))
    }

    /// The answer. `players` know what became of all events.
    pub fn finish(self, question: &Question, epochs: Epoch, players: &Players) -> Result<Explanation, String> {
        let Some((newest, ..)) = self.versions.newest() else {
            return Err(format!("the lake has no definition of mission {:?} that took effect", self.mission));
        };
        if self.events.is_empty() {
            return Err(format!("the lake has no event of player {:?}", self.player));
        }
        let (asked, completion_id) = match question {
            Question::Completion(id) => {
                let told = self.messages.iter().map(|row| (&row.completion_id, row.window_start));
                let kept_back = self.audit.iter().map(|row| (&row.completion_id, row.window_start));
                let known = told.chain(kept_back).find(|(known, _)| *known == id);
                let (_, window_start) = known.ok_or_else(|| {
                    format!("completion {id} does not follow from the lake's history: `questline verify` tells more")
                })?;
                (Some(window_start), Some(id.clone()))
            }
            Question::Progress { at, .. } | Question::Tier { at, .. } => (self.window_of(newest, *at), None),
        };
        let start = asked.ok_or_else(|| format!("mission {:?} has no window then", self.mission))?;
        let key = if newest.window == Window::Once { Timestamp::MIN } else { start };
        let window = self.windows.get(&key);
        let is_asked = |id: &str, window_start: Timestamp| {
            let is_in_window = key == Timestamp::MIN || window_start == start;
            is_in_window && completion_id.as_ref().is_none_or(|asked| asked == id)
        };
        let messages = self.messages.iter().filter(|row| is_asked(&row.completion_id, row.window_start));
        let messages: Vec<CompletionRow> = messages.cloned().collect();
        let audit = self.audit.iter().filter(|row| is_asked(&row.completion_id, row.window_start));
        let audit: Vec<AuditRow> = audit.cloned().collect();
        let account = window.map(|window| &window.account);
        let mission = account.map_or(newest, |account| &account.mission);
        let steps = account.map(Account::steps).unwrap_or_default();
        let window_end = match account {
            Some(account) => account.window_end,
            None => newest.window_at(start).and_then(|(_, end)| end),
        };
        let events = self.contributed(window, &steps);
        Ok(Explanation {
            player_id: self.player.clone(),
            mission_id: self.mission.clone(),
            standing: match &self.tier {
                Some(told) => self.standing_of_tier(told),
                None => standing(&messages, &audit, account),
            },
            tier: self.tier.as_ref().map(|(changes, held)| ToldOfTier {
                changes: changes.clone(),
                held: held.is_some(),
                held_until: held.filter(|until| *until < Timestamp::MAX),
            }),
            completion_id: completion_id.or_else(|| last(&messages, &audit).map(|(id, _)| id.to_owned())),
            window_start: start,
            window_end,
            definition: self.judge(account)?,
            stages: stages(mission, account, &steps),
            passed: self.passed(&events, (start, window_end), (newest, players)),
            messages,
            audit,
            events,
            until: self.until,
            epochs,
        })
    }

    /// The start of the window that `at` falls into, or of the last one.
    fn window_of(&self, newest: &Mission, at: Option<Timestamp>) -> Option<Timestamp> {
        let last = || self.windows.values().last().map(|window| window.account.window_start);
        match at {
            Some(at) => newest.window_at(at).map(|(start, _)| start),
            None => last().or_else(|| newest.window_at(self.until).map(|(start, _)| start)).or(Some(newest.start)),
        }
    }

    fn judge(&self, account: Option<&Account>) -> Result<JudgedBy, String> {
        let (newest, newest_at, newest_from) = self.versions.newest().ok_or("there is no definition")?;
        let (mission, at, in_force_from) = match account {
            Some(account) => (&account.mission, account.definition, account.in_force_from),
            None => (newest, newest_at, newest_from),
        };
        let text = self.versions.text(at).unwrap_or_default();
        Ok(JudgedBy {
            version: mission.version,
            place: self.tier.is_none().then(|| Place::new(&self.topics, at)),
            in_force_from: self.tier.is_none().then_some(in_force_from),
            text: serde_json::from_str(text)
                .map_err(|error| format!("the definition of {:?}: {error}", self.mission))?,
        })
    }

    /// Whether the player has the tier that is asked for, or had.
    fn standing_of_tier(&self, (changes, held): &(Vec<TierRow>, Option<Timestamp>)) -> Standing {
        let is_it = |name: &Option<String>| name.as_deref() == Some(&*self.mission);
        match held {
            Some(_) => Standing::Completed,
            None if changes.iter().any(|row| is_it(&row.tier) || is_it(&row.previous)) => Standing::Revoked,
            None => Standing::Open,
        }
    }

    /// What counts in a window or did, with the steps of what counts now.
    fn contributed(&self, window: Option<&Seen>, steps: &[Step]) -> Vec<Contributed> {
        let Some(Seen { account, gone }) = window else { return Vec::new() };
        let here = account.counted.iter().zip(steps).map(|(counted, step)| (counted, Some(step), None));
        let gone = gone.values().map(|(counted, by)| (counted, None, Some(by.clone())));
        let mut all: Vec<_> = here.chain(gone).collect();
        all.sort_by_key(|(counted, ..)| (counted.order, counted.stage));
        let told = all.into_iter().filter_map(|(counted, step, taken_back_by)| {
            // An edit can have taken the stage away.
            let stage = account.mission.stages.get(usize::from(counted.stage));
            let worth = stage.map_or(counted.value, |stage| stage.measure.worth(counted.value));
            let event = self.event(counted.order.1)?;
            let into = stage.and_then(|stage| foreign(&event, &stage.measure));
            let exchange_rate = into.and_then(|into| self.rates.get(&(counted.order.1, into.to_owned())).copied());
            Some(Contributed {
                event: self.line(&event),
                stage: usize::from(counted.stage) + 1,
                contribution: if counted.qualifies { worth } else { Money::ZERO },
                exchange_rate,
                moved: step.is_some_and(|step| step.moved),
                reached: step.is_some_and(|step| step.reached),
                progress: step.and_then(|step| step.progress),
                taken_back_by,
            })
        });
        told.collect()
    }

    /// Events of the window that never counted in it.
    fn passed(
        &self,
        told: &[Contributed],
        (start, end): (Timestamp, Option<Timestamp>),
        (newest, players): (&Mission, &Players),
    ) -> Vec<Passed> {
        let is_in = |time: Timestamp| {
            let is_before_end = end.is_none_or(|end| time < end || newest.window == Window::Once && time == end);
            start <= time && is_before_end
        };
        let counted: BTreeSet<_> = told.iter().map(|one| (&one.event.place, one.event.index)).collect();
        let mut events: Vec<_> = self.events.values().map(|(batch, place)| batch.get(*place)).collect();
        events.retain(|event| is_in(event.event_time));
        events.sort_by_key(|event| (event.event_time, event.at));
        let passed = events.iter().filter_map(|event| {
            let line = self.line(event);
            if counted.contains(&(&line.place, line.index)) {
                return None;
            }
            let preferred = || players.preferred(event, &self.player, &self.mission).map(str::to_owned);
            let taken_back_by = self.taken_back_by(event);
            let why = reason(event, &self.versions, &self.dispositions, taken_back_by, &self.required, preferred)?;
            Some(Passed { event: line, why })
        });
        passed.collect()
    }

    fn line(&self, event: &Event<'_>) -> EventLine {
        EventLine {
            place: Place::new(&self.topics, event.at),
            index: event.at.index,
            event_name: event.event_name().to_owned(),
            transaction_id: event.transaction_id().to_owned(),
            event_time: event.event_time,
            ingest_time: event.ingest_time,
            amount: event.amount(),
            currency: event.currency().to_owned(),
        }
    }
}

/// The completion that was last heard of, told or not, and its occurrence.
fn last<'a>(messages: &'a [CompletionRow], audit: &'a [AuditRow]) -> Option<(&'a str, u32)> {
    let told = messages.last().map(|row| (row.emitted_at, row.revision, &row.completion_id, row.occurrence));
    let kept_back = audit.last().map(|row| (row.emitted_at, row.revision, &row.completion_id, row.occurrence));
    told.max(kept_back).map(|(_, _, id, occurrence)| (id.as_str(), occurrence))
}

/// What became of the completion that was last heard of.
fn standing(messages: &[CompletionRow], audit: &[AuditRow], account: Option<&Account>) -> Standing {
    let Some((id, occurrence)) = last(messages, audit) else { return Standing::Open };
    let messages: Vec<_> = messages.iter().filter(|row| row.completion_id == id).cloned().collect();
    let audit: Vec<_> = audit.iter().filter(|row| row.completion_id == id).cloned().collect();
    let kept_back = account.and_then(|account| account.kept_back.get(&occurrence));
    Standing::after(&messages, &audit, kept_back.copied())
}

/// The currency that the amount of `event` is converted to for `measure`, if it is in another one.
fn foreign<'m>(event: &Event<'_>, measure: &'m Measure) -> Option<&'m str> {
    measure.currency().filter(|currency| *currency != event.currency())
}

fn stages(mission: &Mission, account: Option<&Account>, steps: &[Step]) -> Vec<Stage> {
    let counted = account.map_or(&[][..], |account| &account.counted);
    // Of the lap under way. What ended the one before has left its excess to the next, where there is one stage.
    let begun =
        steps.iter().rposition(|step| step.ended).map_or(0, |ended| ended + usize::from(mission.stages.len() > 1));
    let (counted, steps) = (&counted[begun..], &steps[begun..]);
    let stages = mission.stages.iter().enumerate().map(|(index, stage)| {
        let of_it = || counted.iter().zip(steps).filter(|(counted, _)| usize::from(counted.stage) == index);
        let reached_at = of_it().find(|(_, step)| step.reached && !step.ended).map(|(counted, _)| counted.order.0);
        let last = of_it().rfind(|(_, step)| step.moved);
        let progress = last.map_or(Some(Money::ZERO), |(_, step)| step.progress);
        let short = stage.target - progress.unwrap_or(stage.target);
        let missing = if reached_at.is_some() { Money::ZERO } else { short };
        Stage { number: index + 1, target: stage.target, progress, missing, reached_at }
    });
    stages.collect()
}
