//! Decisions that were made under the rules in force, so that the same question is not thought through twice.
//!
//! INVARIANT: an answer is remembered under everything that it depends on: who asks (identity, groups, scope, level), what
//! for, and each circumstance that the rules in question look at. It goes with the rules that it was made under. A
//! decision in which a rule looks at the time or at the age of an assurance is never remembered; the question is, which
//! depends on who asks what for and on no circumstance. So what is here is no copy of anything that could change behind it:
//! who the caller is, and that they still are, is found out before.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{judge::Asked, reads::Reads};
use crate::{
    audit::Common,
    model::{Action, AssuranceLevel, Attributes, Caller, Context, Decision, Identity, Scope},
};

/// The decisions of one set of rules.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    state: RandomState,
    kept: Mutex<Kept>,
}

/// What is known of a question that comes again.
pub(super) enum Recalled {
    /// The answer.
    Decision(Common<Decision>),
    /// What the answer is found with.
    Question(Arc<Asked>),
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<u64, Entry>,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    groups: Vec<String>,
    scope: Scope,
    level: AssuranceLevel,
    action: Action,
    known: Known,
}

#[derive(Debug)]
enum Known {
    Decision(Box<Decided>),
    Question(Arc<Asked>),
}

#[derive(Debug)]
struct Decided {
    context: Context,
    is_fresh: bool,
    reads: Reads,
    decision: Common<Decision>,
}

/// Of decisions, about 1 KiB each.
const MOST: usize = 16_384;
/// How many decisions a question takes the place of.
const WEIGHT_OF_QUESTION: usize = 8;
const LONGEST_PATH: usize = 512;

impl Remembered {
    /// What was decided about the same, or how to decide it.
    pub(super) fn recall(&self, caller: &Caller, action: &Action, context: &Context) -> Option<Recalled> {
        let place = self.place(caller, action)?;
        let kept = self.kept();
        let entry = kept.entries.get(&place).filter(|entry| entry.is_about(caller, action))?;
        match &entry.known {
            Known::Decision(decided) if decided.holds(context) => Some(Recalled::Decision(decided.decision.clone())),
            Known::Decision(_) => None,
            Known::Question(asked) => Some(Recalled::Question(Arc::clone(asked))),
        }
    }

    /// Remembers what was decided where `asked` was asked, if it may be, or else the question.
    pub(super) fn remember(
        &self,
        caller: &Caller,
        action: &Action,
        context: &Context,
        asked: Asked,
        decision: &Common<Decision>,
    ) {
        let Some(place) = self.place(caller, action) else { return };
        let reads = asked.reads();
        let (weight, known) = if reads.any_of(Reads::TIME.and(Reads::ASSURANCE_AGE)) {
            (WEIGHT_OF_QUESTION, Known::Question(Arc::new(asked)))
        } else {
            let (is_fresh, decision) = (is_fresh(context), decision.clone());
            (1, Known::Decision(Box::new(Decided { context: context.clone(), is_fresh, reads, decision })))
        };
        let entry = Entry {
            identity: caller.identity.clone(),
            groups: caller.groups.clone(),
            scope: caller.scope.clone(),
            level: caller.assurance.level,
            action: without_query(action),
            known,
        };
        let mut kept = self.kept();
        if kept.weight + weight > MOST {
            *kept = Kept::default();
        }
        kept.weight += weight;
        if let Some(before) = kept.entries.insert(place, entry) {
            kept.weight -= before.weight();
        }
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

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_about(&self, caller: &Caller, action: &Action) -> bool {
        self.identity == caller.identity
            && self.groups == caller.groups
            && self.scope == caller.scope
            && self.level == caller.assurance.level
            && same_but_for_query(&self.action, action)
    }

    const fn weight(&self) -> usize {
        match self.known {
            Known::Decision(_) => 1,
            Known::Question(_) => WEIGHT_OF_QUESTION,
        }
    }
}

impl Decided {
    fn holds(&self, context: &Context) -> bool {
        self.is_fresh == is_fresh(context) && same_as_far_as_read(self.reads, &self.context, context)
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
