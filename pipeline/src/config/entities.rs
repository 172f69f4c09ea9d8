//! `[entities]`: what an operator's feed is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::SourceId;
use datasets::condition::Attribute;
use operators::entities::{CUSTOMER_FIELDS, CustomerRules, EntityRules, PERSONAL_FIELDS, TransactionRules};
use serde::Deserialize;

use super::path::KeyPath;
use super::settings::Config;

/// Events that are transactions by themselves.
const TRANSACTIONS: [&str; 4] = ["deposit", "withdrawal", "bonus_granted", "adjustment"];

/// Events that cannot be transactions: play is in gaming activity, and the others are no event of a player's own.
const NO_TRANSACTIONS: [&str; 5] = ["bet_placed", "bet_settled", "win", "reversal", "rate"];

/// `[entities]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntitiesConfig {
    /// Deposits, withdrawals, bonuses, adjustments and others.
    pub transactions: TransactionsConfig,
    /// What is known of customers.
    pub customers: CustomersConfig,
}

/// `[entities.transactions]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionsConfig {
    /// Further events that are transactions, of type `other`. Default none.
    pub other: Vec<String>,
    /// The payload's field of `transaction_subtype`. Default `transaction_subtype`.
    pub subtype: String,
    /// The payload's field of `note`. Default `note`.
    pub note: String,
    /// The payload's field of `amount_usd`. Default `amount_usd`.
    pub amount_usd: String,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        TransactionsConfig {
            other: Vec::new(),
            subtype: "transaction_subtype".to_owned(),
            note: "note".to_owned(),
            amount_usd: "amount_usd".to_owned(),
        }
    }
}

/// `[entities.customers]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomersConfig {
    /// Events that tell of customers. Default `registration`, `kyc`.
    pub events: Vec<String>,
    /// What says who somebody is, and may be in the feed: `first_name`, `last_name`, `email`. Default none.
    pub allow: Vec<String>,
    /// The payloads' fields, by the columns of the feed. Those that are not named have the columns' names.
    pub fields: BTreeMap<String, String>,
}

impl Default for CustomersConfig {
    fn default() -> Self {
        CustomersConfig {
            events: vec!["registration".to_owned(), "kyc".to_owned()],
            allow: Vec::new(),
            fields: BTreeMap::new(),
        }
    }
}

/// Where something is wrong, and what.
pub(super) type Mistake = (KeyPath, String);

impl EntitiesConfig {
    /// The events whose transactions are in the feed.
    pub fn transaction_events(&self) -> Vec<String> {
        TRANSACTIONS.map(str::to_owned).into_iter().chain(self.transactions.other.iter().cloned()).collect()
    }

    /// What the operators compute by.
    ///
    /// # Errors
    /// Paths that are none; the configuration's own check finds them before.
    pub fn rules(&self, sources: Vec<Arc<str>>) -> Result<EntityRules, String> {
        let TransactionsConfig { subtype, note, amount_usd, .. } = &self.transactions;
        let path = |text: &str| Attribute::of_path(text).ok_or_else(|| format!("{text:?} is no path"));
        let is_read =
            |name: &str| !PERSONAL_FIELDS.contains(&name) || self.customers.allow.iter().any(|one| one == name);
        let fields = (0..).zip(CUSTOMER_FIELDS).filter(|(_, name)| is_read(name));
        let fields = fields.map(|(place, name)| Ok((place, path(self.customers.field(name))?)));
        Ok(EntityRules {
            sources,
            transactions: TransactionRules {
                subtype: path(subtype)?,
                note: path(note)?,
                amount_usd: path(amount_usd)?,
            },
            customers: CustomerRules {
                events: self.customers.events.clone(),
                fields: fields.collect::<Result<_, String>>()?,
            },
        })
    }

    /// Everything that is wrong.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let TransactionsConfig { other, subtype, note, amount_usd } = &self.transactions;
        for (index, name) in other.iter().enumerate() {
            let why = match name.as_str() {
                "" => "an empty name is that of no event: remove it".to_owned(),
                known if TRANSACTIONS.contains(&known) => format!("{known:?} is a transaction anyway: remove it"),
                never if NO_TRANSACTIONS.contains(&never) => format!("{never:?} cannot be a transaction: remove it"),
                _ => continue,
            };
            mistakes.push((KeyPath::of("entities.transactions.other").index(index), why));
        }
        let CustomersConfig { events, allow, fields } = &self.customers;
        let of_transactions = [("subtype", subtype), ("note", note), ("amount_usd", amount_usd)];
        let of_transactions =
            of_transactions.map(|(name, path)| (KeyPath::of("entities.transactions").key(name), path));
        let field = |name: &str| KeyPath::of("entities.customers.fields").key(name);
        let of_customers = fields.iter().map(|(name, path)| (field(name), path));
        let bad_paths = of_transactions.into_iter().chain(of_customers);
        let bad_paths = bad_paths.filter(|(_, path)| Attribute::of_path(path).is_none());
        mistakes.extend(bad_paths.map(|(key, path)| {
            (key, format!("{path:?} is no path into the payload: write the names of its fields with dots between"))
        }));
        for name in fields.keys().filter(|name| !CUSTOMER_FIELDS.contains(&name.as_str())) {
            mistakes.push((field(name), format!("unknown field {name:?}: use {}", CUSTOMER_FIELDS.join(", "))));
        }
        if !events.iter().any(|name| name == "registration") {
            let why = "\"registration\" is missing: it tells signup_date, without which no customer is sent";
            mistakes.push((KeyPath::of("entities.customers.events"), why.to_owned()));
        }
        for (index, name) in allow.iter().enumerate().filter(|(_, name)| !PERSONAL_FIELDS.contains(&name.as_str())) {
            let why = format!("{name:?} needs no allowance, or is no field: use {}", PERSONAL_FIELDS.join(", "));
            mistakes.push((KeyPath::of("entities.customers.allow").index(index), why));
        }
        mistakes
    }
}

impl CustomersConfig {
    /// Where payloads keep a field.
    fn field<'a>(&'a self, name: &'a str) -> &'a str {
        self.fields.get(name).map_or(name, String::as_str)
    }
}

impl Config {
    /// Names of the sources, by their ids.
    pub fn source_names(&self) -> Vec<Arc<str>> {
        let mut sources: Vec<_> = self.source_ids().into_iter().zip(&self.sources).collect();
        sources.sort_by_key(|(id, _)| *id);
        sources.into_iter().map(|(_, source)| source.name.as_str().into()).collect()
    }

    /// The sources whose chargebacks are booked.
    pub fn sources_with_chargebacks(&self) -> Vec<SourceId> {
        let sources = self.source_ids().into_iter().zip(&self.sources);
        sources.filter(|(_, source)| source.mapping.books_chargebacks()).map(|(id, _)| id).collect()
    }
}
