//! `questline explain`

use std::fmt::Write;

use datasets::rows::{AuditKind, AuditRow, CompletionKind, CompletionRow, TierRow, Trigger, TriggerKind};
use datasets::{Money, Timestamp};

use super::show::{Progress, thousands};
use super::{ConfigArgs, Failure, Format};
use crate::explain::{Contributed, EventLine, Explainer, Explanation, Question, Stage, Standing};

/// Lines of events that did not count, for people; `--format json` has them all.
const PASSED_SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The completion, as messages and the lake's table name it.
    #[arg(value_name = "COMPLETION_ID", required_unless_present = "player", conflicts_with = "player")]
    completion: Option<String>,
    /// Instead of a completion: the player whose progress is asked for.
    #[arg(long, value_name = "PLAYER_ID", requires = "of")]
    player: Option<String>,
    /// With --player: the mission.
    #[arg(long, value_name = "MISSION_ID", requires = "player", group = "of")]
    mission: Option<String>,
    /// With --player: the loyalty tier, by its name.
    #[arg(long, value_name = "NAME", requires = "player", group = "of")]
    tier: Option<String>,
    /// With --player: an instant in the window or period that is asked for, such as 2026-06-03T12:00:00Z; the last one by default.
    #[arg(long, value_name = "TIME", requires = "player")]
    at: Option<Timestamp>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let config = self.config.load_with_lake("`explain` reads the history in [lake]")?;
        let at = self.at;
        let question = match (self.completion, self.player, self.mission, self.tier) {
            (Some(id), ..) => Question::Completion(id),
            (None, Some(player), Some(mission), _) => Question::Progress { player, mission, at },
            (None, Some(player), None, Some(tier)) => Question::Tier { player, tier, at },
            (None, ..) => unreachable!("clap asks for one of them"),
        };
        let explainer = Explainer::open(&config)?;
        let progress = Progress::epochs(explainer.epochs());
        let explanation = explainer.answer(&question, progress.advance());
        progress.finish();
        let explanation = explanation?;
        match self.format {
            Format::Json => println!("{}", serde_json::json!(explanation)),
            Format::Text => print!("{}", as_text(&explanation)),
        }
        Ok(())
    }
}

/// What happened, then the definition, then the events of each stage.
fn as_text(explanation: &Explanation) -> String {
    let Explanation { player_id, mission_id, window_start, window_end, messages, definition, .. } = explanation;
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a text takes all lines");
    match &explanation.tier {
        Some(_) => line(format!("tier       {mission_id}")),
        None => line(format!("mission    {mission_id}, version {}", definition.version)),
    }
    line(format!("player     {player_id}"));
    line(format!("window     {window_start} to {}", window_end.map_or("no end".to_owned(), |end| end.to_string())));
    if let Some(id) = &explanation.completion_id {
        line(format!("completion {id}"));
    }
    line(format!("standing   {}", standing(explanation)));
    let kept_back = explanation.audit.iter().map(|row| (row.emitted_at, row.revision, kept_back(row)));
    let mut all: Vec<_> =
        messages.iter().map(|row| (row.emitted_at, row.revision, told(row))).chain(kept_back).collect();
    all.sort_by_key(|(emitted_at, revision, _)| (*emitted_at, *revision));
    all.into_iter().for_each(|(.., text)| line(format!("           {text}")));
    let changes = explanation.tier.iter().flat_map(|tier| &tier.changes);
    changes.for_each(|row| line(format!("           {}", changed(row))));
    line(String::new());
    match (&definition.place, definition.in_force_from) {
        (Some(place), Some(from)) => line(format!(
            "definition: {} partition {} offset {}, in force from {from}",
            place.topic, place.partition, place.offset
        )),
        _ => line("definition: of the configuration".to_owned()),
    }
    line(format!("{:#}", definition.text));
    for stage in &explanation.stages {
        line(String::new());
        line(headline(stage, explanation.stages.len()));
        let events = explanation.events.iter().filter(|event| event.stage == stage.number);
        events.for_each(|event| line(contribution(event)));
    }
    if !explanation.passed.is_empty() {
        line(String::new());
        let number = u64::try_from(explanation.passed.len()).unwrap_or(u64::MAX);
        line(format!("did not count: {} events of these kinds", thousands(number)));
        for passed in explanation.passed.iter().take(PASSED_SHOWN) {
            line(format!("  {}  {}", event(&passed.event), passed.why));
        }
        if let more @ 1.. = explanation.passed.len().saturating_sub(PASSED_SHOWN) {
            line(format!("  … and {more} more, all of them with --format json"));
        }
    }
    line(String::new());
    let epochs = thousands(explanation.epochs);
    line(format!("from {epochs} epochs of the lake, to {} by the recorded clock", explanation.until));
    text
}

