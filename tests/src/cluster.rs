//! Several processes of one pipeline.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::oracle::Oracle;
use crate::process::{Questline, Variables};
use crate::scenario::Scenario;

/// Addresses on loopback that nobody listens at.
///
/// # Panics
/// Without a free port.
pub fn hosts(count: usize) -> Vec<String> {
    // All at once, so that no two are the same.
    let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    free.iter().map(|free| free.local_addr().expect("it has one").to_string()).collect()
}

/// All processes; killed when dropped.
pub struct Cluster {
    /// Where they are.
    pub hosts: Vec<String>,
    /// By number.
    pub processes: Vec<Questline>,
}

impl Cluster {
    /// Starts `processes` with `workers` each; a single one as it is without a cluster.
    pub fn start(scenario: &Scenario, processes: usize, workers: usize, variables: Variables<'_>) -> Self {
        let hosts = hosts(processes);
        let start = |process| match processes {
            1 => scenario.run_with(workers, variables),
            _ => scenario.run_among(&hosts, process, workers, variables),
        };
        // Process 0 last: nobody may depend on its being there.
        let mut started: Vec<Questline> = (0..processes).rev().map(start).collect();
        started.reverse();
        Cluster { processes: started, hosts }
    }

    /// Where a process is.
    pub fn address(&self, process: usize) -> String {
        self.hosts[process].clone()
    }

    /// All are running.
    ///
    /// # Panics
    /// With the log of one that is not.
    pub fn assert_running(&mut self) {
        self.processes.iter_mut().for_each(Questline::assert_running);
    }

    /// Waits until everything that was fed is out.
    pub fn await_outputs(&mut self, scenario: &Scenario, oracle: &Oracle<'_>) {
        scenario.await_outputs(&mut self.processes[0], oracle);
        self.assert_running();
    }

    /// SIGKILL for one. Waits for the others to end with exit code 1: number and last line of each.
    pub fn kill(mut self, lost: usize) -> Vec<(usize, String)> {
        self.processes.remove(lost).kill();
        let numbers = (0..self.hosts.len()).filter(|process| *process != lost);
        numbers.zip(self.processes).map(|(process, one)| (process, one.wait_for_error())).collect()
    }

    /// SIGTERM for one. Waits until all have ended with exit code 0, and says how long that took.
    pub fn terminate(mut self, asked: usize) -> Duration {
        let began = Instant::now();
        self.processes.remove(asked).terminate();
        for mut process in self.processes {
            let status = process.wait();
            assert!(status.success(), "{status}\n{}", process.log());
        }
        began.elapsed()
    }
}
