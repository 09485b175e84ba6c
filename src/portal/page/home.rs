//! One's own page: what one may open, what to type, where one is signed in, which passkeys one has.

use askama::Template;

use super::Frame;

/// One's own page.
#[derive(Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// The frame.
    pub frame: Frame,
    /// The person's name.
    pub name: String,
    /// When a passkey was last used, in words.
    pub proven: String,
    /// When the login ends, in words.
    pub ends: String,
    /// Apps that the rules open.
    pub apps: Vec<AppTile>,
    /// What to type once on each computer.
    pub command_line: String,
    /// Clusters.
    pub clusters: Vec<ClusterTile>,
    /// The person's own open logins.
    pub logins: Vec<LoginRow>,
    /// Their passkeys.
    pub passkeys: Vec<PasskeyRow>,
}

/// An app that may be opened.
pub struct AppTile {
    /// Its name.
    pub name: String,
    /// The first letter of it.
    pub letter: String,
    /// Where it is.
    pub url: String,
    /// Its host.
    pub host: String,
}

/// A cluster, and what to type to use it.
pub struct ClusterTile {
    /// Its name.
    pub name: String,
    /// What to type to use it.
    pub command: String,
}

/// An open login.
pub struct LoginRow {
    /// Its id.
    pub id: String,
    /// Whose: their name.
    pub person: String,
    /// Whose: `provider/subject`.
    pub display: String,
    /// The browser or program that signed in.
    pub agent: String,
    /// From where.
    pub address: String,
    /// Since when.
    pub started: String,
    /// The same, exact.
    pub started_exact: String,
    /// When it was last used, in words.
    pub active: String,
    /// Whether the passkey is still missing.
    pub half: bool,
    /// Whether it is the one that asks.
    pub this: bool,
    /// What was issued under it and counts.
    pub credentials: Vec<CredentialRow>,
}

/// A certificate or token.
pub struct CredentialRow {
    /// Its id.
    pub id: String,
    /// What it is, and for what.
    pub what: String,
    /// When it was issued, in words.
    pub issued: String,
    /// When it ends, in words.
    pub ends: String,
}

/// A registered passkey.
pub struct PasskeyRow {
    /// What its owner calls it.
    pub label: String,
    /// When it was registered.
    pub created: String,
    /// When it was last used.
    pub used: Option<String>,
}

#[cfg(test)]
fn credential_row(what: &str) -> CredentialRow {
    CredentialRow {
        id: "5a0d6a3c-53a5-4a7c-8a0c-6f6c1b8f7a11".to_owned(),
        what: what.to_owned(),
        issued: "2 minutes ago".to_owned(),
        ends: "in 8 minutes".to_owned(),
    }
}

#[cfg(test)]
pub(super) fn login_row(agent: &str, half: bool, this: bool) -> LoginRow {
    LoginRow {
        id: "0b54ad30-7d3c-4c80-9d0f-3f1f4ac7a0b1".to_owned(),
        person: "Ada Lovelace".to_owned(),
        display: "corp/ada".to_owned(),
        agent: agent.to_owned(),
        address: "192.0.2.7".to_owned(),
        started: "21 Nov 2026, 22:40 UTC".to_owned(),
        started_exact: "2026-11-21T22:40:00Z".to_owned(),
        active: "2 minutes ago".to_owned(),
        half,
        this,
        credentials: if this {
            vec![credential_row("certificate for prod, only payments, read-only")]
        } else {
            Vec::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{super::look_at, *};

    fn sample() -> HomePage {
        let tile = |name: &str| AppTile {
            name: name.to_owned(),
            letter: name.chars().take(1).collect(),
            url: format!("https://{name}.example.com/"),
            host: format!("{name}.example.com"),
        };
        HomePage {
            frame: Frame::sample("/"),
            name: "Ada Lovelace".to_owned(),
            proven: "2 minutes ago".to_owned(),
            ends: "in 11 hours".to_owned(),
            apps: vec![tile("wiki"), tile("grafana"), tile("billing")],
            command_line: "bailiwick login --portal https://auth.example.com".to_owned(),
            clusters: vec![ClusterTile { name: "prod".to_owned(), command: "bailiwick kube login prod".to_owned() }],
            logins: vec![login_row("Firefox on Linux", false, true), login_row("Safari on iPhone", true, false)],
            passkeys: vec![
                PasskeyRow {
                    label: "Laptop".to_owned(),
                    created: "3 Mar 2026".to_owned(),
                    used: Some("today".to_owned()),
                },
                PasskeyRow {
                    label: "Spare key in the drawer".to_owned(),
                    created: "3 Mar 2026".to_owned(),
                    used: None,
                },
            ],
        }
    }

    #[test]
    fn home_shows_apps_commands_logins_and_passkeys() {
        let html = look_at("home", &sample());
        for word in [
            "wiki.example.com",
            "bailiwick kube login prod",
            "this one",
            "Spare key",
            "aria-current",
            "only payments, read-only",
        ] {
            assert!(html.contains(word), "{word} is missing");
        }
    }

    #[test]
    fn home_of_somebody_who_may_open_nothing_says_so() {
        let bare = HomePage { apps: vec![], clusters: vec![], ..sample() };
        let html = look_at("home_empty", &bare);
        assert!(html.contains("No app is open to you") && html.contains("No cluster"));
    }

    #[test]
    fn a_broken_rule_is_shown_above_the_page() {
        let frame = Frame { banner: Some("The newest rules were not taken.".to_owned()), ..Frame::sample("/") };
        assert!(look_at("home_banner", &HomePage { frame, ..sample() }).contains("See what is wrong"));
    }
}
