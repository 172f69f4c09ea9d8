//! How things look on a terminal, and elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Elsewhere than on a terminal, a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar on a terminal, a plain line now and then elsewhere.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: Option<Lines>,
}

#[derive(Clone)]
struct Lines {
    /// What is counted, unless it is bytes.
    unit: Option<&'static str>,
    told: Arc<Mutex<Instant>>,
}

impl Progress {
    /// Over bytes; of an unknown number without one.
    pub(super) fn bytes(total: Option<u64>) -> Self {
        let style = match total {
            Some(_) => "{bytes}/{total_bytes} {bar:30} {binary_bytes_per_sec} {elapsed}",
            None => "{bytes} {spinner} {elapsed}",
        };
        Self::new(total, style, None)
    }

    /// Over events.
    pub(super) fn events(total: u64) -> Self {
        Self::new(Some(total), "{human_pos}/{human_len} events {bar:30} {per_sec} {elapsed}", Some("events"))
    }

    /// Over epochs.
    pub(super) fn epochs(total: u64) -> Self {
        Self::new(Some(total), "{human_pos}/{human_len} epochs {bar:30} {per_sec} {elapsed}", Some("epochs"))
    }

    fn new(total: Option<u64>, style: &str, unit: Option<&'static str>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
        if is_terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let lines = (!is_terminal).then(|| Lines { unit, told: Arc::new(Mutex::new(Instant::now())) });
        Progress { bar, lines }
    }

    /// Moves on by as much as it is told.
    pub(super) fn advance(&self) -> impl Fn(u64) + Clone + Send + 'static {
        let (bar, lines) = (self.bar.clone(), self.lines.clone());
        move |amount| {
            bar.inc(amount);
            lines.iter().for_each(|lines| lines.tell(&bar));
        }
    }

    /// Moves to where it is told.
    pub(super) fn position(&self) -> impl Fn(u64) + Clone + Send + 'static {
        let (bar, lines) = (self.bar.clone(), self.lines.clone());
        move |position| {
            bar.set_position(position);
            lines.iter().for_each(|lines| lines.tell(&bar));
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Lines {
    fn tell(&self, bar: &ProgressBar) {
        let mut told = self.told.lock().expect("no panic while telling");
        if told.elapsed() < LINE_EVERY {
            return;
        }
        *told = Instant::now();
        let shown = |amount| match self.unit {
            None => HumanBytes(amount).to_string(),
            Some(unit) => format!("{} {unit}", HumanCount(amount)),
        };
        match bar.length() {
            Some(total) => eprintln!("{} of {}", shown(bar.position()), shown(total)),
            None => eprintln!("{}", shown(bar.position())),
        }
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    HumanCount(number).to_string()
}
