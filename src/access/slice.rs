//! The part of the rules that one request is judged by, made once and kept for the next request of its kind.
//!
//! INVARIANT: it answers as all rules together would. Rules are left out by their scopes alone (see `index`), and those whose
//! scopes match are asked for their conditions alone (see `conditions`); entities are left out when no expression in the
//! slice can reach them: what a condition can name is the request's own three, what hangs on them, and the literals that
//! it is written with. A test asks both and compares.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::{Entities, Entity, EntityUid, Policy, PolicyId, PolicySet};

use super::{
    conditions::{Conditions, distinct},
    index::{Index, Named},
    reads::Reads,
    request::{Question, Sentence},
};

/// Rules, the entities that they can name, and the circumstances that they look at.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) set: PolicySet,
    /// The rules that a policy in the set stands for; one that is not here is a rule itself.
    stands_for: HashMap<PolicyId, Vec<String>>,
    pub(super) entities: Entities,
    pub(super) reads: Reads,
}

/// Where slices are found.
#[derive(Debug)]
pub(super) struct Slices {
    index: Index,
    rules: Vec<Rule>,
    conditions: Vec<Conditions>,
    made: RwLock<HashMap<Part, Arc<Slice>>>,
}

/// Which rules, for which action.
type Part = (EntityUid, Vec<u32>);

#[derive(Debug)]
struct Rule {
    policy: Policy,
    /// The place of its conditions.
    conditions: usize,
}

/// There are hardly more kinds of requests than this; somebody who finds more costs the time to make slices anew.
const MOST_SLICES: usize = 4096;

impl Slice {
    /// All rules and all entities.
    pub(super) fn whole(set: PolicySet, entities: Entities) -> Self {
        Self { set, stands_for: HashMap::new(), entities, reads: Reads::EVERYTHING }
    }

    /// The rules that `policy` stands for.
    pub(super) fn rules(&self, policy: &PolicyId) -> Vec<String> {
        self.stands_for.get(policy).map_or_else(|| vec![policy.to_string()], Vec::clone)
    }
}

impl Slices {
    pub(super) fn of(set: &PolicySet) -> Self {
        let policies: Vec<Policy> = set.policies().cloned().collect();
        let (conditions, places) = distinct(&policies);
        let index = Index::of(policies.iter());
        let rules = policies.into_iter().zip(places).map(|(policy, conditions)| Rule { policy, conditions }).collect();
        Self { index, rules, conditions, made: RwLock::default() }
    }

    /// The slice for a question asked by somebody who is in `groups`; `all` has every group and action.
    pub(super) fn slice(&self, question: &Question, groups: &[EntityUid], all: &Entities) -> Arc<Slice> {
        let Sentence { action, resource, above, .. } = &question.sentence;
        let actions: Vec<EntityUid> = all.ancestors(action).into_iter().flatten().cloned().collect();
        let found = self.index.matching(
            Named { uid: &question.principal, above: groups },
            Named { uid: action, above: &actions },
            Named { uid: &resource.uid(), above },
        );
        let part = (action.clone(), found);
        if let Some(slice) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(&part) {
            return Arc::clone(slice);
        }
        let slice = Arc::new(self.make(action, &part.1, all));
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST_SLICES {
            made.clear();
        }
        made.insert(part, Arc::clone(&slice));
        slice
    }

    fn make(&self, action: &EntityUid, part: &[u32], all: &Entities) -> Slice {
        let mut set = PolicySet::new();
        let mut stands_for: HashMap<PolicyId, Vec<String>> = HashMap::new();
        let mut reads = Reads::NOTHING;
        let mut named = HashSet::from([action]);
        for rule in part.iter().filter_map(|&place| self.rules.get(usize::try_from(place).ok()?)) {
            let Some(conditions) = self.conditions.get(rule.conditions) else { return self.all_of_them(all) };
            let rules = stands_for.entry(conditions.policy.id().clone()).or_default();
            rules.push(rule.policy.id().to_string());
            // Ids are unique in the whole, so they are here; a rule must never be left out in silence all the same.
            if rules.len() == 1 && set.add(conditions.policy.clone()).is_err() {
                return self.all_of_them(all);
            }
            reads = reads.and(conditions.reads);
            named.extend(&conditions.literals);
        }
        // One that is in nothing and has nothing answers every expression as one that is not there does.
        let with_all_above = named.into_iter().filter_map(|uid| {
            let above: HashSet<EntityUid> = all.ancestors(uid)?.cloned().collect();
            (!above.is_empty()).then(|| Entity::new_no_attrs(uid.clone(), above))
        });
        let entities = Entities::from_entities(with_all_above, None).unwrap_or_else(|_| all.clone());
        Slice { set, stands_for, entities, reads }
    }

    fn all_of_them(&self, all: &Entities) -> Slice {
        let set = PolicySet::from_policies(self.rules.iter().map(|rule| rule.policy.clone()));
        Slice::whole(set.unwrap_or_default(), all.clone())
    }
}