/// A change of the player's tier.
fn changed(row: &TierRow) -> String {
    let TierRow { revision, tier, previous, changed_at, emitted_at, trigger, .. } = row;
    let [tier, previous] = [tier, previous].map(|name| name.as_deref().unwrap_or("none"));
    let by = trigger.as_ref().map_or_else(|| "the end of a period".to_owned(), by);
    format!("revision {revision} from {previous} to {tier} at {changed_at}, told at {emitted_at}, by {by}")
}

fn standing(explanation: &Explanation) -> String {
    match explanation.standing {
        Standing::Completed if explanation.tier.is_some() => {
            let until = explanation.tier.as_ref().and_then(|tier| tier.held_until);
            format!("held{}", until.map(|until| format!(" until {until}")).unwrap_or_default())
        }
        Standing::Revoked if explanation.tier.is_some() => "lost".to_owned(),
        Standing::Completed => "completed".to_owned(),
        Standing::Suppressed => "completed, and suppressed".to_owned(),
        Standing::Deferred => "completed, and deferred until the player may be told".to_owned(),
        Standing::Revoked => "revoked".to_owned(),
        Standing::Open => {
            let open = explanation.stages.iter().find(|stage| stage.reached_at.is_none());
            let lacks = open.map(|stage| format!("; stage {} lacks {}", stage.number, stage.missing));
            format!("not completed{}", lacks.unwrap_or_default())
        }
    }
}

fn told(message: &CompletionRow) -> String {
    let CompletionRow { revision, emitted_at, trigger, progress, target, completed_at, .. } = message;
    let by = by(trigger);
    match message.kind {
        CompletionKind::MissionCompleted => {
            format!(
                "revision {revision} completed at {completed_at}, told at {emitted_at}: {progress} of {target}, by {by}"
            )
        }
        CompletionKind::MissionRevoked => {
            format!("revision {revision} revoked, told at {emitted_at}: {progress} of {target}, by {by}")
        }
    }
}

/// A completion that did not leave.
fn kept_back(row: &AuditRow) -> String {
    let AuditRow { revision, emitted_at, trigger, progress, target, completed_at, reason, until, .. } = row;
    let what = match row.kind {
        AuditKind::Suppressed => "suppressed",
        AuditKind::Deferred => "deferred",
    };
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!(
        "revision {revision} completed at {completed_at}, {what} at {emitted_at} ({}{until}): {progress} of {target}, by {}",
        reason.as_str(),
        by(trigger)
    )
}

/// What caused a message.
fn by(trigger: &Trigger) -> String {
    let place =
        format!("{} partition {} offset {}", trigger.place.topic, trigger.place.partition, trigger.place.offset);
    match trigger.kind {
        TriggerKind::Event => format!("transaction {}, {place}", trigger.transaction_id.as_deref().unwrap_or_default()),
        TriggerKind::DefinitionChange => format!("a change of the definition, {place}"),
    }
}

fn headline(stage: &Stage, stages: usize) -> String {
    let Stage { number, target, progress, missing, reached_at } = stage;
    let state = match (reached_at, progress) {
        (Some(at), _) => format!("reached at {at}"),
        (None, progress) => format!("{} so far, {missing} missing", progress.unwrap_or(Money::ZERO)),
    };
    format!("stage {number} of {stages}: target {target}, {state}")
}

fn contribution(of: &Contributed) -> String {
    let what = match (&of.taken_back_by, of.moved, of.progress) {
        (Some(by), ..) => format!("{} taken back by {by}", of.contribution),
        (None, false, _) => format!("{} not needed then", of.contribution),
        (None, true, Some(progress)) => format!("{} makes {progress}", of.contribution),
        (None, true, None) => of.contribution.to_string(),
    };
    let rate = of.exchange_rate.map(|rate| format!("x {rate}: ")).unwrap_or_default();
    format!("  {}  {rate}{what}{}", event(&of.event), if of.reached { ", the target" } else { "" })
}

fn event(of: &EventLine) -> String {
    let EventLine { place, index, event_name, transaction_id, event_time, amount, currency, .. } = of;
    let index = if *index > 0 { format!(".{index}") } else { String::new() };
    let amount = amount.map(|amount| format!(" {amount} {currency}")).unwrap_or_default();
    let at = format!("{}/{}@{}{index}", place.topic, place.partition, place.offset);
    format!("{event_time}  {at}  {event_name} {transaction_id}{amount}")
}
