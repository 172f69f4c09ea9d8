//! Where a run begins: with a checkpoint if there is one, and writes the next ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use datasets::hash::{KEY_GROUPS, KeyGroup, fingerprint};
use datasets::rows::{Binding, DefinitionRow, EpochOutputs};
use datasets::state::Section;
use datasets::{Coordinates, Epoch, Topics};
use operators::definitions::DefinitionRecord;
use operators::snapshot::ColdRules;
use operators::snapshot::{Archive, Restored, State, Terms};
use sinks::SinkError;
use sinks::checkpoint::{
    Before, CheckpointConfig, CheckpointHandle, Checkpoints, ColdFiles, Found, LaneState, Recovered, find, recover,
};
use sinks::kafka::RecoveredLog;
use sinks::lake::LakeHandle;

use super::peers::Peers;
use crate::cluster::{self, Message, Team};
use crate::config::{Config, MissionsConfig, PointsConfig};
use crate::dataflow::Begin;

/// What a worker writes behind one epoch, about, so that none waits long for it: a few milliseconds.
const BYTES_PER_EPOCH: usize = 1 << 20;

/// The same of one group by the operator that has most, where all of it is new: there is another operator, most of the bytes are of
/// players whose memory is far, and a piece is written whole.
const BYTES_AT_ONCE: usize = BYTES_PER_EPOCH / 4;

/// Outputs of a round from which on it does not wait for the end of its interval, since they are kept in memory.
const HEAVY: usize = 64 << 20;

/// What is known at start.
pub struct Start {
    config: Option<(CheckpointConfig, Found)>,
    recovered: Option<Recovered>,
}

/// How checkpoints are reached; `None` where there is no place for them.
pub fn checkpoint_config(config: &Config, run_id: &str) -> Option<CheckpointConfig> {
    let lake = config.lake.as_ref();
    let beside_lake = || lake.map(|lake| format!("{}/_checkpoint", lake.url.trim_end_matches('/')));
    let url = config.checkpoint.url.clone().or_else(beside_lake)?;
    let s3 = lake.map(|lake| crate::plan::lake_config(lake).s3).unwrap_or_default();
    let timeout = config.kafka.as_ref().map_or(Duration::from_secs(60), |kafka| kafka.startup_timeout.into());
    Some(CheckpointConfig {
        url,
        s3,
        interval: config.pipeline.checkpoint_interval.into(),
        start_timeout: timeout,
        pipeline: config.pipeline.name.clone(),
        run_id: run_id.to_owned(),
        state_format: operators::snapshot::FORMAT,
        rules: rules(config),
        cold: None,
    })
}

/// Where what is cold lies beside a process: beside others than 0, in a folder below, since two may be on one machine.
fn cold_folder(config: &Config, process: usize) -> Option<PathBuf> {
    let folder = config.checkpoint.cold_folder.as_ref()?;
    Some(if process == 0 { folder.clone() } else { folder.join(format!("process-{process}")) })
}

/// Tells the rules that the state follows from. Under others the log is followed from its beginning, as if they had
/// always been in force.
fn rules(config: &Config) -> String {
    let Config { sources, missions, defaults, ledger, identity, activity, points, tiers, lake, entities, .. } = config;
    // A checkpoint knows how far a lake is written: of another one, or of none, it knows nothing.
    let lake = lake.as_ref().map(|lake| &lake.url);
    let MissionsConfig { topic, retained } = missions;
    let mut text = format!(
        "({sources:?}, MissionsConfig {{ topic: {topic:?} }}, {defaults:?}, {ledger:?}, {identity:?}, {activity:?}, {lake:?})"
    );
    // Where it says nothing, checkpoints of releases that did not have it are of the same rules.
    if *points != PointsConfig::default() {
        text += &format!("{points:?}");
    }
    if !tiers.is_empty() {
        text += &format!("{tiers:?}");
    }
    if let Some(entities) = entities {
        text += &format!("{entities:?}");
    }
    if *retained != MissionsConfig::default().retained {
        text += &format!("{retained:?}");
    }
    format!("{:032x}", fingerprint(text.as_bytes()))
}

