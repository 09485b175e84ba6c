//! What an entry can be found by: derived from its bytes alone, here and nowhere else, so that the index, the newest
//! entries that it lacks, and whoever checks it agree. INVARIANT: a posting in a log is for ever, so terms may be added
//! for new blocks, but what an old one means never changes. Peers write paths and names: their number and length are
//! bounded here.

use std::{borrow::Cow, net::IpAddr};

use aws_lc_rs::digest::{SHA256, digest};
use ipnet::IpNet;
use memchr::memchr_iter;

use super::words::{cause, event_words, words};
use crate::{
    audit::{Entry, Event, summary},
    model::{Action, Attributes, Caller, Cause, Decision, Identity, PortalAction, Scope},
};

/// What kind of thing a term is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Field {
    /// `provider/subject`, or the id of a person.
    Who,
    /// A word of a name or subject, in lower case.
    Name,
    /// A word for what was done, in lower case.
    What,
    /// An app, a cluster, the portal; or one with up to two steps of a path below it.
    Place,
    /// An outcome's word.
    Verdict,
    /// A rule's id.
    Rule,
    /// A network of one of the indexed lengths.
    Address,
    /// A credential's id.
    Credential,
    /// A login's id.
    Login,
    /// A word of whatever else there is, in lower case.
    Word,
}

impl Field {
    /// All of them, in their order.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Who,
        Self::Name,
        Self::What,
        Self::Place,
        Self::Verdict,
        Self::Rule,
        Self::Address,
        Self::Credential,
        Self::Login,
        Self::Word,
    ];

    /// How many there are.
    pub(super) const COUNT: usize = 10;

    const fn as_str(self) -> &'static str {
        match self {
            Self::Who => "who",
            Self::Name => "name",
            Self::What => "what",
            Self::Place => "where",
            Self::Verdict => "verdict",
            Self::Rule => "rule",
            Self::Address => "address",
            Self::Credential => "credential",
            Self::Login => "login",
            Self::Word => "word",
        }
    }
}

/// The number in the index: the first 64 bits of SHA-256 over field, colon and value.
pub(super) fn number(field: Field, value: &str) -> i64 {
    number_within(&mut Vec::with_capacity(field.as_str().len() + 1 + value.len()), field, value)
}

/// The same, put together in `text`, whatever was there.
pub(super) fn number_within(text: &mut Vec<u8>, field: Field, value: &str) -> i64 {
    text.clear();
    text.extend_from_slice(field.as_str().as_bytes());
    text.push(b':');
    text.extend_from_slice(value.as_bytes());
    let hash = digest(&SHA256, text);
    hash.as_ref().first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// What terms are derived from.
#[derive(Clone, Copy)]
pub(super) struct About<'e> {
    pub(super) caller: Option<&'e Caller>,
    pub(super) event: &'e Event,
}

impl<'e> From<&'e Entry> for About<'e> {
    fn from(entry: &'e Entry) -> Self {
        Self { caller: entry.caller.as_ref(), event: &entry.event }
    }
}

/// Hands every term to `take`, some more than once.
pub(super) fn terms(about: About<'_>, take: &mut impl FnMut(Field, &str)) {
    let About { caller, event } = about;
    let mut left = MOST_WORDS;
    if let Some(caller) = caller {
        of_caller(caller, take);
    }
    of_event(event, take);
    places(about).iter().for_each(|place| of_place(place, &mut left, take));
    for word in caller.into_iter().flat_map(group_words).take(left) {
        take(Field::Word, &word);
        left -= 1;
    }
    event_texts(event, &mut left, take);
    if let Event::Decision { decision, .. } = event {
        of_ruling(decision, take);
        ruling_texts(decision, &mut left, take);
    }
}

/// The terms that every entry of `caller` has: all but words.
pub(super) fn of_caller(caller: &Caller, take: &mut impl FnMut(Field, &str)) {
    take(Field::Who, &caller.person.to_string());
    take(Field::Login, &caller.login.to_string());
    if let Some(credential) = caller.presented.credential() {
        take(Field::Credential, &credential.to_string());
    }
    of_identity(&caller.identity, take);
    of_network(IpNet::from(caller.address.to_canonical()), take);
}

