//! One process: its threads, as the pipeline has them, around the real committer, lake and checkpoints.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::rows::EpochOutputs;
use datasets::schema::EventNames;
use datasets::state::{Keeper, Part, Section};
use datasets::{Epoch, Timestamp, Topics};

use super::broker::SimulatedCluster;
use super::core::{self, Cells, Input, LANES, PARTITIONS, PLAYERS, Player, Players, TOPIC, Uppers};
use super::world::{CHECKPOINT, End, LAKE, PIPELINE, Thread};
use crate::checkpoint::{self, CheckpointConfig, CheckpointHandle, Folder, Putting, Recovered};
use crate::cut::Cut;
use crate::kafka::{CommitterConfig, Connection, EntityTopics, ProgressRecord, open_on, trim};
use crate::lake::{self, CutFiles, CutLimits, CutLog, Cutting, LakeHandle, LakeStart, Next, Place, S3Options};
use crate::{Commits, SinkError};

/// How one process is started.
#[derive(Clone, Debug)]
pub struct Setting {
    pub workers: usize,
    pub has_lake: bool,
    pub has_checkpoint: bool,
    /// The log is trimmed.
    pub trims: bool,
    pub file_age: Duration,
    /// No epochs from here on, unless something has to be recorded.
    pub target: Epoch,
    /// Ends in good order, once it has come there and put so many checkpoints.
    pub ends_after: Option<u64>,
}

/// What the threads tell each other beside their channels.
#[derive(Default)]
struct Flow {
    committed: Cell<Epoch>,
    wants_epoch: Cell<bool>,
}

const FOREVER: Duration = Duration::from_secs(3600);

/// The first thread: opens, starts the others, and goes on as the committer's.
pub fn main(thread: &Thread<'_>, setting: &Setting) {
    if let Err(error) = live(thread, setting) {
        thread.world.end(thread.instance, End::Failed(error));
    }
}

fn live(thread: &Thread<'_>, setting: &Setting) -> Result<(), SinkError> {
    let (world, instance) = (thread.world.clone(), thread.instance);
    let run_id = format!("run{instance}");
    let store = world.store.of(instance);
    let mut committing = CommitterConfig::new(Connection::new("simulated"), PIPELINE, &run_id);
    committing.topics.entities = Some(EntityTopics::default());
    let (committer, log) = open_on(&SimulatedCluster(thread.clone()), &committing)?;
    thread.say(|| format!("has read the log up to {}, {setting:?}", log.upper));
    world.truth.borrow().check_log(&log);
    world.opened(instance);

    let checkpoints = setting.has_checkpoint.then(|| checkpoint_config(&run_id));
    let mut recovered = None;
    let mut folder = None;
    if let Some(config) = &checkpoints {
        let found = thread.wait(Folder::look(Place::new(store.clone(), CHECKPOINT), FOREVER))?;
        recovered = thread.wait(found.recover(config, &log))?;
        world.recovered(instance, recovered.as_ref().map(|recovered| &recovered.manifest));
        if let Some(recovered) = &recovered {
            world.truth.borrow().check_recovered(recovered);
        }
        folder = Some(found);
    }

    let (record_cut, cuts) = unbounded();
    let mut lake = None;
    if setting.has_lake {
        let place = Place::new(store, LAKE);
        let objects = thread.wait(place.list(FOREVER))?;
        let limits = CutLimits { max_file_age: setting.file_age, ..CutLimits::default() };
        let start = LakeStart {
            workers: setting.workers,
            lanes: LANES,
            names: Arc::new(EventNames {
                topics: Topics::new([TOPIC]),
                sources: vec!["s".into()],
                chargebacks: Vec::new(),
            }),
            resume: log.cuts.clone(),
            durable_below: log.first,
            durable: recovered.as_ref().map_or_else(Vec::new, |recovered| recovered.manifest.lanes.clone()),
            replay_upper: log.upper,
            log: CutLog::Recorded(Box::new(move |cut| {
                // A committer that is gone has said why.
                let _ = record_cut.send(cut);
            })),
        };
        let (cutting, handle, (messages, _)) = lake::begin(objects, &limits, start)?;
        lake = Some(handle);
        let body = move |thread: Thread<'_>| run_lake(&thread, &place, cutting, &messages);
        world.spawn(instance, "lake", Box::new(body));
    } else {
        drop(record_cut);
    }

    let mut checkpoint = None;
    if let (Some(config), Some(folder)) = (&checkpoints, &folder) {
        let (putting, handle, (messages, _)) = Putting::new(config, folder, recovered.as_ref(), lake.clone());
        checkpoint = Some(handle.clone());
        let body = move |thread: Thread<'_>| run_checkpoint(&thread, putting, &messages);
        world.spawn(instance, "checkpoint", Box::new(body));
        if setting.trims {
            let committing = committing.clone();
            let body = move |thread: Thread<'_>| run_trimming(&thread, &committing, &handle);
            world.spawn(instance, "trimming", Box::new(body));
        }
    }

    let flow = Rc::new(Flow::default());
    flow.committed.set(log.upper);
    let (publish, epochs) = unbounded();
    let upper = log.upper;
    let (lake_told, checkpoint_told) = (lake.clone(), checkpoint.clone());
    let dataflow =
        Dataflow::new(setting, (log.records, log.upper), recovered, (lake, checkpoint), flow.clone(), publish);
    world.spawn(instance, "dataflow", Box::new(move |thread| dataflow.run(&thread)));
    let commits = Commits::new(committer, lake_told, checkpoint_told);
    run_commits(thread, commits, (&epochs, &cuts), &flow, upper)?;
    world.end(instance, End::Finished);
    Ok(())
}

