//! Where a person goes once they have signed in or proven themselves again.
//!
//! INVARIANT: kept on the server, in the session, and never taken from an address; always a page of the portal's or a
//! configured app with a canonical path, so that no text from outside can name another host. An attacker controls the
//! parameters of the hand-over and of step-up.

use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use url::form_urlencoded;

use super::PortalFault;
use crate::{
    config::Settings,
    model::{AppName, CanonicalPath},
};

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "kebab-case")]
pub enum Destination {
    /// A page of the portal's own.
    Page {
        /// Which.
        page: Page,
    },
    /// A place in the audit log: somebody passed on a link to it.
    Audit {
        /// One entry.
        entry: Option<u64>,
        /// What is looked for, otherwise.
        filters: Vec<(String, String)>,
    },
    /// The hand-over to an app, which asked for it under a nonce.
    Handover {
        /// The app.
        app: AppName,
        /// SHA-256 of the nonce in the browser's cookie for the app's host, in hex.
        nonce: String,
        /// Where in the app.
        back: AppPath,
    },
    /// An app that the person already has a session with.
    App {
        /// The app.
        app: AppName,
        /// Where in it.
        back: AppPath,
    },
    /// The page that lets the command line in; what it asked is kept beside.
    CommandLine,
}

/// The portal's pages that a person may be on the way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Page {
    /// One's own page.
    Home,
    /// Everybody's logins.
    Sessions,
    /// The audit log.
    Audit,
    /// The state of the rules.
    Policy,
}

/// A place in an app: a canonical path, and a query that is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppPath(String);

impl Destination {
    /// The page of this address, if a person may be sent there.
    pub fn page(address: &str) -> Option<Self> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        if let Some(entry) = path.strip_prefix(ENTRY).filter(|entry| !entry.starts_with('+')) {
            return entry.parse().ok().map(|entry| Self::Audit { entry: Some(entry), filters: Vec::new() });
        }
        if path == Page::Audit.path() && !query.is_empty() && query.len() <= LONGEST_QUERY {
            let filters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            // A session cannot hold it, because Postgres has no NUL in JSON; the page itself is still there to go to.
            let is_kept = filters.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0'));
            let page = Self::Page { page: Page::Audit };
            return Some(if is_kept { Self::Audit { entry: None, filters } } else { page });
        }
        let found = Page::ALL.into_iter().find(|page| page.path() == path);
        found.map(|page| Self::Page { page })
    }

    /// The address to send the browser to. None: the app is no longer configured.
    pub fn address(&self, settings: &Settings) -> Option<String> {
        match self {
            Self::Page { page } => Some(page.path().to_owned()),
            Self::CommandLine => Some("/command-line".to_owned()),
            Self::Audit { entry, filters } => Some(in_log(*entry, filters)),
            Self::Handover { app, nonce, back } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("app", app.as_str()).append_pair("nonce", nonce).append_pair("return", back.as_str());
                Some(format!("/handover?{}", query.finish()))
            }
            Self::App { app, back } => {
                let app = settings.app.iter().find(|known| known.name == *app)?;
                Some(format!("{}{}", app.origin(&settings.portal), back.as_str()))
            }
        }
    }

    /// What the sign-in page calls it; nothing for the portal itself.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Page { page: Page::Home } => None,
            Self::Page { page } => Some(page.words().to_owned()),
            Self::Audit { .. } => Some(Page::Audit.words().to_owned()),
            Self::Handover { app, .. } | Self::App { app, .. } => Some(app.to_string()),
            Self::CommandLine => Some("the command line".to_owned()),
        }
    }

    /// Remembers it in the session, over any other.
    pub async fn remember(&self, session: &Session) -> Result<(), PortalFault> {
        session.insert(KEY, self).await.map_err(PortalFault::failure)
    }

    /// What is remembered.
    pub async fn remembered(session: &Session) -> Option<Self> {
        session.get(KEY).await.ok().flatten()
    }

    /// What is remembered, which is then forgotten; home if nothing is.
    pub async fn take(session: &Session) -> Result<Self, PortalFault> {
        let found = session.remove(KEY).await.map_err(PortalFault::failure)?;
        Ok(found.unwrap_or(Self::Page { page: Page::Home }))
    }
}

