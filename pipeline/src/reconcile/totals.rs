//! The operator's own totals: a file of them, and where they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datasets::Money;
use datasets::time::Date;
use serde_json::Value;

use super::{ByGame, KeyDifference, Question, Rows, Sums};

/// A line of the file. Columns that it does not have are not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a row of activity")]
pub struct OwnTotals {
    /// Its place in the file, from 1.
    pub line: usize,
    pub date: Option<Date>,
    /// Absent: of all customers together.
    pub customer_id: Option<String>,
    pub game_type: String,
    pub currency: String,
    pub bets_count: Option<i64>,
    pub total_bets: Option<Money>,
    pub wins: Option<Money>,
    pub ggr: Option<Money>,
    pub ngr: Option<Money>,
    pub jackpot_contribution: Option<Money>,
    pub jackpot_wins: Option<Money>,
    pub chargebacks: Option<Money>,
}

/// The columns that a file may have.
const COLUMNS: [&str; 12] = [
    "date",
    "customer_id",
    "game_type",
    "currency",
    "bets_count",
    "total_bets",
    "wins",
    "ggr",
    "ngr",
    "jackpot_contribution",
    "jackpot_wins",
    "chargebacks",
];

/// Reads a file of totals: CSV with a line of names, or a JSON object on each line.
///
/// # Errors
/// A file that cannot be read, and everything that is wrong in it, each with its line.
pub fn read_totals(path: &Path) -> Result<Vec<OwnTotals>, Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{shown}: {error}")])?;
    let (mut totals, mut errors) = (Vec::new(), Vec::new());
    for (line, read) in records(&text) {
        match read.and_then(|columns| own(line, &columns)) {
            Ok(own) => totals.push(own),
            Err(error) => errors.push(format!("{shown}:{line}: {error}")),
        }
    }
    if totals.is_empty() && errors.is_empty() {
        errors.push(format!("{shown}: holds no totals: write CSV with a line of names, or a JSON object on each line"));
    }
    if errors.is_empty() { Ok(totals) } else { Err(errors) }
}

/// A line's columns by name, as texts.
type Columns = BTreeMap<String, String>;

fn records(text: &str) -> Vec<(usize, Result<Columns, String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).peekable();
    if lines.peek().is_some_and(|(_, line)| line.trim_start().starts_with('{')) {
        return lines.map(|(number, line)| (number, object(line))).collect();
    }
    let Some((_, names)) = lines.next() else { return Vec::new() };
    let names = fields(names);
    let record = |line: &str| {
        let fields = fields(line);
        if fields.len() != names.len() {
            return Err(format!("has {} fields, and the first line names {}", fields.len(), names.len()));
        }
        Ok(names.iter().map(|name| name.trim().to_owned()).zip(fields).collect())
    };
    lines.map(|(number, line)| (number, record(line))).collect()
}

/// Numbers keep the digits that they are written with.
fn object(line: &str) -> Result<Columns, String> {
    let object: BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(line).map_err(|error| format!("is no JSON object: {error}"))?;
    let text = |raw: &str| match serde_json::from_str(raw) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => String::new(),
        _ => raw.to_owned(),
    };
    Ok(object.into_iter().map(|(name, raw)| (name, text(raw.get()))).collect())
}

/// The fields of a line of CSV; one in quotes may hold commas, and quotes twice.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    fields
}

fn own(line: usize, columns: &Columns) -> Result<OwnTotals, String> {
    if let Some(unknown) = columns.keys().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(format!("unknown column {unknown:?}: use {}", COLUMNS.join(", ")));
    }
    let text = |name: &str| columns.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let needed = |name: &str| text(name).ok_or_else(|| format!("{name} is missing"));
    let money = |name: &str| {
        let parsed = text(name).map(|text| text.parse::<Money>().map_err(|error| format!("{name} {text:?}: {error}")));
        parsed.transpose()
    };
    let date = needed("date")?;
    let count =
        text("bets_count").map(|text| text.parse().map_err(|_| format!("bets_count {text:?} is no whole number")));
    let date: Date =
        serde_json::from_value(date.into()).map_err(|_| format!("date {date:?} is no day such as 2026-06-01"))?;
    let own = OwnTotals {
        line,
        date: Some(date),
        customer_id: text("customer_id").map(str::to_owned),
        game_type: needed("game_type")?.to_owned(),
        currency: needed("currency")?.to_owned(),
        bets_count: count.transpose()?,
        total_bets: money("total_bets")?,
        wins: money("wins")?,
        ggr: money("ggr")?,
        ngr: money("ngr")?,
        jackpot_contribution: money("jackpot_contribution")?,
        jackpot_wins: money("jackpot_wins")?,
        chargebacks: money("chargebacks")?,
    };
    if own.columns().is_empty() {
        return Err(format!("has nothing to compare: give some of {}", COLUMNS[4..].join(", ")));
    }
    Ok(own)
}

