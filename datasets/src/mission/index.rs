//! Finds the stages that an event may move, without looking at the others.
//!
//! An event goes by its name to one group of stages, there by each of its texts (game type, sport,
//! country …) to the stages that demand that value, and among those to the ones whose least amount it
//! reaches. Every stage is filed once per event name, under the one of its equalities that the fewest
//! stages share, so an event pays for what it may match and not for what exists.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{EventKind, Measure, Stage};
use crate::condition::{Condition, TextSource};
use crate::{Event, EventName, Money};

/// An index over stages, each called by an `I`, such as (mission, stage).
#[derive(Clone, Debug)]
pub struct StageIndex<I> {
    known: HashMap<EventName, Group<I>>,
    custom: HashMap<Arc<str>, Group<I>>,
}

/// The stages that look at one kind of event.
#[derive(Clone, Debug)]
struct Group<I> {
    by_text: Vec<(TextSource, Buckets<I>)>,
    rest: Bucket<I>,
}

/// Stages by the value that they demand.
type Buckets<I> = HashMap<Arc<str>, Bucket<I>>;

/// Stages under one value, by the least amount that they demand.
#[derive(Clone, Debug)]
struct Bucket<I> {
    any_amount: Vec<I>,
    /// Sorted by amount once built.
    from_amount: Vec<(Money, I)>,
}

/// What a stage demands of every event that may move it.
struct Demand<'s> {
    equalities: Vec<&'s Equality>,
    minimum_amount: Option<Money>,
}

/// A text, and the values of which it must have one.
type Equality = (TextSource, Vec<Arc<str>>);

impl<I: Copy + Ord> StageIndex<I> {
    /// Files `stages`. Costs about a microsecond each.
    pub fn new<'s>(stages: impl IntoIterator<Item = (I, &'s Stage)>) -> Self {
        Self::with_eligibility(stages.into_iter().map(|(id, stage)| (id, None, stage)))
    }

    /// Files `stages`, each with the eligibility of its mission: events that are not eligible need not
    /// find it.
    pub fn with_eligibility<'s>(stages: impl IntoIterator<Item = (I, Option<&'s Condition>, &'s Stage)>) -> Self {
        let mut by_kind: HashMap<&EventKind, Vec<(I, Demand<'s>)>> = HashMap::new();
        for (id, eligibility, stage) in stages {
            for kind in &stage.on {
                by_kind.entry(kind).or_default().push((id, Demand::of(eligibility, stage)));
            }
        }
        let mut index = StageIndex { known: HashMap::new(), custom: HashMap::new() };
        for (kind, stages) in by_kind {
            match kind {
                EventKind::Known(name) => index.known.insert(*name, Group::new(stages)),
                EventKind::Custom(name) => index.custom.insert(name.clone(), Group::new(stages)),
            };
        }
        index
    }

    /// Replaces the contents of `found` by the stages that `event` may move, in order. Every stage that
    /// [accepts](Stage::accepts) the event, or whose [run it breaks](Stage::breaks_run), is among them,
    /// unless the eligibility that it was filed with excludes the event.
    pub fn candidates(&self, event: &Event<'_>, found: &mut Vec<I>) {
        found.clear();
        let group = match event.name {
            EventName::Custom | EventName::Chargeback => self.custom.get(event.event_name()),
            known => self.known.get(&known),
        };
        let Some(group) = group else { return };
        group.rest.collect(event.amount(), found);
        for (source, buckets) in &group.by_text {
            if let Some(bucket) = source.text(event).and_then(|text| buckets.get(&*text)) {
                bucket.collect(event.amount(), found);
            }
        }
        // A stage is filed once under each value of one field, and an event has one value.
        found.sort_unstable();
    }
}

impl<'s> Demand<'s> {
    fn of(eligibility: Option<&'s Condition>, stage: &'s Stage) -> Self {
        // A run also moves, back to zero, by events that fail its own condition.
        let condition = stage.condition.as_ref().filter(|_| stage.measure != Measure::Run);
        let conditions = || eligibility.into_iter().chain(condition);
        Demand {
            equalities: conditions().flat_map(Condition::equalities).collect(),
            minimum_amount: conditions().filter_map(Condition::minimum_amount).max(),
        }
    }
}

impl<I: Copy> Group<I> {
    fn new(stages: Vec<(I, Demand<'_>)>) -> Self {
        let mut shared: HashMap<(&TextSource, &str), usize> = HashMap::new();
        for (source, texts) in stages.iter().flat_map(|(_, demand)| demand.equalities.iter().copied()) {
            for text in texts {
                *shared.entry((source, text)).or_default() += 1;
            }
        }
        // The equality whose values the fewest stages ask for; of equals, one that needs no payload.
        let crowd = |(source, texts): &&Equality| {
            let stages: usize = texts.iter().map(|text| shared[&(source, &**text)]).sum();
            (stages, matches!(source, TextSource::Attribute(_)))
        };
        let mut group = Group { by_text: Vec::new(), rest: Bucket::new() };
        for (id, demand) in &stages {
            match demand.equalities.iter().copied().min_by_key(crowd) {
                None => group.rest.push(*id, demand),
                Some((source, texts)) => {
                    let buckets = group.buckets(source);
                    for text in texts {
                        buckets.entry(text.clone()).or_insert_with(Bucket::new).push(*id, demand);
                    }
                }
            }
        }
        group.rest.sort();
        for (_, buckets) in &mut group.by_text {
            buckets.values_mut().for_each(Bucket::sort);
        }
        group
    }

    fn buckets(&mut self, source: &TextSource) -> &mut Buckets<I> {
        let index = self.by_text.iter().position(|(known, _)| known == source).unwrap_or_else(|| {
            self.by_text.push((source.clone(), HashMap::new()));
            self.by_text.len() - 1
        });
        &mut self.by_text[index].1
    }
}

impl<I: Copy> Bucket<I> {
    fn new() -> Self {
        Bucket { any_amount: Vec::new(), from_amount: Vec::new() }
    }

    fn push(&mut self, id: I, demand: &Demand<'_>) {
        match demand.minimum_amount {
            None => self.any_amount.push(id),
            Some(amount) => self.from_amount.push((amount, id)),
        }
    }

    fn sort(&mut self) {
        self.from_amount.sort_by_key(|(amount, _)| *amount);
    }

    fn collect(&self, amount: Option<Money>, found: &mut Vec<I>) {
        found.extend_from_slice(&self.any_amount);
        if let Some(amount) = amount {
            let reached = self.from_amount.partition_point(|(least, _)| *least <= amount);
            found.extend(self.from_amount[..reached].iter().map(|(_, id)| *id));
        }
    }
}
