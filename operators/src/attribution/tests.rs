//! Beside a recomputation from plain lists, at every epoch of scripts with corrections.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use datasets::Money;
use differential_dataflow::input::{Input, InputSession};
use timely::dataflow::operators::probe::Handle as Probe;

use super::*;
use crate::testing::{Rng, at, seeds};

const HOURS: i64 = 24;
const PLAYERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SEGMENTS: [&str; 3] = ["gold", "new", "vip"];

/// All inputs as they are now.
#[derive(Clone, Debug, Default)]
struct State {
    windows: BTreeSet<Window>,
    participations: BTreeSet<(WindowKey, Arc<str>)>,
    memberships: BTreeSet<Membership>,
    customers: BTreeMap<Arc<str>, Date>,
    activity: BTreeMap<(CustomerDay, &'static str), Figures>,
}

/// What goes in, and the rows that stand.
struct Run {
    windows: InputSession<Epoch, Window, isize>,
    participations: InputSession<Epoch, (WindowKey, Arc<str>), isize>,
    memberships: InputSession<Epoch, Membership, isize>,
    customers: InputSession<Epoch, (Arc<str>, Date), isize>,
    activity: InputSession<Epoch, CustomerDay, Figures>,
    state: State,
    rows: Rc<RefCell<BTreeMap<MissionGgrRow, isize>>>,
    probe: Probe<Epoch>,
}

impl Run {
    fn new(worker: &mut timely::worker::Worker) -> Self {
        let rows = Rc::<RefCell<BTreeMap<MissionGgrRow, isize>>>::default();
        let probe = Probe::new();
        let (windows, participations, memberships, customers, activity) = worker.dataflow(|scope| {
            let (windows, of_windows) = scope.new_collection();
            let (participations, of_participations) = scope.new_collection();
            let (memberships, of_memberships) = scope.new_collection();
            let (customers, of_customers) = scope.new_collection();
            let (activity, of_activity) = scope.new_collection();
            let inputs = Inputs {
                windows: of_windows,
                participations: of_participations,
                memberships: of_memberships,
                customers: of_customers,
                activity: of_activity,
            };
            let told = rows.clone();
            mission_ggr(inputs)
                .inspect(move |(row, _, diff)| *told.borrow_mut().entry(row.clone()).or_default() += diff)
                .probe_with(&probe);
            (windows, participations, memberships, customers, activity)
        });
        let state = State::default();
        Run { windows, participations, memberships, customers, activity, state, rows, probe }
    }

    /// Moves on to `next`, by the differences.
    fn step(&mut self, worker: &mut timely::worker::Worker, next: State, epoch: Epoch) {
        let before = std::mem::replace(&mut self.state, next);
        let now = &self.state;
        update(&mut self.windows, &before.windows, &now.windows);
        update(&mut self.participations, &before.participations, &now.participations);
        update(&mut self.memberships, &before.memberships, &now.memberships);
        let customers = |state: &State| state.customers.clone().into_iter().collect();
        update(&mut self.customers, &customers(&before), &customers(now));
        for (of, diff) in [(&before, -1), (now, 1)] {
            for ((day, _), figures) in &of.activity {
                self.activity
                    .update(day.clone(), differential_dataflow::difference::Multiply::multiply(*figures, &diff));
            }
        }
        self.windows.advance_to(epoch + 1);
        self.participations.advance_to(epoch + 1);
        self.memberships.advance_to(epoch + 1);
        self.customers.advance_to(epoch + 1);
        self.activity.advance_to(epoch + 1);
        self.windows.flush();
        self.participations.flush();
        self.memberships.flush();
        self.customers.flush();
        self.activity.flush();
        worker.step_while(|| self.probe.less_than(&(epoch + 1)));
        self.rows.borrow_mut().retain(|_, count| *count != 0);
    }

