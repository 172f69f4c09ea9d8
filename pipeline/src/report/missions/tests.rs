//! Windows and their days, worked out by hand; averages.

use datasets::currency::Currencies;
use datasets::mission::MissionDefaults;
use datasets::{Coordinates, TopicId};
use jiff::tz::TimeZone;
use operators::attribution::{Days, PeriodDays};
use operators::definitions::{DefinitionRecord, Definitions};

use super::windows::{Calendar, windows};
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn day(number: i32) -> i32 {
    // 2026-06-01, a Monday, is day 20,605 since 1970-01-01.
    20_604 + number
}

/// The windows that begin by the 20th of June, by versions of one mission: its text, and when it takes effect. Days are complete from the
/// 1st to the 19th.
fn of(versions: &[(&str, Option<&str>)]) -> Vec<Window> {
    let mut definitions = Definitions::new(MissionDefaults::utc("EUR", Currencies::default()));
    for ((time, text), offset) in versions.iter().zip(0..) {
        let text = text.map(|more| {
            format!(r#"{{"mission_id":"m","version":1,"stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":1}}],{more}}}"#)
        });
        let at_offset = Coordinates { topic: TopicId(0), partition: 0, offset, index: 0 };
        let ingest_time = at(time);
        let record = DefinitionRecord { at: at_offset, ingest_time, key: "m".to_owned(), text, was_refused: false };
        definitions.apply(&record);
    }
    let calendar = Calendar::new(&TimeZone::UTC, at("2026-06-01T00:00:00Z"), at("2026-06-20T12:00:00Z"));
    windows(&definitions, &calendar, at("2026-06-20T12:00:00Z"))
}

/// (start of the window, days of June before, during and after as from..to).
fn told(windows: &[Window]) -> Vec<(String, [(i32, i32); 3])> {
    let days = |window: &Window| window.periods.map(|PeriodDays { all, .. }| (all.from - day(0), all.to - day(0)));
    windows.iter().map(|window| (window.start.to_string()[..10].to_owned(), days(window))).collect()
}

fn expected(windows: &[(&str, [(i32, i32); 3])]) -> Vec<(String, [(i32, i32); 3])> {
    windows.iter().map(|(start, days)| ((*start).to_owned(), *days)).collect()
}

const WEEKLY: &str = r#""status":"active","window":{"every":"week"}"#;

#[test]
fn a_window_has_the_days_on_which_its_mission_counts() {
    // Active from the 3rd, paused on the 9th, archived for good on the 12th.
    let paused = WEEKLY.replace("active", "paused");
    let versions = [
        ("2026-06-03T10:00:00Z", Some(WEEKLY)),
        ("2026-06-09T10:00:00Z", Some(paused.as_str())),
        ("2026-06-12T00:00:00Z", None),
    ];
    let weeks = [("2026-06-01", [(-2, 3), (3, 8), (8, 13)]), ("2026-06-08", [(6, 8), (8, 10), (10, 12)])];
    assert_eq!(told(&of(&versions)), expected(&weeks));
    // A pause within a week leaves it whole.
    let again = [versions[0], versions[1], ("2026-06-11T00:00:00Z", Some(WEEKLY)), ("2026-06-14T00:00:00Z", None)];
    let weeks = [weeks[0], ("2026-06-08", [(2, 8), (8, 14), (14, 20)])];
    assert_eq!(told(&of(&again)), expected(&weeks));
    let draft = WEEKLY.replace("active", "draft");
    assert_eq!(told(&of(&[("2026-06-03T10:00:00Z", Some(draft.as_str()))])), []);
}

#[test]
fn the_only_window_keeps_its_key_and_one_without_an_end_has_the_days_so_far() {
    let once = |start: &str, end: &str| format!(r#""status":"active","start":"{start}T00:00:00Z"{end}"#);
    let end = r#","end":"2026-06-08T23:59:59Z""#;
    let (first, moved) = (once("2026-06-05", end), once("2026-06-07", end));
    let windows = of(&[("2026-06-01T00:00:00Z", Some(&first)), ("2026-06-06T00:00:00Z", Some(&moved))]);
    assert_eq!(told(&windows), expected(&[("2026-06-07", [(1, 5), (5, 9), (9, 13)])]));
    assert_eq!(windows[0].key.window, at("2026-06-05T00:00:00Z"));
    assert_eq!(
        (windows[0].end, windows[0].until),
        (Some(at("2026-06-08T23:59:59Z")), at("2026-06-08T23:59:59.000001Z"))
    );

    let windows = of(&[("2026-06-01T00:00:00Z", Some(&once("2026-06-16", "")))]);
    assert_eq!(told(&windows), expected(&[("2026-06-16", [(12, 16), (16, 20), (20, 20)])]));
    let later = of(&[("2026-06-01T00:00:00Z", Some(&once("2026-06-21", "")))]);
    assert_eq!(told(&later), [], "it has not begun");
}

#[test]
fn days_are_complete_within_what_the_lake_has() {
    let malta = datasets::time::zone("Europe/Malta").unwrap();
    let bounds = |began: &str, until: &str| Calendar::new(&malta, at(began), at(until)).bounds();
    let dates = |from: i32, to: i32| Some((Date::from_days(day(from)), Date::from_days(day(to))));
    // Days begin at 22:00 in UTC.
    assert_eq!(bounds("2026-06-01T22:00:00Z", "2026-06-05T21:59:59Z"), dates(2, 4));
    assert_eq!(bounds("2026-06-01T22:00:01Z", "2026-06-05T22:00:00Z"), dates(3, 5));
    assert_eq!(bounds("2026-06-01T22:00:01Z", "2026-06-03T21:59:59Z"), None);
    let calendar = Calendar::new(&malta, at("2026-06-01T22:00:01Z"), at("2026-06-01T23:00:00Z"));
    assert_eq!(calendar.complete, Days { from: day(3), to: day(3) });
}
