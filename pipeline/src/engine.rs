//! Runs the dataflow on a number of worker threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Duration;

use crate::dataflow::{Edges, Plan, build};

/// Something in the world changed: workers look again. Cheap to clone, callable from any thread.
#[derive(Clone, Default)]
pub struct Wake(Arc<Bell>);

#[derive(Default)]
struct Bell {
    workers: Mutex<Vec<(Thread, Arc<AtomicBool>)>>,
}

impl Wake {
    /// Wakes every worker.
    pub fn all(&self) {
        for (thread, rung) in self.0.workers.lock().expect("no panic while ringing").iter() {
            rung.store(true, Ordering::Release);
            thread.unpark();
        }
    }

    /// Registers the calling worker and answers its flag.
    fn register(&self) -> Arc<AtomicBool> {
        let rung = Arc::new(AtomicBool::new(true));
        let mut workers = self.0.workers.lock().expect("no panic while ringing");
        workers.push((std::thread::current(), rung.clone()));
        rung
    }
}

/// Builds and runs the dataflow on `workers` threads until its input ends. `edges` is called once on
/// each worker. A panic anywhere ends the process: a worker that vanished would stall the others in
/// silence.
pub fn run(
    workers: usize,
    plan: &Plan,
    wake: &Wake,
    edges: impl Fn(usize) -> Edges + Send + Sync + 'static,
) -> Result<(), String> {
    let (plan, wake) = (plan.clone(), wake.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let edges = edges(worker.index());
        let deadlines = edges.deadlines.clone();
        let rung = wake.register();
        let wakers = worker.dataflow_named("Questline", |scope| build(scope, plan.clone(), edges));
        while worker.has_dataflows() {
            if rung.swap(false, Ordering::AcqRel) {
                wakers.epochs.activate();
                wakers.source.activate();
            }
            worker.step_or_park(Some(PATIENCE));
        }
        drop(deadlines);
    })?;
    guards.join().into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// How long a worker parks at most before it looks at its timers.
const PATIENCE: Duration = Duration::from_millis(100);
