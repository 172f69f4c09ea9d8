//! Messages beside what `questline explain` tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pipeline::config::Config;
use pipeline::explain::{Explainer, Question, Standing};
use serde_json::{Value, json};

/// The lines of a file of JSON lines.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the messages in `out` say is told again from the lake of `config`, with the events behind it, which add up to it
/// where measures add. Answers how many completions there were, and how many were added up. Panics where they differ; `of`
/// names what they are from.
pub fn check(config: &Config, out: &Path, of: &str) -> (usize, usize) {
    let (mut explained, mut added_up) = (0, 0);
    let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in lines(&out.join("completions.jsonl")) {
        told.entry(message["completion_id"].as_str().unwrap().to_owned()).or_default().push(message);
    }
    let mut audit: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in lines(&out.join("audit.jsonl")) {
        audit.entry(row["completion_id"].as_str().unwrap().to_owned()).or_default().push(row);
    }
    let explain = |id: &str| {
        let question = Question::Completion(id.to_owned());
        let answer = Explainer::open(config).and_then(|explainer| explainer.answer(&question, |_| ()));
        answer.unwrap_or_else(|error| panic!("{of}, {id}: {error}"))
    };
    for (id, messages) in told {
        let answer = explain(&id);
        let of = format!("{of}, {id}");
        assert_eq!(json!(answer.messages), json!(messages), "{of}");
        let kept_back = audit.remove(&id).unwrap_or_default();
        assert_eq!(json!(answer.audit), json!(kept_back), "{of}");
        let last = messages.last().unwrap();
        let is_silent = kept_back.last().is_some_and(|row| row["revision"].as_u64() > last["revision"].as_u64());
        match (is_silent, last["type"] == "mission_completed") {
            (true, _) => assert!(answer.standing != Standing::Completed && answer.standing != Standing::Open, "{of}"),
            (false, true) => assert_eq!(answer.standing, Standing::Completed, "{of}"),
            (false, false) => assert_eq!(answer.standing, Standing::Revoked, "{of}"),
        }
        assert!(answer.stages.iter().all(|stage| stage.reached_at.is_some() == stage.missing.is_zero()), "{of}");
        let adds = |stage: &Value| matches!(stage["measure"]["kind"].as_str(), Some("count" | "sum"));
        let stages = answer.definition.text["stages"].as_array().unwrap();
        // What repeats is told of the lap under way; who starts anew has contributions from before.
        let once = answer.definition.text["repeat"].is_null();
        let resets = answer.definition.text["eligibility"]["opt_in"]["again"] == "reset";
        if let ([stage], true) = (&answer.stages[..], once && !resets && stages.iter().all(adds)) {
            let counts = answer.events.iter().filter(|event| event.taken_back_by.is_none());
            assert_eq!(Some(counts.map(|event| event.contribution).sum()), stage.progress, "{of}: {answer:#?}");
            added_up += 1;
        }
        let places: BTreeSet<_> =
            answer.events.iter().map(|one| (&one.event.place, one.event.index, one.stage)).collect();
        assert_eq!(places.len(), answer.events.len(), "{of}: each event counts once in a stage");
        explained += 1;
    }
    // What never left is told all the same.
    for (id, rows) in audit {
        let answer = explain(&id);
        assert_eq!((json!(answer.audit), answer.messages.len()), (json!(rows), 0), "{of}, {id}");
        let known = [Standing::Suppressed, Standing::Deferred, Standing::Revoked];
        assert!(known.contains(&answer.standing), "{of}, {id}: {:?}", answer.standing);
        explained += 1;
    }
    (explained, added_up)
}
