//! What rules ask beyond their scopes. A scope that matches says `true`, so a rule that was found by its scope is asked for its
//! conditions alone; and those that many rules share are asked once for all of them.
//!
//! INVARIANT: a policy here is one of its rules with a scope that matches everything, nothing else. Where what Cedar writes
//! of a rule does not read as that very rule again, the rule stays as it is and stands for itself.

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
    if Policy::from_json(Some(rule.id().clone()), tree.clone()).ok()? != *rule {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use cedar_policy::{ActionConstraint, PolicyId, PrincipalConstraint, ResourceConstraint};

    use super::*;

    #[test]
    fn rules_that_differ_in_their_scopes_alone_are_asked_once() {
        let rules = [
            r#"@id("a") permit (principal == User::"a", action, resource) when { context.n > 1 } unless { context has m.x };"#,
            r#"@reason("b") permit (principal, action, resource is App) when { context.n > 1 } unless { context has m.x };"#,
            r#"forbid (principal, action, resource) when { context.n > 1 } unless { context has m.x };"#,
            r#"permit (principal, action, resource) when { context.n > 1 && !(context has m.x) };"#,
            r#"permit (principal, action, resource) when { principal in [Group::"a"] && context.path like "/a/*\*" };"#,
            r#"permit (principal, action in [Action::"a", Action::"b"], resource) when { ip("::1").isLoopback() };"#,
            r#"permit (principal, action, resource) when { if context["\u{e9}"] == -9223372036854775808 then true else false };"#,
            r#"permit (principal, action, resource);"#,
            r#"permit (principal in Group::"c", action, resource);"#,
        ];
        let rules: Vec<Policy> = rules
            .iter()
            .zip(0..)
            .map(|(text, n)| Policy::parse(Some(PolicyId::new(format!("r{n}"))), text).unwrap())
            .collect();
        let (conditions, places) = distinct(&rules);
        assert_eq!(places, [0, 0, 1, 2, 3, 4, 5, 6, 6]);
        let ids: Vec<String> = conditions.iter().map(|one| one.policy.id().to_string()).collect();
        assert_eq!(ids, ["r0", "r2", "r3", "r4", "r5", "r6", "r7"]);
        let everything = |one: &Conditions| {
            one.policy.principal_constraint() == PrincipalConstraint::Any
                && one.policy.action_constraint() == ActionConstraint::Any
                && one.policy.resource_constraint() == ResourceConstraint::Any
        };
        assert!(conditions.iter().all(everything), "none had to stay as it is");
    }
}
