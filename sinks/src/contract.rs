//! The contract of [`EpochWriter`], as one suite that every writer passes.

use std::ops::Range;
use std::sync::Arc;

use datasets::rates::RateChanges;
use datasets::rows::{
    ActivityKey, ActivityRow, AuditKind, AuditRow, CompletionKind, CompletionRow, Counters, CustomerRow, DeadLetterRow,
    DefinitionRow, DispositionKind, DispositionRow, Entity, EntityRows, EpochOutputs, Place, PointsKind, PointsReason,
    PointsRow, Restriction, ReviewReason, ReviewRow, RewardRow, TierKind, TierRow, TransactionRow, TransactionType,
    Trigger, TriggerKind,
};
use datasets::time::Date;
use datasets::{Epoch, Money, Reason, Timestamp};

use crate::EpochWriter;

/// A place that writers write to, and how to look at it.
pub trait Harness {
    /// The writer under test.
    type Writer: EpochWriter;
    /// A new writer goes on where the last one was; else it starts over and overwrites.
    const KEEPS: bool;

    /// A new writer at this place.
    fn open(&mut self) -> Self::Writer;
    /// Ends a writer in good order.
    fn finish(&mut self, writer: Self::Writer);
    /// What a reader of this place sees.
    fn seen(&mut self) -> Seen;
}

/// The rows that a reader sees, by their identities, in order of epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// By [`completion`].
    pub completions: Vec<String>,
    /// By [`audit`].
    pub audit: Vec<String>,
    /// By [`points`].
    pub points: Vec<String>,
    /// By [`tier`].
    pub tiers: Vec<String>,
    /// By [`activity`].
    pub activity: Vec<String>,
    /// By [`transaction`].
    pub transactions: Vec<String>,
    /// By [`customer`].
    pub customers: Vec<String>,
    /// By [`review`].
    pub reviews: Vec<String>,
    /// By [`dead_letter`].
    pub dead_letters: Vec<String>,
}

impl Seen {
    fn of(epochs: &[Arc<EpochOutputs>]) -> Self {
        let mut seen = Seen::default();
        for out in epochs {
            seen.completions.extend(out.completions.iter().map(completion));
            seen.audit.extend(out.audit.iter().map(audit));
            seen.points.extend(out.points.iter().map(points));
            seen.tiers.extend(out.tiers.iter().map(tier));
            seen.activity.extend(out.activity.iter().map(activity));
            seen.transactions.extend(out.entities.transactions.iter().map(transaction));
            seen.customers.extend(out.entities.customers.iter().map(customer));
            seen.reviews.extend(out.entities.reviews.iter().map(review));
            seen.dead_letters.extend(out.dead_letters.iter().map(dead_letter));
        }
        seen
    }
}

/// Identity of a completion.
pub fn completion(row: &CompletionRow) -> String {
    format!("{} {}", row.completion_id, row.revision)
}

/// Identity of a completion that did not leave.
pub fn audit(row: &AuditRow) -> String {
    format!("{} {}", row.completion_id, row.revision)
}

/// Identity of a line of a points ledger.
pub fn points(row: &PointsRow) -> String {
    format!("{} {}", row.player_id, row.line)
}

/// Identity of a change of tier.
pub fn tier(row: &TierRow) -> String {
    format!("{} {}", row.player_id, row.revision)
}

/// Identity of a revision of a row of activity.
pub fn activity(row: &ActivityRow) -> String {
    let ActivityKey { date, customer_id, game_type, currency } = &row.key;
    format!("{date} {customer_id} {game_type} {currency} {}", row.revision)
}

/// Identity of a row of a transaction.
pub fn transaction(row: &TransactionRow) -> String {
    format!("{} {}", row.transaction_id, row.status)
}

/// Identity of a row of a customer.
pub fn customer(row: &CustomerRow) -> String {
    format!("{} {}", row.customer_id, row.affiliate_id)
}

/// Identity of a review.
pub fn review(row: &ReviewRow) -> String {
    format!("{} {} {} {}", row.entity.as_str(), row.key, row.field, row.reason.as_str())
}

/// Identity of a dead letter.
pub fn dead_letter(row: &DeadLetterRow) -> String {
    format!("{} {} {} {}", row.place.topic, row.place.partition, row.place.offset, row.index)
}

