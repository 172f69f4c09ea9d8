//! Files of totals, and where they differ.

use datasets::rows::ActivityKey;

use super::totals::compare;
use super::*;

fn read(text: &str) -> Result<Vec<OwnTotals>, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let shown = file.path().display().to_string();
    read_totals(file.path()).map_err(|errors| errors.join("\n").replace(&shown, "FILE"))
}

fn day(text: &str) -> Date {
    serde_json::from_value(text.into()).unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn totals_are_read_from_csv_and_json() {
    let csv = "date,game_type,currency,total_bets,wins,bets_count\n2026-06-01,slots,EUR,10.50,3,2\n\n2026-06-01,\"a,\"\"b\",EUR,1,,1\n";
    let rows = read(csv).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].line, rows[0].total_bets, rows[0].bets_count), (2, Some(money("10.5")), Some(2)));
    assert_eq!((rows[1].line, rows[1].game_type.as_str(), rows[1].wins), (4, "a,\"b", None));
    let json = r#"{"date":"2026-06-01","game_type":"slots","currency":"EUR","total_bets":9007199254740993.00000001,"customer_id":"p1"}"#;
    let rows = read(json).unwrap();
    assert_eq!(rows[0].total_bets, Some(money("9007199254740993.00000001")));
    assert_eq!(rows[0].customer_id.as_deref(), Some("p1"));
}

#[test]
fn everything_that_is_wrong_is_named_with_its_line() {
    let text = "date,game_type,currency,total_bets\n2026-6-1,slots,EUR,1\n2026-06-01,slots,EUR,x\n2026-06-01,slots\n2026-06-01,,EUR,1\n2026-06-01,slots,EUR,\n";
    let error = read(text).unwrap_err();
    for expected in [
        "FILE:2: date \"2026-6-1\" is no day",
        "FILE:3: total_bets \"x\"",
        "FILE:4: has 2 fields, and the first line names 4",
        "FILE:5: game_type is missing",
        "FILE:6: has nothing to compare",
    ] {
        assert!(error.contains(expected), "{expected} is not in\n{error}");
    }
    assert!(read("date,stake\n2026-06-01,3\n").unwrap_err().contains("unknown column \"stake\""));
    assert!(read("").unwrap_err().contains("holds no totals"));
}

fn rows() -> Rows {
    let row = |customer: &str, game: &str, bets: &str, wins: &str| {
        let [customer_id, game_type, currency] = [customer, game, "EUR"].map(Into::into);
        let (total_bets, wins) = (money(bets), money(wins));
        let ggr = total_bets - wins;
        let key = ActivityKey { date: day("2026-06-01"), customer_id, game_type, currency };
        (key, (1, Sums { bets_count: 1, total_bets, wins, ggr, ngr: ggr, ..Sums::default() }))
    };
    Rows::from([row("p1", "slots", "10", "3"), row("p2", "slots", "5.00000001", "0"), row("p1", "table", "1", "0")])
}

/// A row of money that was charged back, and nothing else.
fn charged_back() -> (ActivityKey, (u64, Sums)) {
    let [customer_id, game_type, currency] = ["p3", "unknown", "EUR"].map(Into::into);
    let key = ActivityKey { date: day("2026-06-01"), customer_id, game_type, currency };
    (key, (1, Sums { ngr: money("-40"), chargebacks: money("40"), ..Sums::default() }))
}

fn differing(text: &str, date: Option<&str>) -> Vec<String> {
    let date = date.map(day);
    differing_of(Question { date, totals: read(text).unwrap(), ..Question::default() })
}

/// On 2026-06-02.
fn differing_of(question: Question) -> Vec<String> {
    differing_from(question, rows())
}

fn differing_from(question: Question, rows: Rows) -> Vec<String> {
    let games = by_game(rows.iter().map(|(key, (_, sums))| (key, sums)));
    let shown = |difference: KeyDifference| {
        let KeyDifference { customer_id, game_type, of, column, found, recomputed, .. } = difference;
        format!("{} {game_type}: {of}: {column} {found}, {recomputed}", customer_id.unwrap_or_default())
    };
    compare(&question, day("2026-06-02"), (&games, &rows)).differing.into_iter().map(shown).collect()
}

