//! The pages for those who look after others: open logins, the audit log, the state of the rules.

use askama::Template;

use super::{Frame, LoginRow};

/// Everybody's open logins.
#[derive(Template)]
#[template(path = "sessions.html")]
pub struct SessionsPage {
    /// The frame.
    pub frame: Frame,
    /// The logins, most recently used first.
    pub logins: Vec<LoginRow>,
}

/// A page of the audit log, newest first.
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// The frame.
    pub frame: Frame,
    /// The newest signed head.
    pub checkpoint: Option<CheckpointWords>,
    /// What was wrong with the filter.
    pub fault: Option<String>,
    /// What was asked for.
    pub filter: FilterWords,
    /// The entries.
    pub entries: Vec<EntryWords>,
    /// The address of the first page, from any other.
    pub newest: Option<String>,
    /// The address of the next page.
    pub older: Option<String>,
}

/// The newest signed head of the log.
pub struct CheckpointWords {
    /// How many entries it seals.
    pub size: String,
    /// How long ago.
    pub age: String,
}

/// The filter as it was typed.
#[derive(Default)]
pub struct FilterWords {
    /// `provider/subject`.
    pub caller: String,
    /// From this moment.
    pub from: String,
    /// Up to this moment.
    pub until: String,
}

impl FilterWords {
    /// Whether anything was typed.
    pub fn is_set(&self) -> bool {
        !(self.caller.is_empty() && self.from.is_empty() && self.until.is_empty())
    }
}

/// One entry in words, made from its leaf bytes.
pub struct EntryWords {
    /// When it was recorded.
    pub time: String,
    /// The same, exact.
    pub exact: String,
    /// The verdict, or what kind of entry it is.
    pub badge: String,
    /// `yes`, `no`, `maybe` or nothing.
    pub tone: &'static str,
    /// What was asked, or what happened.
    pub asked: String,
    /// Who.
    pub caller: String,
    /// The rest, a term each.
    pub facts: Vec<Fact>,
    /// The leaf bytes after the version byte, which are canonical JSON, set in lines.
    pub leaf: String,
}

/// A term and what it is.
#[derive(Clone)]
pub struct Fact {
    /// The term.
    pub term: &'static str,
    /// What it is.
    pub value: String,
    /// Whether it is an id or other text to be read letter by letter.
    pub code: bool,
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
    /// Hash of the policies.
    pub policies: String,
    /// Hash of the entities.
    pub entities: String,
    /// Hash of the schema.
    pub schema: String,
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

    fn entry(badge: &str, tone: &'static str, asked: &str, caller: &str) -> EntryWords {
        let fact = |term, value: &str, code| Fact { term, value: value.to_owned(), code };
        EntryWords {
            time: "21 Nov 2026, 23:15:25".to_owned(),
            exact: "2026-11-21T23:15:25.123456Z".to_owned(),
            badge: badge.to_owned(),
            tone,
            asked: asked.to_owned(),
            caller: caller.to_owned(),
            facts: vec![
                fact("Leaf", "418", true),
                fact("Because", "no rule allows this", false),
                fact("From", "192.0.2.7", true),
                fact("Request", "0b54ad30-7d3c-4c80-9d0f-3f1f4ac7a0b1", true),
            ],
            leaf: "{\"broker\":\"4f0c…\",\"caller\":{\"acr\":null,\"address\":\"192.0.2.7\"}}".to_owned(),
        }
    }

    fn audit(entries: Vec<EntryWords>, filter: FilterWords) -> AuditPage {
        AuditPage {
            frame: Frame::sample("/audit"),
            checkpoint: Some(CheckpointWords { size: "1 419".to_owned(), age: "a second ago".to_owned() }),
            fault: None,
            filter,
            entries,
            newest: None,
            older: Some("/audit?before=370".to_owned()),
        }
    }

    #[test]
    fn the_audit_log_shows_verdicts_callers_and_the_bytes() {
        let entries = vec![
            entry("allow", "yes", "GET wiki/docs/architecture", "corp/ada"),
            entry("outcome", "", "200 · 18.3 kB sent · 41 ms", ""),
            entry("deny", "no", "delete pods web-7c9f in prod/payments", "corp/mallory"),
            entry("step-up", "maybe", "POST vault/secrets/rotate", "corp/ada"),
            entry("sign-in", "", "passkey asserted", "corp/grace"),
            entry("login ended", "", "ended by an administrator", "corp/grace"),
        ];
        let html = look_at("audit", &audit(entries, FilterWords::default()));
        assert!(html.contains("badge no") && html.contains("As recorded") && html.contains("1 419"));
    }

    #[test]
    fn an_empty_log_and_an_empty_answer_read_differently() {
        assert!(look_at("audit_empty", &audit(vec![], FilterWords::default())).contains("The log is empty"));
        let filter = FilterWords { caller: "corp/nobody".to_owned(), ..FilterWords::default() };
        assert!(look_at("audit_none", &audit(vec![], filter)).contains("No entry matches"));
    }

    #[test]
    fn what_an_attacker_wrote_into_an_entry_is_inert() {
        let html = look_at(
            "audit_hostile",
            &audit(vec![entry("deny", "no", "<script>x</script>", "a")], FilterWords::default()),
        );
        assert!(!html.contains("<script>x"));
    }

    #[test]
    fn a_fault_in_the_rules_is_shown_with_its_line() {
        let page = |faults| PolicyPage {
            frame: Frame::sample("/policy"),
            rules: "12 rules".to_owned(),
            since: Some("2 minutes ago".to_owned()),
            faults,
            policies: "9f2c".repeat(16),
            entities: "01ab".repeat(16),
            schema: "77de".repeat(16),
        };
        let fault = PolicyFaultWords {
            message: "unexpected token `permitt`".to_owned(),
            place: Some("wiki.cedar:14:1".to_owned()),
        };
        assert!(look_at("policy_fault", &page(vec![fault])).contains("wiki.cedar:14:1"));
        assert!(look_at("policy", &page(vec![])).contains("are the rules in force"));
    }
}