impl Start {
    /// Looks for the newest checkpoint of `log`.
    ///
    /// # Errors
    /// A store that does not answer in time.
    pub fn find(config: &Config, run_id: &str, log: &RecoveredLog) -> Result<Self, SinkError> {
        let cold = cold_folder(config, 0);
        let found = checkpoint_config(config, run_id).map(|config| CheckpointConfig { cold, ..config });
        let Some(config) = found else {
            return match log.first {
                0 => Ok(Start { config: None, recovered: None }),
                first => Err(SinkError::Conflict(format!(
                    "the log of epochs begins with epoch {first}: a checkpoint has the rest, and neither checkpoint.url nor \
                     lake.url says where"
                ))),
            };
        };
        let began = Instant::now();
        let found = find(&config)?;
        let recovered = recover(&config, &found, log)?;
        if let Some(Recovered { manifest, .. }) = &recovered {
            let load_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (checkpoint, first, reached) = (manifest.seq, manifest.first, manifest.reached);
            tracing::info!(checkpoint, first, reached, upper = log.upper, load_ms, "checkpoint read");
        }
        Ok(Start { config: Some((config, found)), recovered })
    }

    /// The first epoch that is followed, and the clock before it.
    pub fn begin(&self) -> Begin {
        let manifest = self.recovered.as_ref().map(|recovered| &recovered.manifest);
        manifest.map_or_else(Begin::default, |manifest| Begin {
            first: manifest.first,
            now: manifest.before.now,
            wall: manifest.before.wall(),
            newest: manifest.before.newest,
        })
    }

    /// How far partitions were read before that.
    pub fn uppers(&self) -> &[Binding] {
        self.recovered.as_ref().map_or(&[], |recovered| &recovered.manifest.before.uppers)
    }

    /// How much an epoch read, where the outputs of it are kept.
    pub fn read_in(&self, epoch: Epoch) -> Option<u64> {
        let outputs = &self.recovered.as_ref()?.outputs;
        outputs.get(&epoch).map(|outputs| outputs.counters.read)
    }

    /// How far the lake was durable.
    pub fn lanes(&self) -> Vec<LaneState> {
        self.recovered.as_ref().map_or_else(Vec::new, |recovered| recovered.manifest.lanes.clone())
    }

    /// The checkpoint that was read, for other processes.
    pub fn manifest(&self) -> Option<String> {
        self.recovered.as_ref().map(|recovered| recovered.manifest.name())
    }

    /// Starts to write the next checkpoints, and divides what was read among the workers of `team`.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn go_on(
        self,
        topics: &Topics,
        team: Team,
        lake: Option<LakeHandle>,
        free_from: Epoch,
    ) -> Result<Keeping, SinkError> {
        let Start { config, recovered } = self;
        let mut archive = None;
        if let Some((config, found)) = config {
            // Nobody waits for the thread: an end of the process abandons a put, which changes nothing.
            let (_, handle) = Checkpoints::start(&config, found, recovered.as_ref(), lake)?;
            let cold = config.cold.as_ref().map(|_| ColdRules::default());
            archive = Some(Archiving { shelf: Shelf::Here(handle), interval: config.interval, free_from, cold });
        }
        Ok(Keeping::new(archive, recovered, topics, team))
    }
}

/// Goes on from the checkpoint of this name, which process 0 has read too, with what `shelf` takes there.
///
/// # Errors
/// What is wrong with it, or a store that does not answer.
pub fn follow(
    config: &Config,
    (run_id, manifest): (&str, Option<&str>),
    (topics, team): (&Topics, Team),
    (shelf, free_from): (AfarShelf, Epoch),
) -> Result<Keeping, String> {
    let Some(checkpoint) = checkpoint_config(config, run_id) else {
        return Ok(Keeping::new(None, None, topics, team));
    };
    let checkpoint = CheckpointConfig { cold: cold_folder(config, team.process), ..checkpoint };
    let found = find(&checkpoint).map_err(|error| crate::chain(&error))?;
    let read = |name: &str| {
        let recovered = found.manifest(&checkpoint, name).and_then(|manifest| found.load(manifest));
        recovered.map_err(|error| {
            let url = &checkpoint.url;
            format!("cannot read the checkpoint {name} in {url}, which process 0 has read: {}", crate::chain(&error))
        })
    };
    let recovered = manifest.map(read).transpose()?;
    let cold = checkpoint.cold.as_ref().map(|_| ColdRules::default());
    if cold.is_some() {
        shelf.keep_files(
            ColdFiles::start(&checkpoint, found, recovered.as_ref()).map_err(|error| crate::chain(&error))?,
        );
    }
    let archive = Archiving { shelf: Shelf::Afar(shelf), interval: checkpoint.interval, free_from, cold };
    Ok(Keeping::new(Some(archive), recovered, topics, team))
}

