//! What definitions are refused, and what numbers they get.

use super::*;
use crate::testing::{record, rules};

fn mission(id: &str, kind: &str) -> Option<String> {
    let stage = format!(r#"{{"on":["bet_placed"],"measure":{kind},"target":"3"}}"#);
    Some(format!(r#"{{"mission_id":"{id}","version":1,"status":"active","stages":[{stage}]}}"#))
}

#[test]
fn what_an_older_release_refused_takes_no_number_from_others() {
    let mut definitions = Definitions::new(rules().missions);
    let understood_now = mission("a", r#"{"kind":"max","field":"amount"}"#);
    let refused = DefinitionRecord { was_refused: true, ..record("a", understood_now.clone(), 0, 0) };
    assert!(matches!(definitions.apply(&refused), Applied::Refused(errors) if errors.len() == 1));
    let first = definitions.apply(&record("b", mission("b", r#"{"kind":"count"}"#), 0, 1));
    assert_eq!(
        first,
        Applied::Version { slot: MissionSlot(0), retargeted: false, counts_earlier: false, required: vec![] }
    );
    let again = definitions.apply(&record("a", understood_now, 1, 2));
    assert_eq!(
        again,
        Applied::Version { slot: MissionSlot(1), retargeted: false, counts_earlier: false, required: vec![] }
    );
}

#[test]
fn what_is_still_wrong_says_what() {
    let mut definitions = Definitions::new(rules().missions);
    let wrong = DefinitionRecord { was_refused: true, ..record("a", Some("{".to_owned()), 0, 0) };
    let Applied::Refused(errors) = definitions.apply(&wrong) else { panic!("it is no JSON") };
    assert!(errors[0].message.contains("JSON"), "{errors:?}");

    definitions.apply(&record("m", mission("m", r#"{"kind":"count"}"#), 0, 1));
    let edit = mission("m", r#"{"kind":"distinct","field":"game_id"}"#);
    let refused = definitions.apply(&record("m", edit.clone(), 1, 2));
    assert!(matches!(&refused, Applied::Refused(errors) if errors[0].path == "/stages/0/measure"), "{refused:?}");
    assert_eq!(definitions.apply(&DefinitionRecord { was_refused: true, ..record("m", edit, 1, 2) }), refused);
}
