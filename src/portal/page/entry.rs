//! One entry of the audit log in full: what was recorded, why it was decided so, how it is proven, and what belongs to it.

use askama::Template;

use super::{EntryLine, Frame, audit::beginning};

/// An entry in full.
#[derive(Template)]
#[template(path = "entry.html")]
pub struct EntryPage {
    /// The frame.
    pub frame: Frame,
    /// The entry as a line.
    pub line: EntryLine,
    /// The day and time it was recorded, in words.
    pub recorded: String,
    /// The rest, a term each.
    pub facts: Vec<Fact>,
    /// Why it was decided so, for a decision.
    pub why: Option<WhyWords>,
    /// How it is proven.
    pub proof: ProofWords,
    /// What belongs to the same request or stream, this entry among it.
    pub kin: Vec<EntryLine>,
    /// How many of those were left out, in words.
    pub left_out: Option<String>,
    /// Ways on: label and address.
    pub ways: Vec<(&'static str, String)>,
    /// The address of the entry before it.
    pub earlier: Option<String>,
    /// The address of the entry after it.
    pub later: Option<String>,
    /// The leaf bytes after the version byte, which are canonical JSON.
    pub leaf: String,
    /// Addresses of evidence that can be taken away, for those who may: label and address.
    pub evidence: Vec<(&'static str, String)>,
    /// Whether the texts of rules are left out of it, for those who may not read them.
    pub without_texts: bool,
}

/// A term and what it is.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The term.
    pub term: &'static str,
    /// What it is.
    pub value: String,
    /// Whether it is an id or other text to be read letter by letter.
    pub code: bool,
    /// The address of the log with only this.
    pub href: Option<String>,
}

impl Fact {
    /// How it begins, if it is long.
    pub fn beginning(&self) -> Option<String> {
        beginning(&self.value)
    }
}

/// A decision explained.
pub struct WhyWords {
    /// The verdict, in a sentence.
    pub sentence: String,
    /// What a fresh passkey would have changed.
    pub fresh: Option<String>,
    /// What is wrong with their stored text.
    pub alarm: Option<String>,
    /// The rules that decided, with their text as it was in force.
    pub rules: Vec<RuleWords>,
    /// What stands in the place of a text that is not shown.
    pub unshown: &'static str,
    /// What went wrong when rules were evaluated.
    pub errors: Vec<String>,
    /// What the rules could read.
    pub context: Vec<Fact>,
}

/// A rule.
pub struct RuleWords {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// The file that it stood in.
    pub file: String,
    /// Its text; none when it is not known here.
    pub text: Option<String>,
    /// The address of the log with only its decisions.
    pub href: String,
}

/// How an entry is proven.
#[derive(Default)]
pub struct ProofWords {
    /// In a word or two.
    pub badge: &'static str,
    /// `yes`, `no` or `maybe`.
    pub tone: &'static str,
    /// In a sentence.
    pub sentence: String,
    /// The checkpoint, the key, the hash of the leaf.
    pub facts: Vec<Fact>,
    /// The inclusion proof's hashes, from the leaf's sibling up.
    pub path: Vec<String>,
    /// The signed note.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{audit::tests::line, look_at},
        *,
    };

    fn fact(term: &'static str, value: &str, code: bool) -> Fact {
        Fact { term, value: value.to_owned(), code, href: code.then(|| format!("/audit?x={value}")) }
    }

    fn page() -> EntryPage {
        let values = [("who", "corp/mallory"), ("where", "prod/payments"), ("address", "192.0.2.7")];
        let this = EntryLine { current: true, ..line("deny", "no", "delete pods web-7c9f in prod/payments", &values) };
        EntryPage {
            frame: Frame::sample("/audit"),
            recorded: "21 Nov 2026, 23:15:25".to_owned(),
            facts: vec![fact("Leaf", "418", true), fact("Groups", "devs", false), fact("Broker", "4f0c", true)],
            why: Some(WhyWords {
                sentence: "The namespace payments is for the admins group.".to_owned(),
                fresh: Some("A fresh passkey would have changed nothing.".to_owned()),
                alarm: Some("The stored text is another one.".to_owned()),
                rules: vec![RuleWords {
                    id: "payments-is-for-admins".to_owned(),
                    reason: Some("The namespace payments is for the admins group.".to_owned()),
                    file: "30-kubernetes.cedar".to_owned(),
                    text: Some("forbid (\n  principal,\n  action,\n  resource\n)\nunless { <b> };".to_owned()),
                    href: "/audit?rule=payments-is-for-admins".to_owned(),
                }],
                unshown: "Its text is not kept here.",
                errors: vec![],
                context: vec![fact("address", "192.0.2.7", true), fact("assurance", "passkey", false)],
            }),
            proof: ProofWords {
                badge: "sealed",
                tone: "yes",
                sentence: "Covered by the checkpoint of 1 419 entries.".to_owned(),
                facts: vec![fact("Leaf hash", &"9f2c".repeat(16), true)],
                path: vec!["01ab".repeat(16), "77de".repeat(16)],
                note: Some("auth.example.com/audit\n1419\nAAAA\n\n— auth.example.com/audit BBBB\n".to_owned()),
            },
            kin: vec![line("outcome", "", "403 · 2 ms", &[]), this.clone()],
            line: this,
            left_out: Some("1 entry of this request is left out".to_owned()),
            ways: vec![("Everything of this login", "/audit?login=1".to_owned())],
            earlier: Some("/audit/entries/417".to_owned()),
            later: None,
            leaf: "{\"broker\":\"4f0c…\",\"caller\":{\"acr\":null}}".to_owned(),
            evidence: vec![("Evidence of this entry", "/audit/entries/418/evidence".to_owned())],
            without_texts: false,
        }
    }

    #[test]
    fn an_entry_in_full_explains_itself_and_shows_its_proof() {
        let html = look_at("entry", &page());
        for word in ["payments-is-for-admins", "30-kubernetes.cedar", "sealed", "As recorded", "&#60;b&#62;"] {
            assert!(html.contains(word), "{word} is missing");
        }
        assert!(html.contains("aria-current=\"true\"") && html.contains("rel=\"prev\""));
    }

    #[test]
    fn an_entry_about_a_long_path_is_no_longer_than_another() {
        let path = format!("/{}", "b".repeat(7_000));
        let this = line("deny", "no", &format!("GET wiki{path}"), &[]);
        let leaf = format!("{{\"path\":\"{path}\"}}");
        let whole = EntryPage {
            facts: vec![Fact { href: None, ..fact("Path", &path, true) }],
            kin: vec![this.clone()],
            line: this,
            leaf,
            ..page()
        };
        let html = look_at("entry_long", &whole);
        let unfolded: String = html
            .split("<details class=\"whole\">")
            .map(|part| part.split("</details>").last().unwrap_or_default())
            .collect();
        assert!(html.contains(&path) && !unfolded.contains(&path), "{unfolded}");
    }

    #[test]
    fn an_entry_of_the_last_second_is_not_covered_yet() {
        let proof = ProofWords { badge: "not yet covered", tone: "maybe", ..ProofWords::default() };
        let html = look_at("entry_uncovered", &EntryPage { proof, why: None, kin: vec![], evidence: vec![], ..page() });
        assert!(html.contains("not yet covered") && !html.contains("Why it was decided"));
    }
}
