//! Chargebacks, which were custom events before they were booked.

use datasets::{EventName, EventRow, SourceId};

use super::*;
use crate::testing::{at, rules};

/// A chargeback of 40 EUR, read as an event of this `name` at this offset.
fn chargeback(name: EventName, offset: i64, game_type: &str) -> EventBatch {
    let place = Coordinates { topic: datasets::TopicId(0), partition: 0, offset, index: 0 };
    let mut row = EventRow::new(place, SourceId(0), at(1), at(2));
    row.name = name;
    row.amount = Some(datasets::Money::from_units(40));
    let texts = [
        (TextField::EventName, "chargeback"),
        (TextField::PlayerId, "p"),
        (TextField::TransactionId, "c1"),
        (TextField::Currency, "EUR"),
        (TextField::Sport, "football"),
        (TextField::GameType, game_type),
    ];
    let mut batch = EventBatch::new(0, 0);
    batch.push(&row, texts.into_iter().filter(|(_, text)| !text.is_empty()), "{}");
    batch
}

fn admit(ledger: &mut Ledger, batch: &EventBatch) -> Admission {
    let event = batch.get(0);
    ledger.admit(&event, event.identity, &rules().ledger, &mut Markets::default())
}

#[test]
fn one_that_was_a_custom_event_is_a_duplicate_when_it_is_sent_again() {
    for (game_type, other) in [("", "slots"), ("slots", "table")] {
        let mut ledger = Ledger::default();
        let before = chargeback(EventName::Custom, 1, game_type);
        assert_eq!(admit(&mut ledger, &before), Admission::Accepted);
        assert_eq!(admit(&mut ledger, &chargeback(EventName::Chargeback, 2, game_type)), Admission::Duplicate);
        assert_eq!(admit(&mut ledger, &chargeback(EventName::Chargeback, 3, other)), Admission::Conflict);
        // What it was then, it stays: nothing is booked of it.
        let mut effects = Vec::new();
        ledger.apply(&before.get(0), before.get(0).identity, &rules().ledger, &mut effects);
        assert!(matches!(&effects[..], [Effect { booking: None, .. }]), "{effects:?}");
    }
}

#[test]
fn without_a_game_type_one_is_booked_to_unknown() {
    for (game_type, booked) in [("", "unknown"), ("slots", "slots")] {
        let mut ledger = Ledger::default();
        let batch = chargeback(EventName::Chargeback, 1, game_type);
        assert_eq!(admit(&mut ledger, &batch), Admission::Accepted);
        let mut effects = Vec::new();
        ledger.apply(&batch.get(0), batch.get(0).identity, &rules().ledger, &mut effects);
        let [Effect { booking: Some(booking), .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((booking.side, &*booking.market.game_type), (Side::Chargeback, booked));
    }
}
