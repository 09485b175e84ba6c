//! What an app is told of who asks and from where, put into words once for each caller and not for each request.
//!
//! INVARIANT: words are used again for the very same caller only, who is held here for as long as they are kept: one who
//! was looked up again, because anything about them may have changed, is put into words again. So is one who comes from
//! another address.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};

use super::forward::field;
use crate::{
    audit::Asker,
    model::{Caller, LoginId},
};

/// The words for those who asked lately.
pub(super) struct Told {
    /// Where they asked, which is the same for all.
    front: Front,
    /// Whether an app is told who they are.
    names: Names,
    known: Mutex<HashMap<LoginId, (Asker, Words)>>,
}

/// Fields, in the order in which they are set.
type Words = Arc<Vec<(HeaderName, HeaderValue)>>;

/// What browsers call an app.
pub(super) struct Front {
    pub(super) host: HeaderValue,
    pub(super) proto: HeaderValue,
}

/// Whether an app is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Told,
    Withheld,
}

const MOST: usize = 4096;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const USER: HeaderName = HeaderName::from_static("bailiwick-user");
const NAME: HeaderName = HeaderName::from_static("bailiwick-name");
const GROUPS: HeaderName = HeaderName::from_static("bailiwick-groups");

impl Told {
    pub(super) fn new(front: Front, names: Names) -> Self {
        Self { front, names, known: Mutex::default() }
    }

    /// The fields that tell of `asker`. None if that cannot be said in header fields.
    pub(super) fn of(&self, asker: &Asker) -> Option<Words> {
        let caller: &Caller = asker;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, words)) = known.get(&caller.login)
            && std::ptr::eq::<Caller>(&**held, caller)
        {
            return Some(Arc::clone(words));
        }
        let words = Arc::new(self.words(caller)?);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(caller.login, (asker.clone(), Arc::clone(&words)));
        Some(words)
    }

    fn words(&self, caller: &Caller) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut words = Vec::with_capacity(5 + caller.groups.len());
        // All stand in one piece of memory, which the fields share.
        let mut text = BytesMut::with_capacity(256);
        let mut add = |name: HeaderName, value: std::fmt::Arguments<'_>| {
            text.write_fmt(value).ok()?;
            words.push((name, field(text.split().freeze())?));
            Some(())
        };
        add(FORWARDED_FOR, format_args!("{}", caller.address))?;
        if self.names == Names::Told {
            add(USER, format_args!("{}/{}", caller.identity.provider, caller.identity.subject))?;
            add(NAME, format_args!("{}", caller.identity.name))?;
            for group in &caller.groups {
                add(GROUPS, format_args!("{group}"))?;
            }
        }
        words.push((FORWARDED_HOST, self.front.host.clone()));
        words.push((FORWARDED_PROTO, self.front.proto.clone()));
        Some(words)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Assurance, AssuranceLevel, Identity, PersonId, Presented, Scope, SeededEntropy, Timestamp};

    /// Somebody at the portal.
    pub(in super::super) fn caller(subject: &str, groups: &[&str]) -> Caller {
        let entropy = SeededEntropy::new(1);
        Caller {
            person: PersonId::random(&entropy),
            identity: Identity {
                provider: "corp".parse().unwrap(),
                issuer: "http://idp".into(),
                subject: subject.into(),
                name: "Zoë".into(),
            },
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            login: LoginId::random(&entropy),
            presented: Presented::Session,
            scope: Scope::Portal,
            assurance: Assurance { level: AssuranceLevel::Passkey, at: Timestamp::from_micros(0) },
            acr: None,
            address: "127.0.0.1".parse().unwrap(),
        }
    }

    fn telling(names: Names) -> Told {
        let (host, proto) = (HeaderValue::from_static("wiki.test"), HeaderValue::from_static("https"));
        Told::new(Front { host, proto }, names)
    }

    fn all(words: &Words, name: &HeaderName) -> Vec<String> {
        let values = words.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_bytes());
        values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    #[test]
    fn words_are_used_again_for_the_very_same_caller_only() {
        let told = telling(Names::Told);
        let (before, after) = (Asker::from(caller("ada", &["a", "b"])), Asker::from(caller("ada", &["b"])));
        let first = told.of(&before).unwrap();
        assert!(Arc::ptr_eq(&first, &told.of(&before.clone()).unwrap()));
        assert_eq!(all(&first, &GROUPS), ["a", "b"]);
        assert_eq!(all(&told.of(&after).unwrap(), &GROUPS), ["b"], "the same login, looked up again");
        assert_eq!(all(&told.of(&before).unwrap(), &GROUPS), ["a", "b"]);
        let elsewhere = Asker::from(Caller { address: "2001:db8::1".parse().unwrap(), ..before.to_value() });
        assert_eq!(all(&told.of(&elsewhere).unwrap(), &FORWARDED_FOR), ["2001:db8::1"]);
        assert_eq!(all(&told.of(&before).unwrap(), &FORWARDED_FOR), ["127.0.0.1"]);
    }

    #[test]
    fn who_asks_is_withheld_from_an_app_that_is_not_to_know() {
        let words = telling(Names::Withheld).of(&Asker::from(caller("ada", &["a"]))).unwrap();
        let names: Vec<_> = words.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    }

    #[test]
    fn who_cannot_be_named_in_a_field_is_not_named() {
        let mut odd = caller("ada", &[]);
        odd.identity.name = "Ada\r\nBailiwick-User: root".into();
        assert!(telling(Names::Told).of(&Asker::from(odd)).is_none());
        assert!(telling(Names::Told).of(&Asker::from(caller("ada", &[" a"]))).is_none());
        assert!(telling(Names::Told).of(&Asker::from(caller("ada", &["é"]))).is_some());
    }
}
