//! The pages for those who look after others: open logins and the rules.

use askama::Template;

use super::{Frame, LoginRow, RuleWords};

/// Everybody's open logins.
#[derive(Template)]
#[template(path = "sessions.html")]
pub struct SessionsPage {
    /// The frame.
    pub frame: Frame,
    /// The logins, most recently used first.
    pub logins: Vec<LoginRow>,
}

/// Which rules are in force, and what is wrong with newer ones.
#[derive(Template)]
#[template(path = "policy.html")]
pub struct PolicyPage {
    /// The frame.
    pub frame: Frame,
    /// How many, in words.
    pub rules: String,
    /// Since when newer ones are not taken, in words.
    pub since: Option<String>,
    /// What is wrong with the rules that were not taken.
    pub faults: Vec<PolicyFaultWords>,
    /// The rules, by file.
    pub files: Vec<RuleFile>,
    /// Hash of the policies.
    pub policies: String,
    /// Hash of the entities.
    pub entities: String,
    /// Hash of the schema.
    pub schema: String,
}

/// The rules of one file.
pub struct RuleFile {
    /// Its name.
    pub name: String,
    /// The rules, in its order.
    pub rules: Vec<RuleWords>,
}

/// One thing that is wrong with the rules.
pub struct PolicyFaultWords {
    /// What.
    pub message: String,
    /// File, line and column.
    pub place: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{home::login_row, look_at},
        *,
    };

    #[test]
    fn sessions_can_each_be_ended() {
        let logins = vec![login_row("Firefox on Linux", false, true), login_row("Safari on iPhone", true, false)];
        let html = look_at("sessions", &SessionsPage { frame: Frame::sample("/sessions"), logins });
        assert_eq!(html.matches("/end\"").count(), 2);
        let nobody = SessionsPage { frame: Frame::sample("/sessions"), logins: vec![] };
        assert!(look_at("sessions_empty", &nobody).contains("Nobody is signed in"));
    }

    fn rule() -> RuleWords {
        RuleWords {
            id: "admin-pages-are-for-admins".to_owned(),
            reason: Some("The admin pages are for the admins group.".to_owned()),
            file: String::new(),
            text: Some("@id(\"admin-pages-are-for-admins\")\nforbid (principal, action, resource);".to_owned()),
            href: "/audit?rule=admin-pages-are-for-admins".to_owned(),
        }
    }

    #[test]
    fn a_fault_in_the_rules_is_shown_with_its_line() {
        let page = |faults| PolicyPage {
            frame: Frame::sample("/policy"),
            rules: "12 rules".to_owned(),
            since: Some("2 minutes ago".to_owned()),
            faults,
            files: vec![RuleFile { name: "10-portal.cedar".to_owned(), rules: vec![rule()] }],
            policies: "9f2c".repeat(16),
            entities: "01ab".repeat(16),
            schema: "77de".repeat(16),
        };
        let fault = PolicyFaultWords {
            message: "unexpected token `permitt`".to_owned(),
            place: Some("wiki.cedar:14:1".to_owned()),
        };
        assert!(look_at("policy_fault", &page(vec![fault])).contains("wiki.cedar:14:1"));
        let html = look_at("policy", &page(vec![]));
        assert!(html.contains("are the rules in force") && html.contains("forbid (principal"));
    }
}
