//! Missions that require each other (DOMAIN §4).

use std::sync::Arc;

use super::{Definition, DefinitionError};

/// Where a definition names them.
pub(super) const PATH: &str = "/eligibility/requires";

impl Definition {
    /// What is wrong if this mission would require itself by way of others: which missions another one requires,
    /// `required_by` tells. A mission that nobody has defined requires none.
    pub fn cycle(&self, required_by: impl Fn(&str) -> Vec<Arc<str>>) -> Option<DefinitionError> {
        // Each mission with the place in `found` of the one that requires it.
        let mut found: Vec<(Arc<str>, Option<usize>)> =
            self.gate.requires.iter().map(|id| (id.clone(), None)).collect();
        let mut next = 0;
        while let Some((id, _)) = found.get(next).cloned() {
            for required in required_by(&id) {
                if required == self.mission_id {
                    let path = std::iter::successors(Some(next), |place| found[*place].1);
                    let mut path: Vec<&str> = path.map(|place| &*found[place].0).collect();
                    path.push(&self.mission_id);
                    path.reverse();
                    path.push(&self.mission_id);
                    let message = format!("closes a cycle, in which nobody could begin: {}", path.join(" requires "));
                    return Some(DefinitionError { path: PATH.to_owned(), message });
                }
                if found.iter().all(|(known, _)| *known != required) {
                    found.push((required, Some(next)));
                }
            }
            next += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::currency::Currencies;
    use crate::mission::{Mission, MissionDefaults};

    fn mission(id: &str, requires: &str) -> Result<Mission, Vec<String>> {
        let text = format!(
            r#"{{"mission_id":"{id}","version":1,"status":"active","eligibility":{{"requires":{requires}}},
                "stages":[{{"on":["login"],"measure":{{"kind":"count"}},"target":1}}]}}"#
        );
        let defaults = MissionDefaults::utc("EUR", Currencies::default());
        Mission::parse(id, &text, &defaults).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn requires_names_missions() {
        let names = |requires: &str| mission("m", requires).map(|mission| mission.gate.requires.clone());
        assert_eq!(names(r#"["b","a"]"#), Ok(vec!["b".into(), "a".into()]));
        assert!(mission("m", "[]").unwrap().gate.is_open() && !mission("m", r#"["a"]"#).unwrap().gate.is_open());
        for (wrong, error) in [
            (r#"["a","a"]"#, "/eligibility/requires/1: 'a' is given twice"),
            (r#""a""#, "/eligibility/requires: must be an array, not a text"),
            (r#"[""]"#, "/eligibility/requires/0: must not be empty"),
            (r#"["a","m"]"#, "/eligibility/requires: a mission cannot require itself"),
        ] {
            assert_eq!(names(wrong).unwrap_err(), [error]);
        }
    }

    #[test]
    fn a_cycle_is_told_in_full() {
        let known: BTreeMap<_, _> = [
            ("a", r#"["b","c"]"#),
            ("b", r#"["x"]"#),
            ("c", r#"["d"]"#),
            ("d", r#"["b","m"]"#),
            ("e", r#"["e2","a"]"#),
        ]
        .map(|(id, requires)| (id, mission(id, requires).unwrap()))
        .into();
        let cycle = |id: &str, requires: &str| {
            let requires_of = |id: &str| known.get(id).map(|known| known.gate.requires.clone()).unwrap_or_default();
            mission(id, requires).unwrap().cycle(requires_of).map(|error| error.message)
        };
        assert_eq!(cycle("n", r#"["a"]"#), None);
        assert_eq!(
            cycle("m", r#"["e"]"#).unwrap(),
            "closes a cycle, in which nobody could begin: m requires e requires a requires c requires d requires m"
        );
        assert_eq!(
            cycle("x", r#"["b"]"#).unwrap(),
            "closes a cycle, in which nobody could begin: x requires b requires x"
        );
    }
}
