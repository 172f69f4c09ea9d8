//! The differential dataflow of the report, fed with what changed from round to round.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use datasets::Epoch;
use datasets::rows::{ActivityKey, MissionGgrRow};
use datasets::time::Date;
use differential_dataflow::ExchangeData;
use differential_dataflow::difference::Abelian;
use differential_dataflow::input::{Input, InputSession};
use operators::attribution::{CustomerDay, Figures, Inputs, Membership, Window, WindowKey, mission_ggr};
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker;

/// Last revisions of rows of daily activity, with their numbers.
pub(super) type Activity = HashMap<ActivityKey, (u64, Figures)>;

/// All that goes in, as it is now.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub windows: BTreeSet<Window>,
    pub participations: BTreeSet<(WindowKey, Arc<str>)>,
    pub memberships: BTreeSet<Membership>,
    pub customers: BTreeSet<(Arc<str>, Date)>,
    pub activity: Activity,
}

/// The inputs of the dataflow, and the rows that stand.
pub(super) struct Attributing {
    windows: InputSession<Epoch, Window, isize>,
    participations: InputSession<Epoch, (WindowKey, Arc<str>), isize>,
    memberships: InputSession<Epoch, Membership, isize>,
    customers: InputSession<Epoch, (Arc<str>, Date), isize>,
    activity: InputSession<Epoch, CustomerDay, Figures>,
    known: Sources,
    rows: Rc<RefCell<BTreeMap<MissionGgrRow, isize>>>,
    probe: Handle<Epoch>,
    round: Epoch,
}

impl Attributing {
    /// Nothing is known yet.
    pub fn new(worker: &mut Worker) -> Self {
        let (rows, probe) = (Rc::<RefCell<BTreeMap<MissionGgrRow, isize>>>::default(), Handle::new());
        worker.dataflow_named("MissionGgr", |scope| {
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
            let attributed = mission_ggr(inputs);
            attributed
                .inspect(move |(row, _, diff)| *told.borrow_mut().entry(row.clone()).or_default() += diff)
                .probe_with(&probe);
            let known = Sources::default();
            Attributing { windows, participations, memberships, customers, activity, known, rows, probe, round: 0 }
        })
    }

    /// Moves on to `sources`. Answers the rows that stand then, in their order.
    pub fn round(&mut self, worker: &mut Worker, sources: Sources) -> Vec<MissionGgrRow> {
        let before = std::mem::replace(&mut self.known, sources);
        let now = &self.known;
        update(&mut self.windows, &before.windows, &now.windows);
        update(&mut self.participations, &before.participations, &now.participations);
        update(&mut self.memberships, &before.memberships, &now.memberships);
        update(&mut self.customers, &before.customers, &now.customers);
        for (key, (revision, figures)) in &now.activity {
            let known = before.activity.get(key);
            if known.is_some_and(|(known, _)| known == revision) {
                continue;
            }
            let day = CustomerDay { date: key.date, customer: key.customer_id.clone(), currency: key.currency.clone() };
            if let Some((_, figures)) = known {
                let mut gone = *figures;
                gone.negate();
                self.activity.update(day.clone(), gone);
            }
            self.activity.update(day, *figures);
        }
        self.round += 1;
        close(&mut self.windows, self.round);
        close(&mut self.participations, self.round);
        close(&mut self.memberships, self.round);
        close(&mut self.customers, self.round);
        close(&mut self.activity, self.round);
        worker.step_while(|| self.probe.less_than(&self.round));
        let mut rows = self.rows.borrow_mut();
        rows.retain(|_, count| *count != 0);
        rows.keys().cloned().collect()
    }
}

fn update<D: ExchangeData>(input: &mut InputSession<Epoch, D, isize>, before: &BTreeSet<D>, now: &BTreeSet<D>) {
    before.difference(now).for_each(|gone| input.update(gone.clone(), -1));
    now.difference(before).for_each(|new| input.update(new.clone(), 1));
}

fn close<D, R>(input: &mut InputSession<Epoch, D, R>, round: Epoch)
where
    D: ExchangeData,
    R: ExchangeData + differential_dataflow::difference::Semigroup,
{
    input.advance_to(round);
    input.flush();
}
