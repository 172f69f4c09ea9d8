//! `questline replay`: the same dataflow on files, without a broker.

pub mod feed;
pub mod input;
pub mod line;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, unbounded};
use datasets::rows::{Counters, EpochOutputs};
use operators::deadline::Deadlines;
use operators::rollup::{GameDay, Takings};
use operators::snapshot::State;
use sinks::files::FilesWriter;
use sinks::lake::{LakeTotals, LakeWriter};
use sinks::{EpochWriter, SinkError};

use crate::config::Config;
use crate::dataflow::Edges;
use crate::engine::{self, Halt, Wake};
use crate::plan::{Prepared, Purpose, prepare};
use feed::{Feed, Names, Published};
use input::Input;

/// What to replay, and where to.
pub struct Replay {
    /// The pipeline.
    pub config: Config,
    /// Its input.
    pub input: Input,
    /// The folder of its outputs.
    pub out: PathBuf,
    /// Worker threads.
    pub workers: usize,
    /// Lines of one epoch.
    pub epoch_records: usize,
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The counters of `summary.json`.
    pub counters: Counters,
    /// Takings by game type and day, from the dataflow's own roll-up.
    pub takings: BTreeMap<GameDay, Takings>,
    /// What was put to the lake, if there is one.
    pub lake: Option<LakeTotals>,
    /// Epochs.
    pub epochs: u64,
}

impl Replay {
    /// Runs to the end of the input. `advance` is told of bytes read.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub fn run(self, advance: impl Fn(u64) + Clone + Send + 'static) -> Result<Outcome, String> {
        let Replay { config, input, out, workers, epoch_records } = self;
        let prepared = prepare(&config, workers, Purpose::Replay)?;
        let failed = |error: SinkError| crate::chain(&error);
        let lake = config.lake.as_ref().map(|lake| open_lake(lake, workers, &prepared)).transpose().map_err(failed)?;
        let files = FilesWriter::create(out).map_err(failed)?;

        let wake = Wake::default();
        let halt = Halt::new(wake.clone());
        let names = Names {
            topics: prepared.plan.decode.topics.clone(),
            bare: prepared.first,
            missions: Some(prepared.missions),
            input,
            halt: halt.clone(),
        };
        let feed = Feed::start((workers, epoch_records), names, wake.clone(), advance);
        let published = Published::default();
        let (publish, epochs) = unbounded::<Arc<EpochOutputs>>();
        let takings: Arc<Mutex<BTreeMap<GameDay, Takings>>> = Arc::default();
        let history = lake.as_ref().map(|lake| lake.handle().clone());
        let writer = {
            let halt = halt.clone();
            let writing = Writing { epochs, files, lake, published: published.clone(), wake: wake.clone() };
            std::thread::Builder::new()
                .name("replay-output".to_owned())
                .spawn(move || writing.run().inspect_err(|error| halt.fail(crate::chain(error))))
        };
        let writer = writer.map_err(|error| format!("cannot start a thread: {error}"))?;

        let shown = takings.clone();
        let flush = config.pipeline.reporting_interval.is_some();
        engine::run(workers, &prepared.plan, &halt, move |worker| {
            let (publish, shown) = (publish.clone(), shown.clone());
            Edges {
                pacer: (worker == 0).then(|| feed.pacer(published.clone(), flush)),
                source: feed.source(worker),
                history: crate::history::history(worker, history.clone()),
                publish: Box::new(move |outputs| {
                    // The writer's own error is told by its thread.
                    let _ = publish.send(outputs);
                }),
                takings: Box::new(move |day, takings, diff| {
                    let mut shown = shown.lock().expect("no panic while counting");
                    show(&mut shown, day, takings, diff);
                }),
                deadlines: Deadlines::default(),
                state: State::default(),
            }
        })?;
        let written = writer.join().map_err(|_| "the thread that writes outputs panicked".to_owned())?;
        if let Some(failure) = halt.failure() {
            return Err(failure);
        }
        let (counters, lake, epochs) = written.map_err(failed)?;
        let takings = std::mem::take(&mut *takings.lock().expect("no panic while counting"));
        Ok(Outcome { counters, takings, lake, epochs })
    }
}

/// Applies a change of the takings to what is shown: the newest assertion of a day stays.
pub fn show(shown: &mut BTreeMap<GameDay, Takings>, day: &GameDay, takings: &Takings, diff: isize) {
    if diff > 0 {
        shown.insert(day.clone(), *takings);
    } else if shown.get(day) == Some(takings) {
        shown.remove(day);
    }
}

fn open_lake(config: &crate::config::LakeConfig, workers: usize, prepared: &Prepared) -> Result<LakeWriter, SinkError> {
    let lanes = prepared.plan.decode.lanes;
    LakeWriter::open(&crate::plan::lake_config(config), workers, lanes, prepared.names.clone())
}

/// Writes closed epochs to all sinks.
struct Writing {
    epochs: Receiver<Arc<EpochOutputs>>,
    files: FilesWriter,
    lake: Option<LakeWriter>,
    published: Published,
    wake: Wake,
}

impl Writing {
    fn run(mut self) -> Result<(Counters, Option<LakeTotals>, u64), SinkError> {
        let mut epochs = 0;
        while let Ok(outputs) = self.epochs.recv() {
            let outputs = [outputs];
            self.files.commit(&outputs)?;
            if let Some(lake) = &mut self.lake {
                lake.commit(&outputs)?;
            }
            epochs += 1;
            self.published.add();
            self.wake.all();
        }
        let lake = self.lake.map(LakeWriter::finish).transpose()?;
        Ok((self.files.finish()?, lake, epochs))
    }
}
