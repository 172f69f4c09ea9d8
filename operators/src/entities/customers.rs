//! What is known of a customer: of each field the newest that was told.

use datasets::iso::{is_country, is_language};
use datasets::rows::{CustomerRow, Entity, FEED_LETTERS, ReviewReason};
use datasets::{Event, EventName, TextField, Timestamp};
use serde::{Deserialize, Serialize};

use super::{CUSTOMER_FIELDS, CustomerRules, Reviews, Sheet, TOO_LONG, is_short};
use crate::ledger::Order;

/// What events have told of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Customer {
    /// Event time of the first registration.
    signup: Option<Timestamp>,
    /// Event time of the newest event.
    modified: Option<Timestamp>,
    /// Those that were told, by place in [`CUSTOMER_FIELDS`].
    fields: Vec<Told>,
}

/// A field's newest value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    field: u8,
    order: Order,
    value: Box<str>,
}

impl Customer {
    /// Takes an event that tells of the customer. Events may come in any order: what is known depends on their set alone.
    pub(crate) fn take(&mut self, event: &Event<'_>, rules: &CustomerRules) {
        let order = (event.event_time, event.at);
        if event.name == EventName::Registration {
            self.signup = Some(self.signup.map_or(order.0, |known| known.min(order.0)));
        }
        self.modified = self.modified.max(Some(order.0));
        for (field, attribute) in &rules.fields {
            let of_kyc = || event.text(TextField::Status).filter(|_| is_kyc(*field, event)).map(Into::into);
            if let Some(value) = attribute.text(event).or_else(of_kyc).filter(|value| !value.is_empty()) {
                self.tell(*field, order, &value);
            }
        }
    }

    fn tell(&mut self, field: u8, order: Order, value: &str) {
        // One letter more than may be: that there are too many is all that is said of it.
        let value = value.char_indices().nth(FEED_LETTERS + 1).map_or(value, |(end, _)| &value[..end]);
        let told = Told { field, order, value: value.into() };
        match self.fields.binary_search_by_key(&field, |told| told.field) {
            Ok(place) if self.fields[place].order < order => self.fields[place] = told,
            Ok(_) => {}
            Err(place) => self.fields.insert(place, told),
        }
    }

    /// The row of the customer `id` as it is now.
    pub(crate) fn sheet(&self, id: &str, now: Timestamp) -> Sheet<CustomerRow> {
        let mut reviews = Reviews::new(Entity::Customers, (id, id), now);
        let affiliate_id = self.value("affiliate_id").filter(|affiliate| {
            let is_short = is_short(affiliate);
            if !is_short {
                reviews.withhold("affiliate_id", ReviewReason::TooLong, TOO_LONG);
            }
            is_short
        });
        if self.value("affiliate_id").is_none() {
            reviews.withhold("affiliate_id", ReviewReason::MissingField, "no event has told it");
        }
        if self.signup.is_none() {
            reviews.withhold("signup_date", ReviewReason::MissingField, "there was no registration");
        }
        let mut text = |field: &str| reviews.short(field, self.value(field).map(str::to_owned));
        let [campaign_id, click_id, kyc_status_id, sales_status_id] =
            ["campaign_id", "click_id", "kyc_status_id", "sales_status_id"].map(&mut text);
        let [first_name, last_name, email] = ["first_name", "last_name", "email"].map(&mut text);
        let lang_id = self.value("lang_id").map(str::to_ascii_lowercase).filter(|code| {
            let is_known = is_language(code);
            if !is_known {
                reviews.leave_out("lang_id", ReviewReason::UnknownLanguage, no_code(code, "639-1"));
            }
            is_known
        });
        let country_code = self.value("country_code").map(str::to_ascii_uppercase).filter(|code| {
            let is_known = is_country(code);
            if !is_known {
                reviews.leave_out("country_code", ReviewReason::UnknownCountry, no_code(code, "3166-1 alpha-2"));
            }
            is_known
        });
        let required = self.signup.zip(self.modified).zip(affiliate_id);
        let row = required.map(|((signup_date, last_modified_date), affiliate_id)| CustomerRow {
            customer_id: id.to_owned(),
            signup_date,
            affiliate_id: affiliate_id.to_owned(),
            last_modified_date,
            campaign_id,
            click_id,
            lang_id,
            country_code,
            kyc_status_id,
            sales_status_id,
            first_name,
            last_name,
            email,
            updated_at: now,
        });
        Sheet { row, reviews: reviews.found }
    }

    fn value(&self, field: &str) -> Option<&str> {
        let told = self.fields.iter().find(|told| CUSTOMER_FIELDS.get(usize::from(told.field)) == Some(&field));
        told.map(|told| &*told.value)
    }
}

/// The status of a `kyc` event is the field, where nothing else tells it.
fn is_kyc(field: u8, event: &Event<'_>) -> bool {
    event.name == EventName::Kyc && CUSTOMER_FIELDS.get(usize::from(field)) == Some(&"kyc_status_id")
}

/// What is no code can be anything, of any length.
fn no_code(value: &str, standard: &str) -> String {
    let shown: String = value.chars().take(20).collect();
    format!("{shown:?} is no code of ISO {standard}")
}
