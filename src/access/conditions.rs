//! What rules ask beyond their scopes. A scope that matches says `true`, so a rule that was found by its scope is asked for its
//! conditions alone; and those that many rules share are asked once for all of them.
//!
//! INVARIANT: a policy here is one of its rules with a scope that matches everything, nothing else. Where Cedar cannot write
//! a rule so and read it again as the same, the rule stays as it is and stands for itself.

use std::collections::HashMap;

use cedar_policy::{EntityUid, Policy};
use serde_json::{Value, json};

use super::reads::Reads;

/// The conditions of one rule or of many, and what happens when they hold.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Has the id of the first of these rules.
    pub(super) policy: Policy,
    pub(super) reads: Reads,
    /// Every entity that they are written with.
    pub(super) literals: Vec<EntityUid>,
}

/// The different conditions of `rules`, and for each rule the place of its own among them.
pub(super) fn distinct(rules: &[Policy]) -> (Vec<Conditions>, Vec<usize>) {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    let mut place = |rule: &Policy| match without_scope(rule) {
        None => add(&mut all, rule.clone(), Reads::of(rule)),
        Some(tree) => *places.entry(tree.to_string()).or_insert_with(|| match read_again(rule, &tree) {
            None => add(&mut all, rule.clone(), Reads::of(rule)),
            Some(policy) => {
                let reads = Reads::of(&policy);
                add(&mut all, policy, reads)
            }
        }),
    };
    let places = rules.iter().map(&mut place).collect();
    (all, places)
}

fn add(all: &mut Vec<Conditions>, policy: Policy, reads: Reads) -> usize {
    all.push(Conditions { reads, literals: policy.entity_literals(), policy });
    all.len() - 1
}

/// The syntax tree of `rule` with a scope that matches everything, and without what it is called.
fn without_scope(rule: &Policy) -> Option<Value> {
    let mut tree = rule.to_json().ok()?;
    let members = tree.as_object_mut()?;
    for scope in ["principal", "action", "resource"] {
        *members.get_mut(scope)? = json!({ "op": "All" });
    }
    members.remove("annotations");
    Some(tree)
}

/// The policy that `tree` is, if Cedar makes the same tree of it.
fn read_again(rule: &Policy, tree: &Value) -> Option<Policy> {
    let policy = Policy::from_json(Some(rule.id().clone()), tree.clone()).ok()?;
    (without_scope(&policy)? == *tree).then_some(policy)
}