/// A definition of the log, as it was read and judged; `None` for one of a topic that is not configured any more.
pub fn definition(row: &DefinitionRow, topics: &Topics) -> Option<DefinitionRecord> {
    let topic = topics.id(&row.place.topic)?;
    Some(DefinitionRecord {
        at: Coordinates { topic, partition: row.place.partition, offset: row.place.offset, index: 0 },
        ingest_time: row.ingest_time,
        key: row.mission_id.clone(),
        text: row.definition.clone(),
        was_refused: !row.accepted,
    })
}

/// Where sections go.
#[derive(Clone)]
enum Shelf {
    /// To the thread that puts checkpoints.
    Here(CheckpointHandle),
    /// To the process that has it.
    Afar(AfarShelf),
}

/// Sends sections to process 0, which tells how far checkpoints are.
#[derive(Clone)]
pub struct AfarShelf {
    leader: Peers,
    told: Arc<Mutex<cluster::Checkpoints>>,
    /// Where what goes cold is kept, once that may be.
    files: Arc<OnceLock<ColdFiles>>,
}

impl AfarShelf {
    /// Before anything was told.
    pub fn new(leader: Peers) -> Self {
        AfarShelf { leader, told: Arc::default(), files: Arc::default() }
    }

    fn keep_files(&self, files: ColdFiles) {
        assert!(self.files.set(files).is_ok(), "a process begins once");
    }

    /// A manifest is in place, says process 0.
    pub fn in_place(&self, manifest: String) {
        if let Some(files) = self.files.get() {
            files.in_place(manifest);
        }
    }

    /// Why the process cannot go on: what went cold has no place on the disk.
    pub fn failure(&self) -> Option<&str> {
        self.files.get()?.failure()
    }

    fn section(&self, section: Section) {
        if let (Some(files), Some(cold)) = (self.files.get(), &section.cold) {
            files.cold(section.part, cold.bytes.clone());
        }
        // It is in memory: where it could be instead is told when process 0 has put it.
        self.leader.tell_all(&Message::section(section).expect("what has just gone cold is in memory"));
    }

    /// Process 0 tells.
    pub fn told(&self, now: cluster::Checkpoints) {
        *self.lock() = now;
    }

    fn lock(&self) -> MutexGuard<'_, cluster::Checkpoints> {
        self.told.lock().expect("no panic while assigning")
    }
}

/// What other processes have to know of checkpoints.
pub fn progress(handle: &CheckpointHandle) -> cluster::Checkpoints {
    let is_heavy = handle.bytes() > HEAVY;
    cluster::Checkpoints { rounds: handle.rounds(), is_heavy, has_ended: handle.has_ended() }
}

impl Shelf {
    fn progress(&self) -> cluster::Checkpoints {
        match self {
            Shelf::Here(handle) => progress(handle),
            Shelf::Afar(shelf) => *shelf.lock(),
        }
    }

    fn section(&self, section: Section) {
        match self {
            Shelf::Here(handle) => handle.section(section),
            Shelf::Afar(shelf) => shelf.section(section),
        }
    }
}

/// How state is written.
#[derive(Clone)]
struct Archiving {
    shelf: Shelf,
    interval: Duration,
    free_from: Epoch,
    cold: Option<ColdRules>,
}

/// What a running dataflow needs of checkpoints, in one process.
pub struct Keeping {
    archive: Option<Archiving>,
    team: Team,
    workers: Vec<Mutex<Option<Restored>>>,
    /// Of epochs that some parts know: what is computed of them now is not all.
    outputs: Mutex<BTreeMap<Epoch, EpochOutputs>>,
}

