//! Transactions that are no play, as an operator's feed has them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::number::{show_instant, show_units};
use super::record::{self, Order, Play, Sent};
use super::{Oracle, Verdict};

/// Events with their types.
const TYPES: [(&str, &str); 3] = [("deposit", "deposit"), ("withdrawal", "withdrawal"), ("bonus_granted", "bonus")];

impl Oracle<'_> {
    /// Each transaction as it stands, without the time at which that was told, by its id in the feed. The generator reverses none.
    pub fn transactions(&self, sent: &[Sent], currencies: &[String]) -> BTreeMap<String, Value> {
        let mut versions: BTreeMap<String, BTreeMap<Order, Value>> = BTreeMap::new();
        let accepted = sent.iter().zip(&self.verdicts).filter(|(_, verdict)| **verdict == Verdict::Accepted);
        for (record, _) in accepted {
            let Ok(play) = record::read(record, currencies) else { panic!("it was accepted") };
            if let Some((id, row)) = version(&play, &record.key) {
                versions.entry(id).or_default().insert(play.order, row);
            }
        }
        versions.into_iter().map(|(id, versions)| (id, standing(&versions))).collect()
    }
}

/// The id in the feed, and the row if this were the only version.
fn version(play: &Play<'_>, player: &str) -> Option<(String, Value)> {
    let (_, kind) = TYPES.iter().find(|(name, _)| *name == play.name)?;
    let id = format!("pam|{}|{player}|{}", play.name, play.transaction);
    let currency = play.fields.text("currency").unwrap_or("EUR");
    let amount = show_units(play.amount.expect("money"));
    let row = json!({
        "transaction_id": id,
        "customer_id": player,
        "transaction_type": kind,
        "transaction_subtype": null,
        "amount_currency": amount,
        "currency": currency,
        "amount_usd": (currency == "USD").then_some(amount.clone()),
        "transaction_date": show_instant(play.order.0),
        "status": play.fields.text("status").unwrap_or("completed"),
        "note": null,
        "source": "pam",
        "source_transaction_id": play.transaction,
    });
    Some((id, row))
}

/// The last version, at the time since which all counted.
fn standing(versions: &BTreeMap<Order, Value>) -> Value {
    let mut last = versions.values().next_back().expect("it was made for one").clone();
    let counts = |row: &&Value| row["status"] == "completed" || row["status"] == "approved";
    if let Some(first) = versions.values().rev().take_while(counts).last() {
        last["transaction_date"] = first["transaction_date"].clone();
    }
    last
}
