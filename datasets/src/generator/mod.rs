//! Seeded play that looks like play.
//!
//! Players by Zipf log in, deposit, bet in sequence, win with a house edge by game, and withdraw;
//! sports bets are settled later. Stated shares are resent, reversed, late, malformed or in
//! conflict. Equal configurations give equal bytes on every machine: draws are integers, and so are
//! amounts. Memory follows what is open, not the number of players.
//!
//! [`Generator::tally`] is the generator's own book, with which a pipeline's totals can be compared.

mod calendar;
mod clock;
mod config;
mod malformed;
mod missions;
mod payload;
mod play;
mod random;
mod records;
mod tally;

#[cfg(test)]
mod acceptance;
#[cfg(test)]
mod recomputation;

pub use config::{GeneratorConfig, GeneratorError, Shares};
pub use missions::missions;
pub use records::{GenerateError, JsonLines, RecordSink, TopicNames, generate};
pub use tally::{Tally, TallyKey, TallyTotals};

use self::calendar::Calendar;
use self::clock::IngestClock;
use self::config::Currency;
use self::payload::{PayloadWriter, push_player_id};
use self::play::{Game, Numbers, Player, Session, TITLES, Transaction};
use self::random::{Dice, Population, Quota};
use self::tally::{Book, LATE_DAYS};
use crate::hash::player_hash;
use crate::{EventName, Reason, Timestamp};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// One record of the events topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// By hash of the player: a resend is in the partition of its original, behind it.
    pub partition: i32,
    /// The player's id.
    pub key: String,
    /// Ingest time, in whole milliseconds; never decreases.
    pub timestamp: Timestamp,
    /// The payload.
    pub value: Vec<u8>,
    /// Why a pipeline refuses it, where the record alone shows it.
    pub defect: Option<Reason>,
}

/// An iterator over `config.events` records.
pub struct Generator {
    events: u64,
    seed: u64,
    start: Timestamp,
    span_micros: i64,
    partitions: u64,
    currencies: Vec<(u32, u8)>,
    population: Population,
    dice: Dice,
    clock: IngestClock,
    calendar: Calendar<Task>,
    numbers: Numbers,
    writer: PayloadWriter,
    book: Book,
    duplicates: Quota,
    reversals: Quota,
    late: Quota,
    malformed: Quota,
    conflicts: Quota,
    resettlements: Option<Quota>,
}

/// What is due at some time.
enum Task {
    Play(Session),
    /// A settlement or an approval.
    Follow(Transaction),
    Resend(Transaction),
    Conflict(Transaction),
    Reverse(Transaction),
    ReverseAgain(Transaction),
    Resettle(Transaction),
}

impl Generator {
    /// Play by `config`.
    pub fn new(config: &GeneratorConfig) -> Result<Self, GeneratorError> {
        config.check()?;
        let start = Timestamp::from_millis(config.start.millis());
        let codes: Vec<Currency> = config.currencies.iter().map(|(_, code)| Currency::new(code)).collect();
        let weights = config.currencies.iter().map(|(weight, _)| *weight);
        // The first ranks are many players of equal activity, so that nobody is a tenth of the house.
        let flat = u64::from(config.players / 100).min(50);
        Ok(Generator {
            events: config.events,
            seed: config.seed,
            start,
            span_micros: config.span_micros,
            partitions: u64::from(config.partitions),
            currencies: weights.zip(0..=u8::MAX).collect(),
            population: Population::new(config.players, flat),
            dice: Dice::new(config.seed),
            clock: IngestClock::new(start, config.span_micros, config.events),
            calendar: Calendar::new(start, config.span_micros),
            numbers: Numbers::default(),
            book: Book::new(start, config.span_micros, codes.len()),
            writer: PayloadWriter::new(codes),
            duplicates: Quota::new(config.shares.duplicates),
            reversals: Quota::new(config.shares.reversals),
            late: Quota::new(config.shares.late),
            malformed: Quota::new(config.shares.malformed),
            conflicts: Quota::new(config.shares.conflicts),
            // Without a share nothing is drawn, so that play stays what it was before there were any.
            resettlements: (config.shares.resettlements > 0).then(|| Quota::new(config.shares.resettlements)),
        })
    }

    /// The book of the records emitted so far.
    pub fn tally(&self) -> Tally {
        self.book.tally(self.writer.currencies())
    }

    fn player(&mut self) -> Player {
        let rank = self.population.rank(&mut self.dice);
        let number = self.population.number(rank);
        Player::new(number, self.seed, &self.currencies, self.writer.currencies())
    }

    /// An event happens a little before it is ingested, but not before the first ingest time. The
    /// delay is shorter than the pause between two steps of a session, so their order stays.
    fn event_time(&mut self, now: Timestamp) -> Timestamp {
        let delay = self.dice.between(20, 600) * 1000;
        now.plus_micros(-delay).max(self.start)
    }

    /// `low` to `high` microseconds, shorter where the span is short.
    fn wait(&mut self, low: i64, high: i64) -> i64 {
        self.dice.spread(low, high.min(self.span_micros / 4).max(low))
    }

    fn play(&mut self, now: Timestamp, mut session: Session) -> Generated {
        let at = self.event_time(now);
        let currency = self.writer.currency(session.currency());
        let acted = session.act(&mut self.dice, currency, at, &mut self.numbers);
        if let Some(pause) = acted.pause {
            self.calendar.schedule(now.plus_micros(pause), Task::Play(session));
        }
        if let Some((wait, event)) = acted.later {
            self.calendar.schedule(now.plus_micros(wait), Task::Follow(event));
        }
        let mut event = acted.event;
        if event.name == EventName::BetPlaced && self.late.draw(&mut self.dice, self.book.events()) {
            event.event_time = now.plus_micros(-self.dice.spread(HOUR, LATE_DAYS * 24 * HOUR));
            self.book.late();
        }
        self.accept(now, event)
    }

