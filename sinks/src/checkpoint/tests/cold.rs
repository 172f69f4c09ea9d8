//! What went cold: in the checkpoint, on the disk, and in neither any more.

use datasets::cold::{ColdBytes, ColdRun, SPREAD};

use super::super::ColdFiles;
use super::*;

/// When it is due so that the last group needs it until the clock of the first epoch of round `until`.
fn due(until: u64) -> Timestamp {
    outputs(until * 10).now.plus_micros(-SPREAD)
}

/// What part 7 sets aside in `round`, needed until the clock of the first epoch of round `until`.
fn run_of(round: u64, until: u64) -> ColdRun {
    let bytes = ColdBytes::new(format!("cold of round {round}").into_bytes());
    ColdRun { bytes: Arc::new(bytes), head: 4, until: Some(due(until)) }
}

/// The same, needed forever.
fn run_for_good(round: u64) -> ColdRun {
    ColdRun { until: None, ..run_of(round, 0) }
}

/// The sections of a round, with what goes cold in it.
fn with_cold(round: u64, cold: &[ColdRun]) -> Vec<Section> {
    let mut sections: Vec<Section> = sections(round).collect();
    for (section, cold) in sections.iter_mut().skip(7).zip(cold) {
        section.cold = Some(cold.clone());
    }
    sections
}

/// A round as it is put, on `handle`.
fn put(handle: &CheckpointHandle, round: u64, cold: &[ColdRun]) {
    with_cold(round, cold).into_iter().for_each(|section| handle.section(section));
    let epochs = round * 10..(round + 1) * 10;
    epochs.clone().for_each(|epoch| handle.published(outputs(epoch)));
    handle.committed(epochs.map(|epoch| (epoch, chain(epoch))).collect(), 0);
}

fn put_and_wait(handle: &CheckpointHandle, round: u64, cold: &[ColdRun]) {
    let before = handle.rounds();
    put(handle, round, cold);
    let deadline = Instant::now() + Duration::from_secs(30);
    while handle.rounds() == before {
        assert!(Instant::now() < deadline, "round {round} is not put");
        std::thread::yield_now();
    }
}

/// Where everything is.
struct Folders {
    checkpoint: TempDir,
    disk: TempDir,
}

impl Folders {
    fn new() -> Self {
        Folders { checkpoint: TempDir::new().unwrap(), disk: TempDir::new().unwrap() }
    }

    fn config(&self) -> CheckpointConfig {
        CheckpointConfig { cold: Some(self.disk.path().to_owned()), ..config(self.checkpoint.path()) }
    }

    fn start(&self, upper: Epoch) -> (Checkpoints, CheckpointHandle) {
        let config = self.config();
        let found = find(&config).unwrap();
        let recovered = recover(&config, &found, &log(upper)).unwrap();
        Checkpoints::start(&config, found, recovered.as_ref(), None).unwrap()
    }

    /// What is kept of part 7 and 8, and the manifest.
    fn recovered(&self, config: &CheckpointConfig, upper: Epoch) -> (Manifest, [Vec<ColdRun>; 2]) {
        let recovered = recover(config, &find(config).unwrap(), &log(upper)).unwrap().unwrap();
        let cold = [7, 8].map(|part: usize| recovered.parts[part].1.cold.clone());
        assert!(recovered.parts.iter().skip(9).all(|(_, kept)| kept.cold.is_empty()));
        (recovered.manifest, cold)
    }

    fn on_disk(&self) -> Vec<String> {
        names(self.disk.path(), "test").into_iter().filter(|name| name.starts_with("cold-")).collect()
    }
}

fn texts(runs: &[ColdRun]) -> Vec<String> {
    runs.iter().map(|run| String::from_utf8(run.bytes.read(0..run.bytes.len()).unwrap()).unwrap()).collect()
}

