//! What releases have written of the state can be read, and what this one writes is pinned.
//!
//! A file holds the state in the middle of a script, by the release of its format. Whoever changes what is written counts
//! [`FORMAT`](crate::snapshot::FORMAT) on, keeps the files, and lets these tests write new ones (`QUESTLINE_WRITE_FORMAT`).

use datasets::state::{Packed, Packer, Part, Section, Unpacker};

use super::epochs;
use crate::activity::Reporting;
use crate::definitions::DefinitionRecord;
use crate::ledger::{Attribution, LedgerRules};
use crate::snapshot::FORMAT;
use crate::testing::{
    Archived, CONTESTED, Cluster, EARLIER, EpochInput, GATED, Out, PERIODS, Rng, Setting, UNLOCKING, cut, definitions,
    earlier_definitions, first_definitions, gated_definitions, groups, random_script, random_script_of_many,
    random_script_with_controls, random_script_with_entities, random_script_with_money,
    random_script_with_restrictions, random_script_with_settlements, restricted_definitions, rules, second_definitions,
};

/// What happens, of which a file has the state in the middle.
struct Scenario {
    log: Vec<EpochInput>,
    setting: Setting,
    /// Sections are written behind the epochs that are so many before the middle.
    written_before: &'static [usize],
}

/// Parts as a file holds them: keeper and group by number, epoch, pieces.
type Written = Vec<(usize, u64, Vec<Vec<u8>>)>;

impl Scenario {
    fn new(log: Vec<EpochInput>) -> Self {
        Scenario { log, setting: Setting::new(Reporting::EveryEpoch), written_before: &[1] }
    }

    /// A script with missions, at which an older release stops short of points: nobody earns any.
    fn without_points(missions: Vec<DefinitionRecord>) -> Self {
        let missions = missions.into_iter().map(|record| {
            let text = record.text.map(|text| text.replace(r#""type":"points""#, r#""type":"other""#));
            DefinitionRecord { text, ..record }
        });
        let mut rng = Rng(1);
        let script = random_script(&mut rng, 140);
        Self::new(epochs(cut(&mut rng, &script, 4), missions.collect()))
    }

    fn restrictions_and_points() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_restrictions(&mut rng, 140);
        Self::new(epochs(cut(&mut rng, &script, 4), restricted_definitions(60)))
    }

    fn timelines_and_unlocks() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_controls(&mut rng, 140, &UNLOCKING);
        Self::new(epochs(cut(&mut rng, &script, 4), gated_definitions(&UNLOCKING, 60)))
    }

    fn points_and_slips() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_settlements(&mut rng, 140);
        let scenario = Self::new(epochs(cut(&mut rng, &script, 4), definitions(60)));
        let ledger = LedgerRules { attribution: Attribution::Settlement, ..rules().ledger };
        Scenario { setting: Setting { ledger, ..scenario.setting }, ..scenario }
    }

    fn tiers() -> Self {
        let mut rng = Rng(1);
        let script = random_script(&mut rng, 140);
        let scenario = Self::new(epochs(cut(&mut rng, &script, 4), definitions(60)));
        Scenario { setting: Setting { tiers: &PERIODS, ..scenario.setting }, ..scenario }
    }

    fn contests() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_controls(&mut rng, 140, &CONTESTED);
        Self::new(epochs(cut(&mut rng, &script, 4), gated_definitions(&CONTESTED, 60)))
    }

    /// Sections of which one is cut into pieces, and one needs these.
    fn pieces() -> Self {
        let mut rng = Rng(1);
        let mut script = random_script_of_many(&mut rng, 1_300);
        script.iter_mut().for_each(|input| input.player = "p");
        let log = epochs(cut(&mut rng, &script, 30), definitions(60));
        Scenario { written_before: &[3, 1], ..Self::new(log) }
    }

    fn retained() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_controls(&mut rng, 140, &GATED[..1]);
        let scenario = Self::new(epochs(cut(&mut rng, &script, 4), earlier_definitions(&EARLIER, 60)));
        Scenario { setting: Setting { retained_micros: 8 * 86_400_000_000, ..scenario.setting }, ..scenario }
    }

    /// What is known of customers, and transactions that are kept whole.
    fn entities() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_entities(&mut rng, 140);
        let scenario = Self::new(epochs(cut(&mut rng, &script, 4), Vec::new()));
        Scenario { setting: Setting { has_feed: true, ..scenario.setting }, ..scenario }
    }

    /// Parts of jackpots of plain and of other transactions, of slips and of rows that wait for their report; chargebacks.
    fn money() -> Self {
        let mut rng = Rng(1);
        let script = random_script_with_money(&mut rng, 140);
        let ledger = LedgerRules { attribution: Attribution::Settlement, ..rules().ledger };
        let setting = Setting { ledger, ..Setting::new(Reporting::Interval(90 * 60_000_000)) };
        Scenario { setting, ..Self::new(epochs(cut(&mut rng, &script, 4), Vec::new())) }
    }

    /// As far as the middle: who goes on, and what was written.
    fn play(&self) -> (Cluster, Written) {
        let half = self.log.len() / 2;
        let mut cluster = Cluster::restore(1, &Archived::new(), &[], &self.setting);
        let (mut archived, mut told) = (Archived::new(), false);
        for (number, epoch) in self.log[..half].iter().enumerate() {
            told |= cluster.close(epoch) != Out::default();
            if self.written_before.contains(&(half - number)) {
                groups().into_iter().for_each(|group| cluster.write(group, &mut archived));
            }
        }
        assert!(told, "something happens");
        let written = archived.into_iter();
        let written = written.map(|((keeper, group), kept)| (Part { keeper, group }.index(), kept.epoch, kept.pieces));
        (cluster, written.collect())
    }

    /// Who begins with what was written goes on as who wrote it.
    fn assert_readable(&self, written: Written) {
        let (mut cluster, _) = self.play();
        let mut read = Archived::new();
        for (part, epoch, pieces) in written {
            let part = Part::of(part).unwrap();
            let section = Section { part, epoch, needs: 0, pieces, cold: None };
            read.entry((part.keeper, part.group)).or_default().push(section);
        }
        let half = self.log.len() / 2;
        let mut restored = Cluster::restore(2, &read, &self.log, &self.setting);
        assert_eq!(restored.next(), u64::try_from(half).unwrap());
        for epoch in &self.log[half..] {
            restored.close(epoch).assert_is(&cluster.close(epoch), "behind what was read");
        }
    }

    /// The file of this name holds what is written now, and that can be read.
    fn assert_written(&self, name: &str) {
        let (_, now) = self.play();
        if std::env::var_os("QUESTLINE_WRITE_FORMAT").is_some_and(|wanted| name.starts_with(&*wanted.to_string_lossy()))
        {
            assert!(name.starts_with(&format!("format_{FORMAT}")), "what releases have written stays as it is");
            let bytes = postcard::to_allocvec(&now).unwrap();
            let packed = Packer::new().unwrap().pack(&bytes).unwrap();
            let file = postcard::to_allocvec(&(bytes.len(), packed.stored())).unwrap();
            std::fs::write(path(name), file).unwrap();
        }
        let known = unpacked(name);
        assert!(
            known == now,
            "what is written is not that of {name}: count operators::snapshot::FORMAT on, and keep reading this"
        );
        self.assert_readable(known);
    }
}

