//! The pages of those who review: the log as a timeline with its filters and its chart. Every value that can be looked
//! for is a link that looks for it; what an attacker wrote is text.

use askama::Template;

use super::{Chart, Frame};

/// A page of the audit log, newest first.
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// The frame.
    pub frame: Frame,
    /// The newest signed head.
    pub checkpoint: Option<CheckpointWords>,
    /// What was asked for.
    pub filter: FilterForm,
    /// How many entries match, in words that say whether that is exact.
    pub count: Option<String>,
    /// What happened when.
    pub chart: Option<Chart>,
    /// Spans of time to look at: the newest hour, day, week, all.
    pub spans: Vec<Choice>,
    /// For those who may read a part of it: filters for the places that they may read about.
    pub places: Vec<SavedWords>,
    /// The entries, by day.
    pub days: Vec<DayWords>,
    /// What stands in their place when there are none.
    pub nothing: Option<NothingWords>,
    /// How many entries were left out, in words.
    pub left_out: Option<String>,
    /// What must be there and cannot be shown, a sentence for each kind.
    pub losses: Vec<String>,
    /// What is still missing, if the index is behind.
    pub behind: Option<String>,
    /// The address of the first page, from any other.
    pub newest: Option<String>,
    /// The address of the next page.
    pub older: Option<String>,
    /// One's saved searches.
    pub saved: Vec<SavedWords>,
    /// The search that could be saved, as in an address; none when nothing is looked for.
    pub to_save: Option<String>,
    /// Addresses of exports, for those who may: the format and the address.
    pub exports: Vec<Choice>,
    /// The manifests of one's own newest exports: label and address.
    pub manifests: Vec<(String, String)>,
}

/// The newest signed head of the log.
pub struct CheckpointWords {
    /// How many entries it seals, in words.
    pub size: String,
    /// How long ago.
    pub age: String,
}

/// One of several, the chosen one marked.
pub struct Choice {
    /// In a word or two.
    pub label: &'static str,
    /// Where it leads.
    pub href: String,
    /// Whether it is the one shown.
    pub current: bool,
}

/// The form, as it was filled in.
#[derive(Default)]
pub struct FilterForm {
    /// Free text.
    pub text: Field,
    /// Everything else, in the order of the form.
    pub fields: Vec<Field>,
    /// Whether it is opened: something in it is wrong.
    pub open: bool,
    /// The filters that are set.
    pub chips: Vec<Chip>,
    /// What was wrong with no field in particular.
    pub faults: Vec<String>,
}

/// One field of the form.
#[derive(Clone, Default)]
pub struct Field {
    /// Its name in the address.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What to write into it.
    pub hint: &'static str,
    /// What was written.
    pub value: String,
    /// `text` or `datetime-local`.
    pub kind: &'static str,
    /// What can be chosen; empty for a field that is written into.
    pub choices: Vec<&'static str>,
    /// What is wrong with it.
    pub mistake: Option<String>,
}

/// A filter that is set.
pub struct Chip {
    /// The field.
    pub name: &'static str,
    /// What is looked for.
    pub value: String,
    /// The address without it.
    pub without: String,
}

/// The entries of one day.
pub struct DayWords {
    /// `21 Nov 2026`
    pub day: String,
    /// The entries, newest first.
    pub entries: Vec<EntryLine>,
}

/// An entry as a line of the timeline.
#[derive(Clone)]
pub struct EntryLine {
    /// The address of the entry in full.
    pub href: String,
    /// The leaf index.
    pub leaf: String,
    /// The time of day.
    pub time: String,
    /// The instant, exact.
    pub exact: String,
    /// The verdict, or what kind of entry it is.
    pub badge: String,
    /// `yes`, `no`, `maybe` or nothing.
    pub tone: &'static str,
    /// What was asked, or what happened.
    pub asked: String,
    /// What the request had asked for, of what came of it.
    pub of: Option<String>,
    /// Who, where, by which rule, from where.
    pub values: Vec<Value>,
    /// Whether it is the entry of the page that it is shown on.
    pub current: bool,
}

impl EntryLine {
    /// How what was asked begins, if it is long.
    pub fn beginning(&self) -> Option<String> {
        beginning(&self.asked)
    }

