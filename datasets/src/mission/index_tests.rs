use proptest::prelude::*;
use proptest::sample::select;

use super::{EventKind, Measure, Mission, MissionDefaults, Stage, StageIndex};
use crate::condition::Condition;
use crate::condition::testing::TestEvent;
use crate::currency::Currencies;
use crate::{Money, TextField};

fn stage(on: &[&str], condition: &str, measure: Measure) -> Stage {
    let condition = (!condition.is_empty()).then(|| Condition::compile(condition).unwrap());
    Stage { on: on.iter().map(|name| EventKind::of(name)).collect(), condition, measure, target: Money::ONE }
}

fn index_of(stages: &[Stage]) -> StageIndex<usize> {
    StageIndex::new(stages.iter().enumerate())
}

fn found(index: &StageIndex<usize>, event: TestEvent) -> Vec<usize> {
    let mut found = vec![99];
    event.see(|event| index.candidates(event, &mut found));
    found
}

#[test]
fn an_event_finds_its_stages_in_order() {
    let stages = [
        stage(&["win"], "", Measure::Count),
        stage(&["bet_placed"], "game_type == 'slots' && amount > 5", Measure::Count),
        stage(&["bet_placed", "win"], "game_type in ['slots', 'bingo']", Measure::Count),
        stage(&["bet_placed"], "amount >= 5", Measure::Count),
        stage(&["bet_placed"], "game_type == 'slots' && amount > 100", Measure::Run),
        stage(&["quiz_done"], "", Measure::Count),
        stage(&["bet_placed"], "country == 'GB'", Measure::Count),
    ];
    let index = index_of(&stages);
    let bet = |game_type: &str, amount: &str| {
        TestEvent::new("bet_placed").text(TextField::GameType, game_type).amount(amount)
    };
    assert_eq!(found(&index, bet("slots", "6")), [1, 2, 3, 4]);
    assert_eq!(found(&index, bet("slots", "5")), [2, 3, 4]);
    assert_eq!(found(&index, bet("bingo", "4.99")), [2, 4]);
    assert_eq!(found(&index, bet("poker", "5").payload(r#"{"country":"GB"}"#)), [3, 4, 6]);
    assert_eq!(found(&index, bet("poker", "5").payload(r#"{"country":"MT"}"#)), [3, 4]);
    assert_eq!(found(&index, TestEvent::new("win").amount("1")), [0]);
    assert_eq!(found(&index, TestEvent::new("quiz_done")), [5]);
    assert!(found(&index, TestEvent::new("quiz_left")).is_empty());
    assert!(found(&index, TestEvent::new("login")).is_empty());
}

#[test]
fn the_rarest_equality_decides() {
    // All bets are in EUR: filed under the currency, every stage would be a candidate.
    let conditions: Vec<String> = (0..100).map(|game| format!("currency == 'EUR' && game_id == 'g{game}'")).collect();
    let stages: Vec<Stage> = conditions.iter().map(|text| stage(&["bet_placed"], text, Measure::Count)).collect();
    let index = index_of(&stages);
    let bet = TestEvent::new("bet_placed").text(TextField::Currency, "EUR").text(TextField::GameId, "g42");
    assert_eq!(found(&index, bet), [42]);
}

/// Ten thousand missions as operators write them.
fn many() -> Vec<Stage> {
    let kinds = ["bet_placed", "win", "deposit", "bet_settled"];
    let condition = |n: usize| match n % 5 {
        0 => format!("game_type == 'type{}' && game_id == 'g{n}'", n % 20),
        1 => format!("sport == 'sport{}' && market_type == 'm{}' && odds > 1.5", n % 30, n % 400),
        2 => format!("game_id in ['g{n}', 'g{}'] || game_id == 'h{n}'", n + 1),
        3 => format!("channel == 'c{}' && amount >= {n}", n % 10),
        _ => format!("country == 'c{n}' && amount > 1"),
    };
    (0..10_000).map(|n| stage(&[kinds[n / 5 % 4]], &condition(n), Measure::Count)).collect()
}

#[test]
fn an_event_pays_for_what_it_matches() {
    let stages = many();
    let index = index_of(&stages);
    let mut visited = 0;
    for n in 0..1_000 {
        let bet = TestEvent::new("bet_placed").amount(&(n % 100).to_string()).odds("2");
        let bet =
            bet.text(TextField::GameType, &format!("type{}", n % 20)).text(TextField::GameId, &format!("g{}", n * 7));
        let bet =
            bet.text(TextField::Sport, &format!("sport{}", n % 30)).text(TextField::Channel, &format!("c{}", n % 10));
        let bet = bet.text(TextField::MarketType, &format!("m{}", n % 400));
        visited += found(&index, bet.payload(&format!(r#"{{"country":"c{}"}}"#, n * 5 + 4))).len();
    }
    // Of 2,500 stages on bets; looking at all of them would be 2,500,000.
    assert!(visited < 10_000, "{visited} stages visited by 1,000 events");
    assert!(visited > 500, "{visited}: the events match something");
}

#[test]
fn missions_are_filed_with_their_eligibility() {
    let defaults = MissionDefaults::utc("EUR", Currencies::default());
    let mission = |id: &str, country: &str| {
        let text = format!(
            r#"{{"mission_id":"{id}","version":1,"status":"active","eligibility":{{"where":"country == '{country}'"}},
                "stages":[{{"on":["login"],"measure":{{"kind":"count"}},"target":1}},
                          {{"on":["bet_placed"],"measure":{{"kind":"run"}},"target":1}}]}}"#
        );
        Mission::parse(id, &text, &defaults).unwrap()
    };
    let missions = [mission("a", "GB"), mission("b", "MT"), mission("c", "MT")];
    let index = StageIndex::with_eligibility(missions.iter().flat_map(|mission| {
        let stages = mission.stages.iter().enumerate();
        stages.map(|(stage, of)| ((&*mission.mission_id, stage), mission.eligibility.as_ref(), of))
    }));
    let mut found = Vec::new();
    let malta = |name: &str| TestEvent::new(name).payload(r#"{"country":"MT"}"#);
    malta("login").see(|event| index.candidates(event, &mut found));
    assert_eq!(found, [("b", 0), ("c", 0)]);
    malta("bet_placed").see(|event| index.candidates(event, &mut found));
    assert_eq!(found, [("b", 1), ("c", 1)]);
}

fn any_stage() -> impl Strategy<Value = Stage> {
    let condition = select(vec![
        "",
        "game_type == 'a'",
        "game_type in ['a', 'b'] && sport == 'x'",
        "game_type == 'a' && game_type == 'b'",
        "game_type == 'a' || game_type == 'c'",
        "game_type != 'a'",
        "sport == 'x' && amount > 2",
        "amount >= 2 && amount < 3",
        "amount == 2 || sport == 'x'",
        "!(amount < 1 || sport != 'y')",
        "has(country) && event_name == 'bet_won'",
        "country == 'MT'",
        "country == 'GB' && game_type == 'a'",
        "country in ['MT', 'GB'] && amount > 1",
    ]);
    let on = prop::collection::btree_set(select(vec!["bet_placed", "win", "quiz_done"]), 1..3);
    let measure = prop_oneof![Just(Measure::Count), Just(Measure::Run)];
    (on, condition, measure)
        .prop_map(|(on, condition, measure)| stage(&on.into_iter().collect::<Vec<_>>(), condition, measure))
}

proptest! {
    #[test]
    fn candidates_include_all_that_an_event_moves(
        stages in prop::collection::vec(any_stage(), 0..30),
        eligibility in proptest::option::of(select(vec!["country == 'MT'", "game_type == 'b' || amount > 1", "amount > 1"])),
        name in select(vec!["bet_placed", "win", "quiz_done", "login"]),
        game_type in proptest::option::of(select(vec!["a", "b", "c"])),
        sport in proptest::option::of(select(vec!["x", "y"])),
        amount in proptest::option::of(select(vec!["0", "1", "2", "2.00000001", "3"])),
    ) {
        let mut event = TestEvent::new(name).payload(r#"{"country":"MT"}"#);
        for (field, text) in [(TextField::GameType, game_type), (TextField::Sport, sport)] {
            if let Some(text) = text {
                event = event.text(field, text);
            }
        }
        if let Some(amount) = amount {
            event = event.amount(amount);
        }
        let eligibility = eligibility.map(|text| Condition::compile(text).unwrap());
        let stages_of_one = stages.iter().enumerate().map(|(id, stage)| (id, eligibility.as_ref(), stage));
        let index = StageIndex::with_eligibility(stages_of_one);
        event.see(|event| {
            let is_eligible = eligibility.as_ref().is_none_or(|condition| condition.matches(event));
            let mut found = Vec::new();
            index.candidates(event, &mut found);
            prop_assert!(found.is_sorted_by(|left, right| left < right), "in order, none twice: {found:?}");
            for (id, stage) in stages.iter().enumerate() {
                let moves = is_eligible && (stage.accepts(event) || stage.breaks_run(event));
                prop_assert!(!moves || found.contains(&id), "{id} is moved, but not among {found:?}");
            }
            Ok(())
        })?;
    }
}