#[test]
fn the_tolerance_is_0() {
    let names = "date,customer_id,game_type,currency,total_bets,wins\n";
    let equal = "2026-06-01,,slots,EUR,15.00000001,3\n2026-06-01,,table,EUR,1,0.00\n2026-06-01,p1,slots,EUR,10,3\n";
    assert_eq!(differing(&format!("{names}{equal}"), None), [""; 0]);
    let differs = equal.replace("15.00000001", "15").replace("p1,slots,EUR,10", "p1,slots,EUR,11");
    let expected =
        [" slots: totals, line 2: total_bets 15.00, 15.00000001", "p1 slots: totals, line 4: total_bets 11.00, 10.00"];
    assert_eq!(differing(&format!("{names}{differs}"), None), expected);
}

#[test]
fn lines_too_many_and_too_few_differ() {
    let names = "date,game_type,currency,total_bets\n";
    let text = format!("{names}2026-06-01,slots,EUR,15.00000001\n2026-06-01,poker,EUR,2\n2026-06-02,slots,EUR,7\n");
    let expected = [
        " poker: totals, line 3: total_bets 2.00, 0.00",
        " slots: totals, line 4: total_bets 7.00, 0.00",
        " table: totals: total_bets no line, 1.00",
    ];
    assert_eq!(differing(&text, None), expected);
    assert_eq!(differing(&text, Some("2026-06-02")), expected[1..2]);
    // A day that is not over has no totals yet.
    let only_closed = Question { only_closed: true, totals: read(&text).unwrap(), ..Question::default() };
    assert_eq!(differing_of(only_closed), [expected[0], expected[2]]);
    // Of customers alone nothing is said of all.
    let one = "date,customer_id,game_type,currency,total_bets\n2026-06-01,p1,table,EUR,1\n";
    assert_eq!(differing(one, None), [""; 0]);
}

#[test]
fn chargebacks_and_jackpots_are_compared_where_a_file_has_them() {
    let names = "date,game_type,currency,total_bets";
    let lines = "2026-06-01,slots,EUR,15.00000001\n2026-06-01,table,EUR,1\n";
    let differing = |text: String| {
        let rows = rows().into_iter().chain([charged_back()]).collect();
        differing_from(Question { totals: read(&text).unwrap(), ..Question::default() }, rows)
    };
    // A file of stakes has nothing to say of a game that has none.
    assert_eq!(differing(format!("{names}\n{lines}")), [""; 0]);
    let of_chargebacks = lines.replace('\n', ",0\n");
    let missing = [" unknown: totals: chargebacks no line, 40.00"];
    assert_eq!(differing(format!("{names},chargebacks\n{of_chargebacks}")), missing);
    let less = format!("{names},chargebacks\n{of_chargebacks}2026-06-01,unknown,EUR,0,39.99\n");
    assert_eq!(differing(less), [" unknown: totals, line 4: chargebacks 39.99, 40.00"]);
    let jackpots = format!("{names},jackpot_contribution,jackpot_wins\n{}", lines.replace('\n', ",0,0.01\n"));
    let none = [" slots: totals, line 2: jackpot_wins 0.01, 0.00", " table: totals, line 3: jackpot_wins 0.01, 0.00"];
    assert_eq!(differing(jackpots), none);
}

#[test]
fn rows_of_the_lake_are_the_last_revisions() {
    let recomputed = rows();
    assert_eq!(different_rows(&recomputed, &recomputed), []);
    let mut stored = recomputed.clone();
    let key = stored.keys().find(|key| &*key.game_type == "table").unwrap().clone();
    stored.get_mut(&key).unwrap().1.wins += Money::ONE;
    let difference = different_rows(&recomputed, &stored).remove(0);
    assert_eq!(
        (difference.column.as_str(), difference.found.as_str(), difference.recomputed.as_str()),
        ("wins", "1.00", "0.00")
    );
    stored.remove(&key);
    assert_eq!(different_rows(&recomputed, &stored)[0].found, "missing");
    assert_eq!(different_rows(&stored, &recomputed)[0].recomputed, "missing");
    for change in [
        |sums: &mut Sums| sums.jackpot_contribution += Money::ONE,
        |sums: &mut Sums| sums.jackpot_wins += Money::ONE,
        |sums: &mut Sums| sums.chargebacks += Money::ONE,
    ] {
        let mut stored = recomputed.clone();
        change(&mut stored.get_mut(&key).unwrap().1);
        assert_eq!(different_rows(&recomputed, &stored).len(), 1);
    }
}
