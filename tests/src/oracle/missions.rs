//! What DOMAIN §4 makes of contributions: folded from the beginning, every time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::number::{day_of, instant, show_instant, show_units, units, window};
use super::record::{Order, Play};

/// A mission as generated: a few kinds of stages, one simple condition each.
pub struct Definition {
    /// `mission_id`
    pub id: String,
    text: Value,
    /// Its record's timestamp, from which on events count.
    activation: i64,
    start: i64,
    end: i64,
    stages: Vec<Stage>,
    /// `on_reversal` is `revoke`, not `keep`.
    pub revokes: bool,
}

struct Stage {
    on: String,
    condition: Vec<[String; 3]>,
    measure: String,
    /// Of which different texts count.
    field: Option<String>,
    /// Of amounts, by game type; absent: all count in full.
    weights: Option<BTreeMap<String, i128>>,
    target: i128,
}

/// What an event adds to a stage of a mission in a window.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// Place of the definition.
    pub mission: usize,
    /// Start of the window.
    pub window: i64,
    stage: usize,
    /// The event's.
    pub order: Order,
    qualifies: bool,
    value: i128,
    /// Where different ones count.
    text: Option<String>,
}

/// What contributions come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    stage: usize,
    since: Option<i64>,
    run: i128,
    progress: i128,
    /// The last day that a streak has.
    day: Option<i64>,
    /// When the last stage reached its target.
    pub completed_at: Option<i64>,
}

impl Definition {
    /// A definition record.
    pub fn new(text: &str, activation: i64) -> Self {
        let text: Value = serde_json::from_str(text).expect("definitions are JSON");
        let at = |name: &str| instant(text[name].as_str().expect(name)).expect(name);
        let stages = text["stages"].as_array().expect("stages").iter().map(Stage::new).collect();
        Definition {
            id: text["mission_id"].as_str().expect("an id").to_owned(),
            activation,
            start: at("start"),
            end: at("end"),
            stages,
            revokes: text["on_reversal"] == "revoke",
            text,
        }
    }

    /// What `play` adds to this mission, which is at `place` among all.
    pub fn contributions(&self, place: usize, play: &Play<'_>, into: &mut Vec<Contribution>) {
        let time = play.order.0;
        if time < self.activation || time < self.start || time > self.end {
            return;
        }
        for (number, stage) in self.stages.iter().enumerate() {
            let qualifies = stage.accepts(play);
            if stage.on != play.name || !(qualifies || stage.measure == "run") {
                continue;
            }
            let Some(value) = stage.value(play) else { continue };
            let text = stage.field.as_ref().map(|field| play.fields.text(field).map(str::to_owned));
            if text == Some(None) {
                continue;
            }
            let (window, text) = (self.window(time).0, text.flatten());
            into.push(Contribution {
                mission: place,
                window,
                stage: number,
                order: play.order,
                qualifies,
                value,
                text,
            });
        }
    }

    /// The window that holds `time`.
    fn window(&self, time: i64) -> (i64, i64) {
        match self.text["window"]["every"].as_str().expect("a window") {
            "once" => (self.start, self.end),
            every => window(every, time),
        }
    }

