//! The events behind a key that differs.

use std::collections::{BTreeMap, BTreeSet};

use datasets::{Epoch, Timestamp};
use serde::Serialize;
use sinks::cut::Table;
use sinks::lake::LakeReader;

use super::KeyDifference;
use crate::config::{Attribution, Config};
use crate::history::cell::{Row, each_row, shown};

/// Events that are named of a key.
const NAMED: usize = 20;

/// An event of a key, as history has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EventBehind {
    /// When it happened.
    pub event_time: Timestamp,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i64,
    /// Offset.
    pub offset: i64,
    /// Place in the envelope.
    pub index: i64,
    /// Name.
    pub event_name: String,
    /// The player.
    pub player_id: String,
    /// Its id.
    pub transaction_id: String,
    /// What it names.
    pub reference_id: Option<String>,
    /// The amount, with the currency.
    pub amount: String,
    /// What became of it, if it did not simply count.
    pub disposition: Option<String>,
}

/// A record's place.
type Place = (String, i64, i64, i64);

/// Finds the bets, wins, settlements, chargebacks and reversals behind `differing`, in the history of epochs below `upper`: of the
/// key's day, and of any day where the stake's is another one.
pub(super) fn find(
    config: &Config,
    lake: &LakeReader,
    upper: Epoch,
    differing: &mut [KeyDifference],
) -> Result<(), String> {
    if differing.is_empty() {
        return Ok(());
    }
    let zone = config.activity.zone.time_zone();
    let is_own_day = config.activity.attribution == Attribution::Transaction;
    let booking = config.sources.iter().filter(|source| source.mapping.books_chargebacks());
    let booking: BTreeSet<&str> = booking.map(|source| source.name.as_str()).collect();
    let mut found: Vec<BTreeSet<EventBehind>> = differing.iter().map(|_| BTreeSet::new()).collect();
    let mut named: Vec<BTreeSet<(String, String)>> = differing.iter().map(|_| BTreeSet::new()).collect();
    each_row(
        lake,
        Table::Events,
        |object| object.cut.first < upper,
        |row| {
            let Some(time) = row.time("event_time").filter(|_| row.epoch().is_some_and(|epoch| epoch < upper)) else {
                return;
            };
            for ((difference, found), named) in differing.iter().zip(&mut found).zip(&mut named) {
                if is_behind(difference, row, &booking) && (!is_own_day || time.date(zone) == difference.date) {
                    named.insert((row.text("player_id").to_owned(), row.text("transaction_id").to_owned()));
                    found.insert(event(row, time));
                }
            }
        },
    )?;
    // What was taken back is told by who took it back.
    each_row(
        lake,
        Table::Events,
        |object| object.cut.first < upper,
        |row| {
            let Some(time) = row.time("event_time").filter(|_| row.text("event_name") == "reversal") else { return };
            let names = (row.text("player_id").to_owned(), row.text("reference_id").to_owned());
            for (found, _) in found.iter_mut().zip(&named).filter(|(_, named)| named.contains(&names)) {
                found.insert(event(row, time));
            }
        },
    )?;
    let places: BTreeSet<Place> = found.iter().flatten().map(EventBehind::place).collect();
    let mut dispositions: BTreeMap<Place, String> = BTreeMap::new();
    each_row(
        lake,
        Table::Dispositions,
        |_| true,
        |row| {
            let place = place(row);
            if places.contains(&place) {
                let became = dispositions.entry(place).or_default();
                let separator = if became.is_empty() { "" } else { ", " };
                became.push_str(&format!("{separator}{}", row.text("disposition")));
            }
        },
    )?;
    for (difference, found) in differing.iter_mut().zip(found) {
        difference.events_in_all = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let events = found.into_iter().take(NAMED).map(|event| {
            let disposition = dispositions.get(&event.place()).cloned();
            EventBehind { disposition, ..event }
        });
        difference.events = events.collect();
    }
    Ok(())
}

/// The event of `row` may be booked to the key. A chargeback is, if it is of a source that is `booking` them.
fn is_behind(difference: &KeyDifference, row: Row<'_>, booking: &BTreeSet<&str>) -> bool {
    let KeyDifference { customer_id, game_type, currency, .. } = difference;
    // A chargeback without one is booked to `unknown`.
    let own_game_type = Some(row.text("game_type")).filter(|own| !own.is_empty()).unwrap_or("unknown");
    let is_booked = match row.text("event_name") {
        "bet_placed" | "win" | "bet_settled" => true,
        "chargeback" => booking.contains(row.text("source")),
        _ => false,
    };
    is_booked
        && own_game_type == game_type
        && row.text("currency") == currency
        && customer_id.as_ref().is_none_or(|customer| row.text("player_id") == customer)
}

fn place(row: Row<'_>) -> Place {
    let int = |column: &str| row.int(column).unwrap_or_default();
    (row.text("topic").to_owned(), int("partition"), int("offset"), int("record_index"))
}

impl EventBehind {
    fn place(&self) -> Place {
        (self.topic.clone(), self.partition, self.offset, self.index)
    }
}

fn event(row: Row<'_>, event_time: Timestamp) -> EventBehind {
    let (topic, partition, offset, index) = place(row);
    let text = |column: &str| row.text(column).to_owned();
    let amount = row
        .cell("amount")
        .map_or_else(String::new, |amount| format!("{} {}", shown(Some(amount)), row.text("currency")));
    EventBehind {
        event_time,
        topic,
        partition,
        offset,
        index,
        event_name: text("event_name"),
        player_id: text("player_id"),
        transaction_id: text("transaction_id"),
        reference_id: Some(text("reference_id")).filter(|id| !id.is_empty()),
        amount,
        disposition: None,
    }
}
