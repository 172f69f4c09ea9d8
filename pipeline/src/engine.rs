//! Runs the dataflow on a number of worker threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};

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
    let (plan, halt, wake) = (plan.clone(), halt.clone(), halt.0.wake.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
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
    })?;
    guards.join().into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// A panic in one worker would leave the others waiting for it in silence: it ends the process.
fn abort_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            if std::thread::current().name().is_some_and(|name| name.starts_with("timely:")) {
                std::process::abort();
            }
        }));
    });
}
