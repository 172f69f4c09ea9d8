//! Rows of an operator's feed, recomputed from the list of accepted inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::condition::Attribute;
use datasets::rows::{CustomerRow, EntityRows, ReviewReason, TransactionRow, TransactionType};
use datasets::{Money, Timestamp};

use super::script::{random_input, random_script_of};
use super::{Input, LedgerOracle, Rng, rules};
use crate::entities::{CUSTOMER_FIELDS, CustomerRules, EntityRules, PERSONAL_FIELDS, TransactionRules};
use crate::ledger::LedgerRules;
use crate::players::Rules;

/// Events that are transactions; `jackpot` is none of the known ones.
pub(crate) const WHOLE: [&str; 5] = ["deposit", "withdrawal", "bonus_granted", "adjustment", "jackpot"];

/// Payloads with what they tell of a customer.
const TOLD: [(&str, &[(&str, &str)]); 7] = [
    ("{}", &[]),
    (r#"{"affiliate_id":"a1","lang_id":"EN"}"#, &[("affiliate_id", "a1"), ("lang_id", "EN")]),
    (r#"{"affiliate_id":7,"country_code":"mt"}"#, &[("affiliate_id", "7"), ("country_code", "mt")]),
    (r#"{"country_code":"XX","click_id":"c"}"#, &[("country_code", "XX"), ("click_id", "c")]),
    (r#"{"lang_id":"english","campaign_id":""}"#, &[("lang_id", "english")]),
    (r#"{"email":"somebody@example.com","sales_status_id":"s"}"#, &[("sales_status_id", "s")]),
    (r#"{"kyc_status_id":"9","campaign_id":null}"#, &[("kyc_status_id", "9")]),
];

/// Settings with everything but what says who somebody is.
pub(crate) fn entity_rules(ledger: LedgerRules) -> Rules {
    let attribute = |name: &str| Attribute::of_path(name).unwrap();
    let fields = (0..).zip(CUSTOMER_FIELDS).filter(|(_, name)| !PERSONAL_FIELDS.contains(name));
    let entities = EntityRules {
        sources: vec!["s".into()],
        transactions: TransactionRules {
            subtype: attribute("subtype"),
            note: attribute("note"),
            amount_usd: attribute("amount_usd"),
        },
        customers: CustomerRules {
            events: vec!["registration".to_owned(), "kyc".to_owned()],
            fields: fields.map(|(place, name)| (place, attribute(name))).collect(),
        },
    };
    let ledger = LedgerRules { whole: WHOLE.map(str::to_owned).to_vec(), ..ledger };
    Rules { ledger, entities: Some(Arc::new(entities)), ..rules() }
}

/// A month with transactions of every type, of which some break a limit, and with customers.
pub(crate) fn random_script_with_entities(rng: &mut Rng, len: usize) -> Vec<Input> {
    random_script_of(rng, len, |rng, script, hours| {
        let occurred = hours - rng.pick(&[0, 0, 1, 6, 60]);
        let id = format!("t{}", rng.below(9));
        let amount = rng.pick(&["0", "2.50", "10", "9999999999999.99", "10000000000000.01", "1.005"]);
        let input = match rng.below(12) {
            0 => Input::new("bonus_granted", &id, occurred, amount),
            1 => Input::new("adjustment", &id, occurred, rng.pick(&["-3", "4", "-0.001"])),
            2 => Input::new("jackpot", &id, occurred, rng.pick(&["", "5", "7.5"])),
            3 => Input::reversal(&format!("r{}", rng.below(12)), &id, rng.pick(&["bonus", "adjustment"]), occurred),
            4 => Input::new("registration", &format!("g{}", rng.below(6)), occurred, ""),
            5 => Input::new("kyc", &format!("k{}", rng.below(6)), occurred, "").status(rng.pick(&["open", "done"])),
            6 => Input::new("deposit", &id, occurred, amount).status(rng.pick(&["requested", "approved"])),
            _ => return random_input(rng, script, hours),
        };
        let payload = rng.pick(&TOLD).0;
        let currency = rng.pick(&["EUR", "USD", "XBT"]);
        Input { player: rng.pick(&super::script::PLAYERS), payload, currency, ..input }
    })
}

/// What stands in the feed, by what was put out so far.
#[derive(Default)]
pub(crate) struct Feed {
    pub transactions: BTreeMap<String, TransactionRow>,
    pub customers: BTreeMap<String, CustomerRow>,
    /// How often which reason was told.
    pub reviews: BTreeMap<ReviewReason, usize>,
}

impl Feed {
    /// Takes what an epoch has put out: nothing is sent again that stands already.
    pub(crate) fn take(&mut self, rows: EntityRows) {
        let EntityRows { transactions, customers, reviews, .. } = rows;
        for review in reviews {
            *self.reviews.entry(review.reason).or_default() += 1;
            if review.withheld {
                self.transactions.remove(&review.key);
                self.customers.remove(&review.key);
            }
        }
        let updated_at = Timestamp::default();
        for row in transactions.into_iter().map(|row| TransactionRow { updated_at, ..row }) {
            let before = self.transactions.insert(row.transaction_id.clone(), row.clone());
            assert_ne!(before, Some(row), "it is sent when it changes");
        }
        for row in customers.into_iter().map(|row| CustomerRow { updated_at, ..row }) {
            let before = self.customers.insert(row.customer_id.clone(), row.clone());
            assert_ne!(before, Some(row), "it is sent when it changes");
        }
    }
}

impl LedgerOracle {
    /// Rows of transactions as they stand.
    pub(crate) fn transaction_rows(&self) -> BTreeMap<String, TransactionRow> {
        let reversed = self.reversed(&|_| true);
        let is_first = |index: usize| {
            let key = self.transactions[index][0].key();
            self.transactions[..index].iter().all(|earlier| earlier[0].key() != key)
        };
        let all = self.transactions.iter().enumerate();
        let whole = all.filter(|(index, versions)| WHOLE.contains(&versions[0].name) && is_first(*index));
        let rows = whole.filter_map(|(index, versions)| self.transaction_row(versions, reversed.contains(&index)));
        rows.map(|row| (row.transaction_id.clone(), row)).collect()
    }

    fn transaction_row(&self, versions: &[Input], is_reversed: bool) -> Option<TransactionRow> {
        let last = versions.iter().max_by_key(|version| version.order()).unwrap();
        let amount: Money = last.amount?;
        let text = amount.to_string();
        let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap();
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}").trim_matches('0').len();
        if digits > 15 || fraction.len() > 2 || !["EUR", "USD"].contains(&last.currency) {
            return None;
        }
        let transaction_type = match last.name {
            "deposit" => TransactionType::Deposit,
            "withdrawal" => TransactionType::Withdrawal,
            "bonus_granted" => TransactionType::Bonus,
            "adjustment" => TransactionType::Adjustment,
            _ => TransactionType::Other,
        };
        Some(TransactionRow {
            transaction_id: format!("s|{}|{}|{}", last.name, last.player, last.id),
            customer_id: last.player.to_owned(),
            transaction_type,
            transaction_subtype: (last.name == "jackpot").then(|| "jackpot".to_owned()),
            amount_currency: amount,
            currency: last.currency.to_owned(),
            amount_usd: (last.currency == "USD").then_some(amount),
            transaction_date: self.fact(versions.iter().collect()).map_or(last.event_time, |fact| fact.time),
            status: if is_reversed { "reversed" } else { last.status.unwrap_or("completed") }.to_owned(),
            note: None,
            source: "s".to_owned(),
            source_transaction_id: last.id.clone(),
            updated_at: Timestamp::default(),
        })
    }

    /// Rows of customers as they stand.
    pub(crate) fn customer_rows(&self) -> BTreeMap<String, CustomerRow> {
        let rows = super::script::PLAYERS.iter().filter_map(|player| self.customer_row(player));
        rows.map(|row| (row.customer_id.clone(), row)).collect()
    }

    fn customer_row(&self, player: &str) -> Option<CustomerRow> {
        let told = self.transactions.iter().flatten().filter(|one| one.player == player);
        let mut told: Vec<&Input> = told.filter(|one| ["registration", "kyc"].contains(&one.name)).collect();
        told.sort_by_key(|one| one.order());
        let value = |field: &str| {
            let of = |one: &&Input| {
                let (_, fields) = TOLD.iter().find(|(payload, _)| *payload == one.payload).unwrap();
                let written = fields.iter().find(|(name, _)| *name == field).map(|(_, value)| (*value).to_owned());
                let is_kyc = field == "kyc_status_id" && one.name == "kyc";
                written.or_else(|| one.status.filter(|_| is_kyc).map(str::to_owned))
            };
            told.iter().rev().find_map(of)
        };
        Some(CustomerRow {
            customer_id: player.to_owned(),
            signup_date: told.iter().find(|one| one.name == "registration")?.event_time,
            affiliate_id: value("affiliate_id")?,
            last_modified_date: told.last()?.event_time,
            campaign_id: None,
            click_id: value("click_id"),
            lang_id: value("lang_id").filter(|code| code == "EN").map(|_| "en".to_owned()),
            country_code: value("country_code").filter(|code| code == "mt").map(|_| "MT".to_owned()),
            kyc_status_id: value("kyc_status_id"),
            sales_status_id: value("sales_status_id"),
            first_name: None,
            last_name: None,
            email: None,
            updated_at: Timestamp::default(),
        })
    }
}
