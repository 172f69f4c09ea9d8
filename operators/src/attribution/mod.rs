//! What participants of missions brought in beside the others: before, during and after each window.
//!
//! - Input: windows of missions, who took part in them, who was in which segment when, since when customers are known,
//!   and daily activity. Every one of them may be corrected.
//! - Output: a row for each cohort of each population of each window, by period and currency.
//! - State: arrangements of the inputs, and a sum per window, population, customer, period and currency.
//!
//! ```text
//! activity ─┐ by day                      ┌─ of participants ────────────────────────────────────┐
//! windows ──┴─ play of customers near ─┬──┤                                                      ├─ by customer ─ by cohort ─┐
//!           ╲  windows                 │  └─ all less that of participants: the others' ─────────┘                           ├─ rows
//! segments ──┴─ members ───────────────┘                                                                                     │
//! customers, members, participations ── sizes of cohorts ────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The play of others is the difference of two sums, so no list of those who did nothing is needed.

mod sums;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use datasets::rows::{Cohort, MissionGgrKey, MissionGgrRow, Period};
use datasets::time::Date;
use datasets::{Epoch, Timestamp};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::CountTotal;
use serde::{Deserialize, Serialize};

pub use sums::Figures;
use sums::Totals;

/// A window of a mission, for those who name it: an edit may move the start that is told, but not this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    /// The mission.
    pub mission_id: Arc<str>,
    /// The start that the window had first.
    pub window: Timestamp,
}

/// Successive days, by their numbers since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Days {
    /// The first.
    pub from: i32,
    /// The first beyond; not below `from`.
    pub to: i32,
}

impl Days {
    /// How many there are.
    pub fn count(self) -> i64 {
        i64::from(self.to) - i64::from(self.from)
    }

    /// Those that are `other` days too.
    #[must_use]
    pub fn within(self, other: Days) -> Days {
        let from = self.from.max(other.from);
        Days { from, to: self.to.min(other.to).max(from) }
    }
}

/// A period, and the days of it of which everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeriodDays {
    /// All of its days.
    pub all: Days,
    /// Those that are complete: what is summed up is of these.
    pub complete: Days,
}

/// Customers whose participants and others are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Population {
    /// What it is called; `None`: all customers.
    pub name: Option<Arc<str>>,
    /// Who was in each of these segments at some time of the window; none: everybody.
    pub segments: Vec<Arc<str>>,
}

/// A window of a mission, with what is compared of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Which one.
    pub key: WindowKey,
    /// First instant, as messages tell it.
    pub start: Timestamp,
    /// End, as messages tell it; `None` never ends.
    pub end: Option<Timestamp>,
    /// When the mission counted in it: from here.
    pub from: Timestamp,
    /// Up to here, exclusive.
    pub until: Timestamp,
    /// In the order of [`Period::ALL`].
    pub periods: [PeriodDays; 3],
    /// At least one; everybody, or else segments.
    pub populations: Vec<Population>,
}

impl Window {
    fn is_of_everybody(&self) -> bool {
        self.populations.iter().all(|population| population.segments.is_empty())
    }

    /// The last day on which the mission may have counted.
    fn last_day(&self) -> i32 {
        let [_, during, _] = self.periods;
        during.all.to - 1
    }
}

/// A player was in a segment over `[from, until)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// The segment.
    pub segment: Arc<str>,
    /// The player.
    pub player: Arc<str>,
    /// From then on.
    pub from: Timestamp,
    /// [`Timestamp::MAX`] while the player is in.
    pub until: Timestamp,
}

/// A customer's day in one currency, all games together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CustomerDay {
    /// Reporting day.
    pub date: Date,
    /// The customer.
    pub customer: Arc<str>,
    /// The currency.
    pub currency: Arc<str>,
}

/// What is attributed, and to whom.
pub struct Inputs<'s> {
    /// One for each [`WindowKey`].
    pub windows: VecCollection<'s, Epoch, Window>,
    /// Who took part: each player once a window.
    pub participations: VecCollection<'s, Epoch, (WindowKey, Arc<str>)>,
    /// Those of one player and segment do not overlap.
    pub memberships: VecCollection<'s, Epoch, Membership>,
    /// Each customer with the day of the first event.
    pub customers: VecCollection<'s, Epoch, (Arc<str>, Date)>,
    /// Changes of rows of daily activity.
    pub activity: VecCollection<'s, Epoch, CustomerDay, Figures>,
}

/// A population of a window.
type Subject = (WindowKey, Option<Arc<str>>);

/// A customer near a window, and a population that it is in.
type Member = ((WindowKey, Arc<str>), Option<Arc<str>>);

/// What play is summed up for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Cell {
    subject: Subject,
    cohort: Cohort,
    period: Period,
    currency: Arc<str>,
}

/// What is known of a [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Piece {
    Window(Window),
    /// Customers in all.
    Customers(isize),
    /// Participants among them.
    Participants(isize),
    Sums(Cohort, Period, Arc<str>, Totals),
}

