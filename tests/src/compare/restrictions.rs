//! Which of the recomputed messages leave, and which are on the topic of audit.

use std::collections::BTreeSet;

use serde_json::Value;

use super::history::Epochs;
use crate::oracle::number::{instant, show_instant};
use crate::oracle::{Control, Oracle};

/// Of the messages about one player, in their order: those that leave, and the records of those that do not. A message is
/// judged when its epoch closes, by everything that was read until then.
pub(super) fn judged(
    player: &str,
    messages: Vec<Value>,
    oracle: &Oracle<'_>,
    epochs: &Epochs,
) -> (Vec<Value>, Vec<Value>) {
    let (mut leaves, mut audit) = (Vec::new(), Vec::new());
    let mut silent: BTreeSet<(String, String)> = BTreeSet::new();
    for mut message in messages {
        let text = |name: &str| message[name].as_str().expect(name).to_owned();
        let occurrence = (text("mission_id"), text("window_start"));
        let place = |name: &str| message["trigger"][name].as_i64().expect(name);
        let epoch = epochs.of(i32::try_from(place("partition")).expect("a few"), place("offset"));
        let controls = oracle.controls(player).iter();
        let read: Vec<&Control<'_>> = controls.filter(|one| epochs.of(one.order.1, one.order.2) <= epoch).collect();
        let channels = message["channels"].as_array().expect("a list").iter();
        let channels: Vec<String> = channels.map(|channel| channel.as_str().expect("a text").to_owned()).collect();
        let now = instant(&text("emitted_at")).expect("an instant");
        match (text("type").as_str(), Control::judge(&read, &channels, now)) {
            ("mission_completed", Ok(open)) => {
                message["channels"] = open.into();
                leaves.push(message);
            }
            ("mission_completed", Err((reason, until))) => {
                message["type"] = "suppressed".into();
                message["reason"] = reason.into();
                message["until"] = until.map(show_instant).into();
                audit.push(message);
                silent.insert(occurrence);
            }
            (_, open) => {
                if !silent.remove(&occurrence) {
                    message["channels"] = open.unwrap_or_default().into();
                    leaves.push(message);
                }
            }
        }
    }
    (leaves, audit)
}
