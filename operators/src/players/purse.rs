//! What an epoch does to the points of players: what its completions earn and its revocations take back, what its events
//! spend, and what expires by its clock.
//!
//! All of it is booked when the epoch closes, so that only a completion that leaves earns. A player's points change
//! in the order of [`Position`], as the messages of an epoch leave; then what has expired is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use datasets::hash::{KeyGroup, player_hash};
use datasets::rows::{CompletionKind, CompletionRow, PointsKind, PointsRow, Trigger};
use datasets::{Event, EventName, Money, Timestamp};
use uuid::Uuid;

use super::{Group, Players};
use crate::changes::{Changes, Phase, Position};
use crate::ledger::{Effect, EffectKind, Order};
use crate::points::{Line, Points, PointsRules};

/// A player's points, if there ever were any.
pub(super) type Purse = Option<Box<Points>>;

/// When points of the player at this place expire. It may be for nothing: they can be spent before.
pub(super) type Expiry = (Timestamp, KeyGroup, u32);

/// What an effect may do to points.
pub(super) struct Spending<'a> {
    /// Of what is spent.
    order: Order,
    kind: SpendingKind,
    cause: &'a Event<'a>,
}

enum SpendingKind {
    /// A transaction spends so much, unless it arrives reversed.
    Enter { transaction: String, amount: Money, stands: bool },
    /// A transaction counts again, or no longer. It may be another one than one that spends.
    Toggle { stands: bool },
    /// A transaction is replaced; the same.
    Leave,
}

/// [`Spending`] by a player that is to be booked.
pub(super) struct BookedSpending {
    position: Position,
    order: Order,
    kind: SpendingKind,
    trigger: Trigger,
}

impl<'a> Spending<'a> {
    /// What an effect of `cause` does; nothing, if it cannot be about points.
    pub(super) fn of(effect: &Effect, cause: &'a Event<'a>) -> Option<Self> {
        let enter = |event: &Event<'_>, stands| {
            let amount = event.amount().filter(|_| event.name == EventName::PointsSpent)?;
            Some(SpendingKind::Enter { transaction: event.transaction_id().to_owned(), amount, stands })
        };
        let kind = match &effect.kind {
            EffectKind::Enter { live, event: None } => enter(cause, *live)?,
            EffectKind::Enter { live, event: Some(stored) } => enter(&stored.get(0), *live)?,
            EffectKind::Toggle { live } => SpendingKind::Toggle { stands: *live },
            EffectKind::Leave => SpendingKind::Leave,
            EffectKind::Stake { .. } => return None,
        };
        Some(Spending { order: (effect.time, effect.at), kind, cause })
    }

    /// The same by the player `id`, caused by `trigger`.
    pub(super) fn of_player(self, id: &Arc<str>, trigger: Trigger) -> BookedSpending {
        let Spending { order, kind, cause } = self;
        let (time, at) = (cause.event_time, cause.at);
        let position = Position { phase: Phase::Events, time, at, player: id.clone(), sequence: 0 };
        BookedSpending { position, order, kind, trigger }
    }
}

impl SpendingKind {
    fn book(&self, order: Order, purse: &mut Purse, now: Timestamp) -> Option<Line> {
        match self {
            SpendingKind::Enter { transaction, amount, stands } => {
                let points = purse.get_or_insert_default();
                points.spend(order, (transaction.as_str(), *amount), *stands, now)
            }
            SpendingKind::Toggle { stands } => purse.as_mut()?.toggle(order, *stands),
            SpendingKind::Leave => {
                let points = purse.as_mut()?;
                let line = points.toggle(order, false);
                points.forget(order);
                line
            }
        }
    }
}

/// What a completion, or its revocation, does to the points of its player.
fn award(purse: &mut Purse, row: &CompletionRow, rules: &PointsRules) -> Option<Line> {
    let id = || Uuid::parse_str(&row.completion_id).expect("a completion's id is a UUID");
    match row.kind {
        CompletionKind::MissionCompleted => {
            let amount = row.reward.as_ref()?.points()?;
            let points = purse.get_or_insert_default();
            Some(points.earn(id(), (row.completed_at, amount), rules, row.emitted_at))
        }
        CompletionKind::MissionRevoked => purse.as_mut()?.revoke(id()),
    }
}