/// Runs the suite, each case at a place of its own.
pub fn check<H: Harness>(mut place: impl FnMut() -> H) {
    rows_are_seen_once_and_in_order(&mut place());
    epochs_offered_again_are_ignored(&mut place());
    a_reopened_writer_resumes(&mut place());
    empty_epochs_count(&mut place());
    for dies_after in 1..6 {
        a_writer_that_dies_loses_and_doubles_nothing(&mut place(), dies_after);
    }
}

/// Epochs with rows of every kind, with some, and with none; the rows of `epoch` are always the same.
pub fn script(epochs: Range<Epoch>) -> Vec<Arc<EpochOutputs>> {
    epochs.map(|epoch| Arc::new(outputs(epoch))).collect()
}

fn rows_are_seen_once_and_in_order<H: Harness>(place: &mut H) {
    let epochs = script(0..12);
    let mut writer = place.open();
    assert_eq!(resume_upper(&mut writer), 0, "a new place begins at epoch 0");
    for together in [&epochs[..1], &epochs[1..5], &epochs[5..6], &epochs[6..]] {
        writer.commit(together).expect("commit");
    }
    place.finish(writer);
    assert_eq!(place.seen(), Seen::of(&epochs));
}

fn epochs_offered_again_are_ignored<H: Harness>(place: &mut H) {
    let epochs = script(0..8);
    let mut writer = place.open();
    writer.commit(&epochs[..4]).expect("commit");
    writer.commit(&epochs[..2]).expect("commit");
    writer.commit(&epochs[1..6]).expect("commit");
    writer.commit(&epochs).expect("commit");
    place.finish(writer);
    assert_eq!(place.seen(), Seen::of(&epochs));
}

fn a_reopened_writer_resumes<H: Harness>(place: &mut H) {
    let epochs = script(0..9);
    let mut writer = place.open();
    writer.commit(&epochs[..4]).expect("commit");
    place.finish(writer);
    let mut writer = place.open();
    let upper = resume_upper(&mut writer);
    assert_eq!(upper, if H::KEEPS { 4 } else { 0 });
    // A replay may offer everything again.
    writer.commit(&epochs[..7]).expect("commit");
    writer.commit(&epochs[7..]).expect("commit");
    place.finish(writer);
    assert_eq!(place.seen(), Seen::of(&epochs));
}

fn empty_epochs_count<H: Harness>(place: &mut H) {
    let empty = |epoch| Arc::new(EpochOutputs { epoch, now: clock(epoch), ..EpochOutputs::default() });
    let mut epochs = script(0..2);
    epochs.extend((2..5).map(empty));
    let mut writer = place.open();
    writer.commit(&epochs).expect("commit");
    if H::KEEPS {
        place.finish(writer);
        writer = place.open();
    }
    assert_eq!(resume_upper(&mut writer), 5, "epochs without rows are durable too");
    place.finish(writer);
    assert_eq!(place.seen(), Seen::of(&epochs));
}

fn a_writer_that_dies_loses_and_doubles_nothing<H: Harness>(place: &mut H, dies_after: usize) {
    let epochs = script(0..10);
    for lives in 0..3 {
        let mut writer = place.open();
        let upper = from(resume_upper(&mut writer));
        let end = epochs.len().min(upper + dies_after + lives);
        for epoch in upper..end {
            writer.commit(&epochs[epoch..=epoch]).expect("commit");
        }
        // Not finished: the process died here.
        drop(writer);
    }
    let mut writer = place.open();
    let upper = from(resume_upper(&mut writer));
    writer.commit(&epochs[upper..]).expect("commit");
    place.finish(writer);
    assert_eq!(place.seen(), Seen::of(&epochs));
}

fn resume_upper(writer: &mut impl EpochWriter) -> Epoch {
    writer.resume_upper().expect("resume_upper")
}

fn from(epoch: Epoch) -> usize {
    usize::try_from(epoch).expect("a script is short")
}

/// 2026-06-01T23:00:00Z and seven minutes an epoch: a script passes midnight.
fn clock(epoch: Epoch) -> Timestamp {
    let minutes = i64::try_from(epoch).expect("a script is short") * 7;
    Timestamp::from_millis(1_780_354_800_000 + minutes * 60_000)
}

