//! The format of packs.

use std::time::Duration;

use super::super::local::Local;
use super::*;

fn section(part: usize, run: Option<&[u8]>, head: usize, until: impl Into<Option<i64>>) -> Section {
    let until = until.into().map(Timestamp::from_micros);
    let cold = run.map(|run| ColdRun { bytes: Arc::new(ColdBytes::new(run.to_vec())), head, until });
    Section { part: Part::of(part).unwrap(), epoch: 3, needs: 0, pieces: Vec::new(), cold }
}

fn sections() -> Vec<Section> {
    vec![section(5, Some(b"abcdefgh"), 3, 70), section(6, None, 0, 0), section(1030, Some(&[9; 100]), 100, 90)]
}

fn expected() -> Vec<(Part, ColdRun)> {
    sections().into_iter().filter_map(|section| Some((section.part, section.cold?))).collect()
}

/// What is needed for a time.
fn packed(sections: &[Section]) -> Option<Pack> {
    let [pack, kept] = Pack::both(sections).unwrap();
    assert!(kept.is_none());
    pack
}

#[test]
fn what_is_needed_forever_is_in_a_pack_of_its_own() {
    let mut sections = sections();
    sections.push(section(7, Some(b"forever"), 2, None));
    let [pack, kept] = Pack::both(&sections).unwrap().map(Option::unwrap);
    assert_eq!((pack.until, kept.until), (Some(Timestamp::from_micros(90)), None));
    assert_eq!(runs_in_memory(&pack.bytes).unwrap(), expected());
    let runs = runs_in_memory(&kept.bytes).unwrap();
    assert_eq!(runs, [(Part::of(7).unwrap(), sections[3].cold.clone().unwrap())]);
}

#[test]
fn comes_back_as_it_was_written() {
    let pack = packed(&sections()).unwrap();
    assert_eq!(pack.until, Some(Timestamp::from_micros(90)));
    assert_eq!(runs_in_memory(&pack.bytes).unwrap(), expected());
    let folder = tempfile::tempdir().unwrap();
    let file = Local::open(folder.path(), Duration::ZERO).unwrap().keep("cold/1", &pack.bytes).unwrap();
    let runs = runs_of_file(&file, length(pack.bytes.len())).unwrap();
    assert!(runs.iter().all(|(_, run)| !run.bytes.is_in_memory()));
    assert_eq!(runs, expected());
    assert!(packed(&[section(6, None, 0, 0)]).is_none());
}

#[test]
fn runs_go_to_where_the_pack_is() {
    let pack = packed(&sections()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = Local::open(folder.path(), Duration::ZERO).unwrap().keep("cold/1", &pack.bytes).unwrap();
    let before: Vec<Vec<u8>> = pack.runs.iter().map(|(run, _)| run.read(0..run.len()).unwrap()).collect();
    pack.runs.iter().for_each(|(run, offset)| run.move_to(file.clone(), *offset));
    for ((run, _), before) in pack.runs.iter().zip(before) {
        assert!(!run.is_in_memory());
        assert_eq!(run.read(0..run.len()).unwrap(), before);
    }
}

#[test]
fn any_damage_is_seen() {
    let bytes = packed(&sections()).unwrap().bytes;
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(folder.path(), Duration::ZERO).unwrap();
    let mut unseen = Vec::new();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(runs_in_memory(&damaged).is_err(), "byte {at}");
        let file = local.keep("cold/1", &damaged).unwrap();
        if runs_of_file(&file, length(bytes.len())).is_ok() {
            unseen.push(at);
        }
    }
    // What is behind the head of a run is its own to look at.
    assert_eq!(unseen, (11..16).collect::<Vec<_>>());
    for len in 0..bytes.len() {
        assert!(runs_in_memory(&bytes[..len]).is_err(), "{len} bytes");
        let file = local.keep("cold/1", &bytes[..len]).unwrap();
        assert!(runs_of_file(&file, length(len)).is_err(), "{len} bytes");
    }
}
