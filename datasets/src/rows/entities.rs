//! The entities of an operator's feed: gaming activity, transactions, customers, and what was left out of them.
//!
//! Every row is the whole of what its key says: the last one of a key replaces those before. In an epoch a key has one row at most.

use serde::{Deserialize, Serialize};

use super::ActivityRow;
use crate::time::Date;
use crate::{Money, Timestamp};

/// Significant digits that an amount of the feed may have: as many as every reader of it keeps (DOMAIN §5).
pub const FEED_DIGITS: u32 = 15;

/// Characters that a text of the feed may have.
pub const FEED_LETTERS: usize = 500;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named by the outputs")]
pub enum Entity {
    GamingActivity,
    Transactions,
    Customers,
}

impl Entity {
    /// The name in outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Entity::GamingActivity => "gaming_activity",
            Entity::Transactions => "transactions",
            Entity::Customers => "customers",
        }
    }
}

/// The kind of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named by what they are")]
pub enum TransactionType {
    Deposit,
    Withdrawal,
    Bonus,
    Adjustment,
    /// Events that the configuration names.
    Other,
}

impl TransactionType {
    /// The name in outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransactionType::Deposit => "deposit",
            TransactionType::Withdrawal => "withdrawal",
            TransactionType::Bonus => "bonus",
            TransactionType::Adjustment => "adjustment",
            TransactionType::Other => "other",
        }
    }
}

/// A row of daily activity as the feed has it: one of the topic `activity` whose amounts have no more than [`FEED_DIGITS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GamingActivityRow {
    /// Reporting day.
    pub date: Date,
    /// The player.
    pub customer_id: String,
    /// The kind of game.
    pub game_type: String,
    /// Never merged with another one.
    pub currency: String,
    /// Bets, those of amount 0 included.
    pub bets_count: i64,
    /// Stakes, by the configured basis.
    pub total_bets: Money,
    /// Wins and payouts, by the configured basis.
    pub wins: Money,
    /// `total_bets - wins`.
    pub ggr: Money,
    /// GGR after the configured waterfall.
    pub ngr: Money,
    /// That of the row of the topic `activity`: it counts revisions that were left out, too.
    pub revision: u64,
    /// The pipeline's clock when it left.
    pub updated_at: Timestamp,
}

/// A transaction that is no play, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// Unique in the feed: `source|event_name|customer_id|id`, see [`key_of`].
    pub transaction_id: String,
    /// The player.
    pub customer_id: String,
    /// The kind.
    pub transaction_type: TransactionType,
    /// What the payload says; of another event than the known ones else its name.
    pub transaction_subtype: Option<String>,
    /// As sent, at most two decimal places.
    pub amount_currency: Money,
    /// ISO 4217.
    pub currency: String,
    /// What the payload says, or the amount itself if it is in USD.
    pub amount_usd: Option<Money>,
    /// The event time since which it counts; while it does not count, that of its last status (DOMAIN §2, "Identity").
    pub transaction_date: Timestamp,
    /// The last status by (event time, coordinates); `completed` where none was sent; `reversed` while a reversal stands.
    pub status: String,
    /// What the payload says.
    pub note: Option<String>,
    /// The source that it came through.
    pub source: String,
    /// Its id as sent.
    pub source_transaction_id: String,
    /// The pipeline's clock when it left.
    pub updated_at: Timestamp,
}

/// What is known of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRow {
    /// The player.
    pub customer_id: String,
    /// Event time of the first `registration`.
    pub signup_date: Timestamp,
    /// Who brought the customer.
    pub affiliate_id: String,
    /// Event time of the newest event that told something.
    pub last_modified_date: Timestamp,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The click.
    pub click_id: Option<String>,
    /// ISO 639-1, in small letters.
    pub lang_id: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    pub country_code: Option<String>,
    /// How far the customer is known.
    pub kyc_status_id: Option<String>,
    /// Of the sales team.
    pub sales_status_id: Option<String>,
    /// Only where the configuration allows it, as the next two.
    pub first_name: Option<String>,
    /// See `first_name`.
    pub last_name: Option<String>,
    /// See `first_name`.
    pub email: Option<String>,
    /// The pipeline's clock when it left.
    pub updated_at: Timestamp,
}

