//! The same answers, recomputed from DOMAIN in the most naive way: every record of a player in
//! order, texts compared as texts, amounts added as integers. Nothing here is shared with what is
//! tested. It knows only what the generator makes; anything else is a panic, not a guess.

mod missions;
pub mod number;
mod record;
mod restrictions;
mod transactions;

use std::collections::BTreeMap;

use serde_json::Value;

pub use missions::{Contribution, Definition, Step};
pub use record::{Order, Play, Refused, Sent};
pub use restrictions::Control;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// Sent before.
    Duplicate,
    /// Reverses what is reversed.
    AlreadyReversed,
    /// Sent before with other content.
    Conflict,
    /// Refused for what it is, with this reason.
    Refused(&'static str),
}

impl Verdict {
    /// It does not even decode.
    pub fn is_refused(self) -> bool {
        matches!(self, Verdict::Refused(_))
    }
}

/// A row of daily activity, in 10^-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Bets that stand.
    pub bets: i64,
    /// Their stake without bonus money.
    pub stake: i128,
    /// Bonus money staked.
    pub bonus: i128,
    /// Wins and payouts.
    pub wins: i128,
}

/// Date, customer, game type, currency.
pub type RowKey = (String, String, String, String);

/// Everything that is to be expected.
pub struct Oracle<'a> {
    /// By record.
    pub verdicts: Vec<Verdict>,
    /// By row; what was reversed to nothing is there with nothing.
    pub activity: BTreeMap<RowKey, Row>,
    /// What moves missions, by player, in order of the log.
    steps: BTreeMap<&'a str, Vec<Step<'a>>>,
    /// By player.
    controls: BTreeMap<&'a str, Vec<Control<'a>>>,
    definitions: Vec<Definition>,
}

/// A completion that stands: player, mission, start of the window.
pub type Standing = (String, String, i64);

impl<'a> Oracle<'a> {
    /// Recomputes everything from the records and the definitions.
    pub fn new(sent: &'a [Sent], definitions: Vec<Definition>, currencies: &[String]) -> Self {
        let mut by_player: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, record) in sent.iter().enumerate() {
            by_player.entry(&record.key).or_default().push(index);
        }
        let mut oracle = Oracle {
            verdicts: vec![Verdict::Accepted; sent.len()],
            activity: BTreeMap::new(),
            steps: BTreeMap::new(),
            controls: BTreeMap::new(),
            definitions,
        };
        for (player, mut records) in by_player {
            records.sort_by_key(|index| (sent[*index].partition, sent[*index].offset));
            let mut known = Known::default();
            let mut steps = Vec::new();
            for index in records {
                oracle.verdicts[index] = match record::read(&sent[index], currencies) {
                    Err(refused) => Verdict::Refused(refused.reason),
                    Ok(play) => match known.admit(&play) {
                        Verdict::Accepted => oracle.count(player, play, &mut known, &mut steps),
                        refused => refused,
                    },
                };
            }
            if !steps.is_empty() {
                oracle.steps.insert(player, steps);
            }
        }
        oracle
    }

    fn count(&mut self, player: &'a str, play: Play<'a>, known: &mut Known<'a>, steps: &mut Vec<Step<'a>>) -> Verdict {
        let (order, transaction) = (play.order, play.transaction);
        if let Some(control) = Control::of(&play) {
            self.controls.entry(player).or_default().push(control);
        }
        let mut step = Step { order, transaction, contributions: Vec::new(), reverses: None };
        if play.name == "reversal" {
            let Some(target) = known.reverse(&play) else { return Verdict::AlreadyReversed };
            assert!(target.order < order, "generated reversals come after what they reverse");
            self.post(player, target, -1);
            step.reverses = Some(target.order);
        } else {
            self.post(player, &play, 1);
            for (place, definition) in self.definitions.iter().enumerate() {
                definition.contributions(place, &play, &mut step.contributions);
            }
            known.booked.insert((play.name, transaction), play);
        }
        if step.reverses.is_some() || !step.contributions.is_empty() {
            steps.push(step);
        }
        Verdict::Accepted
    }

    fn post(&mut self, player: &str, play: &Play<'_>, sign: i64) {
        let is_bet = match play.name {
            "bet_placed" => true,
            "win" | "bet_settled" => false,
            _ => return,
        };
        let text = |name| play.fields.text(name).expect("generated bets and wins have it").to_owned();
        let day = number::show_day(number::day_of(play.order.0));
        let row = self.activity.entry((day, player.to_owned(), text("game_type"), text("currency"))).or_default();
        let amount = i128::from(sign) * play.amount.expect("money");
        if is_bet {
            let bonus = i128::from(sign) * play.bonus;
            row.bets += sign;
            row.stake += amount - bonus;
            row.bonus += bonus;
        } else {
            row.wins += amount;
        }
    }

    /// What responsible gambling was told of a player.
    pub fn controls(&self, player: &str) -> &[Control<'a>] {
        self.controls.get(player).map_or(&[], Vec::as_slice)
    }

    /// How many records have each verdict.
    pub fn counts(&self) -> BTreeMap<Verdict, u64> {
        let mut counts = BTreeMap::new();
        self.verdicts.iter().for_each(|verdict| *counts.entry(*verdict).or_default() += 1);
        counts
    }

    /// The completions that stand once all is in, of missions that revoke, or of those that keep.
    pub fn standing(&self, revokes: bool) -> BTreeMap<Standing, i64> {
        let mut standing = BTreeMap::new();
        for (player, steps) in &self.steps {
            for ((mission, window), completed_at) in missions::facts(&self.definitions, steps) {
                let mission = &self.definitions[mission];
                if mission.revokes == revokes {
                    standing.insert(((*player).to_owned(), mission.id.clone(), window), completed_at);
                }
            }
        }
        standing
    }

    /// The mission revokes what is corrected.
    pub fn revokes(&self, mission: &str) -> bool {
        self.definitions.iter().any(|definition| definition.id == mission && definition.revokes)
    }

    /// Every message by player, given the epoch of each record.
    pub fn messages(&self, topic: &str, epoch: impl Fn(i32, i64) -> u64) -> BTreeMap<&'a str, Vec<Value>> {
        let mut messages = BTreeMap::new();
        for (player, steps) in &self.steps {
            let mut steps: Vec<&Step<'_>> = steps.iter().collect();
            steps.sort_by_key(|step| (epoch(step.order.1, step.order.2), step.order));
            let told = missions::messages(&self.definitions, player, &steps, topic);
            if !told.is_empty() {
                messages.insert(*player, told);
            }
        }
        messages
    }
}