fn checkpoint_config(run_id: &str) -> CheckpointConfig {
    CheckpointConfig {
        url: CHECKPOINT.to_owned(),
        s3: S3Options::default(),
        interval: Duration::ZERO,
        start_timeout: FOREVER,
        pipeline: PIPELINE.to_owned(),
        run_id: run_id.to_owned(),
        state_format: 1,
        rules: "rules".to_owned(),
        cold: None,
    }
}

/// As the pipeline's committer thread, with chance in the place of time.
fn run_commits(
    thread: &Thread<'_>,
    mut commits: Commits<super::broker::SimulatedProducer<'_>>,
    (epochs, cuts): (&Receiver<Arc<EpochOutputs>>, &Receiver<Cut>),
    flow: &Flow,
    upper: Epoch,
) -> Result<(), SinkError> {
    let world = &thread.world;
    let mut last: Option<Arc<EpochOutputs>> = None;
    loop {
        // Epochs without outputs wait for company.
        let patience = world.rng().pick(&[1, 1, 4, 16]);
        (0..patience).for_each(|_| thread.step());
        commits.record(cuts.try_iter().take(world.below(3)));
        if commits.has_cuts() {
            flow.wants_epoch.set(true);
        }
        let most = 1 + world.below(4);
        let batch: Vec<Arc<EpochOutputs>> = epochs.try_iter().take(most).collect();
        if batch.is_empty() {
            if epochs.try_recv() == Err(TryRecvError::Disconnected) {
                break;
            }
            continue;
        }
        commits.record(cuts.try_iter().take(world.below(3)));
        commits.commit(&batch)?;
        last = batch.last().cloned();
        flow.committed.set(last.as_ref().map_or(0, |last| last.epoch + 1).max(upper));
    }
    let Some(mut last) = last else { return Ok(()) };
    loop {
        thread.step();
        let arrived = cuts.try_recv();
        let is_over = arrived == Err(TryRecvError::Disconnected);
        commits.record(arrived);
        commits.record(cuts.try_iter());
        if commits.has_cuts() {
            let (epoch, now, wall) = (last.epoch + 1, last.now, last.wall);
            last = Arc::new(EpochOutputs { epoch, now, wall, ..EpochOutputs::default() });
            commits.commit(std::slice::from_ref(&last))?;
        } else if is_over {
            return Ok(());
        }
    }
}

