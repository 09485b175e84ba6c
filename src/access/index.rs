//! Which rules can matter to a request, found by their scopes instead of by asking each.
//!
//! INVARIANT: a rule that is not found is one whose scope does not match. Cedar evaluates a rule as `principal && action &&
//! resource && conditions`, in that order and no further than the first that is false, and a scope cannot fail; so such
//! a rule neither determines an answer nor fails, and leaving it out changes nothing.
//! INVARIANT: a rule that is found is one whose scope matches. It is not asked again (see `conditions`), so one that was
//! found without matching would decide what it has no say in. What is `above` somebody or something is therefore exactly
//! what the entity is in, no more.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PrincipalConstraint as Principal,
    ResourceConstraint as Resource,
};

/// Rules by their scopes. They are named by their places in the list that it was made of.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Every name that a scope mentions. A caller's groups that no rule knows fall out here.
    names: HashMap<EntityUid, u32>,
    /// By action and principal, then by resource.
    rules: HashMap<(Key, Key), HashMap<Key, Vec<Found>>>,
}

/// What a scope asks of one of its three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Nothing about its name.
    Any,
    /// To be this one.
    Is(u32),
    /// To be this one, or in it.
    In(u32),
}

#[derive(Clone, Debug)]
struct Found {
    rule: u32,
    principal: Option<EntityTypeName>,
    resource: Option<EntityTypeName>,
}

/// One of the three things that a request names, with everything that it is in.
#[derive(Clone, Copy)]
pub(super) struct Named<'q> {
    pub(super) uid: &'q EntityUid,
    pub(super) above: &'q [EntityUid],
}

impl Index {
    /// Of `rules`, which have no slots.
    pub(super) fn of<'p>(rules: impl Iterator<Item = &'p Policy>) -> Self {
        let mut index = Self::default();
        for (rule, policy) in (0..).zip(rules) {
            index.add(rule, policy);
        }
        index
    }

    fn add(&mut self, rule: u32, policy: &Policy) {
        let (principal, principal_kind) = match policy.principal_constraint() {
            Principal::Any => (Key::Any, None),
            Principal::Eq(uid) => (Key::Is(self.name(uid)), None),
            Principal::In(uid) => (Key::In(self.name(uid)), None),
            Principal::Is(kind) => (Key::Any, Some(kind)),
            Principal::IsIn(kind, uid) => (Key::In(self.name(uid)), Some(kind)),
        };
        let (resource, resource_kind) = match policy.resource_constraint() {
            Resource::Any => (Key::Any, None),
            Resource::Eq(uid) => (Key::Is(self.name(uid)), None),
            Resource::In(uid) => (Key::In(self.name(uid)), None),
            Resource::Is(kind) => (Key::Any, Some(kind)),
            Resource::IsIn(kind, uid) => (Key::In(self.name(uid)), Some(kind)),
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => vec![Key::Any],
            ActionConstraint::Eq(uid) => vec![Key::Is(self.name(uid))],
            ActionConstraint::In(uids) => uids.into_iter().map(|uid| Key::In(self.name(uid))).collect(),
        };
        let found = Found { rule, principal: principal_kind, resource: resource_kind };
        for action in actions {
            let by_resource = self.rules.entry((action, principal)).or_default();
            by_resource.entry(resource).or_default().push(found.clone());
        }
    }

    fn name(&mut self, uid: EntityUid) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.names.entry(uid).or_insert(next)
    }

    /// The rules whose scopes match: sorted, each once.
    pub(super) fn matching(&self, principal: Named<'_>, action: Named<'_>, resource: Named<'_>) -> Vec<u32> {
        let (principals, resources) = (self.keys(principal), self.keys(resource));
        let mut matching = Vec::new();
        for action in self.keys(action) {
            for &principal_key in &principals {
                let Some(by_resource) = self.rules.get(&(action, principal_key)) else { continue };
                for found in resources.iter().filter_map(|key| by_resource.get(key)).flatten() {
                    let is_of = |kind: &Option<EntityTypeName>, uid: &EntityUid| {
                        kind.as_ref().is_none_or(|kind| kind == uid.type_name())
                    };
                    if is_of(&found.principal, principal.uid) && is_of(&found.resource, resource.uid) {
                        matching.push(found.rule);
                    }
                }
            }
        }
        matching.sort_unstable();
        matching.dedup();
        matching
    }

    /// What a scope may ask so that `named` has it.
    fn keys(&self, named: Named<'_>) -> Vec<Key> {
        let mut keys = vec![Key::Any];
        if let Some(&name) = self.names.get(named.uid) {
            keys.extend([Key::Is(name), Key::In(name)]);
        }
        keys.extend(named.above.iter().filter_map(|uid| self.names.get(uid)).map(|&name| Key::In(name)));
        keys
    }
}
