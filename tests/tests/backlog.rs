//! Two clocks while a backlog is read: timers follow what is read, reports follow the wall.

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::scenario::Scenario;
use questline_tests::stack::Stack;

/// As [`Scenario`] is configured.
const REPORTING_MICROS: i64 = 500_000;

#[test]
fn the_clock_follows_a_backlog_and_rows_leave_by_the_wall() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "backlog", Play::new(recent(100_000, 51)));
    let oracle = scenario.play.oracle();
    scenario.feed(usize::MAX);
    let newest = scenario.play.sent.iter().map(|record| record.ingest).max().expect("some play");
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));

    let lake = scenario.lake();
    let mut epochs = Vec::new();
    lake.read("epochs", |row| {
        let bindings: Vec<serde_json::Value> = serde_json::from_str(row.text("bindings").unwrap()).unwrap();
        let reads = bindings.iter().any(|binding| binding["topic"] == scenario.topic("events"));
        epochs.push((row.int("epoch"), row.instant("now").unwrap(), row.instant("wall").unwrap(), reads));
    });
    epochs.sort_unstable();
    let last = epochs.iter().rposition(|epoch| epoch.3).expect("events were read");
    // The last epoch with events may have found all ends.
    for (epoch, now, ..) in &epochs[..last] {
        assert!(*now <= newest, "epoch {epoch} is behind, and its clock is ahead of everything: {now}");
    }
    let walls = |pair: &[(i64, i64, i64, bool)]| pair[0].2 <= pair[1].2;
    assert!(epochs.windows(2).all(walls), "the wall's clock never goes back");

    let (began, ended) = (epochs[0].2, epochs[epochs.len() - 1].2);
    assert!(began > newest, "the backlog is an hour old");
    let reports = (ended - began) / REPORTING_MICROS + 1;
    let mut revisions = 0;
    lake.read("activity", |row| revisions = revisions.max(row.int("revision")));
    println!("{} epochs, at most {revisions} revisions of a row in {reports} intervals", epochs.len());
    assert!(revisions <= reports, "a row left {revisions} times in {reports} intervals");
}