    /// Folds `contributions`, which are in order.
    pub fn standing<'a>(&self, contributions: impl Iterator<Item = &'a Contribution>) -> Standing {
        let mut standing = Standing::default();
        let mut texts = BTreeSet::new();
        for Contribution { stage: number, order, qualifies, value, text, .. } in contributions {
            let stage = &self.stages[standing.stage];
            if *number != standing.stage || standing.since.is_some_and(|since| order.0 <= since) {
                continue;
            }
            match stage.measure.as_str() {
                "run" => {
                    standing.run = if *qualifies { standing.run + value } else { 0 };
                    standing.progress = standing.progress.max(standing.run);
                }
                "max" => standing.progress = standing.progress.max(*value),
                "streak" => {
                    let today = day_of(order.0);
                    standing.run = match standing.day {
                        Some(day) if day == today => standing.run,
                        Some(day) if day == today - 1 => standing.run + value,
                        _ => *value,
                    };
                    standing.day = Some(today);
                    standing.progress = standing.progress.max(standing.run);
                }
                "distinct" => {
                    texts.insert((standing.stage, text));
                    let of_stage = texts.iter().filter(|(stage, _)| *stage == standing.stage).count();
                    standing.progress = 100_000_000 * i128::try_from(of_stage).expect("a count");
                }
                "count" | "sum" => standing.progress += value,
                other => panic!("no measure of the generator: {other}"),
            }
            if standing.progress >= stage.target && standing.completed_at.is_none() {
                if standing.stage + 1 == self.stages.len() {
                    standing.completed_at = Some(order.0);
                } else {
                    standing = Standing { stage: standing.stage + 1, since: Some(order.0), ..Standing::default() };
                }
            }
        }
        standing
    }

    fn message(&self, player: &str, window: i64, standing: Standing) -> Value {
        let last = self.stages.len() - 1;
        let progress = if standing.stage == last { standing.progress } else { 0 };
        let window = self.window(window);
        json!({
            "player_id": player,
            "mission_id": self.id,
            "mission_version": self.text["version"],
            "occurrence": 1,
            "window_start": show_instant(window.0),
            "window_end": show_instant(window.1),
            "progress": show_units(progress),
            "target": show_units(self.stages[last].target),
            "reward": {"type": self.text["reward"]["type"], "value": self.text["reward"]["value"]},
            "channels": self.text["reward"]["channels"],
        })
    }
}

impl Stage {
    fn new(stage: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let terms = text(&stage["where"]);
        let terms = terms.split(" && ").map(|term| {
            let words: Vec<&str> = term.splitn(3, ' ').collect();
            let words: [&str; 3] = words.try_into().expect("field, operator, literal");
            words.map(str::to_owned)
        });
        Stage {
            on: text(&stage["on"][0]),
            condition: terms.collect(),
            measure: text(&stage["measure"]["kind"]),
            field: Some(&stage["measure"]).filter(|measure| measure["kind"] == "distinct").map(|of| text(&of["field"])),
            weights: stage["measure"]["weights"]["game_type"].as_object().map(|weights| {
                weights
                    .iter()
                    .map(|(name, weight)| (name.clone(), units(&text(weight)).expect("a plain weight")))
                    .collect()
            }),
            target: units(&text(&stage["target"])).expect("a plain target"),
        }
    }

    /// What an event is worth, in 10^-8; `None`: nothing at all.
    fn value(&self, play: &Play<'_>) -> Option<i128> {
        if !matches!(self.measure.as_str(), "sum" | "max") {
            return Some(100_000_000);
        }
        let amount = play.amount.expect("sums are of money");
        let Some(weights) = &self.weights else { return Some(amount) };
        let weight = weights.get(play.fields.text("game_type")?)?;
        // Half-up; generated amounts are not below zero.
        Some((amount * weight + 50_000_000) / 100_000_000).filter(|_| *weight > 0)
    }

    fn accepts(&self, play: &Play<'_>) -> bool {
        self.on == play.name
            && self.condition.iter().all(|[field, operator, literal]| {
                match literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
                    Some(text) => {
                        assert_eq!(operator, "==");
                        play.fields.text(field) == Some(text)
                    }
                    None => {
                        let limit = units(literal).expect("a plain literal");
                        let value = play.fields.digits(field).map(|digits| units(digits).expect("a plain number"));
                        value.is_some_and(|value| match operator.as_str() {
                            ">=" => value >= limit,
                            ">" => value > limit,
                            other => panic!("no operator of the generator: {other}"),
                        })
                    }
                }
            })
    }
}

/// What a player's events do to missions, one after the other.
pub struct Step<'a> {
    /// The event's place.
    pub order: Order,
    /// The event's id.
    pub transaction: &'a str,
    /// What it adds.
    pub contributions: Vec<Contribution>,
    /// The event that it takes back.
    pub reverses: Option<Order>,
}