fn run_lake(thread: &Thread<'_>, place: &Place, mut cutting: Cutting, messages: &Receiver<lake::Message>) {
    type Put = Pin<Box<dyn Future<Output = (CutFiles, Result<(), SinkError>)>>>;
    let world = &thread.world;
    let mut puts: Vec<Put> = Vec::new();
    loop {
        thread.step();
        let mut next = Ok(Next::Go);
        if !puts.is_empty() && world.below(2) == 0 {
            let chosen = world.below(puts.len());
            if let Poll::Ready((files, result)) = puts[chosen].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                drop(puts.remove(chosen));
                next = result.map(|()| cutting.put_ended(&files));
            }
        } else {
            for _ in 0..world.below(8) {
                match messages.try_recv() {
                    Ok(message) if next.as_ref().is_ok_and(|next| *next == Next::Go) => next = cutting.receive(message),
                    Ok(_) | Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
        match next {
            Ok(Next::Go) => {}
            Ok(Next::Stop) => return,
            Err(error) => return world.end(thread.instance, End::Failed(error)),
        }
        while let Some(files) = cutting.next_put() {
            let place = place.clone();
            puts.push(Box::pin(async move {
                let result = lake::put_all(&place, &files).await;
                (files, result)
            }));
        }
    }
}

fn run_checkpoint(thread: &Thread<'_>, mut putting: Putting, messages: &Receiver<checkpoint::Message>) {
    loop {
        thread.step();
        let most = thread.world.below(3000);
        for _ in 0..most {
            match messages.try_recv() {
                Ok(message) => putting.receive(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        if let Err(error) = thread.wait(putting.turn()) {
            return thread.world.end(thread.instance, End::Failed(error));
        }
    }
}

fn run_trimming(thread: &Thread<'_>, config: &CommitterConfig, checkpoint: &CheckpointHandle) {
    let mut trimmed = 0;
    while !checkpoint.has_ended() {
        thread.step();
        let needed = checkpoint.log_needed_from();
        if needed > trimmed {
            trim(&SimulatedCluster(thread.clone()), config, needed).expect("brokers that answer");
            trimmed = needed;
        }
    }
}

/// What one worker does on its own.
struct Worker {
    number: usize,
    next: Epoch,
    players: Players,
    /// State that was read, of epochs up to here.
    known: BTreeMap<usize, Epoch>,
    /// Rounds of checkpoints that it has done, and the next group of this one.
    rounds: u64,
    group: u16,
}

/// Epochs from one end to the other: opened, read, closed by every worker, published.
struct Dataflow {
    setting: Setting,
    log: Vec<ProgressRecord>,
    /// The first epoch that is not in the log.
    free_from: Epoch,
    lake: Option<LakeHandle>,
    checkpoint: Option<CheckpointHandle>,
    flow: Rc<Flow>,
    publish: Sender<Arc<EpochOutputs>>,
    /// Outputs that are taken from the checkpoint.
    outputs: BTreeMap<Epoch, EpochOutputs>,
    workers: Vec<Worker>,
    /// Opened and not published, from `published` on.
    open: BTreeMap<Epoch, Input>,
    parts: BTreeMap<Epoch, Vec<EpochOutputs>>,
    next: Epoch,
    published: Epoch,
    uppers: Uppers,
    now: Timestamp,
    newest: Timestamp,
}

impl Dataflow {
    fn new(
        setting: &Setting,
        (log, free_from): (Vec<ProgressRecord>, Epoch),
        recovered: Option<Recovered>,
        (lake, checkpoint): (Option<LakeHandle>, Option<CheckpointHandle>),
        flow: Rc<Flow>,
        publish: Sender<Arc<EpochOutputs>>,
    ) -> Self {
        let mut workers: Vec<Worker> = (0..setting.workers)
            .map(|number| Worker {
                number,
                next: 0,
                players: Players::new(),
                known: BTreeMap::new(),
                rounds: 0,
                group: 0,
            })
            .collect();
        for player in 0..PLAYERS.len() {
            let owner = core::group(player).worker(setting.workers);
            workers[owner].players.insert(player, Player::default());
        }
        let mut flowing = Dataflow {
            setting: setting.clone(),
            log,
            free_from,
            lake,
            checkpoint,
            flow,
            publish,
            outputs: BTreeMap::new(),
            workers,
            open: BTreeMap::new(),
            parts: BTreeMap::new(),
            next: 0,
            published: 0,
            uppers: [0; PARTITIONS],
            now: Timestamp::from_millis(1_780_358_300_000),
            newest: Timestamp::default(),
        };
        if let Some(recovered) = recovered {
            flowing.restore(recovered);
        }
        flowing
    }

    fn restore(&mut self, Recovered { manifest, parts, outputs, .. }: Recovered) {
        self.outputs = outputs;
        (self.next, self.published) = (manifest.first, manifest.first);
        if manifest.first > 0 {
            (self.now, self.newest) = (manifest.before.now, manifest.before.newest);
        }
        self.uppers = core::advanced(self.uppers, &manifest.before.uppers);
        for worker in &mut self.workers {
            worker.next = manifest.first;
        }
        for (part, kept) in parts {
            let worker = &mut self.workers[part.group.worker(self.setting.workers)];
            let owned = worker.players.iter_mut().find(|(player, _)| core::group(**player) == part.group);
            let Some((number, player)) = owned else { continue };
            match part.keeper {
                Keeper::Players => {
                    player.progress = Cells::read(&kept);
                    player.memory = core::memory(&kept).0;
                }
                Keeper::Activity => player.activity = Cells::read(&kept),
            }
            worker.known.insert(*number, kept.epoch);
        }
    }

    fn run(mut self, thread: &Thread<'_>) {
        loop {
            thread.step();
            if self.has_ended() {
                break;
            }
            self.open_next(thread);
            let chosen = thread.world.below(self.workers.len());
            self.work(thread, chosen);
            self.publish_next(thread);
        }
        thread.say(|| "has read enough".to_owned());
        // The dataflow has let go of its sender: the committer goes on with what the lake still cuts.
        let Dataflow { lake, publish, .. } = self;
        drop(publish);
        if let Some(lake) = lake {
            lake.ask_to_finish();
        }
    }

    fn has_ended(&self) -> bool {
        let rounds = self.checkpoint.as_ref().map_or(u64::MAX, CheckpointHandle::rounds);
        self.open.is_empty()
            && self.published >= self.setting.target
            && self.setting.ends_after.is_some_and(|wanted| rounds >= wanted)
    }

    fn open_next(&mut self, thread: &Thread<'_>) {
        let world = &thread.world;
        let epoch = self.next;
        let uncommitted = self.published.saturating_sub(self.flow.committed.get());
        if epoch - self.published >= 3 || uncommitted >= 6 || world.below(2) == 0 {
            return;
        }
        let input = if let Some(record) = self.log.iter().find(|record| record.epoch == epoch) {
            Input::logged(record, (self.uppers, self.newest))
        } else {
            let is_wanted = self.flow.wants_epoch.take() || self.setting.ends_after.is_some();
            if epoch >= self.setting.target && !is_wanted {
                return;
            }
            let now = self.now.plus_micros(i64::try_from(world.below(20)).expect("small") * 1_000_000);
            let most = world.rng().pick(&[1, 2, 4]);
            let to = self.uppers.map(|upper| upper + i64::try_from(world.below(most)).expect("small"));
            let wall = now.plus_micros(3_600_000_000);
            Input::next(epoch, (now, wall), self.newest, self.uppers, to)
        };
        (self.uppers, self.now, self.newest) = (input.to, input.now, input.newest);
        self.open.insert(epoch, input);
        self.next += 1;
    }

    /// One worker closes its next epoch.
    fn work(&mut self, thread: &Thread<'_>, number: usize) {
        let workers = self.setting.workers;
        let worker = &mut self.workers[number];
        let Some(input) = self.open.get(&worker.next) else { return };
        let epoch = input.epoch;
        let reads = |partition: usize| partition % workers == worker.number;
        if let Some(lake) = &self.lake {
            for lane in 0..LANES {
                if let Some(batch) = input.history(lane, reads) {
                    lake.history(worker.number, epoch, batch);
                }
            }
            lake.history_upper(worker.number, epoch + 1);
        }
        let known = &worker.known;
        let mut outputs =
            core::close(&mut worker.players, input, |player| known.get(&player).is_none_or(|known| epoch > *known));
        core::add_stateless(&mut outputs, input, reads);
        self.parts.entry(epoch).or_default().push(outputs);
        worker.next += 1;
        if let Some(checkpoint) = self.checkpoint.as_ref().filter(|_| epoch >= self.free_from) {
            let at_once = thread.world.rng().pick(&[0, 100, 400, KEY_GROUPS]);
            if self.setting.ends_after.is_none_or(|wanted| worker.rounds < wanted) {
                worker.write(checkpoint, epoch, workers, at_once);
            }
        }
    }

    fn publish_next(&mut self, thread: &Thread<'_>) {
        let epoch = self.published;
        if self.parts.get(&epoch).is_none_or(|parts| parts.len() < self.workers.len()) {
            return;
        }
        let parts = self.parts.remove(&epoch).expect("it is there");
        self.open.remove(&epoch);
        // Of epochs that some parts know, what is computed now is not all.
        let computed = core::merge(parts);
        let rates = computed.rates.clone();
        // Rates are heard of again.
        let outputs = self.outputs.remove(&epoch).map_or(computed, |known| EpochOutputs { rates, ..known });
        let outputs = Arc::new(outputs);
        thread.say(|| format!("publishes epoch {epoch}"));
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.published(outputs.clone());
        }
        if let Some(lake) = &self.lake {
            lake.sealed(outputs.clone());
        }
        self.published += 1;
        // A committer that is gone has said why.
        let _ = self.publish.send(outputs);
    }
}

impl Worker {
    /// The turns of the next groups, as the pipeline gives them.
    fn write(&mut self, checkpoint: &CheckpointHandle, epoch: Epoch, workers: usize, at_once: u16) {
        if checkpoint.rounds() < self.rounds {
            return;
        }
        let end = KEY_GROUPS.min(self.group + at_once);
        for group in (self.group..end).map(KeyGroup).filter(|group| group.worker(workers) == self.number) {
            match self.players.iter_mut().find(|(player, _)| core::group(**player) == group) {
                Some((_, player)) => player.write(group, epoch).into_iter().for_each(|one| checkpoint.section(one)),
                None => [Keeper::Players, Keeper::Activity].into_iter().for_each(|keeper| {
                    let part = Part { keeper, group };
                    checkpoint.section(Section { part, epoch, needs: 0, pieces: vec![Vec::new()], cold: None });
                }),
            }
        }
        self.group = end;
        if end == KEY_GROUPS {
            (self.rounds, self.group) = (self.rounds + 1, 0);
        }
    }
}
