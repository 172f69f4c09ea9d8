use datasets::hash::{KEY_GROUPS, KeyGroup};

use super::Players;
use crate::definitions::DefinitionRecord;
use crate::snapshot::Terms;
use crate::testing::{Input, Run, at, batch, record};

impl Players {
    /// One checkpoint, of which each section has a half of its group at least.
    fn write_all(&mut self, epoch: u64) {
        for group in (0..KEY_GROUPS).map(KeyGroup) {
            self.write(group, epoch, Terms { cold: None, bytes_at_once: usize::MAX });
        }
    }

    /// Players that are dormant, and all.
    fn dormant(&self) -> (usize, usize) {
        let rosters = || self.groups.iter().map(|group| &group.players);
        let all: usize = rosters().map(|roster| roster.all().count()).sum();
        (all - rosters().map(|roster| roster.iter().count()).sum::<usize>(), all)
    }
}

/// Counts bets of the days since the 10th.
fn counting(target: u32, hours: i64) -> DefinitionRecord {
    let text = format!(
        r#"{{"mission_id":"m","version":1,"name":"m","status":"active","start":"{}",
            "stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":"{target}"}}]}}"#,
        at(-240)
    );
    record("m", Some(text), hours, hours + 1_000)
}

fn close(run: &mut Run, hour: i64, definitions: Vec<DefinitionRecord>, inputs: Vec<Input>) {
    run.close(definitions, &batch(&inputs), (at(hour), at(hour)));
}

fn bet(id: &str, player: &'static str, hour: i64) -> Input {
    Input { player, ..Input::new("bet_placed", id, hour, "5") }
}

/// Two bets of each player, then all of it written twice without a change between.
fn two_dormant_players() -> Run {
    let mut run = Run::new(Vec::new());
    close(&mut run, -240, vec![counting(3, -240)], Vec::new());
    for (hour, ids) in [(1, ["a", "b"]), (2, ["c", "d"])] {
        close(&mut run, hour, Vec::new(), vec![bet(ids[0], "p", hour), bet(ids[1], "q", hour)]);
    }
    run.players.write_all(3);
    assert_eq!(run.players.dormant(), (0, 2), "what has changed is awake");
    let before = run.standings();
    (4..7).for_each(|epoch| run.players.write_all(epoch));
    assert_eq!(run.players.dormant(), (2, 2));
    assert_eq!(run.standings(), before);
    assert_eq!(before.len(), 2);
    run
}

#[test]
fn an_event_wakes_its_player() {
    let mut run = two_dormant_players();
    close(&mut run, 5, Vec::new(), vec![bet("e", "p", 5)]);
    assert_eq!(run.players.dormant(), (1, 2));
    let told: Vec<_> = run.messages.iter().map(|message| (&*message.player_id, message.completed_at)).collect();
    assert_eq!(told, [("p", at(5))]);
}

#[test]
fn a_reversal_finds_who_is_dormant() {
    let mut run = two_dormant_players();
    let reversal = Input { player: "q", ..Input::reversal("r", "b", "bet", 5) };
    close(&mut run, 5, Vec::new(), vec![reversal]);
    close(&mut run, 6, Vec::new(), vec![bet("f", "q", 6), bet("g", "q", 7)]);
    assert_eq!(run.messages.iter().map(|message| message.completed_at).collect::<Vec<_>>(), [at(7)]);
}

#[test]
fn an_edit_completes_who_is_dormant() {
    let mut run = two_dormant_players();
    close(&mut run, 5, vec![counting(2, 5)], Vec::new());
    assert_eq!(run.players.dormant(), (0, 2));
    let told: Vec<_> = run.messages.iter().map(|message| (&*message.player_id, message.completed_at)).collect();
    assert_eq!(told, [("p", at(5)), ("q", at(5))]);
}

#[test]
fn an_edit_of_another_mission_lets_them_be() {
    let mut run = two_dormant_players();
    let text = counting(1, 5).text.map(|text| text.replace(r#""mission_id":"m""#, r#""mission_id":"n""#));
    close(&mut run, 5, vec![record("n", text, 5, 2_000)], Vec::new());
    assert_eq!(run.players.dormant(), (2, 2));
}
