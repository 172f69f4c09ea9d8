//! The tables of an operator's feed. That of gaming activity is `activity`, less what `reviews` says was left out.

use super::events::utc_day;
use super::outputs::epoch;
use super::{Column, Layout};
use crate::rows::EpochOutputs;

type Col = Column<EpochOutputs>;

/// Layout of `transactions`: every row that was sent of a transaction, partitioned by the UTC day of emission.
pub fn transactions() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("transaction_id", |out, row| Some(&out.entities.transactions[row].transaction_id)),
        Col::text("customer_id", |out, row| Some(&out.entities.transactions[row].customer_id)),
        Col::text("transaction_type", |out, row| Some(out.entities.transactions[row].transaction_type.as_str())),
        Col::text("transaction_subtype", |out, row| out.entities.transactions[row].transaction_subtype.as_deref()),
        Col::money("amount_currency", |out, row| Some(out.entities.transactions[row].amount_currency)).required(),
        Col::text("currency", |out, row| Some(&out.entities.transactions[row].currency)),
        Col::money("amount_usd", |out, row| out.entities.transactions[row].amount_usd),
        Col::time("transaction_date", |out, row| Some(out.entities.transactions[row].transaction_date)).required(),
        Col::text("status", |out, row| Some(&out.entities.transactions[row].status)),
        Col::text("note", |out, row| out.entities.transactions[row].note.as_deref()),
        Col::text("source", |out, row| Some(&out.entities.transactions[row].source)),
        Col::text("source_transaction_id", |out, row| Some(&out.entities.transactions[row].source_transaction_id)),
        Col::time("updated_at", |out, row| Some(out.entities.transactions[row].updated_at)).required(),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.entities.transactions[row].updated_at);
    Layout::new("transactions", "emitted_dt", |out| out.entities.transactions.len(), day, columns)
}

/// Layout of `customers`: every row that was sent of a customer, partitioned by the UTC day of emission.
pub fn customers() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("customer_id", |out, row| Some(&out.entities.customers[row].customer_id)),
        Col::time("signup_date", |out, row| Some(out.entities.customers[row].signup_date)).required(),
        Col::text("affiliate_id", |out, row| Some(&out.entities.customers[row].affiliate_id)),
        Col::time("last_modified_date", |out, row| Some(out.entities.customers[row].last_modified_date)).required(),
        Col::text("campaign_id", |out, row| out.entities.customers[row].campaign_id.as_deref()),
        Col::text("click_id", |out, row| out.entities.customers[row].click_id.as_deref()),
        Col::text("lang_id", |out, row| out.entities.customers[row].lang_id.as_deref()),
        Col::text("country_code", |out, row| out.entities.customers[row].country_code.as_deref()),
        Col::text("kyc_status_id", |out, row| out.entities.customers[row].kyc_status_id.as_deref()),
        Col::text("sales_status_id", |out, row| out.entities.customers[row].sales_status_id.as_deref()),
        Col::text("first_name", |out, row| out.entities.customers[row].first_name.as_deref()),
        Col::text("last_name", |out, row| out.entities.customers[row].last_name.as_deref()),
        Col::text("email", |out, row| out.entities.customers[row].email.as_deref()),
        Col::time("updated_at", |out, row| Some(out.entities.customers[row].updated_at)).required(),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.entities.customers[row].updated_at);
    Layout::new("customers", "emitted_dt", |out| out.entities.customers.len(), day, columns)
}

/// Layout of `reviews`: what the feed left out, partitioned by the UTC day of emission.
pub fn reviews() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("entity", |out, row| Some(out.entities.reviews[row].entity.as_str())),
        Col::text("key", |out, row| Some(&out.entities.reviews[row].key)),
        Col::text("field", |out, row| Some(&out.entities.reviews[row].field)),
        Col::text("reason", |out, row| Some(out.entities.reviews[row].reason.as_str())),
        Col::text("detail", |out, row| Some(&out.entities.reviews[row].detail)),
        Col::bool("withheld", |out, row| Some(out.entities.reviews[row].withheld)).required(),
        Col::text("customer_id", |out, row| Some(&out.entities.reviews[row].customer_id)),
        Col::date("date", |out, row| out.entities.reviews[row].date),
        Col::text("game_type", |out, row| out.entities.reviews[row].game_type.as_deref()),
        Col::text("currency", |out, row| out.entities.reviews[row].currency.as_deref()),
        Col::time("updated_at", |out, row| Some(out.entities.reviews[row].updated_at)).required(),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.entities.reviews[row].updated_at);
    Layout::new("reviews", "emitted_dt", |out| out.entities.reviews.len(), day, columns)
}
