//! Rows of transactions (DOMAIN §2, "Identity", says which status and which time are theirs).

use datasets::currency::is_iso;
use datasets::rows::{Entity, ReviewReason, TransactionRow, TransactionType, key_of};
use datasets::{Event, EventName, Money, TextField, Timestamp};

use super::{EntityRules, Reviews, Sheet, TOO_LONG, is_short, too_precise};
use crate::ledger::Whole;

/// Decimal places that an amount of a transaction may have.
const PLACES: u32 = 2;

/// The status of what was sent without one: it counts at once.
const WITHOUT_STATUS: &str = "completed";

/// The status while a reversal stands.
const REVERSED: &str = "reversed";

/// The row of a transaction, or why there is none.
pub(crate) fn transaction_sheet(whole: Whole<'_>, rules: &EntityRules, now: Timestamp) -> Sheet<TransactionRow> {
    let Whole { event, time, is_reversed, is_first } = whole;
    let status = if is_reversed { REVERSED } else { event.text(TextField::Status).unwrap_or(WITHOUT_STATUS) };
    let source = rules.sources.get(usize::from(event.source.0)).map_or("", |name| &**name);
    let transaction_id = key_of([source, event.event_name(), event.player_id(), event.transaction_id()]);
    let mut reviews = Reviews::new(Entity::Transactions, (&transaction_id, event.player_id()), now);
    if !is_first {
        // The row is that of the first one, and stays.
        let detail = format!("an earlier transaction has this id: this one, {status} on {time}, is not sent");
        reviews.leave_out("transaction_id", ReviewReason::DuplicateId, detail);
        return Sheet { row: None, reviews: reviews.found };
    }
    if !is_short(&transaction_id) {
        reviews.withhold("transaction_id", ReviewReason::TooLong, TOO_LONG);
    }
    let amount = required_amount(&event, &mut reviews);
    if !is_iso(event.currency()) {
        let detail = format!("{:?} is no code of ISO 4217", event.currency());
        reviews.withhold("currency", ReviewReason::UnknownCurrency, detail);
    }
    let transaction_type = type_of(&event);
    let subtype = rules.transactions.subtype.text(&event).map(|text| text.into_owned());
    let of_its_own = (transaction_type == TransactionType::Other).then(|| event.event_name().to_owned());
    let transaction_subtype = reviews.short("transaction_subtype", subtype.or(of_its_own));
    let note = reviews.short("note", rules.transactions.note.text(&event).map(|text| text.into_owned()));
    let amount_usd = amount_usd(&event, rules, &mut reviews);
    let amount = amount.filter(|_| !reviews.is_withheld());
    let reviews = reviews.found;
    let row = amount.map(|amount_currency| TransactionRow {
        transaction_id: transaction_id.clone(),
        customer_id: event.player_id().to_owned(),
        transaction_type,
        transaction_subtype,
        amount_currency,
        currency: event.currency().to_owned(),
        amount_usd,
        transaction_date: time,
        status: status.to_owned(),
        note,
        source: source.to_owned(),
        source_transaction_id: event.transaction_id().to_owned(),
        updated_at: now,
    });
    Sheet { row, reviews }
}

fn type_of(event: &Event<'_>) -> TransactionType {
    match event.name {
        EventName::Deposit => TransactionType::Deposit,
        EventName::Withdrawal => TransactionType::Withdrawal,
        EventName::BonusGranted => TransactionType::Bonus,
        EventName::Adjustment => TransactionType::Adjustment,
        _ => TransactionType::Other,
    }
}

fn required_amount(event: &Event<'_>, reviews: &mut Reviews<'_>) -> Option<Money> {
    const FIELD: &str = "amount_currency";
    let Some(amount) = event.amount() else {
        reviews.withhold(FIELD, ReviewReason::MissingField, "the event has no amount");
        return None;
    };
    if let Some(detail) = too_precise(amount) {
        reviews.withhold(FIELD, ReviewReason::PrecisionExceeded, detail);
    } else if amount.decimal_places() > PLACES {
        let detail = format!("{amount} has {} decimal places, and the feed takes {PLACES}", amount.decimal_places());
        reviews.withhold(FIELD, ReviewReason::DecimalsExceeded, detail);
    }
    Some(amount)
}

/// What the payload says, else the amount itself if it is in USD. No rate converts: which one is known depends on what has arrived.
fn amount_usd(event: &Event<'_>, rules: &EntityRules, reviews: &mut Reviews<'_>) -> Option<Money> {
    const FIELD: &str = "amount_usd";
    let attribute = &rules.transactions.amount_usd;
    if !attribute.is_present(event) {
        return event.amount().filter(|_| event.currency() == "USD");
    }
    let Some(amount) = attribute.amount(event) else {
        reviews.leave_out(FIELD, ReviewReason::WrongType, "it is no amount");
        return None;
    };
    if let Some(detail) = too_precise(amount) {
        reviews.leave_out(FIELD, ReviewReason::PrecisionExceeded, detail);
        return None;
    }
    Some(amount)
}