#[test]
fn it_goes_to_the_disk_and_is_found_again() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    let first = [run_of(0, 99), run_of(0, 99)];
    let second = [run_of(2, 99)];
    put_and_wait(&handle, 0, &first);
    put_and_wait(&handle, 1, &[]);
    put_and_wait(&handle, 2, &second);
    // Whoever set it aside reads it from there.
    let all = || first.iter().chain(&second);
    assert!(all().all(|run| !run.bytes.is_in_memory() && run.bytes.place().contains("/test/cold-")));
    assert_eq!(texts(&first), ["cold of round 0", "cold of round 0"]);
    drop((handle, first, second));
    checkpoints.join();
    assert_eq!(folders.on_disk(), ["cold-0000000000000000-run", "cold-0000000000000002-run"]);

    let expected = [vec!["cold of round 0", "cold of round 2"], vec!["cold of round 0"]];
    let check = |config: &CheckpointConfig, in_memory: bool| {
        let (manifest, cold) = folders.recovered(config, 30);
        assert_eq!(manifest.format, 2, "an earlier release must not go on without it");
        assert_eq!(cold.each_ref().map(|runs| texts(runs)), expected.each_ref().map(|texts| texts.as_slice()));
        assert!(cold.iter().flatten().all(|run| run.head == 4 && run.until == Some(due(99))));
        assert!(cold.iter().flatten().all(|run| run.bytes.is_in_memory() == in_memory));
    };
    check(&folders.config(), false);
    // Without a disk it is in memory.
    check(&config(folders.checkpoint.path()), true);
    // On another machine it is fetched.
    std::fs::remove_dir_all(folders.disk.path()).unwrap();
    check(&folders.config(), false);
    assert_eq!(folders.on_disk().len(), 2);
    // What is damaged is fetched again, and what nobody knows is removed.
    let path = folders.disk.path().join("test").join(&folders.on_disk()[0]);
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[9] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    std::fs::write(folders.disk.path().join("test/cold-0000000000000003-other"), "of a life that nobody remembers")
        .unwrap();
    check(&folders.config(), false);
    assert_eq!(folders.on_disk().len(), 2);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    check(&folders.config(), false);

    // Another life goes on with it.
    let (checkpoints, handle) = folders.start(30);
    put_and_wait(&handle, 3, &[run_of(3, 99)]);
    drop(handle);
    checkpoints.join();
    let (manifest, [cold, _]) = folders.recovered(&folders.config(), 40);
    assert_eq!((manifest.cold.len(), cold.len()), (3, 3));
}

#[test]
fn it_stays_until_nobody_needs_it() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    for round in 0..9 {
        put_and_wait(&handle, round, &[run_of(round, round + 3)]);
    }
    drop(handle);
    checkpoints.join();
    let (manifest, [cold, _]) = folders.recovered(&folders.config(), 90);
    // All parts have seen the clocks of the first epochs of rounds up to 8.
    assert_eq!(manifest.first, 81);
    assert_eq!(texts(&cold), [6, 7, 8].map(|round| format!("cold of round {round}")));
    // The manifest before needs what round 5 has set aside.
    let objects = names(folders.checkpoint.path(), "cold");
    assert_eq!(objects.first().unwrap(), "0000000000000005-run");
    assert_eq!(objects.len(), 4);
}

#[test]
fn what_is_needed_forever_stays_and_keeps_nothing_else() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    for round in 0..5 {
        put_and_wait(&handle, round, &[run_of(round, round + 1), run_for_good(round)]);
    }
    drop(handle);
    checkpoints.join();
    // Another life keeps them too.
    let (checkpoints, handle) = folders.start(50);
    (5..9).for_each(|round| put_and_wait(&handle, round, &[run_of(round, round + 1)]));
    drop(handle);
    checkpoints.join();
    let (_, [cold, kept]) = folders.recovered(&folders.config(), 90);
    assert_eq!(texts(&cold), ["cold of round 8"]);
    assert_eq!(texts(&kept), (0..5).map(|round| format!("cold of round {round}")).collect::<Vec<_>>());
    assert!(kept.iter().all(|run| run.until.is_none()));
    let on_disk = folders.on_disk();
    assert_eq!(on_disk.iter().filter(|name| name.ends_with("-run-kept")).count(), 5, "{on_disk:?}");
    assert!(!on_disk.contains(&"cold-0000000000000000-run".to_owned()), "{on_disk:?}");
}

#[test]
fn nothing_cold_is_nothing_new() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    put_and_wait(&handle, 0, &[]);
    drop(handle);
    checkpoints.join();
    let (manifest, _) = folders.recovered(&folders.config(), 10);
    assert_eq!(manifest.format, 1, "an earlier release can go on with it");
    assert!(!serde_json::to_string(&manifest).unwrap().contains("cold"));
}

#[test]
fn a_pack_that_is_gone_makes_a_checkpoint_useless() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    put_and_wait(&handle, 0, &[]);
    put_and_wait(&handle, 1, &[run_of(1, 99)]);
    drop(handle);
    checkpoints.join();
    std::fs::remove_dir_all(folders.checkpoint.path().join("cold")).unwrap();
    let (manifest, _) = folders.recovered(&folders.config(), 20);
    assert_eq!(manifest.seq, 1, "the disk has it");
    std::fs::remove_dir_all(folders.disk.path()).unwrap();
    let (manifest, _) = folders.recovered(&folders.config(), 20);
    assert_eq!(manifest.seq, 0, "nobody has it");
}

