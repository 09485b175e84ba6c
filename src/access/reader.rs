//! Which entries of the log a person may read: rules over `readEntry`, asked for each entry that a page or an export
//! would show. Nothing is recorded here, because the reading itself was asked for at the gate and is in the log; the gate
//! records a no to the one entry that was asked for by its place.
//!
//! INVARIANT: an entry is judged by its own bytes alone, and whatever cannot be judged is not shown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{Entity, EntityUid, RestrictedExpression as Value};

use super::{
    judge,
    policy::Rules,
    request::{self, Sentence, Unaskable, string, uid},
};
use crate::{
    audit::entry::{Entry, Event},
    model::{Action, AppName, Attributes, Caller, ClusterName, Context, Decision, Identity, Scope, Verdict},
};

/// Somebody who was permitted to read the log, and what the rules let them see of it.
pub struct Reader {
    rules: Arc<Rules>,
    caller: Caller,
    context: Context,
    // Entries that rules cannot tell apart are judged once. The context does not change while one reads.
    known: Mutex<HashMap<Traits, bool>>,
}

/// What people are let into.
#[derive(Clone, Copy, Debug)]
pub enum Door<'n> {
    /// An app.
    App(&'n AppName),
    /// A cluster.
    Cluster(&'n ClusterName),
}

/// What rules can say about an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Traits {
    kind: &'static str,
    verdict: Option<&'static str>,
    owner: Option<String>,
    target: Option<String>,
    places: Vec<Place>,
}

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Portal,
    App(String),
    Cluster(String),
    Namespace(String),
}

impl Reader {
    pub(super) fn new(rules: Arc<Rules>, caller: Caller, context: Context) -> Self {
        Self { rules, caller, context, known: Mutex::default() }
    }

    /// Whether the rules let this person see the entry.
    pub fn may_read(&self, entry: &Entry) -> bool {
        self.may(Traits::of(entry))
    }

    /// Whether they may see bytes in the log that are no entry: for rules, something of the kind `unreadable` that
    /// happened to the portal.
    pub fn may_read_unreadable(&self) -> bool {
        self.may(Traits::unreadable())
    }

    /// What the rules say to seeing the entry; none: bytes that are no entry.
    pub(super) fn decide(&self, entry: Option<&Entry>) -> Decision {
        let sentence = entry.map_or_else(Traits::unreadable, Traits::of).sentence();
        let question = sentence.and_then(|sentence| request::put(&self.caller, sentence));
        question.map_or_else(judge::unknown, |question| judge::answer(&self.rules, question, &self.context))
    }

    /// The rules that are asked, and the circumstances that they may read.
    pub(super) fn grounds(&self) -> (&Rules, &Context) {
        (&self.rules, &self.context)
    }

    /// Whether they may see that somebody was let into an app or cluster: for pointing to where there is something to see.
    pub fn may_read_about(&self, door: Door<'_>) -> bool {
        let place = match door {
            Door::App(name) => Place::App(name.to_string()),
            Door::Cluster(name) => Place::Cluster(name.to_string()),
        };
        self.may(Traits { kind: "decision", verdict: Some("allow"), owner: None, target: None, places: vec![place] })
    }

    fn may(&self, traits: Traits) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&traits).copied();
        if let Some(answer) = known {
            return answer;
        }
        let answer = traits.sentence().is_ok_and(|sentence| self.allows(sentence));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_KNOWN {
            known.insert(traits, answer);
        }
        answer
    }

    /// Whether they may see how much there is of what, be it entries that they may not read.
    pub fn may_see_totals(&self) -> bool {
        let sentence = uid("Action", "readTotals").and_then(|action| {
            Ok(Sentence { action, resource: request::portal()?, above: Vec::new(), context: Vec::new() })
        });
        sentence.is_ok_and(|sentence| self.allows(sentence))
    }

    fn allows(&self, sentence: Sentence) -> bool {
        let question = request::put(&self.caller, sentence);
        question.is_ok_and(|question| judge::answer(&self.rules, question, &self.context).verdict == Verdict::Allow)
    }
}