    /// An event that counts; decides what becomes of it later.
    fn accept(&mut self, now: Timestamp, event: Transaction) -> Generated {
        self.book.accept(&event);
        self.plan(now, &event);
        self.record(now, &event)
    }

    fn plan(&mut self, now: Timestamp, event: &Transaction) {
        let emitted = self.book.events();
        let mut is_told_again = false;
        if event.number.is_some() && self.duplicates.draw(&mut self.dice, emitted) {
            let wait = self.wait(2 * SECOND, 6 * HOUR);
            self.calendar.schedule(now.plus_micros(wait), Task::Resend(*event));
            is_told_again = true;
        }
        let is_reversible = match event.name {
            EventName::BetPlaced => event.game().is_some_and(Game::is_casino),
            EventName::Win => true,
            EventName::BetSettled => event.amount > 0,
            _ => false,
        };
        if is_reversible && self.reversals.draw(&mut self.dice, emitted) {
            let wait = self.wait(10 * SECOND, 3 * HOUR);
            self.calendar.schedule(now.plus_micros(wait), Task::Reverse(*event));
            is_told_again = true;
        }
        let has_one_content = matches!(event.name, EventName::BetPlaced | EventName::Win);
        if has_one_content && self.conflicts.draw(&mut self.dice, emitted) {
            let wait = self.wait(2 * SECOND, HOUR);
            let other = Transaction { amount: event.amount + 100, ..*event };
            self.calendar.schedule(now.plus_micros(wait), Task::Conflict(other));
        }
        if event.name == EventName::BetSettled
            && !is_told_again
            && let Some(share) = &mut self.resettlements
            && share.draw(&mut self.dice, emitted)
        {
            let wait = self.wait(HOUR, LATE_DAYS * 24 * HOUR);
            self.calendar.schedule(now.plus_micros(wait), Task::Resettle(*event));
        }
    }

    /// The settlement once more, with another payout: a bet that was lost is won, one that was won is lost.
    fn resettle(&mut self, now: Timestamp, first: &Transaction) -> Generated {
        let event_time = self.event_time(now);
        let amount = if first.amount == 0 { self.dice.between(1, 50) * 100 } else { 0 };
        let settlement = Transaction { event_time, amount, ..*first };
        self.book.resettle(first, &settlement);
        self.record(now, &settlement)
    }

    fn reverse(&mut self, now: Timestamp, target: &Transaction) -> Generated {
        self.book.reverse(target);
        if self.dice.chance(20_000) {
            let wait = self.wait(10 * SECOND, HOUR);
            self.calendar.schedule(now.plus_micros(wait), Task::ReverseAgain(*target));
        }
        let reversal = self.reversal(now, target);
        self.accept(now, reversal)
    }

    fn reversal(&mut self, now: Timestamp, target: &Transaction) -> Transaction {
        let at = self.event_time(now);
        target.reversal(at, self.numbers.next()).expect("only transactions with a number are reversed")
    }

    /// A bet with a defect. It has a transaction of its own: nothing that counts depends on it.
    fn malformed(&mut self, now: Timestamp) -> Generated {
        let reason = *self.dice.pick(&malformed::DEFECTS);
        let player = self.player();
        let at = match reason {
            Reason::FutureTimestamp => now.plus_micros(self.dice.between(1, 48) * HOUR),
            _ => self.event_time(now),
        };
        // A slot: it has a game_id that can be too long.
        let title = &TITLES[0].1;
        let currency = self.writer.currency(player.currency);
        let bet = play::stake(player, title, &mut self.dice, currency, at, self.numbers.next());
        self.book.refused(reason);
        let mut generated = self.record(now, &bet);
        malformed::spoil(&mut generated.value, reason);
        generated.defect = Some(reason);
        generated
    }

    fn record(&mut self, now: Timestamp, event: &Transaction) -> Generated {
        let value = self.writer.payload(event, self.book.events());
        self.book.record();
        let mut key = Vec::with_capacity(17);
        push_player_id(&mut key, event.player.number);
        let key = String::from_utf8(key).expect("letters and digits");
        let partition = player_hash(&key) % self.partitions;
        let partition = i32::try_from(partition).expect("at most a million partitions");
        Generated { partition, key, timestamp: now, value, defect: None }
    }
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        if self.book.events() == self.events {
            return None;
        }
        let now = self.clock.tick();
        if self.malformed.draw(&mut self.dice, self.book.events()) {
            return Some(self.malformed(now));
        }
        Some(match self.calendar.take_due(now) {
            Some(Task::Play(session)) => self.play(now, session),
            Some(Task::Follow(event)) => {
                let event_time = self.event_time(now);
                self.accept(now, Transaction { event_time, ..event })
            }
            Some(Task::Resend(event)) => {
                self.book.duplicate();
                self.record(now, &event)
            }
            Some(Task::Conflict(event)) => {
                self.book.refused(Reason::IdempotencyConflict);
                self.record(now, &event)
            }
            Some(Task::Reverse(target)) => self.reverse(now, &target),
            Some(Task::Resettle(first)) => self.resettle(now, &first),
            Some(Task::ReverseAgain(target)) => {
                self.book.already_reversed();
                let reversal = self.reversal(now, &target);
                self.record(now, &reversal)
            }
            // Nobody has anything to do, so somebody comes.
            None => {
                let player = self.player();
                let session = Session::new(player, &mut self.dice);
                self.play(now, session)
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.events - self.book.events()).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}
