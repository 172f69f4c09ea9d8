//! `questline reconcile --every`: a check that goes on.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use datasets::Timestamp;
use serde_json::json;

use super::text::{as_text, days};
use super::{Reconcile, as_json, judged};
use crate::cli::show::thousands;
use crate::cli::{Failure, Format, on_signals};
use crate::config::Config;
use crate::exporter;
use crate::reconcile::metrics::Metrics;
use crate::reconcile::{Account, KeyDifference};
use crate::run::wall_time;
use crate::verify::Difference;

impl Reconcile {
    /// Balances the books until a signal, waiting `every` between rounds; then it succeeds if the last round that ended
    /// found everything equal. A round that cannot read the lake or the topics is told, and the next one tries again.
    pub(super) fn run_rounds(self, config: Config, every: Duration) -> Result<(), Failure> {
        let (stop, stopped) = bounded(1);
        on_signals(move |_| {
            // A stop that waits to be taken is enough.
            let _ = stop.try_send(());
        })?;
        let metrics = Metrics::new(&config.pipeline.name);
        if let Some(listen) = self.listen {
            let address = exporter::serve(listen, metrics.clone());
            let address = address.map_err(|error| format!("cannot serve metrics at {listen} (--listen): {error}"))?;
            tracing::info!(%address, "metrics are at /metrics, readiness at /ready");
        }
        let mut rounds = Rounds { metrics, format: self.format, told: None };
        let asked = Arc::new((self, config));
        let mut last = Err(Failure::Failed("no round has ended".to_owned()));
        loop {
            let began = wall_time();
            let (send, round) = bounded(1);
            let balance = {
                let asked = asked.clone();
                move || {
                    // Nobody waits for a round after a signal.
                    let _ = send.send(asked.0.account(&asked.1));
                }
            };
            let balancing = std::thread::Builder::new().name("round".to_owned()).spawn(balance);
            balancing.map_err(|error| format!("cannot start a thread: {error}"))?;
            let ended = select! {
                // A round only reads: it ends with the process.
                recv(stopped) -> _ => return last,
                recv(round) -> ended => ended,
            };
            last = match ended.map_err(|_| "the thread of a round panicked".to_owned())? {
                Ok(account) => rounds.judged(&account, began),
                Err(failure) => rounds.failed(failure),
            };
            if stopped.recv_timeout(every).is_ok() {
                return last;
            }
        }
    }
}

/// What rounds are told by.
struct Rounds {
    metrics: Arc<Metrics>,
    format: Format,
    /// What the last account that was told whole named, unless everything was equal since.
    told: Option<Named>,
}

/// The differences that an account names.
type Named = (Vec<KeyDifference>, Vec<Option<Difference>>);

impl Rounds {
    fn judged(&mut self, account: &Account, began: Timestamp) -> Result<(), Failure> {
        let at = wall_time();
        self.metrics.judged(account, began, at);
        match self.format {
            Format::Json => {
                let mut object = as_json(account);
                object["at"] = json!(at);
                println!("{object}");
            }
            Format::Text => self.tell(account, at),
        }
        judged(account)
    }

    /// A line; and the whole account when it begins to differ, or to differ in another place.
    fn tell(&mut self, account: &Account, at: Timestamp) {
        let verdict = &account.verdict;
        let [epochs, events] = [verdict.epochs, verdict.events].map(thousands);
        let overdue = if account.days.overdue > 0 { format!("; {}", days(&account.days)) } else { String::new() };
        let judged = format!("{events} events of {epochs} epochs, to {} by the recorded clock{overdue}", verdict.until);
        if account.is_equal() {
            self.told = None;
            println!("{at} equal: {judged}");
            return;
        }
        let differing = account.differing().into_iter().filter(|(_, differing)| *differing > 0);
        let differing = differing.map(|(kind, differing)| format!("{kind} {}", thousands(differing)));
        println!("{at} differs: {}; {judged}", differing.collect::<Vec<_>>().join(", "));
        let named = (account.first.clone(), verdict.compared.iter().map(|compared| compared.first.clone()).collect());
        if self.told.as_ref() != Some(&named) {
            print!("{}", as_text(account));
            self.told = Some(named);
        }
    }

    fn failed(&self, failure: Failure) -> Result<(), Failure> {
        self.metrics.failed();
        let (at, errors) = match failure {
            Failure::Failed(error) => (wall_time(), vec![error]),
            Failure::Invalid(errors) => (wall_time(), errors),
        };
        match self.format {
            Format::Json => println!("{}", json!({"at": at, "failed": errors})),
            Format::Text => println!("{at} failed: {}", errors.join("; ")),
        }
        Err(Failure::Failed("the last round failed".to_owned()))
    }
}
