//! Where a run begins: with a checkpoint if there is one, and writes the next ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use datasets::hash::fingerprint;
use datasets::rows::{Binding, DefinitionRow, EpochOutputs};
use datasets::{Coordinates, Epoch, Topics};
use operators::definitions::DefinitionRecord;
use operators::snapshot::{Archive, ColdRules, Restored, State};
use sinks::SinkError;
use sinks::checkpoint::{
    Before, CheckpointConfig, CheckpointHandle, Checkpoints, ColdFiles, Found, LaneState, Recovered, find, recover,
};
use sinks::kafka::RecoveredLog;
use sinks::lake::LakeHandle;

use crate::cluster::Team;
use crate::config::{Config, MissionsConfig, PointsConfig};
use crate::dataflow::Begin;

mod shelf;
mod turns;

use shelf::Shelf;
pub use shelf::{AfarShelf, progress};
use turns::Turns;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