    /// How the request that this came of begins, if it is long.
    pub fn beginning_of(&self) -> Option<String> {
        self.of.as_deref().and_then(beginning)
    }
}

/// How a text begins that would bury what stands around it. Peers write paths of thousands of characters.
pub(super) fn beginning(text: &str) -> Option<String> {
    (text.chars().count() > ROOM).then(|| text.chars().take(SHOWN).chain(['…']).collect())
}

/// In characters: what stands in full, and how much of what does not.
const ROOM: usize = 240;
const SHOWN: usize = 180;

/// A value that can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is: who, app, rule.
    pub term: &'static str,
    /// The value.
    pub text: String,
    /// The address of the log with only this value.
    pub href: Option<String>,
}

/// What stands where entries would.
pub struct NothingWords {
    /// In a few words.
    pub title: &'static str,
    /// What could be done.
    pub hint: String,
    /// A way on: label and address.
    pub link: Option<(&'static str, String)>,
}

/// A saved search.
pub struct SavedWords {
    /// Its name.
    pub name: String,
    /// Its address.
    pub href: String,
    /// Whether it is the one shown.
    pub current: bool,
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{chart, look_at},
        *,
    };

    pub fn line(badge: &str, tone: &'static str, asked: &str, values: &[(&'static str, &str)]) -> EntryLine {
        let value = |(term, text): &(&'static str, &str)| Value {
            term,
            text: (*text).to_owned(),
            href: Some(format!("/audit?{term}={text}")),
        };
        EntryLine {
            href: "/audit/entries/418".to_owned(),
            leaf: "418".to_owned(),
            time: "23:15:25".to_owned(),
            exact: "2026-11-21T23:15:25.123456Z".to_owned(),
            badge: badge.to_owned(),
            tone,
            asked: asked.to_owned(),
            of: (badge == "outcome").then(|| "GET wiki/docs/architecture".to_owned()),
            values: values.iter().map(value).collect(),
            current: false,
        }
    }

    fn field(name: &'static str, label: &'static str, hint: &'static str) -> Field {
        Field { name, label, hint, kind: "text", ..Field::default() }
    }

    fn form() -> FilterForm {
        FilterForm {
            text: field("text", "Text", "words that all occur"),
            fields: vec![
                field("who", "Who", "corp/ada"),
                field("what", "What", "list pods"),
                field("where", "Where", "wiki/docs"),
                Field { choices: vec!["allow", "deny", "step-up"], ..field("verdict", "Verdict", "") },
                field("rule", "Rule", ""),
                Field { kind: "datetime-local", ..field("from", "From", "UTC") },
            ],
            ..FilterForm::default()
        }
    }

    pub fn page() -> AuditPage {
        let choice = |label, current| Choice { label, href: format!("/audit?{label}"), current };
        AuditPage {
            frame: Frame::sample("/audit"),
            checkpoint: Some(CheckpointWords { size: "1 419 entries".to_owned(), age: "a second ago".to_owned() }),
            filter: form(),
            count: Some("about 12 000 entries".to_owned()),
            chart: Some(chart::tests::sample()),
            places: vec![SavedWords { name: "wiki".to_owned(), href: "/audit?where=wiki".to_owned(), current: false }],
            spans: vec![choice("Hour", false), choice("Day", true), choice("All", false)],
            days: vec![DayWords { day: "21 Nov 2026".to_owned(), entries: lines() }],
            nothing: None,
            left_out: None,
            losses: vec!["entry 21 is missing from the database; its hash is still in the log".to_owned()],
            behind: None,
            newest: None,
            older: Some("/audit?before=370".to_owned()),
            saved: vec![SavedWords {
                name: "denials".to_owned(),
                href: "/audit?verdict=deny".to_owned(),
                current: true,
            }],
            to_save: Some("verdict=deny".to_owned()),
            exports: vec![choice("CSV", false), choice("NDJSON", false)],
            manifests: vec![("audit-0197.csv, 2 minutes ago".to_owned(), "/audit/manifests/00ff".to_owned())],
        }
    }

    fn lines() -> Vec<EntryLine> {
        let ada =
            [("who", "corp/ada"), ("where", "wiki"), ("rule", "developers-read-the-wiki"), ("address", "192.0.2.7")];
        vec![
            line("outcome", "", "200 · 18.3 kB sent · 41 ms", &ada[..2]),
            line("allow", "yes", "GET wiki/docs/architecture", &ada),
            line("deny", "no", "delete pods web-7c9f in prod/payments", &[("who", "corp/mallory"), ("where", "prod")]),
            line("step-up", "maybe", "POST vault/secrets/rotate", &ada),
            line("sign-in", "", "passkey asserted", &[("who", "corp/grace")]),
        ]
    }

    #[test]
    fn the_audit_log_shows_verdicts_values_that_filter_and_its_seal() {
        let html = look_at("audit", &page());
        assert!(html.contains("badge no") && html.contains("1 419") && html.contains("about 12 000"));
        assert!(html.contains("href=\"/audit?who=corp/ada\"") && html.contains("/audit/entries/418"));
    }

    #[test]
    fn filters_that_are_set_can_be_taken_away_one_by_one() {
        let chip = |name, value: &str| Chip { name, value: value.to_owned(), without: "/audit?rest=1".to_owned() };
        let filter = FilterForm { chips: vec![chip("verdict", "deny"), chip("who", "corp/ada")], ..form() };
        let html = look_at("audit_filtered", &AuditPage { filter, ..page() });
        assert_eq!(html.matches("class=\"chip\"").count(), 2);
    }

    #[test]
    fn a_mistake_stands_beside_its_field_and_what_was_typed_stays() {
        let mut filter = form();
        filter.open = true;
        filter.faults = vec!["colour: is no field".to_owned()];
        filter.fields[5].mistake = Some("is an instant in UTC, as 2026-11-21T23:15".to_owned());
        filter.fields[5].value = "yesterday".to_owned();
        filter.fields[5].kind = "text";
        let nothing = NothingWords { title: "Nothing was looked for", hint: "Mend it.".to_owned(), link: None };
        let page = AuditPage { filter, days: vec![], nothing: Some(nothing), chart: None, count: None, ..page() };
        let html = look_at("audit_mistake", &page);
        assert!(html.contains("value=\"yesterday\"") && html.contains("aria-invalid=\"true\""));
        assert!(html.contains("colour: is no field") && html.contains("open>"));
    }

    #[test]
    fn an_empty_log_and_an_empty_answer_read_differently() {
        let with = |title, link: Option<(&'static str, String)>| AuditPage {
            days: vec![],
            nothing: Some(NothingWords { title, hint: "Take a filter away.".to_owned(), link }),
            left_out: Some("12 entries were left out".to_owned()),
            ..page()
        };
        assert!(look_at("audit_empty", &with("The log is empty", None)).contains("The log is empty"));
        let all = Some(("Show all of them", "/audit".to_owned()));
        let html = look_at("audit_none", &with("No entry matches", all));
        assert!(html.contains("No entry matches") && html.contains("12 entries were left out"));
    }

    #[test]
    fn a_long_path_is_there_and_buries_nothing() {
        let path = format!("GET wiki/{}", "b".repeat(7_000));
        let entries = vec![line("deny", "no", &path, &[("who", "corp/ada")])];
        let days = vec![DayWords { day: "today".to_owned(), entries }];
        let html = look_at("audit_long", &AuditPage { days, ..page() });
        let folded = html.split("<details class=\"whole\">").nth(1).and_then(|rest| rest.split("</details>").next());
        assert!(folded.unwrap().contains(&path));
        assert_eq!(html.matches(&path).count(), 1);
        assert!(html.contains(&format!("{}…", &path[..180])));
    }

    #[test]
    fn what_an_attacker_wrote_into_an_entry_is_inert() {
        let entries = vec![line("deny", "no", "<script>x</script>", &[("who", "\"><img src=x onerror=y>")])];
        let saved = vec![SavedWords { name: "<b>".to_owned(), href: "/audit".to_owned(), current: false }];
        let days = vec![DayWords { day: "today".to_owned(), entries }];
        let html = look_at("audit_hostile", &AuditPage { days, saved, ..page() });
        assert!(!html.contains("<script>x") && !html.contains("<img src=x") && !html.contains("<b>"));
    }
}