impl Traits {
    fn unreadable() -> Self {
        Self { kind: "unreadable", verdict: None, owner: None, target: None, places: vec![Place::Portal] }
    }

    fn of(entry: &Entry) -> Self {
        let (verdict, target) = match &entry.event {
            Event::Decision { decision, .. } => (Some(decision.verdict.as_str()), None),
            Event::Refused { target, .. } | Event::Refusals { target, .. } => (None, Some(target.clone())),
            _ => (None, None),
        };
        let owner = entry.caller.as_ref().map(|caller| &caller.identity).or_else(|| owner(&entry.event));
        Self { kind: entry.event.kind(), verdict, owner: owner.map(request::person), target, places: places(entry) }
    }

    fn sentence(&self) -> Result<Sentence, Unaskable> {
        let mut attributes = HashMap::from([("kind".to_owned(), string(self.kind))]);
        attributes.extend(self.verdict.map(|verdict| ("verdict".to_owned(), string(verdict))));
        attributes.extend(self.target.as_deref().map(|target| ("target".to_owned(), string(target))));
        if let Some(owner) = &self.owner {
            attributes.insert("owner".to_owned(), Value::new_entity_uid(uid("User", owner)?));
        }
        let above = self.places.iter().map(Place::uid).collect::<Result<Vec<_>, _>>()?;
        // Entries have no names that a rule could use: what it says must hold for all that are alike.
        let parents = above.iter().cloned().collect();
        let resource = Entity::new(uid("Entry", "entry")?, attributes, parents).map_err(|_| Unaskable)?;
        Ok(Sentence { action: uid("Action", "readEntry")?, resource, above, context: Vec::new() })
    }
}

impl Place {
    fn uid(&self) -> Result<EntityUid, Unaskable> {
        match self {
            Self::Portal => uid("Portal", "bailiwick"),
            Self::App(name) => uid("App", name),
            Self::Cluster(name) => uid("k8s::Cluster", name),
            Self::Namespace(name) => uid("k8s::Namespace", name),
        }
    }
}

/// Whose entry it is when nobody called.
const fn owner(event: &Event) -> Option<&Identity> {
    match event {
        Event::LoginEnded { owner, .. } => Some(owner),
        Event::Invited { person, .. } => Some(person),
        _ => None,
    }
}

/// Where it happened: for a decision where the action would, otherwise where the caller's proof reaches.
fn places(entry: &Entry) -> Vec<Place> {
    match &entry.event {
        Event::Decision { action, .. } => places_of(action),
        Event::CredentialIssued { cluster: Some(cluster), .. } => vec![Place::Cluster(cluster.to_string())],
        _ => vec![match entry.caller.as_ref().map(|caller| &caller.scope) {
            Some(Scope::App { app }) => Place::App(app.to_string()),
            Some(Scope::Cluster { cluster, .. }) => Place::Cluster(cluster.to_string()),
            Some(Scope::Portal) | None => Place::Portal,
        }],
    }
}

fn places_of(action: &Action) -> Vec<Place> {
    match action {
        Action::Web(web) => vec![Place::App(web.app.to_string())],
        Action::Issue(issue) => vec![Place::Cluster(issue.cluster.to_string())],
        Action::Enrol(_) | Action::Portal(_) => vec![Place::Portal],
        Action::Kubernetes(request) => {
            let cluster = request.cluster.to_string();
            match &request.attributes {
                Attributes::Resource(at) if !at.namespace.is_empty() => {
                    vec![Place::Namespace(format!("{cluster}/{}", at.namespace)), Place::Cluster(cluster)]
                }
                _ => vec![Place::Cluster(cluster)],
            }
        }
    }
}

/// Enough for every page; an export over more people than this asks again.
const MOST_KNOWN: usize = 10_000;
