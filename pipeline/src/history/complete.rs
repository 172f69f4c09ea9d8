//! How far a lake has everything that was reported.

use datasets::Timestamp;

use super::log::Settled;
use crate::config::{Config, PipelineConfig};

/// What an epoch read, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// The recorded clock.
    pub now: Timestamp,
    /// The wall's.
    pub wall: Timestamp,
    /// The least ingest time of its events, if there are any.
    pub first: Option<Timestamp>,
}

/// The clock up to which activity is in a lake of which so much is `settled`, by the epochs that were `read` from the first one on: a row may
/// leave `reporting_interval` after what changed it, by the wall's clock, in which a backlog of days takes seconds.
pub(crate) fn reported_until(config: &Config, settled: Settled, read: &[Read]) -> Timestamp {
    let now = read.last().map_or(Timestamp::MIN, |last| last.now);
    let Some(settled) = settled.until() else { return now };
    let interval = config.pipeline.reporting_interval.unwrap_or(PipelineConfig::REPORTING_INTERVAL).micros();
    let settled = settled.min(now);
    let told = read.partition_point(|epoch| epoch.now <= settled);
    let due = read[..told].last().map_or(settled, |last| last.wall).plus_micros(-interval);
    let untold = read.iter().filter(|epoch| epoch.wall > due).filter_map(|epoch| epoch.first).min();
    untold.into_iter().fold(settled.plus_micros(-interval), Timestamp::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn second(number: i64) -> Timestamp {
        Timestamp::from_micros(number * SECOND)
    }

    /// Reports leave every ten seconds.
    fn until(settled: Settled, read: &[Read]) -> i64 {
        reported_until(&Config::default(), settled, read).micros() / SECOND
    }

    #[test]
    fn a_row_is_there_an_interval_after_what_changed_it() {
        // Each second an epoch, which reads what was ingested in it.
        let read: Vec<Read> = (0..60)
            .map(|number| Read { now: second(number), wall: second(number), first: Some(second(number)) })
            .collect();
        assert_eq!(until(Settled::at(second(30)), &read), 20);
        // Files say nothing of epochs that were not read.
        assert_eq!(until(Settled::at(second(90)), &read), 49);
        assert_eq!(until(Settled::all(60), &read), 59);
    }

    #[test]
    fn of_a_backlog_only_what_was_reported_is_there() {
        // A day of records is read in each of the last seconds.
        let day = 86_400;
        let read: Vec<Read> = (1..20)
            .map(|number| Read {
                now: second(number * day),
                wall: second(30 * day + number),
                first: Some(second((number - 1) * day)),
            })
            .collect();
        // The 15th second: rows of before the 5th have left by then, and what came since begins with day 5.
        assert_eq!(until(Settled::at(second(15 * day)), &read), 5 * day);
    }
}
