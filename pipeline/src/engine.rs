//! Runs the dataflow on a number of worker threads.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use timely::worker::Worker;

use crate::cluster::Team;
use crate::dataflow::{Edges, Plan, build};

/// How long a worker parks at most before it looks at its timers.
const PATIENCE: Duration = Duration::from_millis(50);

/// Something in the world changed: workers look again. Cheap to clone, callable from any thread.
#[derive(Clone, Default)]
pub struct Wake(Arc<WakeState>);

#[derive(Default)]
struct WakeState {
    bells: Mutex<Vec<Bell>>,
    alarm: Mutex<Option<Instant>>,
}

/// A worker's thread and the flag that tells it to look.
struct Bell {
    thread: Thread,
    is_rung: Arc<AtomicBool>,
}

impl Wake {
    /// Wakes every worker.
    pub fn all(&self) {
        for Bell { thread, is_rung } in self.0.bells.lock().expect("no panic while ringing").iter() {
            is_rung.store(true, Ordering::Release);
            thread.unpark();
        }
    }

    /// Registers the calling worker and answers its flag.
    fn register(&self) -> Arc<AtomicBool> {
        let is_rung = Arc::new(AtomicBool::new(true));
        let bell = Bell { thread: std::thread::current(), is_rung: is_rung.clone() };
        self.0.bells.lock().expect("no panic while ringing").push(bell);
        is_rung
    }

    /// The first worker looks again at this time, unless it is woken before.
    pub fn first_at(&self, at: Instant) {
        *self.alarm() = Some(at);
    }

    /// How long the first worker may park. Zero, once, when its time has come.
    fn patience(&self) -> Duration {
        let mut alarm = self.alarm();
        let left = alarm.map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            *alarm = None;
        }
        left.min(PATIENCE)
    }

    fn alarm(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.alarm.lock().expect("no panic while setting the alarm")
    }
}

/// Ends a pipeline: on request after what was read is put out, or at the first failure.
#[derive(Clone, Default)]
pub struct Halt(Arc<HaltState>);

#[derive(Default)]
struct HaltState {
    is_asked: AtomicBool,
    failure: Mutex<Option<String>>,
    failed: Condvar,
    wake: Wake,
}

impl Halt {
    /// Not halted; wakes the workers when it is.
    pub fn new(wake: Wake) -> Self {
        Halt(Arc::new(HaltState { wake, ..HaltState::default() }))
    }

    /// Asks for a graceful end.
    pub fn ask(&self) {
        self.0.is_asked.store(true, Ordering::Release);
        self.0.wake.all();
    }

    /// Ends with an error; the first one is kept.
    pub fn fail(&self, message: String) {
        self.0.failure.lock().expect("no panic while failing").get_or_insert(message);
        self.0.failed.notify_all();
        self.ask();
    }

    /// An end was asked for, or something failed.
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// What failed.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().expect("no panic while failing").clone()
    }

    /// The same, waiting for one at most so long.
    pub fn await_failure(&self, patience: Duration) -> Option<String> {
        let failure = self.0.failure.lock().expect("no panic while failing");
        let waited = self.0.failed.wait_timeout_while(failure, patience, |failure| failure.is_none());
        waited.expect("no panic while failing").0.clone()
    }
}

/// Builds and runs the dataflow on `workers` threads until its input ends, or `halt` tells of a failure: then what
/// is under way is dropped. `edges` is called once on each worker.
///
/// # Errors
/// A worker that could not be started, or that panicked.
pub fn run(
    workers: usize,
    plan: &Plan,
    halt: &Halt,
    edges: impl Fn(usize) -> Edges + Send + Sync + 'static,
) -> Result<(), String> {
    abort_on_panic();
    let guards = timely::execute(timely::Config::process(workers), work(plan, halt, edges))?;
    guards.join().into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// The same on the workers of one process of a cluster. `data` are its connections to the others, by process. A
/// connection that is lost is a failure of `halt`, and this does not return then: what waits for it has to end.
///
/// # Errors
/// A worker that could not be started, or that panicked.
pub fn run_joined(
    (team, data): (Team, Vec<Option<TcpStream>>),
    plan: &Plan,
    halt: &Halt,
    edges: impl Fn(usize) -> Edges + Send + Sync + 'static,
) -> Result<(), String> {
    abort_on_panic();
    *CONNECTED.lock().expect("no panic while connecting") = Some(halt.clone());
    let hooks = Hooks::default();
    // Inside the process what is exchanged is moved, as in one that is alone.
    let threads = ProcessBuilder::new_typed_vector(team.threads, hooks.refill.clone(), hooks.spill.clone());
    let connected = initialize_networking_from_sockets(threads, data, team.process, team.threads, hooks);
    let (builders, guard) = connected.map_err(|error| format!("cannot use the connections of the cluster: {error}"))?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    let work = work(plan, halt, edges);
    let guards = timely::execute::execute_from(builders, Box::new(guard), WorkerConfig::default(), work)?;
    guards.join().into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// What each worker does.
fn work(
    plan: &Plan,
    halt: &Halt,
    edges: impl Fn(usize) -> Edges + Send + Sync + 'static,
) -> impl Fn(&mut Worker) + Send + Sync + 'static {
    let (plan, halt, wake) = (plan.clone(), halt.clone(), halt.0.wake.clone());
    move |worker| {
        let edges = edges(worker.index());
        let rung = wake.register();
        let wakers = worker.dataflow_named("Questline", |scope| build(scope, plan.clone(), edges));
        let is_first = worker.index() == 0;
        let mut looked = Instant::now();
        while worker.has_dataflows() {
            let patience = if is_first { wake.patience() } else { PATIENCE };
            // Timers have no bell: look at them now and then.
            if rung.swap(false, Ordering::AcqRel) || patience.is_zero() || looked.elapsed() >= PATIENCE {
                looked = Instant::now();
                wakers.epochs.activate();
                wakers.source.activate();
            }
            worker.step_or_park(Some(patience));
            // No epoch that is open then may close: a source that failed has not read all of it.
            if halt.is_asked() && halt.failure().is_some() {
                worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
            }
        }
    }
}

/// Told when a connection to another process is lost.
static CONNECTED: Mutex<Option<Halt>> = Mutex::new(None);

/// How long the reason of a loss may take: the process that ended, or the one that leads, says it elsewhere.
const REASON: Duration = Duration::from_secs(1);

/// A panic in one worker would leave the others waiting for it in silence: it ends the process.
fn abort_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or_default();
            if let Some((_, process)) = name
                .strip_prefix("timely:")
                .and_then(|thread| ["send-", "recv-"].iter().find_map(|kind| Some((kind, thread.strip_prefix(kind)?))))
            {
                connection_lost(process);
            }
            report(panic);
            if name.starts_with("timely:") {
                std::process::abort();
            }
        }));
    });
}

/// Timely's threads panic when another process is gone. To go on would make its workers panic too, without a word of what
/// happened: the thread stays here, while whoever waits for the failure ends the process.
fn connection_lost(process: &str) -> ! {
    let halt = CONNECTED.lock().expect("no panic while connecting").clone();
    if let Some(halt) = halt
        && halt.await_failure(REASON).is_none()
    {
        halt.fail(format!("lost the connection to process {process}"));
    }
    loop {
        std::thread::park();
    }
}