/// Rows of the table `mission_ggr`. A population has rows in each currency in which a customer of it has activity near the
/// window: for both cohorts and all periods, be they zero.
pub fn mission_ggr(inputs: Inputs<'_>) -> VecCollection<'_, Epoch, MissionGgrRow> {
    let Inputs { windows, participations, memberships, customers, activity } = inputs;
    let participants = participations.clone().arrange_by_self_named("Participants");
    let open = windows.clone().filter(Window::is_of_everybody);
    let of_segments = windows.clone().filter(|window| !window.is_of_everybody());

    // (window, customer), population.
    let members = members(of_segments.clone(), memberships);
    let members_by_customer = members.clone().arrange_by_key_named("MembersOfWindows");

    // Activity near windows: (window, customer), (period, currency). Who came after a window was not there to take part in it.
    let first_days = customers.clone().map(|(customer, first)| (customer, first.days()));
    let first_days = first_days.arrange_by_key_named("FirstDays");
    let by_customer = activity.map(|day| (day.customer, (day.date.days(), day.currency)));
    let by_day = by_customer
        .arrange_by_key_named("ActivityByCustomer")
        .join_core(first_days.clone(), |customer, (date, currency), first| {
            Some((*date, (customer.clone(), currency.clone(), *first)))
        });
    let by_day = by_day.arrange_by_key_named("ActivityByDay");
    let play_of_all = by_day.clone().join_core(
        open.clone().flat_map(days_of).arrange_by_key_named("DaysOfOpenWindows"),
        |_, (customer, currency, first), (window, period, last)| {
            (first <= last).then(|| ((window.clone(), customer.clone()), (None, *period, currency.clone())))
        },
    );
    let play_near_segments = by_day.join_core(
        of_segments.flat_map(days_of).arrange_by_key_named("DaysOfSegmentWindows"),
        |_, (customer, currency, _), (window, period, _)| {
            Some(((window.clone(), customer.clone()), (*period, currency.clone())))
        },
    );
    let play_of_members = play_near_segments.arrange_by_key_named("PlayNearSegmentWindows").join_core(
        members_by_customer.clone(),
        |subject, (period, currency), population| {
            Some((subject.clone(), (population.clone(), *period, currency.clone())))
        },
    );
    let play = play_of_all.concat(play_of_members);

    // The others' is what is left.
    let cell = |(window, _): &(WindowKey, Arc<str>),
                (population, period, currency): &(Option<Arc<str>>, Period, Arc<str>),
                cohort| Cell {
        subject: (window.clone(), population.clone()),
        cohort,
        period: *period,
        currency: currency.clone(),
    };
    let of_participants = play
        .clone()
        .arrange_by_key_named("PlayByWindowAndCustomer")
        .join_core(participants.clone(), |who, play, ()| Some((who.clone(), play.clone())));
    let of_others = play.concat(of_participants.clone().negate());
    let of_participants = of_participants.map(move |(who, play)| (cell(&who, &play, Cohort::Participants), who.1));
    let of_others = of_others.map(move |(who, play)| (cell(&who, &play, Cohort::Others), who.1));
    let by_customer = of_participants.concat(of_others).count_total();
    let totals = by_customer.explode(|((cell, _), figures)| Some((cell, Totals::of_customer(figures)))).count_total();
    let totals = totals.map(|(Cell { subject, cohort, period, currency }, totals)| {
        (subject, Piece::Sums(cohort, period, currency, totals))
    });

    // How many there are.
    let members_taking_part = members_by_customer
        .join_core(participants, |(window, _), population, ()| Some((window.clone(), population.clone())));
    let members = members.map(|((window, _), population)| (window, population));
    let taking_part = participations.map(|(window, player)| (player, window));
    let taking_part = taking_part
        .arrange_by_key_named("ParticipationsByPlayer")
        .join_core(first_days, |_, window, first| Some((window.clone(), *first)))
        .arrange_by_key_named("FirstDaysOfParticipants")
        .join_core(
            open.clone().map(|window| (window.key.clone(), window.last_day())).arrange_by_key_named("LastDays"),
            |window, first, last| (first <= last).then(|| (window.clone(), None)),
        );
    let counted = |piece: fn(isize) -> Piece| move |(subject, count)| (subject, piece(count));
    let all = members.concat(known_customers(open, customers)).count_total().map(counted(Piece::Customers));
    let participants = members_taking_part.concat(taking_part).count_total().map(counted(Piece::Participants));

    let subjects = windows.flat_map(|window| {
        let names: Vec<_> = window.populations.iter().map(|population| population.name.clone()).collect();
        names.into_iter().map(move |name| ((window.key.clone(), name), Piece::Window(window.clone())))
    });
    let pieces = subjects.concat(totals).concat(all).concat(participants);
    let rows = pieces.reduce_named("MissionGgr", |subject, pieces, rows| {
        rows.extend(self::rows(subject, pieces.iter().map(|(piece, _)| *piece)).into_iter().map(|row| (row, 1_isize)));
    });
    rows.map(|(_, row)| row)
}

/// The complete days near a window, each with the window's last one.
fn days_of(window: Window) -> impl Iterator<Item = (i32, (WindowKey, Period, i32))> {
    let last = window.last_day();
    let Window { key, periods, .. } = window;
    Period::ALL.into_iter().zip(periods).flat_map(move |(period, PeriodDays { complete, .. })| {
        let key = key.clone();
        (complete.from..complete.to).map(move |day| (day, (key.clone(), period, last)))
    })
}

/// Who was in all segments of a population while the mission counted in the window.
fn members<'s>(
    windows: VecCollection<'s, Epoch, Window>,
    memberships: VecCollection<'s, Epoch, Membership>,
) -> VecCollection<'s, Epoch, Member> {
    let asked = windows.flat_map(|window| {
        let Window { key, from, until, populations, .. } = window;
        populations.into_iter().flat_map(move |Population { name, segments }| {
            let (key, needed) = (key.clone(), segments.len());
            segments.into_iter().map(move |segment| (segment, (key.clone(), name.clone(), needed, from, until)))
        })
    });
    let memberships = memberships.map(|membership| {
        let Membership { segment, player, from, until } = membership;
        (segment, (player, from, until))
    });
    let overlapping = memberships.arrange_by_key_named("MembershipsBySegment").join_core(
        asked.arrange_by_key_named("SegmentsOfWindows"),
        |segment, (player, entered, left), (window, name, needed, from, until)| {
            let overlaps = entered < until && from < left;
            overlaps.then(|| ((window.clone(), player.clone(), name.clone(), *needed), segment.clone()))
        },
    );
    // One who left and came back is there twice.
    let members = overlapping.reduce_named("Members", |(_, _, _, needed), segments, member| {
        if segments.len() == *needed {
            member.push(((), 1_isize));
        }
    });
    members.map(|((window, player, name, _), ())| ((window, player), name))
}

