//! Tests of the generator as a whole: the same facts, found again in the emitted records by code that
//! shares nothing with the generator.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hasher;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::Money;

fn config(events: u64) -> GeneratorConfig {
    GeneratorConfig { events, players: 5_000, partitions: 4, ..GeneratorConfig::default() }
}

fn records(config: &GeneratorConfig) -> (Vec<Generated>, Tally) {
    let mut generator = Generator::new(config).unwrap();
    let records: Vec<Generated> = generator.by_ref().collect();
    let tally = generator.tally();
    (records, tally)
}

/// What a naive reader of the records makes of them.
#[derive(Default)]
struct Reader {
    tally: Tally,
    /// Content without `event_id`, by (name, player, transaction, status).
    seen: HashMap<(String, String, String, String), String>,
    /// Amounts by (family, transaction), for reversals.
    posted: HashMap<(String, String), (TallyKey, String, Money, Money)>,
    reversed: HashSet<(String, String)>,
}

impl Reader {
    fn read(&mut self, record: &Generated) {
        self.tally.events += 1;
        match self.judge(record) {
            Ok(()) => {}
            Err(reason) => *self.tally.dead_letters.entry(reason).or_default() += 1,
        }
    }

    fn judge(&mut self, record: &Generated) -> Result<(), Reason> {
        let text = std::str::from_utf8(&record.value).map_err(|_| Reason::InvalidUtf8)?;
        let mut value: Value = serde_json::from_str(text).map_err(|_| Reason::NotJson)?;
        let digits: HashMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
        let field = |key: &str| value[key].as_str().unwrap_or("").to_owned();
        assert_eq!(field("player_id"), record.key);
        let at = Timestamp::from_str(&field("timestamp")).map_err(|_| Reason::BadTimestamp)?;
        if at.micros_since(record.timestamp) > 300 * SECOND {
            return Err(Reason::FutureTimestamp);
        }
        if field("currency") == "ZZZ" {
            return Err(Reason::UnknownCurrency);
        }
        if field("game_id").len() > 500 {
            return Err(Reason::TooLong);
        }
        let name = field("event_name");
        let amount = match name.as_str() {
            "bet_placed" => amount(&value, &digits, "bet_amount")?,
            "win" => amount(&value, &digits, "win_amount")?,
            "bet_settled" => amount(&value, &digits, "payout")?,
            _ => Money::ZERO,
        };
        if record.timestamp.micros_since(at) > HOUR - SECOND && name == "bet_placed" {
            self.late_unless_seen(&value);
        }
        let transaction = field("transaction_id");
        if transaction.is_empty() {
            assert_eq!(name, "login");
            return Ok(());
        }
        let key = (name.clone(), record.key.clone(), transaction.clone(), field("status"));
        let reference = (field("reference_family"), field("reference_id"));
        let bonus = digits.get("bonus_amount").map_or(Money::ZERO, |raw| raw.get().parse().unwrap());
        let tally_key =
            TallyKey { date: at.date(&TimeZone::UTC), game_type: field("game_type"), currency: field("currency") };
        value.as_object_mut().unwrap().remove("event_id");
        let content = value.to_string();
        if let Some(first) = self.seen.get(&key) {
            if *first != content {
                return Err(Reason::IdempotencyConflict);
            }
            self.tally.duplicates += 1;
            return Ok(());
        }
        self.seen.insert(key, content);
        match name.as_str() {
            "reversal" => self.reverse(reference),
            "bet_placed" => self.post("bet", transaction, tally_key, amount, bonus),
            "win" => self.post("win", transaction, tally_key, amount, bonus),
            "bet_settled" => self.post("settlement", transaction, tally_key, amount, bonus),
            _ => {}
        }
        Ok(())
    }

    /// A late bet, its resend and its conflict carry the same time: only the first is a late event.
    fn late_unless_seen(&mut self, value: &Value) {
        let key = |name: &str| value[name].as_str().unwrap().to_owned();
        let key = (key("event_name"), key("player_id"), key("transaction_id"), String::new());
        self.tally.late += u64::from(!self.seen.contains_key(&key));
    }

    fn post(&mut self, family: &str, transaction: String, key: TallyKey, amount: Money, bonus: Money) {
        let totals = self.tally.activity.entry(key.clone()).or_default();
        if family == "bet" {
            totals.bets_count += 1;
            totals.total_bets += amount - bonus;
            totals.bonus_bets += bonus;
        } else {
            totals.wins += amount;
        }
        self.posted.insert((family.to_owned(), transaction), (key, family.to_owned(), amount, bonus));
    }

    fn reverse(&mut self, reference: (String, String)) {
        let (key, family, amount, bonus) = &self.posted[&reference];
        if !self.reversed.insert(reference.clone()) {
            self.tally.already_reversed += 1;
            return;
        }
        self.tally.reversals += 1;
        let totals = self.tally.activity.get_mut(key).unwrap();
        if family == "bet" {
            totals.bets_count -= 1;
            totals.total_bets -= *amount - *bonus;
            totals.bonus_bets -= *bonus;
        } else {
            totals.wins -= *amount;
        }
    }

    fn finish(mut self) -> Tally {
        self.tally.activity.retain(|_, totals| *totals != TallyTotals::default());
        self.tally
    }
}