impl Keeping {
    fn new(archive: Option<Archiving>, recovered: Option<Recovered>, topics: &Topics, team: Team) -> Self {
        let here = team.here();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let helpers = (cores / team.threads).saturating_sub(1);
        let share = |_| Restored { helpers, ..Restored::default() };
        let mut shares: Vec<Restored> = here.clone().map(share).collect();
        let mut known = BTreeMap::new();
        if let Some(Recovered { manifest, parts, outputs, .. }) = recovered {
            let before = &manifest.before.definitions;
            let records: Vec<_> = before.iter().filter_map(|(at, row)| Some((*at, definition(row, topics)?))).collect();
            for share in &mut shares {
                share.definitions.clone_from(&records);
                share.rates.clone_from(&manifest.before.rates);
                let before = Some(&manifest.before).filter(|_| manifest.first > 0);
                share.wall = before.map(Before::wall);
                share.oldest_to_come = before.map(|before| before.now.min(before.newest));
            }
            for (part, kept) in parts {
                let worker = part.group.worker(team.workers());
                if here.contains(&worker) {
                    shares[worker - here.start].parts.get_mut().push((part.keeper, part.group, kept));
                }
            }
            known = outputs;
        }
        let workers = shares.into_iter().map(|share| Mutex::new(Some(share))).collect();
        Keeping { archive, team, workers, outputs: Mutex::new(known) }
    }

    /// The state of a worker of this process, made on its own thread, once.
    pub fn state(&self, worker: usize) -> State {
        let restored = &self.workers[worker - self.team.here().start];
        let restored = restored.lock().expect("no panic while starting").take().unwrap_or_default();
        let archive = self
            .archive
            .clone()
            .map(|archiving| -> Rc<RefCell<dyn Archive>> { Rc::new(RefCell::new(Turns::new(archiving))) });
        State { archive, restored: Rc::new(restored) }
    }

    /// What `outputs` of an epoch really were, told to the checkpoint too.
    pub fn publish(&self, outputs: Arc<EpochOutputs>) -> Arc<EpochOutputs> {
        let known = self.outputs.lock().expect("no panic while publishing").remove(&outputs.epoch);
        // Every worker hears of all rates again, whatever its groups know.
        let outputs = match known {
            Some(known) => Arc::new(EpochOutputs { rates: outputs.rates.clone(), ..known }),
            None => outputs,
        };
        if let Some(handle) = self.handle() {
            handle.published(outputs.clone());
        }
        outputs
    }

    /// The thread that writes, if it is in this process.
    pub fn handle(&self) -> Option<&CheckpointHandle> {
        match &self.archive {
            Some(Archiving { shelf: Shelf::Here(handle), .. }) => Some(handle),
            _ => None,
        }
    }
}

/// Gives one worker's key groups their turns: each once in a round, evenly over the interval, and a round after the
/// other. Nothing before the log has been followed to its end.
struct Turns {
    archiving: Archiving,
    /// Rounds that this worker has done.
    rounds: u64,
    /// The next group of this round.
    next: u16,
    /// Most groups behind one epoch, as large as groups have been lately.
    at_once: u16,
    /// What was written behind the last epoch.
    written: usize,
    began: Instant,
    /// By epoch: both operators of the worker ask, and get the same answer.
    answered: BTreeMap<Epoch, Range<u16>>,
}

impl Turns {
    fn new(archiving: Archiving) -> Self {
        let (began, answered) = (Instant::now(), BTreeMap::new());
        Turns { archiving, rounds: 0, next: 0, at_once: 1, written: 0, began, answered }
    }

    fn decide(&mut self, epoch: Epoch) -> Range<u16> {
        let told = self.archiving.shelf.progress();
        if epoch < self.archiving.free_from || told.rounds < self.rounds || told.has_ended {
            self.began = Instant::now();
            return 0..0;
        }
        let written = std::mem::take(&mut self.written);
        self.at_once = if written > BYTES_PER_EPOCH { self.at_once / 2 } else { self.at_once * 2 };
        self.at_once = self.at_once.clamp(1, KEY_GROUPS);
        let elapsed = self.began.elapsed().as_secs_f64() / self.archiving.interval.as_secs_f64().max(f64::MIN_POSITIVE);
        let elapsed = if told.is_heavy { 1.0 } else { elapsed };
        let due = (1..=self.at_once)
            .map(|more| self.next + more)
            .take_while(|group| *group <= KEY_GROUPS && f64::from(*group) <= elapsed * f64::from(KEY_GROUPS));
        let first = self.next;
        self.next = due.last().unwrap_or(first);
        let range = first..self.next;
        if self.next == KEY_GROUPS {
            (self.rounds, self.next) = (self.rounds + 1, 0);
        }
        range
    }
}

impl Archive for Turns {
    fn due(&mut self, epoch: Epoch) -> Range<u16> {
        if let Some(answered) = self.answered.remove(&epoch) {
            return answered;
        }
        let due = self.decide(epoch);
        self.answered.insert(epoch, due.clone());
        due
    }