/// Customers that were known by the end of a window, once each.
fn known_customers<'s>(
    windows: VecCollection<'s, Epoch, Window>,
    customers: VecCollection<'s, Epoch, (Arc<str>, Date)>,
) -> VecCollection<'s, Epoch, Subject> {
    let by_first_day = customers.map(|(_, first)| first.days()).count_total().map(|counted| ((), counted));
    let ends = windows.map(|window| ((), (window.last_day(), window.key)));
    let known = by_first_day
        .arrange_by_key_named("CustomersByFirstDay")
        .join_core(ends.arrange_by_key_named("LastDaysOfOpenWindows"), |(), (first, count), (last, window)| {
            (first <= last).then(|| (window.clone(), *count))
        });
    known.explode(|(window, count)| Some(((window, None), count)))
}

/// The rows of a population of a window, of what is known of it.
fn rows<'a>((key, population): &Subject, pieces: impl Iterator<Item = &'a Piece>) -> Vec<MissionGgrRow> {
    let (mut window, mut sizes, mut sums) = (None, [0, 0], Vec::new());
    for piece in pieces {
        match piece {
            Piece::Window(of) => window = Some(of),
            Piece::Customers(count) => sizes[1] = *count,
            Piece::Participants(count) => sizes[0] = *count,
            Piece::Sums(cohort, period, currency, totals) => sums.push(((*cohort, *period, currency), totals)),
        }
    }
    // Of the window before an edit.
    let Some(window) = window else { return Vec::new() };
    let customers = [sizes[0], sizes[1] - sizes[0]].map(|size| i64::try_from(size).expect("an isize has 64 bits"));
    let currencies: BTreeSet<&Arc<str>> = sums.iter().map(|((_, _, currency), _)| *currency).collect();
    let mut rows = Vec::new();
    for currency in currencies {
        for (cohort, customers) in Cohort::ALL.into_iter().zip(customers) {
            for (period, days) in Period::ALL.into_iter().zip(window.periods) {
                let known = sums.iter().find(|(of, _)| *of == (cohort, period, currency));
                let Totals { players, figures, .. } = known.map(|(_, totals)| **totals).unwrap_or_default();
                let Figures { bets_count, total_bets, wins, ggr, ngr } = figures;
                rows.push(MissionGgrRow {
                    key: MissionGgrKey {
                        mission_id: key.mission_id.clone(),
                        window_start: window.start,
                        segment: population.clone(),
                        currency: currency.clone(),
                        cohort,
                        period,
                    },
                    window_end: window.end,
                    first_day: Date::from_days(days.all.from),
                    days: days.all.count(),
                    days_complete: days.complete.count(),
                    customers,
                    players,
                    bets_count,
                    total_bets,
                    wins,
                    ggr,
                    ngr,
                });
            }
        }
    }
    rows
}
