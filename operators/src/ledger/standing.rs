//! Which reversals stand: reversals, reversals of those, and re-settlements, played in [`Order`].

use std::collections::BTreeMap;

use datasets::Identity;

use super::Ledger;
use super::transaction::Order;

/// One step of the play.
enum Step {
    /// A reversal of `target`.
    Reverse { reversal: Identity, target: Identity },
    /// A settlement after the first: what reversed `target` before is void.
    Settle { target: Identity },
}

/// A transaction in the play.
#[derive(Default)]
struct Part {
    /// A reversal that was accepted: what it reverses.
    accepted_on: Option<Identity>,
    /// How many accepted reversals of it stand.
    reversed_by: usize,
}

impl Ledger {
    /// An accepted reversal of `key` stands. One is accepted when none stood at its own place in the
    /// order; it stands while it is not itself reversed. Costs what hangs below `key`, once.
    pub(super) fn is_reversed(&self, key: Identity) -> bool {
        if self.transactions.full(key).is_none_or(|transaction| transaction.reversals.is_empty()) {
            return false;
        }
        let mut steps = self.steps(key);
        steps.sort_by_key(|(order, _)| *order);
        let mut parts: BTreeMap<Identity, Part> = BTreeMap::new();
        for (_, step) in steps {
            match step {
                Step::Reverse { reversal, target } => {
                    if parts.entry(target).or_default().reversed_by == 0 {
                        parts.entry(reversal).or_default().accepted_on = Some(target);
                        stand(&mut parts, target);
                    }
                }
                Step::Settle { target } => {
                    let voided = parts.values_mut().filter(|part| part.accepted_on == Some(target));
                    voided.for_each(|part| part.accepted_on = None);
                    parts.entry(target).or_default().reversed_by = 0;
                }
            }
        }
        parts.get(&key).is_some_and(|part| part.reversed_by > 0)
    }

    /// Everything that decides whether `key` is reversed. It ends: a reversal comes after what it
    /// reverses, if that is a reversal too, so there are no rings.
    fn steps(&self, key: Identity) -> Vec<(Order, Step)> {
        let mut steps = Vec::new();
        let mut found = vec![key];
        while let Some(target) = found.pop() {
            let Some(transaction) = self.transactions.full(target) else { continue };
            if transaction.reversals.is_empty() {
                continue;
            }
            steps.extend(transaction.resettlements().map(|order| (order, Step::Settle { target })));
            for (order, reversal) in &transaction.reversals {
                steps.push((*order, Step::Reverse { reversal: *reversal, target }));
                found.push(*reversal);
            }
        }
        steps
    }
}

/// One more reversal of `target` stands. What `target` itself reversed hears of it, and so on up.
fn stand(parts: &mut BTreeMap<Identity, Part>, target: Identity) {
    let (mut next, mut stands) = (Some(target), true);
    while let Some(part) = next.map(|target| parts.entry(target).or_default()) {
        let was_reversed = part.reversed_by > 0;
        part.reversed_by = if stands { part.reversed_by + 1 } else { part.reversed_by.saturating_sub(1) };
        if was_reversed == (part.reversed_by > 0) {
            return;
        }
        (next, stands) = (part.accepted_on, !stands);
    }
}