    fn put_off(&mut self, epoch: Epoch, group: KeyGroup) {
        // Behind an epoch the first operator writes before the second one can: nobody knows yet what is due.
        self.answered.get_mut(&epoch).expect("it was asked for, once").end = group.0;
        // Behind the last group the round was taken for done.
        self.rounds -= u64::from(self.next == 0);
        self.next = group.0;
        // What is written of it counts when it is whole; until then it is more than one epoch takes.
        self.written += BYTES_PER_EPOCH + 1;
    }

    fn keep(&mut self, section: Section) {
        self.written += section.bytes() + section.cold.as_ref().map_or(0, |cold| cold.bytes.len());
        self.archiving.shelf.section(section);
    }

    fn terms(&self) -> Terms {
        Terms { cold: self.archiving.cold, bytes_at_once: BYTES_AT_ONCE }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_group_that_is_put_off_has_its_turn_in_the_same_round() {
        let shelf = Shelf::Afar(AfarShelf::new(Peers::none()));
        let mut turns = Turns::new(Archiving { shelf, interval: Duration::ZERO, free_from: 3, cold: None });
        let (mut visited, mut put_off) = (Vec::new(), BTreeSet::new());
        for epoch in 0..u64::from(10 * KEY_GROUPS) {
            let due = turns.due(epoch);
            assert!(epoch >= 3 || due.is_empty(), "before the log's end nothing is due");
            // Some groups once, wherever in the range they are, and the last one of all.
            let late = due.clone().find(|group| (group % 7 == 3 || group + 1 == KEY_GROUPS) && put_off.insert(*group));
            if let Some(group) = late {
                turns.put_off(epoch, KeyGroup(group));
            }
            // The other operator.
            let same = turns.due(epoch);
            assert_eq!(same, due.start..late.unwrap_or(due.end));
            visited.extend(same);
        }
        assert_eq!(visited, (0..KEY_GROUPS).collect::<Vec<_>>(), "the round is not in place, so no other one begins");
        assert!(put_off.len() > 100);
    }

    /// What `docs/pipeline.example.toml` configures.
    fn example() -> Config {
        let text = include_str!("../../../docs/pipeline.example.toml");
        let secrets =
            [("QUESTLINE__LAKE__S3__SECRET_ACCESS_KEY", "s"), ("QUESTLINE__KAFKA__PROPERTIES__SASL_PASSWORD", "p")];
        let variables = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::parse(text, "example", std::path::Path::new("."), variables).unwrap()
    }

    /// Where logs are trimmed, a release that tells the rules of an unchanged configuration in another way finds no
    /// checkpoint that it can go on from. When this fails, tell new settings apart only where they are not the default.
    #[test]
    fn unchanged_rules_are_told_as_the_release_before_told_them() {
        // What those releases did not have.
        let mut config = Config { entities: None, ..example() };
        config.activity.ngr.truncate(2);
        let steps: Vec<&str> = config.activity.ngr.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(steps, ["provider_fee", "bonus"]);
        assert_eq!(rules(&config), "8913cd268836280bf18d5d5af06f6964");
    }

    /// Each setting of jackpots and fixed amounts tells other rules apart.
    #[test]
    fn changed_rules_are_told_apart() {
        let steps = [
            "amount_of = \"chargebacks\"",
            "amount_of = \"jackpot_contribution\"",
            "add_back = \"jackpot_wins\"",
            "fixed = \"1\"\ncurrency = \"EUR\"\nper = \"bet\"",
            "fixed = \"2\"\ncurrency = \"EUR\"\nper = \"bet\"",
            "fixed = \"1\"\ncurrency = \"USD\"\nper = \"bet\"",
            "fixed = \"1\"\ncurrency = \"EUR\"\nper = \"row\"",
        ];
        let steps = steps.map(|step| format!("[[activity.ngr]]\nname = \"step\"\n{step}\n"));
        let mappings = ["contribution", "win"].map(|part| format!("[source.mapping]\njackpot_{part} = \"/j\"\n"));
        let all = steps.into_iter().chain(mappings).chain([String::new()]);
        let told: BTreeSet<String> = all
            .map(|more| {
                let text =
                    format!("[pipeline]\nname = \"p\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n{more}");
                rules(&Config::parse(&text, "p.toml", std::path::Path::new("."), []).unwrap())
            })
            .collect();
        assert_eq!(told.len(), 10);
    }
}
