//! What an app is told of who asks, put into words once for each caller and not for each request.
//!
//! INVARIANT: words are used again for the very same caller only, who is held here for as long as they are kept: one who
//! was looked up again, because anything about them may have changed, is put into words again.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::BytesMut;
use http::HeaderName;

use super::{forward::field, headers::Ours};
use crate::{
    audit::Asker,
    model::{Caller, LoginId},
};

/// The words for those who asked lately.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<LoginId, (Asker, Arc<Ours>)>>);

const MOST: usize = 4096;

const USER: HeaderName = HeaderName::from_static("bailiwick-user");
const NAME: HeaderName = HeaderName::from_static("bailiwick-name");
const GROUPS: HeaderName = HeaderName::from_static("bailiwick-groups");

impl Told {
    /// The fields that tell of `asker`. None if that cannot be said in header fields.
    pub(super) fn of(&self, asker: &Asker) -> Option<Arc<Ours>> {
        let caller: &Caller = asker;
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, words)) = told.get(&caller.login)
            && std::ptr::eq::<Caller>(&**held, caller)
        {
            return Some(Arc::clone(words));
        }
        let words = Arc::new(words(caller)?);
        if told.len() >= MOST {
            told.clear();
        }
        told.insert(caller.login, (asker.clone(), Arc::clone(&words)));
        Some(words)
    }
}

fn words(caller: &Caller) -> Option<Ours> {
    let mut ours = Ours::with_room_for(2 + caller.groups.len());
    // All stand in one piece of memory, which the fields share.
    let mut text = BytesMut::with_capacity(256);
    let mut add = |name: HeaderName, value: std::fmt::Arguments<'_>| {
        text.write_fmt(value).ok()?;
        ours.add(name, field(text.split().freeze())?);
        Some(())
    };
    add(USER, format_args!("{}/{}", caller.identity.provider, caller.identity.subject))?;
    add(NAME, format_args!("{}", caller.identity.name))?;
    for group in &caller.groups {
        add(GROUPS, format_args!("{group}"))?;
    }
    Some(ours)
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderMap;

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

    fn groups(words: &Ours) -> Vec<String> {
        let mut headers = HeaderMap::new();
        words.set_in(&mut headers);
        headers.get_all(GROUPS).iter().map(|group| group.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn words_are_used_again_for_the_very_same_caller_only() {
        let told = Told::default();
        let (before, after) = (Asker::from(caller("ada", &["a", "b"])), Asker::from(caller("ada", &["b"])));
        let first = told.of(&before).unwrap();
        assert!(Arc::ptr_eq(&first, &told.of(&before.clone()).unwrap()));
        assert_eq!(groups(&first), ["a", "b"]);
        assert_eq!(groups(&told.of(&after).unwrap()), ["b"], "the same login, looked up again");
        assert_eq!(groups(&told.of(&before).unwrap()), ["a", "b"]);
    }

    #[test]
    fn who_cannot_be_named_in_a_field_is_not_named() {
        let mut odd = caller("ada", &[]);
        odd.identity.name = "Ada\r\nBailiwick-User: root".into();
        assert!(Told::default().of(&Asker::from(odd)).is_none());
        assert!(Told::default().of(&Asker::from(caller("ada", &[" a"]))).is_none());
        assert!(Told::default().of(&Asker::from(caller("ada", &["é"]))).is_some());
    }
}