fn outputs(epoch: Epoch) -> EpochOutputs {
    let now = clock(epoch);
    let rows = u32::try_from(epoch % 4).expect("below 4");
    let offset = |row: u32| i64::try_from(epoch).expect("a script is short") * 10 + i64::from(row);
    let place = |row| Place { topic: "events".into(), partition: 3, offset: offset(row) };
    EpochOutputs {
        epoch,
        now,
        wall: now.plus_micros(5_000_000),
        newest: now,
        bindings: Vec::new(),
        completions: (0..rows).map(|row| completion_row(place(row), now)).collect(),
        audit: (0..rows / 2).map(|row| audit_row(place(row), now)).collect(),
        points: (0..rows).map(|row| points_row(place(row), now)).collect(),
        tiers: (0..rows).map(|row| tier_row(place(row), now)).collect(),
        activity: (0..rows).map(|row| activity_row(epoch, row, now)).collect(),
        entities: entity_rows(epoch, rows, now),
        dead_letters: (0..rows / 2).map(|row| dead_letter_row(place(row), now)).collect(),
        dispositions: (0..rows).map(|row| disposition_row(place(row), now)).collect(),
        definitions: (0..rows / 3).map(|row| definition_row(place(row), now)).collect(),
        counters: Counters { read: rows.into(), accepted: rows.into(), ..Counters::default() },
        rates: RateChanges::default(),
    }
}

fn completion_row(place: Place, now: Timestamp) -> CompletionRow {
    let kinds = [CompletionKind::MissionCompleted, CompletionKind::MissionRevoked];
    let is_revoked = place.offset % 2 == 1;
    CompletionRow {
        kind: kinds[usize::from(is_revoked)],
        completion_id: format!("c-{}", place.offset),
        revision: 1,
        player_id: format!("p{}", place.offset % 3),
        mission_id: "weekly-virtual-100".to_owned(),
        mission_version: 3,
        occurrence: 1,
        window_start: Timestamp::from_millis(1_780_272_000_000),
        window_end: (!is_revoked).then_some(Timestamp::from_millis(1_780_876_800_000)),
        completed_at: now.plus_micros(-4_001),
        emitted_at: now,
        reversed_by: is_revoked.then(|| "txn_2".to_owned()),
        trigger: Trigger { kind: TriggerKind::Event, transaction_id: Some(format!("t{}", place.offset)), place },
        progress: Money::from_units(105),
        target: Money::from_units(100),
        reward: (!is_revoked).then(|| RewardRow { kind: "points".to_owned(), value: "500".to_owned() }),
        channels: if is_revoked { Vec::new() } else { vec!["push".to_owned(), "email".to_owned()] },
    }
}

/// A completion that could have left, and did not.
fn audit_row(place: Place, now: Timestamp) -> AuditRow {
    let row = completion_row(place, now);
    let is_deferred = row.trigger.place.offset % 4 == 0;
    AuditRow {
        kind: if is_deferred { AuditKind::Deferred } else { AuditKind::Suppressed },
        reason: if is_deferred { Restriction::CooledOff } else { Restriction::NoConsent },
        until: is_deferred.then_some(now),
        completion_id: format!("not-{}", row.completion_id),
        revision: row.revision,
        player_id: row.player_id,
        mission_id: row.mission_id,
        mission_version: row.mission_version,
        occurrence: row.occurrence,
        window_start: row.window_start,
        window_end: row.window_end,
        completed_at: row.completed_at,
        emitted_at: row.emitted_at,
        trigger: row.trigger,
        progress: row.progress,
        target: row.target,
        reward: row.reward,
        channels: row.channels,
    }
}

fn points_row(place: Place, now: Timestamp) -> PointsRow {
    let (line, is_earned) = (place.offset.unsigned_abs() + 1, place.offset % 2 == 0);
    PointsRow {
        kind: PointsKind::PointsChanged,
        player_id: format!("p{}", place.offset % 3),
        line,
        delta: if is_earned { Money::from_units(500) } else { -Money::from_units(500) },
        balance: Money::from_raw(50_000_000_001),
        reason: if is_earned { PointsReason::Earn } else { PointsReason::Expire },
        reference: format!("c-{}", place.offset),
        changed_at: now.plus_micros(-4_001),
        expires_at: is_earned.then(|| now.plus_micros(1)),
        emitted_at: now,
        trigger: is_earned.then_some(Trigger { kind: TriggerKind::DefinitionChange, transaction_id: None, place }),
    }
}