/// The completion of a mission in a window as it was last told.
struct Told {
    revision: u32,
    is_live: bool,
    completed_at: i64,
}

/// The completions of one player from everything that stands: mission and window, with the time.
pub fn facts(definitions: &[Definition], steps: &[Step<'_>]) -> BTreeMap<(usize, i64), i64> {
    let reversed: Vec<Order> = steps.iter().filter_map(|step| step.reverses).collect();
    let mut standing: BTreeMap<(usize, i64), Vec<&Contribution>> = BTreeMap::new();
    for contribution in steps.iter().flat_map(|step| &step.contributions) {
        if !reversed.contains(&contribution.order) {
            standing.entry((contribution.mission, contribution.window)).or_default().push(contribution);
        }
    }
    let completed = standing.into_iter().filter_map(|(key, mut contributions)| {
        contributions.sort_by_key(|contribution| contribution.order);
        let standing = definitions[key.0].standing(contributions.into_iter());
        Some((key, standing.completed_at?))
    });
    completed.collect()
}

/// Every message about one player, given the order in which the epochs took the events: by epoch, then
/// by event time. `emitted_at` is left to whoever knows the clock.
pub fn messages(definitions: &[Definition], player: &str, steps: &[&Step<'_>], topic: &str) -> Vec<Value> {
    let mut contributions: BTreeMap<(&str, i64), Vec<&Contribution>> = BTreeMap::new();
    let mut told: BTreeMap<(&str, i64), Told> = BTreeMap::new();
    let mut messages = Vec::new();
    for step in steps {
        let mut moved: Vec<(&str, i64, usize)> = Vec::new();
        for contribution in &step.contributions {
            let key = (definitions[contribution.mission].id.as_str(), contribution.window);
            let known = contributions.entry(key).or_default();
            let place =
                known.partition_point(|other| (other.order, other.stage) < (contribution.order, contribution.stage));
            known.insert(place, contribution);
            moved.push((key.0, key.1, contribution.mission));
        }
        for (key, known) in contributions.iter_mut().filter(|_| step.reverses.is_some()) {
            let before = known.len();
            let mission = known.first().map(|contribution| contribution.mission);
            known.retain(|contribution| Some(contribution.order) != step.reverses);
            if let Some(mission) = mission.filter(|_| known.len() < before) {
                moved.push((key.0, key.1, mission));
            }
        }
        moved.sort_unstable();
        moved.dedup();
        for (id, window, mission) in moved {
            let definition = &definitions[mission];
            let standing = definition.standing(contributions[&(id, window)].iter().copied());
            let Some((kind, told)) = announce(definition, standing, told.entry((id, window))) else { continue };
            let mut message = definition.message(player, window, standing);
            message["type"] = kind.into();
            message["revision"] = told.revision.into();
            message["completed_at"] = show_instant(told.completed_at).into();
            let (_, partition, offset) = step.order;
            let transaction = step.transaction;
            message["trigger"] = json!({
                "kind": "event", "transaction_id": transaction, "topic": topic, "partition": partition, "offset": offset,
            });
            if kind == "mission_revoked" {
                message["reversed_by"] = transaction.into();
            }
            messages.push(message);
        }
    }
    messages
}

/// What has to be said after an event, if anything.
fn announce<'a>(
    definition: &Definition,
    standing: Standing,
    told: std::collections::btree_map::Entry<'a, (&str, i64), Told>,
) -> Option<(&'static str, &'a Told)> {
    let told = told.or_insert(Told { revision: 0, is_live: false, completed_at: 0 });
    match standing.completed_at {
        Some(completed_at) => {
            told.completed_at = completed_at;
            if told.is_live {
                return None;
            }
            told.is_live = true;
            told.revision += 1;
            Some(("mission_completed", told))
        }
        None if told.is_live && definition.revokes => {
            told.is_live = false;
            Some(("mission_revoked", told))
        }
        None => None,
    }
}
