//! From our words to Cedar's: an action, its caller and the circumstances become one Cedar request with its entities.
//!
//! INVARIANT: everything comes from what a decision's entry records, so that it can be asked again. Entities are built
//! through the API, never from text, and checked against the schema. What policy has no word for cannot be asked, and
//! what cannot be asked is denied.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
    sync::LazyLock,
};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Value, Schema};
use time::OffsetDateTime;

use super::{kubernetes, reads::Reads};
use crate::model::{
    Action, Caller, Context, Identity, IssueRequest, KubernetesRequest, PortalAction, Timestamp, Upgrade, WebRequest,
};

/// A question that Cedar can answer, once it knows the circumstances.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) principal: EntityUid,
    /// The caller's groups, as the provider named them.
    pub(super) groups: Vec<EntityUid>,
    pub(super) sentence: Sentence,
    provider: Value,
    subject: Value,
}

/// The request holds something that policy has no word for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unaskable;

/// What is done to what, in Cedar's words, and what the context holds beyond the circumstances.
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) action: EntityUid,
    pub(super) resource: Entity,
    /// Everything that the resource is in.
    pub(super) above: Vec<EntityUid>,
    pub(super) context: Vec<(String, Value)>,
}

/// Puts the question.
pub(super) fn question(caller: &Caller, action: &Action) -> Result<Question, Unaskable> {
    put(caller, sentence(action)?)
}

/// Puts the question that `sentence` is.
pub(super) fn put(caller: &Caller, sentence: Sentence) -> Result<Question, Unaskable> {
    Ok(Question {
        principal: uid("User", &person(&caller.identity))?,
        groups: caller.groups.iter().map(|group| uid("Group", group)).collect::<Result<_, _>>()?,
        sentence,
        provider: string(caller.identity.provider.as_str()),
        subject: string(&caller.identity.subject),
    })
}

impl Question {
    /// With those circumstances that the rules look at; checked against `schema`, where one is given.
    pub(super) fn request(
        &self,
        context: &Context,
        reads: Reads,
        schema: Option<&Schema>,
    ) -> Result<Request, Unaskable> {
        let pairs = circumstances(context, reads)?.into_iter().chain(self.sentence.context.iter().cloned());
        let context = cedar_policy::Context::from_pairs(pairs).map_err(|_| Unaskable)?;
        let Sentence { action, resource, .. } = &self.sentence;
        Request::new(self.principal.clone(), action.clone(), resource.uid(), context, schema).map_err(|_| Unaskable)
    }

    /// The caller, in `groups`.
    pub(super) fn principal(&self, groups: &[EntityUid]) -> Result<Entity, Unaskable> {
        let attributes = [("provider", self.provider.clone()), ("subject", self.subject.clone())];
        entity(self.principal.clone(), attributes, groups.iter().cloned().collect())
    }
}

/// The id of a person in rules and on pages: `<provider>/<subject>`. A provider's name holds no slash.
pub fn person(identity: &Identity) -> String {
    format!("{}/{}", identity.provider, identity.subject)
}

/// What is not looked at is left out: to parse an address or an instant costs more than most rules.
fn circumstances(context: &Context, reads: Reads) -> Result<Vec<(String, Value)>, Unaskable> {
    // Asked whether or not it is looked at, so that an instant that cannot be said is never judged.
    let time = speakable(context.time)?;
    let mut pairs = Vec::with_capacity(8);
    let mut add = |reading: Reads, name: &str, value: &dyn Fn() -> Value| {
        if reads.any_of(reading) {
            pairs.push((name.to_owned(), value()));
        }
    };
    // An IPv4 address that came over IPv6 is still that IPv4 address.
    add(Reads::ADDRESS, "address", &|| Value::new_ip(context.address.to_canonical().to_string()));
    add(Reads::ASSURANCE, "assurance", &|| string(&context.assurance));
    add(Reads::ASSURANCE_AGE, "assuranceAge", &|| Value::new_long(context.assurance_age));
    add(Reads::CREDENTIAL, "credential", &|| string(&context.credential));
    add(Reads::TIME, "time", &|| Value::new_datetime(datetime(time)));
    if let Some(acr) = &context.acr {
        add(Reads::ACR, "acr", &|| string(acr));
    }
    Ok(pairs)
}

fn sentence(action: &Action) -> Result<Sentence, Unaskable> {
    match action {
        Action::Web(web) => web_sentence(web),
        Action::Kubernetes(request) => kubernetes_sentence(request),
        Action::Issue(issue) => issue_sentence(issue),
        Action::Enrol(enrol) => Ok(Sentence {
            action: uid("Action", "enrol")?,
            resource: portal()?,
            above: Vec::new(),
            context: vec![("invited".to_owned(), Value::new_bool(enrol.invited))],
        }),
        Action::Portal(action) => portal_sentence(action),
    }
}

fn web_sentence(web: &WebRequest) -> Result<Sentence, Unaskable> {
    let path_id = |path: &str| uid("Path", &format!("{}{path}", web.app));
    let path = web.path.judged();
    let mut above = path.prefixes().map(path_id).collect::<Result<Vec<_>, _>>()?;
    above.push(uid("App", web.app.as_str())?);
    let parents = above.iter().cloned().collect();
    Ok(Sentence {
        action: uid("Action", web.method.as_str())?,
        resource: entity(path_id(path.as_str())?, [("path", string(path.as_str()))], parents)?,
        above,
        context: vec![upgrade(web.upgrade)],
    })
}