fn of_identity(identity: &Identity, take: &mut impl FnMut(Field, &str)) {
    take(Field::Who, &format!("{}/{}", identity.provider, identity.subject));
    words(&identity.name).chain(words(&identity.subject)).for_each(|word| take(Field::Name, &word));
}

fn of_network(network: IpNet, take: &mut impl FnMut(Field, &str)) {
    LENGTHS_V4.iter().chain(LENGTHS_V6).filter_map(|length| supernet(network, *length)).for_each(|net| {
        take(Field::Address, &net.to_string());
    });
}

/// The terms of what happened: all but words, where it was done, and what was decided.
pub(super) fn of_event(event: &Event, take: &mut impl FnMut(Field, &str)) {
    take(Field::What, event.kind());
    event_words(event, &mut |word| take(Field::What, word));
    if let Some(verdict) = verdict(event).filter(|_| !matches!(event, Event::Decision { .. })) {
        take(Field::Verdict, verdict);
    }
    event_identity(event).into_iter().for_each(|identity| of_identity(identity, take));
    event_network(event).into_iter().for_each(|network| of_network(network, take));
    match event {
        Event::Decision { action: Action::Portal(PortalAction::EndSession { login, .. }), .. }
        | Event::LoginEnded { login, .. } => take(Field::Login, &login.to_string()),
        Event::Decision { action: Action::Portal(PortalAction::RevokeCredential { credential, .. }), .. }
        | Event::CredentialIssued { credential, .. }
        | Event::CredentialRevoked { credential, .. } => {
            take(Field::Credential, &credential.to_string());
        }
        Event::EpochBegan { by, .. }
        | Event::LogRead { account: by, .. }
        | Event::Invited { by: Some(by), .. }
        | Event::KeyRotated { by: Some(by), .. } => {
            words(by).for_each(|word| take(Field::Name, &word));
        }
        _ => {}
    }
}

/// The terms of what was decided: all but words.
pub(super) fn of_ruling(decision: &Decision, take: &mut impl FnMut(Field, &str)) {
    take(Field::Verdict, decision.verdict.as_str());
    if decision.cause != Cause::Permitted {
        take(Field::What, cause(decision.cause));
    }
    decision.policies.iter().for_each(|rule| take(Field::Rule, rule));
}

/// How it ended: the words of `verdict`.
pub(in crate::audit) fn verdict(event: &Event) -> Option<&'static str> {
    match event {
        Event::Decision { decision, .. } => Some(decision.verdict.as_str()),
        Event::Refused { .. } | Event::Refusals { .. } => Some("refused"),
        Event::SignIn { fault: Some(_), .. } | Event::PolicyRejected { .. } => Some("failed"),
        _ => None,
    }
}

/// Whose login or invitation it was.
fn event_identity(event: &Event) -> Option<&Identity> {
    match event {
        Event::LoginEnded { owner: identity, .. }
        | Event::Invited { person: identity, .. }
        | Event::Decision {
            action:
                Action::Portal(
                    PortalAction::EndSession { owner: identity, .. }
                    | PortalAction::RevokeCredential { owner: identity, .. }
                    | PortalAction::Invite { person: identity },
                ),
            ..
        } => Some(identity),
        _ => None,
    }
}

/// Where it came from: one address, or the network of refusals that were counted together.
pub(super) fn networks(entry: &Entry) -> Vec<IpNet> {
    let caller = entry.caller.iter().map(|caller| IpNet::from(caller.address.to_canonical()));
    caller.chain(event_network(&entry.event)).collect()
}

/// Where a stranger came from.
fn event_network(event: &Event) -> Option<IpNet> {
    let of = |text: &str| {
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        address.ok().or_else(|| text.parse::<IpNet>().ok().map(|net| net.trunc()))
    };
    match event {
        Event::Refused { address, .. } | Event::SignIn { address, .. } => of(address),
        Event::Refusals { network, .. } => of(network),
        Event::LogRead { address, .. } => address.as_deref().and_then(of),
        _ => None,
    }
}