/// Why something was left out of the feed. The names are a contract with those who read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// A required field is absent.
    MissingField,
    /// An amount of more than [`FEED_DIGITS`].
    PrecisionExceeded,
    /// An amount of more than two decimal places.
    DecimalsExceeded,
    /// A text of more than [`FEED_LETTERS`].
    TooLong,
    /// It is no amount.
    WrongType,
    /// Below zero, where nothing may be.
    NegativeAmount,
    /// Not ISO 4217.
    UnknownCurrency,
    /// Not ISO 3166-1 alpha-2.
    UnknownCountry,
    /// Not ISO 639-1.
    UnknownLanguage,
    /// An earlier transaction has the id already.
    DuplicateId,
}

impl ReviewReason {
    /// The name in outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReviewReason::MissingField => "missing_field",
            ReviewReason::PrecisionExceeded => "precision_exceeded",
            ReviewReason::DecimalsExceeded => "decimals_exceeded",
            ReviewReason::TooLong => "too_long",
            ReviewReason::WrongType => "wrong_type",
            ReviewReason::NegativeAmount => "negative_amount",
            ReviewReason::UnknownCurrency => "unknown_currency",
            ReviewReason::UnknownCountry => "unknown_country",
            ReviewReason::UnknownLanguage => "unknown_language",
            ReviewReason::DuplicateId => "duplicate_id",
        }
    }
}

/// Something that the feed left out: a field, or a whole row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReviewRow {
    /// Of which entity.
    pub entity: Entity,
    /// The key of the row that it is about, as its topic has it.
    pub key: String,
    /// The field that breaks a limit.
    pub field: String,
    /// Why.
    pub reason: ReviewReason,
    /// The same for people.
    pub detail: String,
    /// The whole row was left out, and an earlier one of the key is no longer in the feed. Else the row of the key stays: without the
    /// field, or as that of the first transaction of its id.
    pub withheld: bool,
    /// The player.
    pub customer_id: String,
    /// Of gaming activity: its day.
    pub date: Option<Date>,
    /// Of gaming activity: the kind of game.
    pub game_type: Option<String>,
    /// Of gaming activity: the currency.
    pub currency: Option<String>,
    /// The pipeline's clock when it left.
    pub updated_at: Timestamp,
}

/// What an epoch put out for the feed, each kind in order of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRows {
    /// By date, customer, game type and currency.
    pub gaming_activity: Vec<GamingActivityRow>,
    /// By `transaction_id`.
    pub transactions: Vec<TransactionRow>,
    /// By `customer_id`.
    pub customers: Vec<CustomerRow>,
    /// By entity, key and field.
    pub reviews: Vec<ReviewRow>,
}

impl EntityRows {
    /// There is nothing.
    pub fn is_empty(&self) -> bool {
        let EntityRows { gaming_activity, transactions, customers, reviews } = self;
        gaming_activity.is_empty() && transactions.is_empty() && customers.is_empty() && reviews.is_empty()
    }

    /// Adds those of another part of the epoch.
    pub fn append(&mut self, mut other: EntityRows) {
        self.gaming_activity.append(&mut other.gaming_activity);
        self.transactions.append(&mut other.transactions);
        self.customers.append(&mut other.customers);
        self.reviews.append(&mut other.reviews);
    }

    /// Puts each kind in order.
    pub fn sort(&mut self) {
        self.gaming_activity.sort_by(|a, b| a.order().cmp(&b.order()));
        self.transactions.sort_by(|a, b| a.transaction_id.cmp(&b.transaction_id));
        self.customers.sort_by(|a, b| a.customer_id.cmp(&b.customer_id));
        self.reviews.sort();
    }