/// A rise by an event, or a fall to no tier by the clock.
fn tier_row(place: Place, now: Timestamp) -> TierRow {
    let (revision, rises) = (place.offset.unsigned_abs() + 1, place.offset % 2 == 0);
    let (lower, higher) = (None, Some("Gold".to_owned()));
    let (previous, tier) = if rises { (lower, higher) } else { (higher, lower) };
    TierRow {
        kind: TierKind::TierChanged,
        player_id: format!("p{}", place.offset % 3),
        revision,
        tier,
        previous,
        changed_at: now.plus_micros(-4_001),
        emitted_at: now,
        trigger: rises.then(|| Trigger { kind: TriggerKind::Event, transaction_id: Some("t".to_owned()), place }),
    }
}

fn activity_row(epoch: Epoch, row: u32, now: Timestamp) -> ActivityRow {
    let bets = Money::from_raw(2_550_000_001);
    ActivityRow {
        key: ActivityKey {
            date: Date::from_days(20_605),
            customer_id: format!("p{epoch}-{row}").into(),
            game_type: "slots".into(),
            currency: "EUR".into(),
        },
        bets_count: 1,
        total_bets: bets,
        wins: Money::ONE,
        ggr: bets - Money::ONE,
        ngr: bets - Money::ONE,
        bonus_bets: Money::ZERO,
        bonus_wins: Money::ZERO,
        bonus_cost: Money::ZERO,
        jackpot_contribution: Money::ZERO,
        jackpot_wins: Money::ZERO,
        chargebacks: Money::ZERO,
        revision: 1,
        updated_at: now,
    }
}

fn entity_rows(epoch: Epoch, rows: u32, now: Timestamp) -> EntityRows {
    let key = |row: u32| format!("p{epoch}-{row}");
    let transaction = |row: u32| TransactionRow {
        transaction_id: format!("pam|deposit|{}|t", key(row)),
        customer_id: key(row),
        transaction_type: TransactionType::Deposit,
        transaction_subtype: (row == 1).then(|| "card".to_owned()),
        amount_currency: -Money::ONE,
        currency: "EUR".to_owned(),
        amount_usd: (row == 2).then_some(Money::ONE),
        transaction_date: now.plus_micros(-1),
        status: "approved".to_owned(),
        note: None,
        source: "pam".to_owned(),
        source_transaction_id: "t".to_owned(),
        updated_at: now,
    };
    let customer = |row: u32| CustomerRow {
        customer_id: key(row),
        signup_date: now,
        affiliate_id: "a".to_owned(),
        last_modified_date: now.plus_micros(1),
        campaign_id: None,
        click_id: Some("c".to_owned()),
        lang_id: Some("mt".to_owned()),
        country_code: Some("MT".to_owned()),
        kyc_status_id: None,
        sales_status_id: None,
        first_name: None,
        last_name: None,
        email: None,
        updated_at: now,
    };
    let review = |row: u32| ReviewRow {
        entity: Entity::GamingActivity,
        key: key(row),
        field: "wins".to_owned(),
        reason: ReviewReason::PrecisionExceeded,
        detail: "too many digits".to_owned(),
        withheld: true,
        customer_id: key(row),
        date: Some(Date::from_days(20_605)),
        game_type: Some("slots".to_owned()),
        currency: Some("EUR".to_owned()),
        updated_at: now,
    };
    EntityRows {
        gaming_activity: Vec::new(),
        transactions: (0..rows).map(transaction).collect(),
        customers: (0..rows / 2).map(customer).collect(),
        reviews: (0..rows / 3).map(review).collect(),
    }
}

fn dead_letter_row(place: Place, now: Timestamp) -> DeadLetterRow {
    DeadLetterRow {
        reason: Reason::NotJson,
        detail: "expected value at line 1".to_owned(),
        place,
        index: 0,
        ingest_time: now.plus_micros(-1),
        player_id: None,
        raw: Some("{\"a\":".to_owned()),
        raw_base64: None,
        truncated: false,
    }
}

fn disposition_row(place: Place, now: Timestamp) -> DispositionRow {
    DispositionRow {
        place,
        index: 1,
        disposition: DispositionKind::Duplicate,
        ingest_time: now,
        player_id: "p1".to_owned(),
        transaction_id: String::new(),
    }
}

fn definition_row(place: Place, now: Timestamp) -> DefinitionRow {
    DefinitionRow {
        place: Place { topic: "missions".into(), ..place },
        ingest_time: now,
        mission_id: "m1".to_owned(),
        version: None,
        accepted: false,
        definition: None,
    }
}