impl OwnTotals {
    /// The columns it has, as texts.
    fn columns(&self) -> Vec<(&'static str, String)> {
        let money = [
            ("total_bets", self.total_bets),
            ("wins", self.wins),
            ("ggr", self.ggr),
            ("ngr", self.ngr),
            ("jackpot_contribution", self.jackpot_contribution),
            ("jackpot_wins", self.jackpot_wins),
            ("chargebacks", self.chargebacks),
        ];
        let count = self.bets_count.map(|count| ("bets_count", count.to_string()));
        let money = money.into_iter().filter_map(|(name, money)| Some((name, money?.to_string())));
        count.into_iter().chain(money).collect()
    }

    /// The first column in which it differs, as it is there and as recomputed.
    fn difference(&self, recomputed: &Sums) -> Option<(&'static str, String, String)> {
        let recomputed = recomputed.columns();
        let mut columns = self.columns().into_iter().filter_map(|(name, found)| {
            let (_, recomputed) = recomputed.iter().find(|(known, _)| *known == name)?;
            Some((name, found, recomputed.clone()))
        });
        columns.find(|(_, found, recomputed)| found != recomputed)
    }
}

/// What the file comes to.
#[derive(Default)]
pub(super) struct Compared {
    pub differing: Vec<KeyDifference>,
    /// By day, game type and currency.
    pub equal: BTreeMap<(Date, String, String), bool>,
}

/// Compares the file with what was recomputed: every line of it, and of the days that it has every game that it lacks, where a column
/// that lines of that day have is not 0.
/// The clock stands in the reporting day `open`.
pub(super) fn compare(question: &Question, open: Date, (games, rows): (&ByGame, &Rows)) -> Compared {
    let mut compared = Compared::default();
    let mut days: BTreeMap<Date, BTreeSet<&str>> = BTreeMap::new();
    for own in &question.totals {
        let Some(date) = own.date.filter(|date| question.asks(*date, open)) else { continue };
        let key = (date, own.game_type.clone(), own.currency.clone());
        let recomputed = match &own.customer_id {
            None => {
                days.entry(date).or_default().extend(own.columns().into_iter().map(|(name, _)| name));
                games.get(&key).copied().unwrap_or_default()
            }
            Some(customer) => {
                let key = datasets::rows::ActivityKey {
                    date,
                    customer_id: customer.as_str().into(),
                    game_type: own.game_type.as_str().into(),
                    currency: own.currency.as_str().into(),
                };
                rows.get(&key).map(|(_, sums)| *sums).unwrap_or_default()
            }
        };
        let difference = own.difference(&recomputed);
        if own.customer_id.is_none() {
            *compared.equal.entry(key.clone()).or_insert(true) &= difference.is_none();
        }
        if let Some((column, found, recomputed)) = difference {
            let of = format!("totals, line {}", own.line);
            compared.differing.push(differs(key, own.customer_id.clone(), of, (column, found, recomputed)));
        }
    }
    let nothing = Sums::default().columns();
    for (key, sums) in games {
        let Some(named) = days.get(&key.0).filter(|_| !compared.equal.contains_key(key)) else { continue };
        let mut columns = sums.columns().into_iter().zip(&nothing);
        let unnamed = columns.find(|((name, shown), (_, nothing))| named.contains(name) && shown != nothing);
        if let Some(((name, shown), _)) = unnamed {
            let column = (name, "no line".to_owned(), shown);
            compared.differing.push(differs(key.clone(), None, "totals".to_owned(), column));
            compared.equal.insert(key.clone(), false);
        }
    }
    compared
}

fn differs(
    (date, game_type, currency): (Date, String, String),
    customer_id: Option<String>,
    of: String,
    (column, found, recomputed): (&str, String, String),
) -> KeyDifference {
    let (events, events_in_all, column) = (Vec::new(), 0, column.to_owned());
    KeyDifference { date, customer_id, game_type, currency, of, column, found, recomputed, events, events_in_all }
}
