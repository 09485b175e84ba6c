//! Decisions that were made under the rules in force, so that the same question is not thought through twice.
//!
//! INVARIANT: an answer is remembered under everything that it depends on: who asks (identity, groups, scope, level), what
//! for, and each circumstance that the rules in question look at. It goes with the rules that it was made under. A
//! decision in which a rule looks at the time or at the age of an assurance is never remembered. So what is here is no
//! copy of anything that could change behind it: who the caller is, and that they still are, is found out before.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::reads::Reads;
use crate::model::{Action, AssuranceLevel, Attributes, Caller, Context, Decision, Identity, Scope};

/// The decisions of one set of rules.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    state: RandomState,
    decisions: Mutex<HashMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    groups: Vec<String>,
    scope: Scope,
    level: AssuranceLevel,
    action: Action,
    context: Context,
    is_fresh: bool,
    reads: Reads,
    decision: Decision,
}

/// About 1 KiB each.
const MOST: usize = 16_384;
const LONGEST_PATH: usize = 512;

impl Remembered {
    /// What was decided about the same.
    pub(super) fn decision(&self, caller: &Caller, action: &Action, context: &Context) -> Option<Decision> {
        let place = self.place(caller, action)?;
        let decisions = self.decisions();
        let entry = decisions.get(&place)?;
        entry.is_about(caller, action, context).then(|| entry.decision.clone())
    }

    /// Remembers what was decided, if it may be, where the rules looked at `reads`.
    pub(super) fn remember(
        &self,
        caller: &Caller,
        action: &Action,
        context: &Context,
        reads: Reads,
        decision: &Decision,
    ) {
        if reads.any_of(Reads::TIME.and(Reads::ASSURANCE_AGE)) {
            return;
        }
        let Some(place) = self.place(caller, action) else { return };
        let entry = Entry {
            identity: caller.identity.clone(),
            groups: caller.groups.clone(),
            scope: caller.scope.clone(),
            level: caller.assurance.level,
            action: without_query(action),
            context: context.clone(),
            is_fresh: is_fresh(context),
            reads,
            decision: decision.clone(),
        };
        let mut decisions = self.decisions();
        if decisions.len() >= MOST {
            decisions.clear();
        }
        decisions.insert(place, entry);
    }

    /// Where a decision would be. Only requests that are forwarded come often enough.
    fn place(&self, caller: &Caller, action: &Action) -> Option<u64> {
        let mut hasher = self.state.build_hasher();
        match action {
            Action::Web(web) if web.path.as_str().len() <= LONGEST_PATH => {
                (web.app.as_str(), web.method, web.path.as_str()).hash(&mut hasher);
            }
            Action::Kubernetes(at) if at.path.len() <= LONGEST_PATH && is_small(&at.attributes) => {
                (at.cluster.as_str(), at.method, at.path.as_str()).hash(&mut hasher);
            }
            _ => return None,
        }
        (caller.identity.provider.as_str(), &caller.identity.subject).hash(&mut hasher);
        caller.groups.hash(&mut hasher);
        Some(hasher.finish())
    }

    fn decisions(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_about(&self, caller: &Caller, action: &Action, context: &Context) -> bool {
        self.identity == caller.identity
            && self.groups == caller.groups
            && self.scope == caller.scope
            && self.level == caller.assurance.level
            && self.is_fresh == is_fresh(context)
            && same_but_for_query(&self.action, action)
            && same_as_far_as_read(self.reads, &self.context, context)
    }
}

fn same_as_far_as_read(reads: Reads, one: &Context, other: &Context) -> bool {
    let agree = |reading, same| !reads.any_of(reading) || same;
    agree(Reads::ACR, one.acr == other.acr)
        && agree(Reads::ADDRESS, one.address == other.address)
        && agree(Reads::ASSURANCE, one.assurance == other.assurance)
        && agree(Reads::CREDENTIAL, one.credential == other.credential)
}

/// Whether a denial would not be asked again with fresh assurance, because it is that.
pub(super) fn is_fresh(context: &Context) -> bool {
    context.assurance == AssuranceLevel::Passkey.as_str() && context.assurance_age == 0
}

/// A query is not judged; what it means to an API server is in the attributes.
fn same_but_for_query(one: &Action, other: &Action) -> bool {
    match (one, other) {
        (Action::Web(one), Action::Web(other)) => {
            (&one.app, one.method, &one.path, one.upgrade) == (&other.app, other.method, &other.path, other.upgrade)
        }
        (Action::Kubernetes(one), Action::Kubernetes(other)) => {
            (&one.cluster, one.method, &one.path, &one.attributes, one.upgrade)
                == (&other.cluster, other.method, &other.path, &other.attributes, other.upgrade)
        }
        _ => false,
    }
}

fn without_query(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::Web(web) => web.query = None,
        Action::Kubernetes(at) => at.query = None,
        Action::Issue(_) | Action::Enrol(_) | Action::Portal(_) => {}
    }
    action
}

fn is_small(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Resource(at) => at.field_selector.is_empty() && at.label_selector.is_empty(),
        Attributes::NonResource(_) => true,
    }
}