    fn rows(&self) -> Vec<MissionGgrRow> {
        let rows = self.rows.borrow();
        assert!(rows.values().all(|count| *count == 1), "{rows:?}");
        rows.keys().cloned().collect()
    }
}

fn update<D: differential_dataflow::ExchangeData>(
    input: &mut InputSession<Epoch, D, isize>,
    before: &BTreeSet<D>,
    now: &BTreeSet<D>,
) {
    before.difference(now).for_each(|gone| input.update(gone.clone(), -1));
    now.difference(before).for_each(|new| input.update(new.clone(), 1));
}

/// The rows, from nothing but the lists.
fn recompute(state: &State) -> Vec<MissionGgrRow> {
    let mut rows = Vec::new();
    for window in &state.windows {
        for population in &window.populations {
            let was_in = |player: &str, segment: &Arc<str>| {
                state.memberships.iter().any(|membership| {
                    (&*membership.player, &membership.segment) == (player, segment)
                        && membership.from < window.until
                        && window.from < membership.until
                })
            };
            let is_member = |player: &&str| match &population.segments[..] {
                [] => state.customers.get(*player).is_some_and(|first| first.days() < window.periods[1].all.to),
                segments => segments.iter().all(|segment| was_in(player, segment)),
            };
            let takes_part = |player: &&&str| state.participations.contains(&(window.key.clone(), (**player).into()));
            let members: Vec<&str> = PLAYERS.into_iter().filter(is_member).collect();
            let (participants, others): (Vec<&str>, Vec<&str>) = members.iter().partition(|player| takes_part(player));
            let sums = |player: &str, days: Days, currency: &str| {
                let of = state.activity.iter().filter(|((day, _), _)| {
                    let is_known = state.customers.contains_key(player);
                    is_known
                        && (&*day.customer, &*day.currency) == (player, currency)
                        && days.from <= day.date.days()
                        && day.date.days() < days.to
                });
                of.fold(Figures::default(), |mut sums, (_, figures)| {
                    sums.bets_count += figures.bets_count;
                    sums.total_bets += figures.total_bets;
                    sums.wins += figures.wins;
                    sums.ggr += figures.ggr;
                    sums.ngr += figures.ngr;
                    sums
                })
            };
            for currency in ["EUR", "GBP"] {
                let of_period = |player: &&str, period: &PeriodDays| sums(player, period.complete, currency);
                let plays =
                    |player: &&str| window.periods.iter().any(|period| of_period(player, period) != Figures::default());
                if !members.iter().any(plays) {
                    continue;
                }
                for (cohort, customers) in [(Cohort::Participants, &participants), (Cohort::Others, &others)] {
                    for (period, days) in Period::ALL.into_iter().zip(&window.periods) {
                        let of: Vec<Figures> = customers.iter().map(|player| of_period(player, days)).collect();
                        let money = |read: fn(&Figures) -> Money| of.iter().map(read).sum::<Money>();
                        rows.push(MissionGgrRow {
                            key: MissionGgrKey {
                                mission_id: window.key.mission_id.clone(),
                                window_start: window.start,
                                segment: population.name.clone(),
                                currency: currency.into(),
                                cohort,
                                period,
                            },
                            window_end: window.end,
                            first_day: Date::from_days(days.all.from),
                            days: days.all.count(),
                            days_complete: days.complete.count(),
                            customers: i64::try_from(customers.len()).unwrap(),
                            players: i64::try_from(of.iter().filter(|sums| has_played(sums)).count()).unwrap(),
                            bets_count: of.iter().map(|sums| sums.bets_count).sum(),
                            total_bets: money(|sums| sums.total_bets),
                            wins: money(|sums| sums.wins),
                            ggr: money(|sums| sums.ggr),
                            ngr: money(|sums| sums.ngr),
                        });
                    }
                }
            }
        }
    }
    rows.sort();
    rows
}

/// Money that was charged back is no play.
fn has_played(sums: &Figures) -> bool {
    sums.bets_count > 0 || sums.total_bets > Money::ZERO || sums.wins > Money::ZERO
}

fn day(number: i64) -> i32 {
    at(number * HOURS).date(&jiff::tz::TimeZone::UTC).days()
}

fn key(number: i64) -> WindowKey {
    let mission = if number < 2 { "open" } else { "closed" };
    WindowKey { mission_id: mission.into(), window: at(number * HOURS) }
}

/// The window of this number, of days that differ, complete up to some day or other.
fn window(number: i64, rng: &mut Rng) -> Window {
    let first = 4 + rng.below(3);
    let last = first + rng.below(3);
    let count = last - first + 1;
    let complete = Days { from: day(rng.below(4)), to: day(7 + rng.below(8)) };
    let days = |from: i64| {
        let all = Days { from: day(from), to: day(from + count) };
        PeriodDays { all, complete: all.within(complete) }
    };
    let segment = |name: &str| Population { name: Some(name.into()), segments: vec![name.into()] };
    let both = Population { name: Some("gold & new".into()), segments: vec!["gold".into(), "new".into()] };
    let populations = match number {
        0 | 1 => vec![Population { name: None, segments: Vec::new() }],
        2 => vec![segment("gold"), segment("vip")],
        _ => vec![both],
    };
    Window {
        key: key(number),
        start: at(first * HOURS).plus_micros(number),
        end: rng.one_in(2).then(|| at((last + 1) * HOURS)),
        from: at(first * HOURS + 5),
        until: if rng.one_in(4) { Timestamp::MAX } else { at((last + 1) * HOURS) },
        periods: [days(first - count), days(first), days(last + 1)],
        populations,
    }
}

/// Another state: something came, something was corrected.
fn next(state: &State, rng: &mut Rng) -> State {
    let mut state = state.clone();
    for _ in 0..=rng.below(4) {
        let player: Arc<str> = rng.pick(&PLAYERS).into();
        match rng.below(9) {
            0 => {
                let number = rng.below(4);
                state.windows.retain(|known| known.key != key(number));
                if !rng.one_in(4) {
                    state.windows.insert(window(number, rng));
                }
            }
            1 | 2 => {
                let participation = (key(rng.below(4)), player);
                if !state.participations.remove(&participation) {
                    state.participations.insert(participation);
                }
            }
            3 | 4 => {
                let segment: Arc<str> = rng.pick(&SEGMENTS).into();
                let is_of = |known: &Membership| (&known.player, &known.segment) == (&player, &segment);
                state.memberships.retain(|known| !is_of(known));
                let mut from = at(rng.below(120));
                for _ in 0..rng.below(3) {
                    let until = from.plus_micros(3_600_000_000 * (1 + rng.below(48)));
                    let membership = Membership { segment: segment.clone(), player: player.clone(), from, until };
                    state.memberships.insert(membership);
                    from = until.plus_micros(3_600_000_000 * rng.below(24));
                }
            }
            5 => drop(state.customers.insert(player, Date::from_days(day(rng.below(9))))),
            _ => {
                let currency: Arc<str> = rng.pick(&["EUR", "GBP"]).into();
                let date = Date::from_days(day(rng.below(13)));
                let game = rng.pick(&["slots", "sportsbook"]);
                let cents = |rng: &mut Rng| Money::from_raw(i128::from(rng.below(2_000)) * 1_000_000);
                let (total_bets, wins) = (cents(rng), cents(rng));
                let ggr = total_bets - wins;
                let played = Figures { bets_count: rng.below(3), total_bets, wins, ggr, ngr: ggr - cents(rng) };
                // What was only charged back, and what somebody else paid.
                let unplayed = Figures { ngr: cents(rng) - cents(rng), ..Figures::default() };
                let figures = if rng.one_in(4) { unplayed } else { played };
                let row = (CustomerDay { date, customer: player, currency }, game);
                if rng.one_in(4) {
                    state.activity.remove(&row);
                } else {
                    state.activity.insert(row, figures);
                }
            }
        }
    }
    state
}

#[test]
fn agrees_with_recomputation_at_every_epoch() {
    let told = timely::execute_directly(|worker| {
        let mut told = [0_usize; 3];
        for seed in seeds(12) {
            let mut rng = Rng(seed);
            let mut run = Run::new(worker);
            for epoch in 0..60 {
                let state = next(&run.state, &mut rng);
                run.step(worker, state, epoch);
                let expected = recompute(&run.state);
                assert_eq!(run.rows(), expected, "seed {seed}, epoch {epoch}");
                let of =
                    |cohort: Cohort| expected.iter().filter(move |row| row.key.cohort == cohort && row.players > 0);
                told[0] += of(Cohort::Participants).count();
                told[1] += of(Cohort::Others).count();
                told[2] += expected.iter().filter(|row| row.key.segment.is_some() && row.players > 0).count();
            }
        }
        told
    });
    assert!(told.iter().all(|count| *count > 300), "the scripts hold participants, others and members: {told:?}");
}

/// One customer and one that takes part; then what was played is restated, the participation revoked, and the segment left in time.
#[test]
fn corrections_move_rows() {
    timely::execute_directly(|worker| {
        let mut run = Run::new(worker);
        let days = |from: i64| {
            let all = Days { from: day(from), to: day(from + 2) };
            PeriodDays { all, complete: all }
        };
        let vip = Population { name: Some("vip".into()), segments: vec!["vip".into()] };
        let key = WindowKey { mission_id: "m".into(), window: at(4 * HOURS) };
        let window = Window {
            key: key.clone(),
            start: at(4 * HOURS),
            end: Some(at(6 * HOURS)),
            from: at(4 * HOURS),
            until: at(6 * HOURS),
            periods: [days(2), days(4), days(6)],
            populations: vec![vip],
        };
        let mut state = State { windows: BTreeSet::from([window]), ..State::default() };
        let money = |text: &str| text.parse::<Money>().unwrap();
        let played = |bets: &str, wins: &str| {
            let (total_bets, wins) = (money(bets), money(wins));
            Figures { bets_count: 1, total_bets, wins, ggr: total_bets - wins, ngr: total_bets - wins }
        };
        let on = |player: &str, number: i64| {
            let date = Date::from_days(day(number));
            (CustomerDay { date, customer: player.into(), currency: "EUR".into() }, "slots")
        };
        for player in ["a", "b"] {
            state.customers.insert(player.into(), Date::from_days(day(0)));
            let (segment, player): (Arc<str>, Arc<str>) = ("vip".into(), player.into());
            state.memberships.insert(Membership { segment, player, from: at(0), until: Timestamp::MAX });
        }
        state.participations.insert((key.clone(), "a".into()));
        state.activity.insert(on("a", 2), played("10", "0"));
        state.activity.insert(on("a", 4), played("30", "5"));
        state.activity.insert(on("b", 5), played("8", "8"));
        // (customers, players, GGR) of participants and others, before, during and after.
        let shown = |run: &Run| {
            let of = |row: MissionGgrRow| (row.customers, row.players, row.ggr.to_string());
            run.rows().into_iter().map(of).collect::<Vec<_>>()
        };
        let told =
            |of: &[(i64, i64, &str)]| of.iter().map(|(a, b, ggr)| (*a, *b, (*ggr).to_owned())).collect::<Vec<_>>();

        run.step(worker, state.clone(), 0);
        // b's bets and wins net to zero, and b has played.
        let first = [(1, 1, "10.00"), (1, 1, "25.00"), (1, 0, "0.00"), (1, 0, "0.00"), (1, 1, "0.00"), (1, 0, "0.00")];
        assert_eq!(shown(&run), told(&first));

        // a's bet of 30 is reversed, with its win: a row of zeros is left.
        state.activity.insert(on("a", 4), Figures::default());
        run.step(worker, state.clone(), 1);
        let second = [(1, 1, "10.00"), (1, 0, "0.00"), (1, 0, "0.00"), (1, 0, "0.00"), (1, 1, "0.00"), (1, 0, "0.00")];
        assert_eq!(shown(&run), told(&second));

        // With the bet a's participation is revoked.
        state.participations.clear();
        run.step(worker, state.clone(), 2);
        let third = [(0, 0, "0.00"), (0, 0, "0.00"), (0, 0, "0.00"), (2, 1, "10.00"), (2, 1, "0.00"), (2, 0, "0.00")];
        assert_eq!(shown(&run), told(&third));

        // a left as the window began, as is heard later.
        state.memberships.retain(|membership| &*membership.player == "b");
        let (segment, player): (Arc<str>, Arc<str>) = ("vip".into(), "a".into());
        state.memberships.insert(Membership { segment, player, from: at(0), until: at(4 * HOURS) });
        run.step(worker, state, 3);
        let fourth = [(0, 0, "0.00"), (0, 0, "0.00"), (0, 0, "0.00"), (1, 0, "0.00"), (1, 1, "0.00"), (1, 0, "0.00")];
        assert_eq!(shown(&run), told(&fourth));
    });
}
