//! Output rows as messages: topics, keys, JSON, and dead letters that fit.

use datasets::rows::{DeadLetterRow, Entity};

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTopics {
    /// Completions, revocations, lines of points ledgers and changes of tiers, by player.
    pub completions: String,
    /// Completions that did not leave, by player.
    pub audit: String,
    /// Rows of daily activity, compacted by row.
    pub activity: String,
    /// Refused inputs, by player where known.
    pub dead_letters: String,
    /// The log of epochs: one partition, kept for ever.
    pub progress: String,
    /// Those of an operator's feed, where there is one.
    pub entities: Option<EntityTopics>,
}

/// Where the rows of an operator's feed go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTopics {
    /// Daily activity in 15 digits, compacted by row.
    pub gaming_activity: String,
    /// Transactions, compacted by `transaction_id`.
    pub transactions: String,
    /// Customers, compacted by `customer_id`.
    pub customers: String,
    /// What was left out, by player.
    pub reviews: String,
}

impl Default for EntityTopics {
    fn default() -> Self {
        EntityTopics {
            gaming_activity: "gaming-activity".into(),
            transactions: "transactions".into(),
            customers: "customers".into(),
            reviews: "reviews".into(),
        }
    }
}

impl EntityTopics {
    /// The compacted topic of an entity.
    pub fn of(&self, entity: Entity) -> &str {
        match entity {
            Entity::GamingActivity => &self.gaming_activity,
            Entity::Transactions => &self.transactions,
            Entity::Customers => &self.customers,
        }
    }
}

impl OutputTopics {
    /// The default names: one progress topic for each pipeline, the others shared.
    pub fn of(pipeline: &str) -> Self {
        OutputTopics {
            completions: "completions".into(),
            audit: "audit".into(),
            activity: "activity".into(),
            dead_letters: "dead-letters".into(),
            progress: format!("{pipeline}-progress"),
            entities: None,
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let Self { completions, audit, activity, dead_letters, progress, entities } = self;
        let of_entities = entities
            .iter()
            .flat_map(|topics| [&topics.gaming_activity, &topics.transactions, &topics.customers, &topics.reviews]);
        [completions, audit, activity, dead_letters, progress].into_iter().chain(of_entities).map(String::as_str)
    }

    /// It keeps the last message of each key.
    pub(super) fn is_compacted(&self, topic: &str) -> bool {
        let EntityTopics { gaming_activity, transactions, customers, .. } = match &self.entities {
            Some(topics) => topics,
            None => return topic == self.activity,
        };
        [&self.activity, gaming_activity, transactions, customers].into_iter().any(|compacted| compacted == topic)
    }
}

/// Replaces what `buffer` holds by `row` as JSON.
pub(super) fn write_json(buffer: &mut Vec<u8>, row: &impl serde::Serialize) {
    buffer.clear();
    serde_json::to_writer(buffer, row).expect("rows have text keys, and a buffer takes all bytes");
}

/// `row`, cut so that key and JSON together take at most `limit` bytes, and marked if it was.
/// The raw input gives way first, then what was read from it.
pub(super) fn fitting(row: &DeadLetterRow, limit: usize) -> Option<DeadLetterRow> {
    let size = |row: &DeadLetterRow| {
        let mut json = Vec::new();
        write_json(&mut json, row);
        json.len() + row.player_id.as_ref().map_or(0, String::len)
    };
    if size(row) <= limit {
        return None;
    }
    let mut cut = DeadLetterRow {
        raw: row.raw.as_ref().map(|_| String::new()),
        raw_base64: row.raw_base64.as_ref().map(|_| String::new()),
        detail: prefix(&row.detail, limit / 8).into(),
        // An id of this length is no player's: the record was refused for it.
        player_id: row.player_id.clone().filter(|player| player.len() <= limit / 8),
        truncated: true,
        ..row.clone()
    };
    // One byte less than there is: `true` is shorter than `false`, but what is marked was cut.
    let room = limit.saturating_sub(size(&cut) + 1);
    cut.raw = row.raw.as_ref().map(|raw| prefix(raw, room).into());
    // Base64 encodes three bytes in four letters: a prefix of whole groups still decodes.
    cut.raw_base64 = row.raw_base64.as_ref().map(|text| text[..text.len().min(room / 4 * 4)].into());
    Some(cut)
}

/// The longest prefix of `text` that takes at most `room` bytes as JSON.
fn prefix(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            _ => letter.len_utf8(),
        };
        if used > room {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datasets::rows::Place;
    use datasets::{Reason, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn dead_letter(raw: Option<String>) -> DeadLetterRow {
        DeadLetterRow {
            reason: Reason::NotJson,
            detail: "expected a value".into(),
            place: Place { topic: Arc::from("events"), partition: 3, offset: 17 },
            index: 0,
            ingest_time: Timestamp::from_millis(1),
            player_id: Some("p1".into()),
            raw,
            raw_base64: None,
            truncated: false,
        }
    }

    fn sent_size(row: &DeadLetterRow) -> usize {
        serde_json::to_vec(row).unwrap().len() + row.player_id.as_ref().map_or(0, String::len)
    }

    #[test]
    fn dead_letters_that_fit_stay_whole() {
        let row = dead_letter(Some("x".repeat(100)));
        assert_eq!(fitting(&row, sent_size(&row)), None);
        let cut = fitting(&row, sent_size(&row) - 1).unwrap();
        assert_eq!(cut.raw.as_deref(), Some("x".repeat(99).as_str()));
        assert!(cut.truncated);
    }

    #[test]
    fn every_long_text_gives_way() {
        let mut row = dead_letter(Some("\u{1}".repeat(5000)));
        row.detail = "é".repeat(5000);
        row.player_id = Some("p".repeat(5000));
        let cut = fitting(&row, 1000).unwrap();
        assert!(sent_size(&cut) <= 1000);
        assert_eq!(cut.player_id, None);
        assert!(!cut.raw.unwrap().is_empty());

        let mut row = dead_letter(None);
        row.raw_base64 = Some("QUJD".repeat(1000));
        let cut = fitting(&row, 1001).unwrap();
        assert_eq!(cut.raw_base64.unwrap().len() % 4, 0);
        assert_eq!(cut.raw, None);
    }

    proptest! {
        #[test]
        fn a_cut_dead_letter_fits_and_wastes_little(raw in ".{0,400}", limit in 300_usize..700) {
            let row = dead_letter(Some(raw.clone()));
            match fitting(&row, limit) {
                None => prop_assert!(sent_size(&row) <= limit),
                Some(cut) => {
                    let size = sent_size(&cut);
                    // One more letter takes up to six bytes.
                    prop_assert!(size <= limit && size + 7 > limit);
                    prop_assert!(raw.starts_with(&cut.raw.unwrap()));
                }
            }
        }
    }
}
