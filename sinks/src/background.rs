//! Threads whose work can wait a little: that of epochs, for which others wait, comes first.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// How long messages may lie before the thread looks.
const GATHERING: Duration = Duration::from_millis(20);

/// How far below others the thread is scheduled, of 20 steps.
const NICENESS: i32 = 5;

/// The calling thread gives way to all others of this process that have something to do.
pub(crate) fn give_way() {
    // Linux keeps this by thread. Where it cannot be had, the thread is as any other.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread of the background runs with the priority of others");
    }
}

/// Wakes a thread that [gathers](Gathering). Clones are the same; the last one that goes wakes it for good.
#[derive(Clone)]
pub(crate) struct Nudge(Sender<()>);

/// Lets messages gather, so that a thread is woken for many of them once: a wake-up takes about as long as what one
/// epoch has to say.
pub(crate) struct Gathering(Receiver<()>);

/// A thread that gathers, and how it is woken.
pub(crate) fn gathering() -> (Nudge, Gathering) {
    let (nudge, nudged) = bounded(1);
    (Nudge(nudge), Gathering(nudged))
}

impl Nudge {
    /// Something cannot wait.
    pub(crate) fn wake(&self) {
        // One that has not been seen yet will do.
        let _ = self.0.try_send(());
    }
}

impl Gathering {
    /// Waits until enough time has gone since `began`, or somebody cannot wait.
    pub(crate) fn wait(&self, began: Instant) {
        // All who could wake it are gone: there is nothing to wait for.
        let _ = self.0.recv_deadline(began + GATHERING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_nudge_ends_the_wait_also_if_it_came_before() {
        let (nudge, gathering) = gathering();
        nudge.wake();
        nudge.wake();
        gathering.wait(Instant::now() + FOR_EVER);
        gathering.wait(Instant::now() - GATHERING);
    }

    #[test]
    fn nobody_waits_for_those_who_are_gone() {
        let (nudge, gathering) = gathering();
        drop(nudge);
        gathering.wait(Instant::now() + FOR_EVER);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_gives_way_alone() {
        let mine = || std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let niceness = |stat: String| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned();
        let before = niceness(mine());
        let other = std::thread::spawn(move || {
            give_way();
            niceness(mine())
        });
        assert_ne!(other.join().unwrap(), before);
        assert_eq!(niceness(std::fs::read_to_string("/proc/thread-self/stat").unwrap()), before);
    }
}
