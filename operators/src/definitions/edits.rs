//! Edits that would leave progress without a meaning.

use datasets::mission::{DefinitionError, Measure, Mission};

use super::MissionHistory;

/// What of `mission` cannot go on from the versions before it: an edit keeps progress (DOMAIN §4), but what a stage that counts
/// different values has kept, their names, is nothing to any other measure; nor can names be made of sums, or of
/// another field's values. So such an edit is refused, whatever has happened since: windows may be open that began before.
/// A version that never was active has no progress.
pub(super) fn errors(history: &MissionHistory, mission: &Mission) -> Vec<DefinitionError> {
    let mut errors = Vec::new();
    for (number, stage) in mission.stages.iter().enumerate() {
        let before = history.0.iter().filter(|version| !version.classes.is_empty());
        let stages = before.filter_map(|version| Some((version.mission.version, version.mission.stages.get(number)?)));
        let is_distinct = |measure: &Measure| matches!(measure, Measure::Distinct(_));
        let other = stages.into_iter().find(|(_, known)| {
            known.measure != stage.measure && (is_distinct(&known.measure) || is_distinct(&stage.measure))
        });
        if let Some((version, _)) = other {
            let path = format!("/stages/{number}/measure");
            let message = format!(
                "cannot keep the progress of version {version}, which measures something else: 'distinct' of a field goes on \
                 from itself only, so use another mission_id"
            );
            errors.push(DefinitionError { path, message });
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use crate::definitions::{Applied, Definitions};
    use crate::testing::{record, rules};

    /// Applies versions of one mission, each given by status and measures, and answers the errors of each.
    fn apply(versions: &[(&str, &[&str])]) -> Vec<Vec<String>> {
        let mut definitions = Definitions::new(rules().missions);
        let versions = versions.iter().zip(1..).map(|((status, measures), number)| {
            let stages = measures.iter().map(|measure| {
                let (kind, field) = measure.split_once(' ').unwrap_or((measure, ""));
                let field = if field.is_empty() { String::new() } else { format!(r#","field":"{field}""#) };
                format!(r#"{{"on":["bet_placed"],"measure":{{"kind":"{kind}"{field}}},"target":2}}"#)
            });
            let stages = stages.collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"mission_id":"m","version":{number},"status":"{status}","stages":[{stages}]}}"#);
            let text = (*status != "tombstone").then_some(text);
            match definitions.apply(&record("m", text, number, number)) {
                Applied::Refused(errors) => errors.iter().map(|error| error.path.clone()).collect(),
                Applied::Version { .. } | Applied::Ended => Vec::new(),
            }
        });
        versions.collect()
    }

    #[test]
    fn distinct_goes_on_from_itself_only() {
        const NONE: [&str; 0] = [];
        const FIRST: [&str; 1] = ["/stages/0/measure"];
        let games = "distinct game_id";
        for (before, after, errors) in [
            (&["count"][..], &[games][..], &FIRST[..]),
            (&[games], &["count"], &FIRST),
            (&[games], &["sum amount"], &FIRST),
            (&[games], &["distinct sport"], &FIRST),
            (&["distinct stake"], &["distinct bet_amount"], &NONE),
            (&[games], &[games], &NONE),
            (&[games], &[games, "count"], &NONE),
            (&[games, "count"], &[games], &NONE),
            (&[games], &["count", games], &FIRST),
            (&["count", games], &["count", "max amount"], &["/stages/1/measure"]),
            (&[games, games], &["count", "count"], &["/stages/0/measure", "/stages/1/measure"]),
            (&["count"], &["sum amount"], &NONE),
        ] {
            let found = apply(&[("active", before), ("active", after)]);
            assert_eq!(found, [&NONE[..], errors], "{before:?} {after:?}");
        }
    }

    #[test]
    fn every_active_version_before_counts() {
        let (games, count) = (&["distinct game_id"][..], &["count"][..]);
        let found = |versions: &[(&str, &[&str])]| apply(versions).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(found(&[("draft", count), ("active", games)]), [0, 0]);
        assert_eq!(found(&[("active", count), ("paused", games), ("active", games)]), [0, 1, 1]);
        assert_eq!(found(&[("active", games), ("paused", count), ("active", games)]), [0, 1, 0]);
        assert_eq!(found(&[("active", games), ("tombstone", count), ("active", count)]), [0, 0, 1]);
        let shrunk = [("active", &["count", "distinct sport"][..]), ("active", count)];
        assert_eq!(found(&[shrunk[0], shrunk[1], ("active", &["count", "count"])]), [0, 0, 1]);
    }
}