impl Page {
    const ALL: [Self; 4] = [Self::Home, Self::Sessions, Self::Audit, Self::Policy];

    const fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Sessions => "/sessions",
            Self::Audit => "/audit",
            Self::Policy => "/policy",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Home => "the portal",
            Self::Sessions => "sessions",
            Self::Audit => "the audit log",
            Self::Policy => "the rules",
        }
    }
}

impl AppPath {
    /// The front page of an app.
    pub fn front() -> Self {
        Self("/".to_owned())
    }

    /// `path?query` as an app's host gave it; the front page if it is anything else.
    pub fn parse_or_front(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(Self::front)
    }

    fn parse(text: &str) -> Option<Self> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        CanonicalPath::parse(path).ok()?;
        let sound = text.len() <= LONGEST && query.is_none_or(|query| query.bytes().all(may_stand_in_query));
        sound.then(|| Self(text.to_owned()))
    }

    /// As text, beginning with one slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppPath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a place in an app")
    }
}

impl From<AppPath> for String {
    fn from(path: AppPath) -> Self {
        path.0
    }
}

/// RFC 3986, section 3.4, and what browsers leave unescaped there (WHATWG URL, query percent-encode set).
fn may_stand_in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]{}|^`".contains(&byte)
}

const KEY: &str = "destination";
const LONGEST: usize = 8192;

/// Put together anew, so that nothing but a place in the log comes out.
fn in_log(entry: Option<u64>, filters: &[(String, String)]) -> String {
    match entry {
        Some(entry) => format!("{ENTRY}{entry}"),
        None => {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
            format!("{}?{query}", Page::Audit.path())
        }
    }
}

/// One entry of the audit log.
const ENTRY: &str = "/audit/entries/";

/// A session is no place for more.
const LONGEST_QUERY: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_an_app_is_a_canonical_path_with_a_query() {
        for good in ["/", "/docs/a", "/search?q=a%20b&x=1", "/a?next=https://b/", "/a?[x]={y}"] {
            assert_eq!(AppPath::parse_or_front(good).as_str(), good);
        }
    }

    #[test]
    fn no_text_leads_to_another_host() {
        let hostile = [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "/%2f/evil.example",
            "/%5cevil.example",
            "/..//evil.example",
            "/.//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "@evil.example",
            ".evil.example",
            "%2f%2fevil.example",
            "/a\r\nLocation: https://evil.example",
            "/a?b\r\nSet-Cookie: x",
            "/a?b#c",
            "/〱evil.example",
            "",
        ];
        let portal = url::Url::parse("https://wiki.example.com").unwrap();
        for text in hostile {
            let place = AppPath::parse_or_front(text);
            assert_eq!(place.as_str(), "/", "{text:?}");
            let whole = format!("https://wiki.example.com{}", place.as_str());
            assert_eq!(url::Url::parse(&whole).unwrap().origin(), portal.origin());
        }
    }

    #[test]
    fn a_place_that_was_kept_is_checked_again() {
        assert!(serde_json::from_str::<AppPath>("\"//evil.example\"").is_err());
        assert!(serde_json::from_str::<AppPath>("\"/a?b=c\"").is_ok());
    }

    #[test]
    fn only_the_portals_own_pages_are_pages() {
        assert!(Destination::page("/audit").is_some() && Destination::page("/").is_some());
        let place = |text: &str| match Destination::page(text) {
            Some(Destination::Audit { entry, filters }) => Some(in_log(entry, &filters)),
            _ => None,
        };
        assert_eq!(place("/audit?who=corp/ada&text=a b").as_deref(), Some("/audit?who=corp%2Fada&text=a+b"));
        assert_eq!(place("/audit/entries/7?x").as_deref(), Some("/audit/entries/7"));
        for absurd in ["/audit?text=%00", "/audit?text=a%00b&who=x", "/audit?%00=a"] {
            assert_eq!(Destination::page(absurd), Some(Destination::Page { page: Page::Audit }), "{absurd}");
        }
        for other in
            ["/audit/entries/x", "/audit/entries//evil", "/sign-out", "//evil", "/audit/", "/static/portal.css", ""]
        {
            assert_eq!(Destination::page(other), None, "{other}");
        }
    }
}