/// `line` of a player as it is told. `changed_at` is when what caused it happened.
fn row(
    line: Line,
    player: &Arc<str>,
    (changed_at, emitted_at): (Timestamp, Timestamp),
    trigger: Option<Trigger>,
) -> PointsRow {
    let Line { number, delta, balance, reason, reference, expires } = line;
    PointsRow {
        kind: PointsKind::PointsChanged,
        player_id: player.as_ref().to_owned(),
        line: number,
        delta,
        balance,
        reason,
        reference,
        changed_at,
        expires_at: expires,
        emitted_at,
        trigger,
    }
}

/// Something that may change points.
enum Movement<'a> {
    Spending(&'a BookedSpending),
    Award(&'a Position, &'a CompletionRow),
}

impl Movement<'_> {
    /// It may be the first of a player's points.
    fn begins(&self) -> bool {
        match self {
            Movement::Spending(spending) => matches!(spending.kind, SpendingKind::Enter { .. }),
            Movement::Award(_, row) => row.kind == CompletionKind::MissionCompleted,
        }
    }

    fn position(&self) -> &Position {
        match self {
            Movement::Spending(spending) => &spending.position,
            Movement::Award(position, _) => position,
        }
    }
}

impl Players {
    /// Books what the epoch does to points, given its completions, and tells what has expired.
    pub(super) fn book_points(&mut self, now: Timestamp, changes: &mut Changes) {
        let spendings = std::mem::take(&mut self.spendings);
        let may_award = |row: &CompletionRow| match row.kind {
            CompletionKind::MissionCompleted => row.reward.as_ref().is_some_and(|reward| reward.points().is_some()),
            // Whatever it was for: an edit can change the reward in the meantime.
            CompletionKind::MissionRevoked => true,
        };
        let completions = changes.completions.iter().filter(|(_, row)| may_award(row));
        let awards = completions.map(|(position, row)| Movement::Award(position, row));
        let mut movements: Vec<_> = spendings.iter().map(Movement::Spending).chain(awards).collect();
        // What an event spends comes before what it completes: the sort is stable.
        movements.sort_by(|a, b| a.position().cmp(b.position()));
        let mut changed: BTreeSet<(KeyGroup, u32)> = BTreeSet::new();
        let mut lines = Vec::new();
        for movement in movements {
            let position = movement.position();
            let hash = player_hash(&position.player);
            let group = KeyGroup::of(hash);
            let Group { players, .. } = &mut self.groups[group.index()];
            let place = players.find(hash, &position.player).expect("who did something is known");
            if !movement.begins() && players.get(place).is_none_or(|(_, player)| player.points.is_none()) {
                continue;
            }
            let (id, player) = players.get_mut(place);
            let (line, changed_at, trigger) = match movement {
                Movement::Spending(BookedSpending { order, kind, trigger, .. }) => {
                    (kind.book(*order, &mut player.points, now), position.time, trigger)
                }
                Movement::Award(_, completion) => {
                    let line = award(&mut player.points, completion, &self.rules.points);
                    let is_earned = completion.kind == CompletionKind::MissionCompleted;
                    let at = if is_earned { completion.completed_at } else { position.time };
                    (line, at, &completion.trigger)
                }
            };
            lines.extend(line.map(|line| row(line, id, (changed_at, now), Some(trigger.clone()))));
            if player.points.is_some() {
                changed.insert((group, place));
            }
        }
        changes.points.append(&mut lines);
        self.expire_points(changed, now, changes);
    }

    /// Tells what has expired, and corrects what was told, of those that `changed` and of those whose time has come.
    fn expire_points(&mut self, mut changed: BTreeSet<(KeyGroup, u32)>, now: Timestamp, changes: &mut Changes) {
        let later = self.expiries.split_off(&(now.plus_micros(1), KeyGroup(0), 0));
        changed
            .extend(std::mem::replace(&mut self.expiries, later).into_iter().map(|(_, group, place)| (group, place)));
        let horizon = now.plus_micros(self.rules.points.kept.saturating_neg());
        for (group, place) in changed {
            let (id, player) = self.groups[group.index()].players.get_mut(place);
            let Some(points) = player.points.as_deref_mut() else { continue };
            let lines = points.expire(now).into_iter();
            changes.points.extend(lines.map(|(due, line)| row(line, id, (due, now), None)));
            points.forget_before(horizon);
            self.expiries.extend(points.next_expiry().map(|due| (due, group, place)));
        }
    }
}
