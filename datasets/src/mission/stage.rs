//! One target over qualifying events (DOMAIN §4).

use std::sync::Arc;

use super::Measure;
use crate::condition::Condition;
use crate::{Event, EventName, Money};

/// A stage of a mission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The events that it looks at; at least one kind, none twice.
    pub on: Vec<EventKind>,
    /// Which of them qualify; absent: all.
    pub condition: Option<Condition>,
    /// How they become progress.
    pub measure: Measure,
    /// The progress at which the stage is reached; above zero.
    pub target: Money,
}

/// A name of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Of DOMAIN §2.
    Known(EventName),
    /// Any other.
    Custom(Arc<str>),
}

impl EventKind {
    /// The kind of events called `name`.
    pub fn of(name: &str) -> Self {
        match EventName::of(name) {
            EventName::Custom => EventKind::Custom(name.into()),
            known => EventKind::Known(known),
        }
    }

    /// `event` is of this kind.
    pub fn includes(&self, event: &Event<'_>) -> bool {
        match self {
            EventKind::Known(name) => event.name == *name,
            // A booked chargeback is asked for by the name that it has where it is not.
            EventKind::Custom(name) => {
                matches!(event.name, EventName::Custom | EventName::Chargeback) && event.event_name() == &**name
            }
        }
    }
}

impl Stage {
    /// The event qualifies: it is of a kind in `on`, and the condition is true for it.
    pub fn accepts(&self, event: &Event<'_>) -> bool {
        self.looks_at(event) && self.condition.as_ref().is_none_or(|condition| condition.matches(event))
    }

    /// The event resets the stage's run: it is of a kind in `on`, but does not qualify.
    pub fn breaks_run(&self, event: &Event<'_>) -> bool {
        self.measure == Measure::Run && self.looks_at(event) && !self.accepts(event)
    }

    /// The event is of a kind in `on`. A win of 0 closes a round but is no win (DOMAIN §5), so it neither
    /// qualifies nor breaks a run.
    fn looks_at(&self, event: &Event<'_>) -> bool {
        let is_empty_win = event.name == EventName::Win && event.amount().is_some_and(Money::is_zero);
        !is_empty_win && self.on.iter().any(|kind| kind.includes(event))
    }
}