    /// Takes a revision of a row of activity, or says why the feed leaves it out.
    pub fn take_activity(&mut self, row: &ActivityRow) {
        let ActivityRow { key, bets_count, total_bets, wins, ggr, ngr, revision, updated_at, .. } = row;
        let amounts = [("total_bets", total_bets), ("wins", wins), ("ggr", ggr), ("ngr", ngr)];
        let too_precise = amounts.into_iter().filter(|(_, amount)| amount.significant_digits() > FEED_DIGITS);
        let too_precise = too_precise.map(|(field, amount)| {
            let digits = amount.significant_digits();
            let detail = format!("{amount} has {digits} significant digits, and the feed takes {FEED_DIGITS}");
            (field, ReviewReason::PrecisionExceeded, detail)
        });
        // Never so by the rules; the feed does not rely on it.
        let below = [*total_bets, *wins, Money::from_units(*bets_count)];
        let below =
            ["total_bets", "wins", "bets_count"].into_iter().zip(below).filter(|(_, value)| value.is_negative());
        let below = below.map(|(field, value)| (field, ReviewReason::NegativeAmount, format!("{value} is below 0")));
        let reviews = too_precise.chain(below).map(|(field, reason, detail)| ReviewRow {
            entity: Entity::GamingActivity,
            key: super::activity_key(key),
            field: field.to_owned(),
            reason,
            detail,
            withheld: true,
            customer_id: key.customer_id.to_string(),
            date: Some(key.date),
            game_type: Some(key.game_type.to_string()),
            currency: Some(key.currency.to_string()),
            updated_at: *updated_at,
        });
        let before = self.reviews.len();
        self.reviews.extend(reviews);
        if self.reviews.len() == before {
            self.gaming_activity.push(GamingActivityRow {
                date: key.date,
                customer_id: key.customer_id.to_string(),
                game_type: key.game_type.to_string(),
                currency: key.currency.to_string(),
                bets_count: *bets_count,
                total_bets: *total_bets,
                wins: *wins,
                ggr: *ggr,
                ngr: *ngr,
                revision: *revision,
                updated_at: *updated_at,
            });
        }
    }
}

impl GamingActivityRow {
    fn order(&self) -> (Date, &str, &str, &str) {
        (self.date, &self.customer_id, &self.game_type, &self.currency)
    }

    /// The key of its message: that of the row of the topic `activity`.
    pub fn key(&self) -> String {
        key_of([&*self.date.to_string(), &self.customer_id, &self.game_type, &self.currency])
    }
}

/// A key of several parts: `part|part`, where a `|` or `\` inside a part is preceded by `\`, so that no two lists of parts share a key.
pub fn key_of<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut key = String::new();
    for (part, number) in parts.into_iter().zip(0..) {
        if number > 0 {
            key.push('|');
        }
        for letter in part.chars() {
            if matches!(letter, '|' | '\\') {
                key.push('\\');
            }
            key.push(letter);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ActivityKey;

    fn row(total_bets: &str, wins: &str) -> ActivityRow {
        let (total_bets, wins): (Money, Money) = (total_bets.parse().unwrap(), wins.parse().unwrap());
        ActivityRow {
            key: ActivityKey {
                date: Date::from_days(20_605),
                customer_id: "p|1".into(),
                game_type: "slots".into(),
                currency: "EUR".into(),
            },
            bets_count: 2,
            total_bets,
            wins,
            ggr: total_bets - wins,
            ngr: total_bets - wins,
            bonus_bets: Money::ZERO,
            bonus_wins: Money::ZERO,
            bonus_cost: Money::ZERO,
            jackpot_contribution: Money::ZERO,
            jackpot_wins: Money::ZERO,
            chargebacks: Money::ZERO,
            revision: 3,
            updated_at: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn fifteen_digits_leave_and_sixteen_are_reviewed() {
        let mut rows = EntityRows::default();
        rows.take_activity(&row("9999999999999.99", "0"));
        assert_eq!((rows.gaming_activity.len(), rows.reviews.len()), (1, 0));
        assert_eq!(rows.gaming_activity[0].key(), r"2026-06-01|p\|1|slots|EUR");
        rows.take_activity(&row("99999999999999.99", "99999999999999.99"));
        // What is won nets it out: only two amounts are too precise, and the whole row is left out.
        let fields: Vec<&str> = rows.reviews.iter().map(|review| review.field.as_str()).collect();
        assert_eq!((rows.gaming_activity.len(), fields), (1, vec!["total_bets", "wins"]));
        let review = &rows.reviews[0];
        assert_eq!((review.reason, review.withheld), (ReviewReason::PrecisionExceeded, true));
        assert_eq!(review.key, rows.gaming_activity[0].key());
        rows.take_activity(&row("-1", "0"));
        assert_eq!(rows.reviews[2].reason, ReviewReason::NegativeAmount);
    }

    #[test]
    fn keys_keep_rows_apart() {
        assert_eq!(key_of(["pam", "deposit", "p1", "t1"]), "pam|deposit|p1|t1");
        assert_ne!(key_of(["a|b", "c"]), key_of(["a", "b|c"]));
        assert_ne!(key_of([r"a\", "c"]), key_of(["a", r"\|c"]));
        assert_ne!(key_of(["a", ""]), key_of(["a"]));
    }
}
