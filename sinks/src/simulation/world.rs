//! What all instances share, what has really happened, and what must hold whenever something happens.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corosensei::Yielder;
use datasets::Epoch;

use super::broker::{Broker, Sent, Where};
use super::rng::Rng;
use super::store::{Effect, Request, Store};
use super::truth::Truth;
use crate::SinkError;
use crate::checkpoint::Manifest;
use crate::lake::cut_of;

pub const PIPELINE: &str = "simulated";
pub const LAKE: &str = "lake";
pub const CHECKPOINT: &str = "checkpoint";

/// One thread of one instance: it gives way wherever a real one would wait for the outside.
#[derive(Clone)]
pub struct Thread<'y> {
    yielder: &'y Yielder<(), ()>,
    pub world: Rc<World>,
    pub instance: usize,
}

impl<'y> Thread<'y> {
    pub fn new(yielder: &'y Yielder<(), ()>, world: Rc<World>, instance: usize) -> Self {
        Thread { yielder, world, instance }
    }

    /// Somebody else goes on.
    pub fn step(&self) {
        self.yielder.suspend(());
    }

    /// Waits for what the store does.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            self.step();
        }
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        self.world.say(self.instance, what);
    }
}

/// What a thread does.
pub type Body = Box<dyn FnOnce(Thread<'_>)>;

/// How an instance ended.
#[derive(Debug)]
pub enum End {
    Finished,
    Failed(SinkError),
}

/// Of one instance.
#[derive(Default)]
struct Known {
    /// The newest manifests that it read or put, at most two.
    kept: Vec<Manifest>,
    /// What a start of it must find at least.
    finds: Option<u64>,
}

/// Shared by everything in a simulation.
pub struct World {
    rng: RefCell<Rng>,
    pub broker: RefCell<Broker>,
    pub store: Store,
    pub truth: RefCell<Truth>,
    pub max_batch: usize,
    faults: Cell<bool>,
    instances: RefCell<Vec<Known>>,
    /// The last one that began to take ids over.
    newest: Cell<usize>,
    /// The last one that committed.
    owner: Cell<Option<usize>>,
    pub starting: RefCell<Vec<(usize, &'static str, Body)>>,
    pub ended: RefCell<Vec<(usize, End)>>,
    trace: Option<RefCell<Vec<String>>>,
    now: Cell<u64>,
}

impl World {
    pub fn new(mut rng: Rng, is_traced: bool) -> Self {
        let max_batch = rng.pick(&[700, 1 << 20]);
        let broker = Broker::new(format!("{PIPELINE}-progress"));
        World {
            rng: RefCell::new(rng),
            broker: RefCell::new(broker),
            store: Store::new(),
            truth: RefCell::new(Truth::new()),
            max_batch,
            faults: Cell::new(true),
            instances: RefCell::default(),
            newest: Cell::new(0),
            owner: Cell::new(None),
            starting: RefCell::default(),
            ended: RefCell::default(),
            trace: is_traced.then(RefCell::default),
            now: Cell::new(0),
        }
    }

    pub fn rng(&self) -> std::cell::RefMut<'_, Rng> {
        self.rng.borrow_mut()
    }

    pub fn below(&self, bound: usize) -> usize {
        self.rng().below(bound)
    }

    pub fn has_faults(&self) -> bool {
        self.faults.get()
    }

    pub fn end_faults(&self) {
        self.faults.set(false);
    }

    pub fn tick(&self) {
        self.now.set(self.now.get() + 1);
    }

    pub fn say(&self, instance: usize, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().push(format!("{:>6} instance {instance}: {}", self.now.get(), what()));
        }
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map_or_else(Vec::new, |trace| trace.borrow().clone())
    }

    /// A new process. Answers its number.
    pub fn instance(&self) -> usize {
        let mut instances = self.instances.borrow_mut();
        instances.push(Known::default());
        instances.len() - 1
    }

    /// A thread of `instance` begins.
    pub fn spawn(&self, instance: usize, name: &'static str, body: Body) {
        self.starting.borrow_mut().push((instance, name, body));
    }

    /// The process ends, once this thread has given way.
    pub fn end(&self, instance: usize, end: End) {
        self.say(instance, || format!("ends: {end:?}"));
        self.ended.borrow_mut().push((instance, end));
    }

    pub fn takes_over(&self, instance: usize) {
        self.newest.set(self.newest.get().max(instance));
    }

    /// Another instance has begun since.
    pub fn is_superseded(&self, instance: usize) -> bool {
        self.newest.get() > instance
    }

    /// Whoever opens now finds what the owner has put, or newer.
    pub fn opened(&self, instance: usize) {
        let mut instances = self.instances.borrow_mut();
        let owned = self.owner.get().and_then(|owner| instances[owner].kept.last().map(|last| last.seq));
        instances[instance].finds = owned;
    }

    /// A commit has taken effect.
    pub fn committed(&self, transaction: u64) {
        let written = self.broker.borrow().written(transaction);
        let epochs = self.check_committed(written);
        self.say(self.newest.get(), || format!("transaction {transaction} commits epochs {epochs:?}"));
    }

    /// The same, by a client that is still there.
    pub fn committed_by(&self, instance: usize, transaction: u64) {
        self.committed(transaction);
        self.owner.set(Some(instance));
    }

    fn check_committed(&self, mut written: BTreeMap<Where, Vec<Sent>>) -> std::ops::Range<usize> {
        let records = written.remove(&(format!("{PIPELINE}-progress"), 0)).unwrap_or_default();
        let mut truth = self.truth.borrow_mut();
        let epochs = truth.extend(records.into_iter().map(|sent| sent.payload));
        let expected = truth.messages(epochs.clone());
        assert_eq!(written, expected, "epochs {epochs:?} put out something else");
        epochs
    }

    /// What a start has read of checkpoints.
    pub fn recovered(&self, instance: usize, manifest: Option<&Manifest>) {
        self.say(instance, || format!("goes on from {:?}", manifest.map(|one| (one.seq, one.first, one.reached))));
        let known = &mut self.instances.borrow_mut()[instance];
        let found = manifest.map(|manifest| manifest.seq);
        assert!(found >= known.finds, "a checkpoint that was in place is gone: {:?} instead of {found:?}", known.finds);
        known.kept = manifest.cloned().into_iter().collect();
    }

    /// Something in the store has changed.
    pub fn effect(&self, Effect { instance, request }: Effect) {
        self.say(instance, || match &request {
            Request::Put(path, _) => format!("put {path}"),
            Request::Delete(path) => format!("removed {path}"),
            Request::Read => "read".to_owned(),
        });
        match request {
            Request::Put(path, bytes) => {
                let path = path.to_string();
                if let Some(name) = path.strip_prefix(&format!("{LAKE}/")) {
                    let cut = cut_of(name).expect("only cuts are put");
                    let is_recorded = self.truth.borrow().cuts.contains(&cut);
                    assert!(is_recorded, "{name} is put, and no committed record names its cut");
                }
                if path.starts_with(&format!("{CHECKPOINT}/manifest/")) {
                    self.manifest_put(instance, serde_json::from_slice(&bytes).expect("a manifest"));
                }
            }
            Request::Delete(path) => {
                let Some(owner) = self.owner.get() else { return };
                let kept = &self.instances.borrow()[owner].kept;
                let needed =
                    kept.iter().flat_map(needed).any(|name| format!("{CHECKPOINT}/{name}") == path.to_string());
                assert!(!needed, "instance {instance} removed {path}, which instance {owner} needs");
            }
            Request::Read => {}
        }
    }

    fn manifest_put(&self, instance: usize, manifest: Manifest) {
        self.truth.borrow().check_manifest(&manifest);
        let known = &mut self.instances.borrow_mut()[instance];
        known.kept.push(manifest.clone());
        if known.kept.len() > 2 {
            known.kept.remove(0);
        }
        if self.owner.get() == Some(instance) {
            let names = self.store.names();
            let missing = needed(&manifest).find(|name| !names.contains(&format!("{CHECKPOINT}/{name}")));
            assert_eq!(missing, None, "manifest {} of instance {instance} needs it", manifest.seq);
        }
    }

    /// Objects of checkpoints, when everything has come to rest: those that `instance` needs.
    pub fn check_orphans(&self, instance: usize) {
        let instances = self.instances.borrow();
        let needed: BTreeSet<String> = instances[instance].kept.iter().flat_map(needed).collect();
        let there = self.store.names().into_iter();
        let there: BTreeSet<String> =
            there.filter_map(|name| Some(name.strip_prefix(&format!("{CHECKPOINT}/"))?.to_owned())).collect();
        assert_eq!(there, needed, "what is kept of checkpoints");
    }

    /// The brokers lose what was committed since there was a copy of them.
    pub fn restore(&self, broker: Broker, epochs: Epoch) {
        self.say(self.newest.get(), || format!("the brokers are restored as they were after {epochs} epochs"));
        *self.broker.borrow_mut() = broker;
        self.truth.borrow_mut().truncate(epochs);
        self.owner.set(None);
    }
}

/// A manifest, and all that it names.
fn needed(manifest: &Manifest) -> impl Iterator<Item = String> {
    let segments = manifest.segments.iter().map(|segment| segment.name.clone());
    let cold = manifest.cold.iter().map(|cold| cold.name.clone());
    segments.chain(cold).chain([manifest.name()])
}