/// Event name and id.
type Identity<'a> = (&'a str, &'a str);

/// What is known of a player while its records are read.
#[derive(Default)]
struct Known<'a> {
    /// Contents and statuses.
    sent: BTreeMap<Identity<'a>, Vec<(String, Option<&'a str>)>>,
    booked: BTreeMap<Identity<'a>, Play<'a>>,
    reversed: Vec<Identity<'a>>,
}

impl<'a> Known<'a> {
    fn admit(&mut self, play: &Play<'a>) -> Verdict {
        let (content, status) = (play.fields.content(), play.fields.text("status"));
        let earlier = self.sent.entry((play.name, play.transaction)).or_default();
        if earlier.iter().any(|(known, _)| *known == content) {
            return Verdict::Duplicate;
        }
        if !earlier.is_empty() {
            assert_ne!(play.name, "bet_settled", "the generator settles once");
            let is_lifecycle = matches!(play.name, "deposit" | "withdrawal");
            if !is_lifecycle || earlier.iter().any(|(_, known)| *known == status) {
                return Verdict::Conflict;
            }
        }
        earlier.push((content, status));
        Verdict::Accepted
    }

    /// What a reversal takes back; `None` if that is taken back already.
    fn reverse(&mut self, reversal: &Play<'a>) -> Option<&Play<'a>> {
        let name = match reversal.fields.text("reference_family") {
            Some("bet") => "bet_placed",
            Some("win") => "win",
            Some("settlement") => "bet_settled",
            other => panic!("no family that the generator reverses: {other:?}"),
        };
        let key = (name, reversal.fields.text("reference_id").expect("a reversal names something"));
        if self.reversed.contains(&key) {
            return None;
        }
        self.reversed.push(key);
        Some(&self.booked[&key])
    }
}

/// Whose record it is, where the record tells.
pub fn player_of<'a>(sent: &'a Sent, currencies: &[String]) -> Option<&'a str> {
    record::read(sent, currencies).map_or_else(|refused| refused.player, |_| Some(sent.key.as_str()))
}
