//! How things look on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line now and then elsewhere.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Over bytes; of an unknown number without one.
    pub(super) fn bytes(total: Option<u64>) -> Self {
        Self::new(
            total,
            "{bytes}/{total_bytes} {bar:30} {binary_bytes_per_sec} {elapsed}",
            "{bytes} {spinner} {elapsed}",
        )
    }

    /// Over events.
    pub(super) fn events(total: u64) -> Self {
        Self::new(
            Some(total),
            "{human_pos}/{human_len} events {bar:30} {per_sec} {elapsed}",
            "{human_pos} events {elapsed}",
        )
    }

    fn new(total: Option<u64>, bounded: &str, unbounded: &str) -> Self {
        let bar = match total {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = if total.is_some() { bounded } else { unbounded };
        bar.set_style(ProgressStyle::with_template(template).expect("a fixed template"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar }
    }

    /// Moves the bar by as much as it is told.
    pub(super) fn advance(&self) -> impl Fn(u64) + Clone + Send + 'static {
        let bar = self.bar.clone();
        move |amount| bar.inc(amount)
    }

    /// Moves the bar to where it is told.
    pub(super) fn position(&self) -> impl Fn(u64) + Clone + Send + 'static {
        let bar = self.bar.clone();
        move |position| bar.set_position(position)
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
