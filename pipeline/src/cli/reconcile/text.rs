//! The account, for people.

use std::fmt::Write;

use crate::cli::show::thousands;
use crate::cli::verify;
use crate::reconcile::{
    Account, Completeness, DayOfActivity, DayOfCompletions, DayOfTiers, EventBehind, Input, KeyDifference, Partition,
    Sums,
};

/// All of it, ending with the verdict and the first keys that differ.
pub(super) fn as_text(account: &Account) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{}", line.trim_end()).expect("a text takes all lines");
    line(format!(
        "{:<24}{:>12}{:>12}{:>10}{:>10}{:>10}",
        "read", "offsets", "with events", "refused", "neither", "outside"
    ));
    for Partition { topic, partition, range, with_events, refused, neither, outside } in &account.partitions {
        let [with_events, refused, neither, outside] = [with_events, refused, neither, outside].map(|n| thousands(*n));
        let offsets = range.map_or_else(
            || "-".to_owned(),
            |(first, upper)| thousands(u64::try_from(upper - first).unwrap_or_default()),
        );
        line(format!(
            "{:<24}{offsets:>12}{with_events:>12}{refused:>10}{neither:>10}{outside:>10}",
            format!("{topic}-{partition}")
        ));
    }
    line(String::new());
    let heads = ["events", "duplicates", "conflicts", "reversed", "orphans", "counted", "refused"]
        .map(|head| format!("{head:>11}"));
    line(format!("{:<12}{:<20}{}", "ingested", "partition", heads.concat()));
    for input in &account.inputs {
        let Input {
            topic,
            partition,
            date,
            events,
            duplicates,
            conflicts,
            already_reversed,
            orphans,
            counted,
            refused,
        } = input;
        let numbers = [events, duplicates, conflicts, already_reversed, orphans, counted, refused];
        let numbers = numbers.map(|number| format!("{:>11}", thousands(*number))).concat();
        line(format!("{:<12}{:<20}{numbers}", date.to_string(), format!("{topic}-{partition}")));
    }
    if account.inputs.is_empty() {
        line("nothing".to_owned());
    }
    line(String::new());
    line(format!(
        "{:<12}{:<18}{:<5}{:>10}{:>18}{:>18}{:>18}{:>18}  lake    totals",
        "activity", "game type", "", "bets", "total bets", "wins", "ggr", "ngr"
    ));
    for DayOfActivity { date, game_type, currency, recomputed, lake, own_equal } in &account.activity {
        let Sums { bets_count, total_bets, wins, ggr, ngr, .. } = recomputed;
        let money = [total_bets, wins, ggr, ngr].map(|money| format!("{:>18}", money.to_string())).concat();
        let (date, in_lake) = (date.to_string(), equal(recomputed == lake));
        let own = own_equal.map_or("-", equal);
        line(format!("{date:<12}{game_type:<18}{currency:<5}{bets_count:>10}{money}  {in_lake:<8}{own}"));
    }
    if account.activity.is_empty() {
        line("nothing".to_owned());
    }
    line(String::new());
    line(format!("{:<12}{:>12}{:>12}  lake", "emitted", "completed", "revoked"));
    for DayOfCompletions { date, recomputed, lake } in &account.completions {
        let [completed, revoked] = [recomputed.0, recomputed.1].map(thousands);
        line(format!("{:<12}{completed:>12}{revoked:>12}  {}", date.to_string(), equal(recomputed == lake)));
    }
    if account.completions.is_empty() {
        line("nothing".to_owned());
    }
    if !account.tiers.is_empty() {
        line(String::new());
        line(format!("{:<12}{:<24}{:>12}  lake", "emitted", "tier", "changes"));
    }
    for DayOfTiers { date, tier, recomputed, lake } in &account.tiers {
        let tier = tier.as_deref().unwrap_or("(none)");
        let changes = thousands(*recomputed);
        line(format!("{:<12}{tier:<24}{changes:>12}  {}", date.to_string(), equal(recomputed == lake)));
    }
    line(String::new());
    text.push_str(&verify::as_text(&account.verdict, account.is_equal()));
    let mut line = |line: String| writeln!(text, "{line}").expect("a text takes all lines");
    if let waiting @ 1.. = account.unwritten {
        line(format!(
            "{} rows of activity have a later revision that is in no file yet: not judged by day",
            thousands(waiting)
        ));
    }
    line(days(&account.days));
    for difference in &account.first {
        let KeyDifference { date, customer_id, game_type, currency, of, column, found, recomputed, .. } = difference;
        let customer = customer_id.as_deref().unwrap_or("all customers");
        line(format!(
            "{date}, {customer}, {game_type}, {currency}: {column} is {found} in {of}, and is recomputed as {recomputed}"
        ));
        for event in &difference.events {
            line(format!("    {}", shown(event)));
        }
        let left = difference.events_in_all.saturating_sub(u64::try_from(difference.events.len()).unwrap_or_default());
        if left > 0 {
            line(format!("    … and {} more events", thousands(left)));
        }
    }
    let named = u64::try_from(account.first.len()).unwrap_or_default();
    if let left @ 1.. = account.differences.saturating_sub(named) {
        line(format!("… and {} more keys differ", thousands(left)));
    }
    text
}

/// Which reporting days are complete, in a line.
pub(super) fn days(days: &Completeness) -> String {
    let complete = days.complete.map_or_else(
        || "no reporting day is complete in the lake yet".to_owned(),
        |complete| format!("reporting days are complete in the lake up to {complete}"),
    );
    match days.due.filter(|_| days.overdue > 0) {
        Some(due) => format!("{complete}; {due} was due at 06:00 UTC: {} overdue", days.overdue),
        None => complete,
    }
}

fn equal(is_equal: bool) -> &'static str {
    if is_equal { "equal" } else { "differs" }
}

fn shown(event: &EventBehind) -> String {
    let EventBehind { event_time, topic, partition, offset, index, event_name, player_id, transaction_id, .. } = event;
    let EventBehind { reference_id, amount, disposition, .. } = event;
    let named = reference_id.as_ref().map_or_else(String::new, |id| format!(" of {id}"));
    let amount = if amount.is_empty() { String::new() } else { format!(" {amount}") };
    let item = if *index > 0 { format!(", item {index}") } else { String::new() };
    let became = disposition.as_ref().map_or_else(String::new, |became| format!(" ({became})"));
    format!(
        "{event_time} {player_id} {event_name} {transaction_id}{named}{amount}{became}: {topic}-{partition}, offset {offset}{item}"
    )
}
