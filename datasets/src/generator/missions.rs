//! Mission definitions that go with the play (DOMAIN §4).

use serde_json::{Value, json};

use super::config::{DAY_MICROS, GeneratorConfig};
use super::play::{Game, TITLES, Title};
use crate::Timestamp;

/// `config.missions` definitions as `(mission_id, JSON text)`, of kinds that take turns and targets
/// that vary within a kind. Sums are of the first currency's amounts, so nothing waits for a rate.
pub fn missions(config: &GeneratorConfig) -> Vec<(String, String)> {
    let currency = config.currencies.first().map_or("EUR", |(_, code)| code);
    (0..config.missions).map(|number| definition(number, config, currency)).collect()
}

fn definition(number: u32, config: &GeneratorConfig, currency: &str) -> (String, String) {
    let kinds = [slots_today, virtual_week, first_deposit, table_quest, sport_today, big_win, title_today, lucky_run];
    let count = u32::try_from(kinds.len()).expect("a few kinds");
    let kind = kinds[usize::try_from(number % count).expect("a few kinds")];
    let Plan { id, name, every, stages } = kind(number / count, currency);
    let mission_id = format!("{id}-{:04}", number + 1);
    let start = config.start.micros() - config.start.micros().rem_euclid(DAY_MICROS);
    let end = config.start.micros().saturating_add(config.span_micros) + 30 * DAY_MICROS;
    let (kind, value) = [("points", "50"), ("free_bet", "5.00"), ("bonus", "10.00")][place(number, 3)];
    let definition = json!({
        "mission_id": mission_id,
        "version": 1,
        "name": name,
        "status": "active",
        "start": Timestamp::from_micros(start),
        "end": Timestamp::from_micros(end),
        "window": {"every": every, "zone": "UTC"},
        "stages": stages,
        "reward": {"type": kind, "value": value, "channels": ["push", "email"]},
        "on_reversal": if number % 7 == 6 { "keep" } else { "revoke" },
    });
    (mission_id, definition.to_string())
}

struct Plan {
    id: &'static str,
    name: String,
    every: &'static str,
    stages: Vec<Value>,
}

fn stage(on: &str, condition: &str, measure: Value, target: impl ToString) -> Value {
    json!({"on": [on], "where": condition, "measure": measure, "target": target.to_string()})
}

fn count(on: &str, condition: &str, target: u32) -> Value {
    stage(on, condition, json!({"kind": "count"}), target)
}

fn slots_today(variant: u32, _: &str) -> Plan {
    let target = 100 + 20 * (variant % 5);
    Plan {
        id: "slots-daily",
        name: format!("Play {target} spins today"),
        every: "day",
        stages: vec![count("bet_placed", "game_type == 'slots'", target)],
    }
}

fn virtual_week(variant: u32, currency: &str) -> Plan {
    let target = 50 * (1 + variant % 4);
    let condition = format!("game_type == 'virtual_sports' && currency == '{currency}'");
    let measure = json!({"kind": "sum", "field": "amount", "currency": currency});
    Plan {
        id: "virtual-weekly",
        name: format!("Bet {target} {currency} on virtual sports this week"),
        every: "week",
        stages: vec![stage("bet_placed", &condition, measure, format!("{target}.00"))],
    }
}

fn first_deposit(variant: u32, currency: &str) -> Plan {
    let least = [100, 200, 500][place(variant, 3)];
    let condition = format!("deposit_amount >= {least} && currency == '{currency}'");
    Plan {
        id: "first-deposit",
        name: format!("Your first deposit of {least} {currency}"),
        every: "once",
        stages: vec![count("deposit", &condition, 1)],
    }
}

/// Two stages: play first, then win.
fn table_quest(variant: u32, _: &str) -> Plan {
    let game = ["roulette", "blackjack"][place(variant, 2)];
    let condition = format!("game_type == '{game}'");
    let (bets, wins) = (10 + variant % 4 * 5, 3 + variant % 4);
    Plan {
        id: "table-quest",
        name: format!("Play {bets} rounds of {game}, then win {wins}"),
        every: "once",
        stages: vec![count("bet_placed", &condition, bets), count("win", &condition, wins)],
    }
}

fn sport_today(variant: u32, _: &str) -> Plan {
    let sport = offered(Game::Sportsbook, variant).sport;
    let target = 10 + variant % 3;
    let condition = format!("game_type == 'sportsbook' && sport == '{sport}' && odds >= 1.5");
    Plan {
        id: "sport-daily",
        name: format!("{target} bets on {sport} at odds of 1.50 or more"),
        every: "day",
        stages: vec![count("bet_placed", &condition, target)],
    }
}

fn big_win(variant: u32, currency: &str) -> Plan {
    let least = [100, 250, 50][place(variant, 3)];
    let condition = format!("win_amount >= {least} && currency == '{currency}'");
    Plan {
        id: "big-win",
        name: format!("A win of {least} {currency}"),
        every: "week",
        stages: vec![count("win", &condition, 1)],
    }
}

fn title_today(variant: u32, _: &str) -> Plan {
    let title = offered(Game::Slots, variant).game_id;
    let target = 60 + 10 * (variant % 4);
    Plan {
        id: "title-daily",
        name: format!("Game of the day: {target} spins of {title}"),
        every: "day",
        stages: vec![count("bet_placed", &format!("game_id == '{title}'"), target)],
    }
}

/// A run of won settlements; a lost one starts it again.
fn lucky_run(variant: u32, _: &str) -> Plan {
    let target = 3 + variant % 3;
    Plan {
        id: "lucky-run",
        name: format!("{target} won bets in a row"),
        every: "week",
        stages: vec![stage("bet_settled", "payout > 0", json!({"kind": "run"}), target)],
    }
}

fn offered(game: Game, variant: u32) -> &'static Title {
    let titles: Vec<&Title> = TITLES.iter().map(|(_, title)| title).filter(|title| title.game == game).collect();
    titles[place(variant, titles.len())]
}

fn place(variant: u32, of: usize) -> usize {
    usize::try_from(variant).expect("usize holds a u32") % of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_json_with_ids_of_their_own() {
        let config = GeneratorConfig { missions: 50, ..GeneratorConfig::default() };
        let missions = missions(&config);
        let mut ids = std::collections::BTreeSet::new();
        for (id, text) in &missions {
            let definition: Value = serde_json::from_str(text).unwrap();
            assert_eq!(definition["mission_id"], id.as_str());
            assert_eq!(definition["start"], "2026-06-01T00:00:00Z");
            assert_eq!(definition["end"], "2026-07-02T00:00:00Z");
            assert!(ids.insert(id.clone()), "{id}");
        }
        assert_eq!(ids.len(), 50);
    }

    #[test]
    fn a_definition_reads_like_one_of_an_operator() {
        let (id, text) = &missions(&GeneratorConfig::default())[1];
        let definition: Value = serde_json::from_str(text).unwrap();
        assert_eq!(id, "virtual-weekly-0002");
        assert_eq!(
            definition["stages"],
            json!([{
                "on": ["bet_placed"],
                "where": "game_type == 'virtual_sports' && currency == 'EUR'",
                "measure": {"kind": "sum", "field": "amount", "currency": "EUR"},
                "target": "50.00",
            }])
        );
        assert_eq!(definition["window"]["every"], "week");
    }
}