fn path(name: &str) -> String {
    format!("src/snapshot/{name}.postcard")
}

/// What a file holds since format 6 of pieces.
fn unpacked(name: &str) -> Written {
    let (len, packed): (usize, Vec<u8>) = postcard::from_bytes(&std::fs::read(path(name)).unwrap()).unwrap();
    let mut unpacker = Unpacker::new().unwrap();
    postcard::from_bytes(unpacker.unpack(&Packed::of(packed, len)).unwrap()).unwrap()
}

/// What a file held before: sections of one piece.
fn alone(name: &str) -> Written {
    let known: Vec<(usize, u64, bool, Vec<u8>)> = postcard::from_bytes(&std::fs::read(path(name)).unwrap()).unwrap();
    known.into_iter().map(|(part, epoch, _, bytes)| (part, epoch, vec![bytes])).collect()
}

#[test]
fn format_1_stays_readable() {
    Scenario::without_points(first_definitions(60)).assert_readable(alone("format_1"));
}

#[test]
fn format_2_stays_readable() {
    Scenario::without_points(second_definitions(60)).assert_readable(alone("format_2"));
}

#[test]
fn format_4_stays_readable() {
    Scenario::restrictions_and_points().assert_readable(alone("format_4"));
    Scenario::timelines_and_unlocks().assert_readable(alone("format_4_unlocks"));
}

#[test]
fn format_5_stays_readable() {
    Scenario::points_and_slips().assert_readable(alone("format_5"));
    Scenario::tiers().assert_readable(alone("format_5_tiers"));
}

#[test]
fn format_6_stays_readable() {
    Scenario::contests().assert_readable(alone("format_6"));
    Scenario::pieces().assert_readable(unpacked("format_6_pieces"));
    Scenario::retained().assert_readable(alone("format_6_retained"));
}

#[test]
fn format_7_stays_readable() {
    Scenario::entities().assert_readable(alone("format_7_entities"));
}

/// Format 9 adds what a script without jackpots and chargebacks has nothing of.
#[test]
fn format_8_stays_readable_and_is_written_where_nothing_is_new() {
    let scenarios = [
        ("format_8_restrictions", Scenario::restrictions_and_points()),
        ("format_8_unlocks", Scenario::timelines_and_unlocks()),
        ("format_8_slips", Scenario::points_and_slips()),
        ("format_8_tiers", Scenario::tiers()),
        ("format_8_contests", Scenario::contests()),
        ("format_8_pieces", Scenario::pieces()),
        ("format_8_retained", Scenario::retained()),
        ("format_8_entities", Scenario::entities()),
    ];
    for (name, scenario) in scenarios {
        scenario.assert_written(name);
    }
}

/// Format 10 adds runs of rows, whose form is pinned beside them.
#[test]
fn format_9_stays_readable_and_is_written_but_for_what_is_cold() {
    Scenario::money().assert_written("format_9_money");
}