fn amount(value: &Value, digits: &HashMap<String, Box<RawValue>>, key: &str) -> Result<Money, Reason> {
    match &value[key] {
        Value::Null => Err(Reason::MissingField),
        Value::Number(_) => {
            let amount: Money = digits[key].get().parse().map_err(|_| Reason::AmountOutOfRange)?;
            if amount.is_negative() { Err(Reason::NegativeAmount) } else { Ok(amount) }
        }
        _ => Err(Reason::WrongType),
    }
}

#[test]
fn the_tally_equals_a_naive_recomputation() {
    let heavy = Shares {
        duplicates: 80_000,
        reversals: 100_000,
        late: 50_000,
        malformed: 20_000,
        conflicts: 20_000,
        ..Shares::NONE
    };
    for (seed, shares) in [(1, Shares::default()), (2, Shares::default()), (3, heavy), (4, Shares::NONE)] {
        let currencies = [(5, "JPY"), (3, "EUR"), (2, "KWD")].map(|(weight, code)| (weight, code.to_owned()));
        let config = GeneratorConfig { seed, shares, currencies: currencies.to_vec(), ..config(60_000) };
        let (records, tally) = records(&config);
        let mut reader = Reader::default();
        records.iter().for_each(|record| reader.read(record));
        assert_eq!(reader.finish(), tally, "seed {seed}");
        assert_eq!(tally.accepted() + tally.duplicates + tally.already_reversed + tally.refused(), 60_000);
    }
}

#[test]
fn equal_seeds_give_equal_bytes_everywhere() {
    let hash = |seed| {
        let mut hasher = Xxh3::new();
        let config = GeneratorConfig { seed, ..config(20_000) };
        for record in Generator::new(&config).unwrap() {
            hasher.write_i32(record.partition);
            hasher.write(record.key.as_bytes());
            hasher.write_i64(record.timestamp.micros());
            hasher.write(&record.value);
        }
        missions(&config).iter().for_each(|(_, definition)| hasher.write(definition.as_bytes()));
        hasher.finish()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
    // A change here is a change of everybody's play: say so in the release notes.
    assert_eq!(hash(1), 14_125_762_241_567_526_636);
}

#[test]
fn shares_are_as_stated() {
    let (records, tally) = records(&config(400_000));
    let within = |count: u64, low: u64, high: u64| assert!((low..=high).contains(&count), "{count}: {low}..{high}");
    // What is due after the end of the day never comes: the counts stay a little below their shares.
    within(tally.duplicates, 3_600, 4_150);
    within(tally.reversals + tally.already_reversed, 3_600, 4_150);
    within(tally.already_reversed, 40, 120);
    within(tally.late, 1_850, 2_150);
    let conflicts = tally.dead_letters[&Reason::IdempotencyConflict];
    within(conflicts, 140, 240);
    within(tally.refused() - conflicts, 320, 480);
    assert!(malformed::DEFECTS.iter().all(|reason| tally.dead_letters[reason] > 10), "{:?}", tally.dead_letters);

    let bytes: usize = records.iter().map(|record| record.value.len()).sum();
    assert!((220..275).contains(&(bytes / records.len())), "{} bytes an event", bytes / records.len());
    let mut names = BTreeMap::<String, u64>::new();
    for record in records.iter().filter(|record| record.defect.is_none()) {
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        *names.entry(value["event_name"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names["bet_placed"] > 200_000 && names["win"] > 50_000, "{names:?}");
}

#[test]
fn records_come_in_order_and_the_house_wins() {
    let (records, tally) = records(&config(400_000));
    assert!(records.is_sorted_by_key(|record| record.timestamp));
    assert!(records.iter().all(|record| (0..4).contains(&record.partition)));
    let (bets, wins) = tally
        .activity
        .iter()
        .filter(|(key, _)| key.currency == "EUR")
        .fold((Money::ZERO, Money::ZERO), |(bets, wins), (_, totals)| (bets + totals.total_bets, wins + totals.wins));
    assert!(wins < bets && wins > Money::from_raw(bets.raw() / 100 * 80), "bets {bets}, wins {wins}");
}

#[test]
fn a_few_players_are_much_of_the_play() {
    let (records, _) = records(&config(400_000));
    let mut by_player = HashMap::<&str, u64>::new();
    for record in &records {
        *by_player.entry(&record.key).or_default() += 1;
    }
    let mut counts: Vec<u64> = by_player.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let top: u64 = counts.iter().take(counts.len() / 10).sum();
    assert!(counts.len() > 2_500, "{} players", counts.len());
    assert!((140_000..280_000).contains(&top), "the first tenth has {top}");
    assert!(counts[0] < 8_000, "the first has {}", counts[0]);
}

#[test]
fn any_size_works() {
    for (events, players, span_micros) in [(0, 1, DAY), (1, 1, SECOND), (3_000, 10_000_000, SECOND), (500, 2, 30 * DAY)]
    {
        let config = GeneratorConfig { events, players, span_micros, ..GeneratorConfig::default() };
        let (records, tally) = records(&config);
        assert_eq!((u64::try_from(records.len()).unwrap(), tally.events), (events, events));
    }
}

const DAY: i64 = 24 * HOUR;