fn kubernetes_sentence(request: &KubernetesRequest) -> Result<Sentence, Unaskable> {
    let word = kubernetes::word(&request.attributes, request.upgrade).ok_or(Unaskable)?;
    let above = kubernetes::above(request)?;
    Ok(Sentence {
        action: uid("k8s::Action", word.action)?,
        resource: kubernetes::resource(request, &word, &above)?,
        above,
        context: vec![upgrade(request.upgrade)],
    })
}

fn issue_sentence(issue: &IssueRequest) -> Result<Sentence, Unaskable> {
    let lifetime = i64::try_from(issue.lifetime).map_err(|_| Unaskable)?;
    let read_only = issue.reach == crate::model::Reach::ReadOnly;
    Ok(Sentence {
        action: uid("Action", "issue")?,
        resource: Entity::new_no_attrs(uid("k8s::Cluster", issue.cluster.as_str())?, HashSet::new()),
        above: Vec::new(),
        context: vec![
            ("lifetime".to_owned(), Value::new_long(lifetime)),
            ("namespaces".to_owned(), Value::new_set(issue.namespaces.iter().map(|name| string(name)))),
            ("readOnly".to_owned(), Value::new_bool(read_only)),
        ],
    })
}

fn portal_sentence(action: &PortalAction) -> Result<Sentence, Unaskable> {
    let (word, resource) = match action {
        PortalAction::Home => ("home", portal()?),
        PortalAction::AuthorizeCommandLine => ("authorizeCommandLine", portal()?),
        PortalAction::ListSessions => ("listSessions", portal()?),
        // Whoever may read may keep their own searches.
        PortalAction::ReadAudit { .. } | PortalAction::SaveSearch { .. } | PortalAction::RemoveSearch { .. } => {
            ("readAudit", portal()?)
        }
        PortalAction::ExportAudit { .. } => ("exportAudit", portal()?),
        // What is judged is that entry, which is not here: `Reader` asks.
        PortalAction::ReadEntry { .. } => return Err(Unaskable),
        PortalAction::ReadPolicy => ("readPolicy", portal()?),
        PortalAction::EndSession { login, owner } => ("endSession", owned("Login", &login.to_string(), owner)?),
        PortalAction::RevokeCredential { credential, owner } => {
            ("revokeCredential", owned("Credential", &credential.to_string(), owner)?)
        }
        PortalAction::Invite { person: invitee } => {
            let attributes = [("provider", string(invitee.provider.as_str())), ("subject", string(&invitee.subject))];
            ("invite", entity(uid("Invitee", &person(invitee))?, attributes, HashSet::new())?)
        }
    };
    Ok(Sentence { action: uid("Action", word)?, resource, above: Vec::new(), context: Vec::new() })
}

fn owned(kind: &str, id: &str, owner: &Identity) -> Result<Entity, Unaskable> {
    let owner = Value::new_entity_uid(uid("User", &person(owner))?);
    entity(uid(kind, id)?, [("owner", owner)], HashSet::new())
}

pub(super) fn portal() -> Result<Entity, Unaskable> {
    Ok(Entity::new_no_attrs(uid("Portal", "bailiwick")?, HashSet::new()))
}

fn upgrade(upgrade: Upgrade) -> (String, Value) {
    ("upgrade".to_owned(), Value::new_bool(upgrade != Upgrade::None))
}

/// The instant, if Cedar can say it: years 0 to 9999.
fn speakable(at: Timestamp) -> Result<OffsetDateTime, Unaskable> {
    let at = at.to_datetime();
    if (0..=9999).contains(&at.year()) { Ok(at) } else { Err(Unaskable) }
}

/// Cedar's form: RFC 3339 in UTC with milliseconds.
fn datetime(at: OffsetDateTime) -> String {
    let (hour, minute, second, milli) = at.time().as_hms_milli();
    let month = u8::from(at.month());
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", at.year(), at.day())
}

pub(super) fn string(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

pub(super) fn entity<const N: usize>(
    uid: EntityUid,
    attributes: [(&str, Value); N],
    parents: HashSet<EntityUid>,
) -> Result<Entity, Unaskable> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>();
    Entity::new(uid, attributes, parents).map_err(|_| Unaskable)
}

pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, Unaskable> {
    static KINDS: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
        KIND_NAMES.into_iter().filter_map(|name| Some((name, EntityTypeName::from_str(name).ok()?))).collect()
    });
    let kind = KINDS.get(kind).ok_or(Unaskable)?.clone();
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

const KIND_NAMES: [&str; 16] = [
    "Action",
    "App",
    "Credential",
    "Entry",
    "Group",
    "Invitee",
    "Login",
    "Path",
    "Portal",
    "User",
    "k8s::Action",
    "k8s::Cluster",
    "k8s::Namespace",
    "k8s::NonResourceURL",
    "k8s::Resource",
    "k8s::Subresource",
];
