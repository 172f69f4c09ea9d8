//! The entities of an operator's feed: transactions that are no play, and customers.
//!
//! - A row is the whole of what its key says, and is sent again when that changes: in an epoch once at most.
//! - What breaks a limit is reviewed: an optional field is left out of its row, a required one leaves out the row.
//! - What a row says is a function of the player's accepted events alone, never of the order in which they came.

mod customers;
mod transactions;

use std::sync::Arc;

use datasets::condition::Attribute;
use datasets::rows::{Entity, FEED_DIGITS, FEED_LETTERS, ReviewReason, ReviewRow};
use datasets::{Event, Money, Timestamp};

pub(crate) use customers::Customer;
pub(crate) use transactions::transaction_sheet;

/// Fields of customers that events tell. Their places are bytes of the state format: never renumber, a new one comes last.
pub const CUSTOMER_FIELDS: [&str; 10] = [
    "affiliate_id",
    "campaign_id",
    "click_id",
    "lang_id",
    "country_code",
    "kyc_status_id",
    "sales_status_id",
    "first_name",
    "last_name",
    "email",
];

/// Fields of [`CUSTOMER_FIELDS`] that say who somebody is: read only where they are allowed.
pub const PERSONAL_FIELDS: [&str; 3] = ["first_name", "last_name", "email"];

/// Settings of `[entities]`.
#[derive(Clone, Debug)]
pub struct EntityRules {
    /// Names of the sources, by [`SourceId`](datasets::SourceId).
    pub sources: Vec<Arc<str>>,
    /// Where events keep what transactions have beside the canonical fields.
    pub transactions: TransactionRules,
    /// Where events keep what customers have.
    pub customers: CustomerRules,
}

/// Settings of `[entities.transactions]`. Which events are transactions is [`LedgerRules::whole`](crate::ledger::LedgerRules::whole).
#[derive(Clone, Debug)]
pub struct TransactionRules {
    /// `transaction_subtype`.
    pub subtype: Attribute,
    /// `note`.
    pub note: Attribute,
    /// `amount_usd`.
    pub amount_usd: Attribute,
}

/// Settings of `[entities.customers]`.
#[derive(Clone, Debug)]
pub struct CustomerRules {
    /// Events that tell of customers, by name.
    pub events: Vec<String>,
    /// The fields that are read, by their places in [`CUSTOMER_FIELDS`].
    pub fields: Vec<(u8, Attribute)>,
}

impl CustomerRules {
    /// `event` tells of its player.
    pub(crate) fn tells(&self, event: &Event<'_>) -> bool {
        self.events.iter().any(|name| name == event.event_name())
    }
}

/// A row, or why there is none, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sheet<R> {
    row: Option<R>,
    reviews: Vec<ReviewRow>,
}

impl<R: PartialEq> Sheet<R> {
    /// Tells what was otherwise `before`, or was not: what stands is not told again.
    pub(crate) fn tell(self, before: Option<&Self>, (rows, reviews): (&mut Vec<R>, &mut Vec<ReviewRow>)) {
        if before.is_none_or(|before| before.row != self.row) {
            rows.extend(self.row);
        }
        let is_new = |review: &ReviewRow| before.is_none_or(|before| !before.reviews.contains(review));
        reviews.extend(self.reviews.into_iter().filter(is_new));
    }
}

/// What is wrong with one row.
struct Reviews<'a> {
    entity: Entity,
    key: &'a str,
    customer_id: &'a str,
    now: Timestamp,
    found: Vec<ReviewRow>,
}

impl<'a> Reviews<'a> {
    fn new(entity: Entity, (key, customer_id): (&'a str, &'a str), now: Timestamp) -> Self {
        Reviews { entity, key, customer_id, now, found: Vec::new() }
    }

    fn add(&mut self, field: &str, reason: ReviewReason, withheld: bool, detail: String) {
        self.found.push(ReviewRow {
            entity: self.entity,
            key: self.key.to_owned(),
            field: field.to_owned(),
            reason,
            detail,
            withheld,
            customer_id: self.customer_id.to_owned(),
            date: None,
            game_type: None,
            currency: None,
            updated_at: self.now,
        });
    }

    /// The row cannot be sent without it.
    fn withhold(&mut self, field: &str, reason: ReviewReason, detail: impl Into<String>) {
        self.add(field, reason, true, detail.into());
    }

    /// The row is sent without it.
    fn leave_out(&mut self, field: &str, reason: ReviewReason, detail: impl Into<String>) {
        self.add(field, reason, false, detail.into());
    }

    fn is_withheld(&self) -> bool {
        self.found.iter().any(|review| review.withheld)
    }

    /// An optional text.
    fn short(&mut self, field: &str, value: Option<String>) -> Option<String> {
        let value = value.filter(|value| !value.is_empty())?;
        if is_short(&value) {
            return Some(value);
        }
        self.leave_out(field, ReviewReason::TooLong, TOO_LONG);
        None
    }
}

/// The text is not repeated: it may be long, and it may say who somebody is.
const TOO_LONG: &str = "it has more than 500 characters";

fn is_short(text: &str) -> bool {
    // No text has more characters than bytes.
    text.len() <= FEED_LETTERS || text.chars().count() <= FEED_LETTERS
}

/// What is wrong with the digits of an amount.
fn too_precise(amount: Money) -> Option<String> {
    let digits = amount.significant_digits();
    let is_too_precise = digits > FEED_DIGITS;
    is_too_precise.then(|| format!("{amount} has {digits} significant digits, and the feed takes {FEED_DIGITS}"))
}

#[cfg(test)]
mod tests;