/// `network` shortened to `length`, if it has that length or more.
fn supernet(network: IpNet, (is_v4, length): (bool, u8)) -> Option<IpNet> {
    if matches!(network, IpNet::V4(_)) != is_v4 || network.prefix_len() < length {
        return None;
    }
    IpNet::new(network.addr(), length).ok().map(|net| net.trunc())
}

/// The indexed network that `asked` lies in and that is the smallest; none when `asked` is larger than all.
pub(super) fn indexed_network(asked: IpNet) -> Option<IpNet> {
    LENGTHS_V4.iter().chain(LENGTHS_V6).rev().find_map(|length| supernet(asked, *length))
}

const LENGTHS_V4: &[(bool, u8)] = &[(true, 8), (true, 16), (true, 24), (true, 32)];

const LENGTHS_V6: &[(bool, u8)] = &[(false, 32), (false, 48), (false, 64), (false, 128)];

/// Where it was done: an app with its path, a cluster with its namespace, resource and name and again with its path, the
/// portal, or the broker itself.
pub(super) fn places(about: About<'_>) -> Vec<String> {
    let cluster = |cluster: &_, steps: &[&str]| {
        let mut place = format!("{cluster}");
        steps.iter().filter(|step| !step.is_empty()).for_each(|step| {
            place.push('/');
            place.push_str(step);
        });
        place
    };
    let places = match about.event {
        Event::Decision { action: Action::Web(web), .. } => vec![[web.app.as_str(), web.path.as_str()].concat()],
        Event::Decision { action: Action::Kubernetes(asked), .. } => {
            let by_path = format!("{}{}", asked.cluster, asked.path);
            match &asked.attributes {
                Attributes::Resource(at) if !at.namespace.is_empty() => {
                    vec![cluster(&asked.cluster, &[&at.namespace, &at.resource, &at.name]), by_path]
                }
                _ => vec![by_path],
            }
        }
        Event::Decision { action: Action::Issue(issue), .. } => vec![issue.cluster.to_string()],
        Event::CredentialIssued { cluster: Some(name), namespaces, .. } if namespaces.is_empty() => {
            vec![name.to_string()]
        }
        Event::CredentialIssued { cluster: Some(name), namespaces, .. } => {
            namespaces.iter().take(MOST_NAMESPACES).map(|namespace| cluster(name, &[namespace])).collect()
        }
        Event::Refused { target, .. } | Event::Refusals { target, .. } => vec![target.clone()],
        // It does not say where it was, but can only have been within the caller's reach.
        event if event.follows_a_decision() => about.caller.and_then(reach).into_iter().collect(),
        Event::PolicyLoaded { .. }
        | Event::PolicyRejected { .. }
        | Event::Gap { .. }
        | Event::EpochBegan { .. }
        | Event::KeyRotated { .. }
        | Event::Archived { .. }
        | Event::LogRead { .. }
        | Event::CollectorSkipped { .. }
        | Event::BrokerStarted { .. }
        | Event::BrokerStopped {} => vec!["broker".to_owned()],
        _ => vec!["portal".to_owned()],
    };
    let mut places = places;
    places.iter_mut().for_each(|place| place.truncate(place.trim_end_matches('/').len()));
    places
}

/// The app or cluster that what was presented is for. What was forwarded lay within it.
pub(super) fn reach(caller: &Caller) -> Option<String> {
    match &caller.scope {
        Scope::App { app } => Some(app.to_string()),
        Scope::Cluster { cluster, .. } => Some(cluster.to_string()),
        Scope::Portal => None,
    }
}

/// The indexed prefixes of a place: its first step, two and three.
pub(super) fn prefixes(place: &str) -> impl Iterator<Item = &str> {
    let ends = memchr_iter(b'/', place.as_bytes()).chain([place.len()]);
    ends.take(STEPS).filter_map(|end| place.get(..end)).filter(|prefix| !prefix.is_empty())
}

/// How many steps of a place are indexed, the app's own among them.
const STEPS: usize = 3;

