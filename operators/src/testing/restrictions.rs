//! Responsible gambling, recomputed from everything that was read so far (DOMAIN §4, "RG").

use std::collections::BTreeMap;

use datasets::rows::{AuditKind, CompletionKind, CompletionRow, Restriction};
use datasets::{Coordinates, Timestamp};

use super::script::{PLAYERS, at, random_input, random_script_of};
use super::{Input, Rng, record};
use crate::definitions::DefinitionRecord;

const CONTROLS: [&str; 4] = ["self_excluded", "cooled_off", "exclusion_lifted", "consent_changed"];

/// The input says something of its player's restrictions.
pub(crate) fn restricts(input: &Input) -> bool {
    CONTROLS.contains(&input.name)
}

/// Missions that many reach, with all that becomes of a completion that may not be told.
pub(crate) fn restricted_definitions(lateness_days: i64) -> Vec<DefinitionRecord> {
    let again = r#","repeat":{"limit":3,"per":"week"}"#;
    let missions = [
        ("a-both", "day", r#"["push","email"]"#, "drop", "revoke", 2, ""),
        ("b-defers", "day", r#"["push"]"#, "defer", "revoke", 2, ""),
        ("c-no-channel", "week", "[]", "drop", "revoke", 3, ""),
        ("d-keeps", "week", r#"["email"]"#, "defer", "keep", 4, ""),
        ("e-again", "day", r#"["email","sms"]"#, "drop", "revoke", 1, again),
        ("f-again-defers", "week", r#"["push","sms"]"#, "defer", "revoke", 2, again),
    ];
    let records =
        missions.into_iter().zip(0..).map(|((id, every, channels, suppression, reversal, target, rest), offset)| {
            let text = format!(
                r#"{{"mission_id":"{id}","version":1,"status":"active","start":"{}","lateness":"P{lateness_days}D",
                "window":{{"every":"{every}"}},"on_reversal":"{reversal}","on_suppression":"{suppression}",
                "stages":[{{"on":["bet_placed","bet_settled"],"measure":{{"kind":"count"}},"target":"{target}"}}],
                "reward":{{"type":"points","value":"1","channels":{channels}}}{rest}}}"#,
                at(-240),
            );
            record(id, Some(text), -240, offset)
        });
    records.collect()
}

/// A script like [`random_script`](super::random_script), a sixth of it control events of responsible gambling. What has
/// one identity is never sent twice of those: whether it counts again is not what is looked at here.
pub(crate) fn random_script_with_restrictions(rng: &mut Rng, len: usize) -> Vec<Input> {
    random_script_of(rng, len, |rng, script, hours| {
        if rng.one_in(6) {
            return random_control(rng, script.len(), hours);
        }
        let others: Vec<Input> = script.iter().filter(|input| !restricts(input)).cloned().collect();
        random_input(rng, &others, hours)
    })
}

fn random_control(rng: &mut Rng, number: usize, hours: i64) -> Input {
    let occurred = hours - rng.pick(&[0, 0, 0, 1, 6, 24, 100]);
    let name = rng.pick(&["self_excluded", "cooled_off", "exclusion_lifted", "consent_changed", "consent_changed"]);
    let is_consent = name == "consent_changed";
    let ends = !is_consent && name != "exclusion_lifted" && !rng.one_in(4);
    Input {
        player: rng.pick(&PLAYERS),
        about: is_consent.then(|| rng.pick(&["push", "email", "sms"])),
        granted: is_consent.then(|| !rng.one_in(3)),
        until: ends.then(|| at(occurred + rng.pick(&[0, 1, 12, 48, 200]))),
        ..Input::new(name, &format!("x{number}"), occurred, "")
    }
}

/// What leaves of an epoch, and what does not.
pub(crate) type Judged = (Vec<CompletionRow>, Vec<(AuditKind, Restriction, Option<Timestamp>, CompletionRow)>);

/// Goes through what would be told if nobody had restrictions.
#[derive(Default)]
pub(crate) struct RestrictionOracle {
    controls: Vec<Input>,
    suppressed: Vec<String>,
    /// By player, in the order in which they were kept.
    deferred: BTreeMap<String, Vec<CompletionRow>>,
}

impl RestrictionOracle {
    /// Takes an epoch: its inputs, its clock, and what it would tell, in order.
    pub(crate) fn epoch(&mut self, inputs: &[Input], now: Timestamp, told: Vec<CompletionRow>) -> Judged {
        self.controls.extend(inputs.iter().filter(|input| restricts(input)).cloned());
        let (mut leaves, mut kept) = (Vec::new(), Vec::new());
        for row in told {
            let judged = self.judge(&row, now);
            match row.kind {
                CompletionKind::MissionCompleted => match judged {
                    Ok(channels) => leaves.push(CompletionRow { channels, ..row }),
                    Err((reason, until)) if row.mission_id.contains("defers") || row.mission_id == "d-keeps" => {
                        kept.push((AuditKind::Deferred, reason, until, row.clone()));
                        self.deferred.entry(row.player_id.clone()).or_default().push(row);
                    }
                    Err((reason, until)) => {
                        self.suppressed.push(row.completion_id.clone());
                        kept.push((AuditKind::Suppressed, reason, until, row));
                    }
                },
                CompletionKind::MissionRevoked => {
                    let before = self.silent();
                    self.suppressed.retain(|id| *id != row.completion_id);
                    self.deferred
                        .values_mut()
                        .for_each(|rows| rows.retain(|one| one.completion_id != row.completion_id));
                    if self.silent() == before {
                        leaves.push(CompletionRow { channels: judged.unwrap_or_default(), ..row });
                    }
                }
            }
        }
        for (player, rows) in std::mem::take(&mut self.deferred) {
            for row in rows {
                match self.judge(&row, now) {
                    Ok(channels) => leaves.push(CompletionRow { channels, emitted_at: now, ..row }),
                    Err(_) => self.deferred.entry(player.clone()).or_default().push(row),
                }
            }
        }
        (leaves, kept)
    }

    fn silent(&self) -> usize {
        self.suppressed.len() + self.deferred.values().map(Vec::len).sum::<usize>()
    }

    /// How many were never told.
    pub(crate) fn never_told(&self) -> usize {
        self.suppressed.len()
    }

    fn judge(&self, row: &CompletionRow, now: Timestamp) -> Result<Vec<String>, (Restriction, Option<Timestamp>)> {
        let of = |name: &str, about: Option<&str>| {
            let of_it = self.controls.iter().filter(|input| {
                input.player == row.player_id
                    && input.name == name
                    && about.is_none_or(|about| input.about == Some(about))
            });
            of_it.max_by_key(|input| input.order())
        };
        let lifted: Option<(Timestamp, Coordinates)> = of("exclusion_lifted", None).map(Input::order);
        for (name, reason) in [("self_excluded", Restriction::SelfExcluded), ("cooled_off", Restriction::CooledOff)] {
            let last = of(name, None).filter(|last| lifted.is_none_or(|lifted| last.order() > lifted));
            if let Some(last) = last.filter(|last| last.until.is_none_or(|until| until > now)) {
                return Err((reason, last.until));
            }
        }
        let has_said = of("consent_changed", None).is_some();
        let mut channels = row.channels.clone();
        channels.retain(|channel| {
            !has_said || of("consent_changed", Some(channel)).is_some_and(|last| last.granted == Some(true))
        });
        if channels.is_empty() && !row.channels.is_empty() { Err((Restriction::NoConsent, None)) } else { Ok(channels) }
    }
}