#[test]
fn a_disk_that_takes_nothing_is_told() {
    let folders = Folders::new();
    let (checkpoints, handle) = folders.start(0);
    std::fs::create_dir_all(folders.disk.path().join("test/cold-0000000000000000-run/in-the-way")).unwrap();
    let cold = [run_of(0, 99)];
    put(&handle, 0, &cold);
    checkpoints.join();
    let failure = handle.failure().unwrap();
    assert!(failure.starts_with("checkpoint.cold_folder: writing /"), "{failure}");
    assert!(handle.has_ended());
    assert_eq!(texts(&cold), ["cold of round 0"], "it can be read nevertheless");
}

#[test]
fn a_process_beside_has_its_own_files_of_what_went_cold_there() {
    let folders = Folders::new();
    let (_, handle) = folders.start(0);
    let beside = TempDir::new().unwrap();
    let config = CheckpointConfig { cold: Some(beside.path().to_owned()), ..config(folders.checkpoint.path()) };
    let files = ColdFiles::start(&config, find(&config).unwrap(), None).unwrap();
    let on_disk = || {
        let all = names(beside.path(), "test").into_iter();
        all.filter(|name| name.starts_with("cold-")).collect::<Vec<_>>()
    };
    // Whoever puts the round has bytes of its own, as they crossed over.
    let put = |round: u64, until: u64, parts: &[usize]| {
        let runs: Vec<ColdRun> = parts.iter().map(|_| run_of(round, until)).collect();
        parts.iter().zip(&runs).for_each(|(part, run)| files.cold(Part::of(*part).unwrap(), run.bytes.clone()));
        put_and_wait(&handle, round, &[run_of(round, until), run_of(round, until)]);
        files.in_place(handle.manifest().unwrap());
        runs
    };
    let wait_for = |run: &ColdRun| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while run.bytes.is_in_memory() {
            assert!(
                Instant::now() < deadline && files.failure().is_none(),
                "it stays in memory: {:?}",
                files.failure()
            );
            std::thread::yield_now();
        }
    };
    let both = put(0, 3, &[7, 8]);
    both.iter().for_each(wait_for);
    assert!(both.iter().all(|run| run.bytes.place().starts_with(beside.path().to_str().unwrap())));
    assert_eq!(texts(&both), ["cold of round 0", "cold of round 0"]);
    // Of a round in which nothing went cold here, nothing has to be fetched: a start does that.
    put(1, 99, &[]);
    let later = put(2, 99, &[8]);
    wait_for(&later[0]);
    for name in ["cold-0000000000000000-run", "cold-0000000000000002-run"] {
        assert!(on_disk().contains(&name.to_owned()), "{:?}", on_disk());
    }
    // The first one is forgotten after round 3; two manifests later nobody reads it.
    put(3, 99, &[7]).iter().for_each(wait_for);
    put(4, 99, &[7]).iter().for_each(wait_for);
    put(5, 99, &[7]).iter().for_each(wait_for);
    put(6, 99, &[7]).iter().for_each(wait_for);
    assert!(!on_disk().contains(&"cold-0000000000000000-run".to_owned()), "{:?}", on_disk());
    // Of two packs of one round both are fetched.
    let both = [run_of(7, 99), run_for_good(7)];
    (7..).zip(&both).for_each(|(part, run)| files.cold(Part::of(part).unwrap(), run.bytes.clone()));
    put_and_wait(&handle, 7, &[run_of(7, 99), run_for_good(7)]);
    files.in_place(handle.manifest().unwrap());
    both.iter().for_each(wait_for);
    drop(files);

    // A disk that takes nothing is told, and what is cold can still be read.
    let full = TempDir::new().unwrap();
    let config = CheckpointConfig { cold: Some(full.path().to_owned()), ..config };
    let found = find(&config).unwrap();
    std::os::unix::fs::symlink("/dev/full", full.path().join("test/unfinished")).unwrap();
    let files = ColdFiles::start(&config, found, None).unwrap();
    let run = run_of(8, 99);
    files.cold(Part::of(7).unwrap(), run.bytes.clone());
    put_and_wait(&handle, 8, &[run_of(8, 99)]);
    files.in_place(handle.manifest().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    while files.failure().is_none() {
        assert!(Instant::now() < deadline, "nobody says that the disk is full");
        std::thread::yield_now();
    }
    assert!(files.failure().unwrap().contains("No space left on device"));
    assert!(run.bytes.is_in_memory());
}