/// Where it was done, and the words of that, which come first among an entry's words: see [`super::matching`].
pub(super) fn of_place(place: &str, left: &mut usize, take: &mut impl FnMut(Field, &str)) {
    prefixes(place).for_each(|prefix| take(Field::Place, prefix));
    few_words(place, left, take);
}

/// The words of a caller's groups, which come next.
pub(super) fn group_words(caller: &Caller) -> impl Iterator<Item = Cow<'_, str>> {
    caller.groups.iter().take(MOST_GROUPS).flat_map(|group| words(group))
}

/// The words of what was decided, which come last.
pub(super) fn ruling_texts(decision: &Decision, left: &mut usize, take: &mut impl FnMut(Field, &str)) {
    let texts = [&decision.policies, &decision.reasons, &decision.errors].into_iter().flatten();
    texts.for_each(|text| few_words(text, left, take));
}

/// The words of what happened, which come before those.
pub(super) fn event_texts(event: &Event, left: &mut usize, take: &mut impl FnMut(Field, &str)) {
    let mut all = |texts: &[&str]| texts.iter().for_each(|text| few_words(text, left, take));
    match event {
        Event::Decision { action: Action::Web(_), .. } => {}
        Event::Decision { action, .. } => all(&[&summary(action)]),
        Event::NotForwarded { why } => all(&[why]),
        Event::UnknownOutcome { of } => all(&[&of.to_string()]),
        Event::Refused { check, why, .. } | Event::Refusals { check, why, .. } => all(&[check, why]),
        Event::Gap { why, .. } => all(&[why]),
        Event::SignIn { provider, fault, .. } => {
            provider.iter().for_each(|provider| all(&[provider.as_str()]));
            fault.iter().for_each(|fault| all(&[fault]));
        }
        Event::Enrolled { passkey, rp_id, .. } => all(&[&passkey.to_string(), rp_id]),
        Event::LoginEnded { cause, .. } | Event::CredentialRevoked { cause, .. } => all(&[cause]),
        Event::CredentialIssued { serial, .. } => serial.iter().for_each(|serial| all(&[serial])),
        Event::StreamOpened { stream } => all(&[&stream.to_string()]),
        Event::StreamClosed { stream, cause } => all(&[&stream.to_string(), cause]),
        Event::PolicyLoaded { policy, .. } => all(&[&policy.entities, &policy.policies, &policy.schema]),
        Event::PolicyRejected { errors } => errors.iter().for_each(|error| all(&[error])),
        Event::EpochBegan { why, key, lost, .. } => {
            all(&[why]);
            key.iter().chain(lost.iter().flatten()).for_each(|key| all(&[key]));
        }
        Event::KeyRotated { retired, active, .. } => all(&[retired, active]),
        Event::Archived { file, sha256, .. } => all(&[file, sha256]),
        Event::SearchChanged { name, before, after } => {
            all(&[name]);
            [before, after].into_iter().flatten().for_each(|search| all(&[search]));
        }
        Event::Exported { search, manifest, .. } => all(&[search, manifest]),
        Event::LogRead { reading, client, command, search, manifest, .. } => {
            all(&[&reading.to_string(), client, command, search]);
            manifest.iter().for_each(|manifest| all(&[manifest]));
        }
        Event::CollectorSkipped { collector, why, .. } => all(&[collector, why]),
        Event::BrokerStarted { version, configuration, key } => {
            all(&[version, configuration]);
            key.iter().for_each(|key| all(&[key]));
        }
        Event::Outcome { .. } | Event::Invited { .. } | Event::BrokerStopped {} => {}
    }
}

/// The words of `text`, as far as there are places `left`.
fn few_words(text: &str, left: &mut usize, take: &mut impl FnMut(Field, &str)) {
    for word in words(text).take(*left) {
        take(Field::Word, &word);
        *left -= 1;
    }
}

/// Words after these are not found by `text`. What a search may hold is less: see [`super::query`].
pub(super) const MOST_WORDS: usize = 512;

const MOST_GROUPS: usize = 64;

const MOST_NAMESPACES: usize = 16;
