//! What stands in the address of the log's page: filters and a cursor, read, written back with one of them changed, and
//! shown as a form that loses nothing of what was typed. An attacker may have written any of it into a link.

use url::form_urlencoded;

use crate::{
    audit::search::{Mistake, Search, Verdict, decoded},
    model::Timestamp,
    portal::{
        entry_words::visible,
        page::{Chip, Field, FilterForm},
    },
};

/// See the head of this file.
pub struct Asked {
    /// What is looked for, or what is wrong with it.
    pub search: Result<Search, Vec<Mistake>>,
    /// Only entries before this leaf.
    pub before: Option<u64>,
    /// What was typed, without what was left empty and white space around it.
    typed: Vec<(String, String)>,
    /// Whether something was left empty, as a form sends it.
    is_long: bool,
}

/// Addresses of the log's page: the filters that are set, and one of them different.
#[derive(Clone, Debug, Default)]
pub struct Links {
    pairs: Vec<(String, String)>,
}

impl Asked {
    /// Reads the query of an address.
    pub fn read(query: Option<&str>) -> Self {
        let query = query.unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let pairs: Vec<(String, String)> =
            pairs.map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect();
        let is_long = pairs.iter().any(|(_, value)| value.is_empty());
        let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let (cursor, typed): (Vec<_>, Vec<_>) = filled.partition(|(name, _)| name == CURSOR);
        let search = Search::from_pairs(typed.iter().map(|(name, value)| (name, value)));
        let mut search = decoded(query).and(search);
        let before = cursor.first().and_then(|(_, value)| value.parse().ok());
        if cursor.len() > 1 || (before.is_none() && !cursor.is_empty()) {
            let problem = "is the number of an entry, once".to_owned();
            let mut mistakes = search.err().unwrap_or_default();
            mistakes.push(Mistake { field: CURSOR.to_owned(), problem });
            search = Err(mistakes);
        }
        Self { search, before, typed, is_long }
    }

    /// The same without what a form leaves empty, if there is any: an address that can be passed on.
    pub fn shorter(&self) -> Option<String> {
        let kept = Links { pairs: self.typed.clone() };
        self.is_long.then(|| kept.before(self.before))
    }

    /// What the log says was looked for; nothing for all of it.
    pub fn recorded(&self) -> Option<String> {
        let text = match &self.search {
            Ok(search) => Links::of(search).query(self.before.map(|before| (CURSOR, before.to_string()))),
            Err(_) => self.links().query(None),
        };
        let text: String = text.chars().take(LONGEST).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Whether anything is looked for.
    pub fn is_filtered(&self) -> bool {
        !self.typed.is_empty()
    }

    /// Addresses with these filters.
    pub fn links(&self) -> Links {
        match &self.search {
            Ok(search) => Links::of(search),
            Err(_) => Links { pairs: self.typed.clone() },
        }
    }

    /// The form as it was filled in, with what is wrong beside each field.
    pub fn form(&self) -> FilterForm {
        let field = |(name, label, hint): &(&'static str, &'static str, &'static str)| self.field(name, label, hint);
        let stray = |mistake: &&Mistake| !Search::FIELDS.contains(&mistake.field.as_str());
        let links = self.links();
        let chip =
            |(name, value): (&'static str, String)| Chip { name, value: visible(&value), without: links.without(name) };
        FilterForm {
            text: self.field("text", "Words", "words that all occur"),
            fields: FIELDS.iter().map(field).collect(),
            open: self.mistakes().iter().any(|mistake| mistake.field != "text"),
            chips: self.search.iter().flat_map(Search::pairs).map(chip).collect(),
            faults: self.mistakes().iter().filter(stray).map(|mistake| visible(&mistake.to_string())).collect(),
        }
    }

    fn mistakes(&self) -> &[Mistake] {
        self.search.as_ref().err().map(Vec::as_slice).unwrap_or_default()
    }

    fn field(&self, name: &'static str, label: &'static str, hint: &'static str) -> Field {
        let mistake = self.mistakes().iter().find(|mistake| mistake.field == name);
        let mistake = mistake.map(|mistake| mistake.problem.clone());
        let typed = self.typed.iter().find(|(typed, _)| typed == name).map(|(_, value)| visible(value));
        // A browser's picker would throw away what is no time, and what is finer than a second; a field for text keeps
        // the one to be mended, and the other as it is.
        let at = self.time(name);
        let is_picked = matches!(name, "from" | "until") && mistake.is_none() && at.is_none_or(is_whole);
        let (kind, shown) = if is_picked { ("datetime-local", at.map(picker)) } else { ("text", at.map(exact)) };
        let value = shown.or(typed).unwrap_or_default();
        let is_choice = name == "verdict" && mistake.is_none();
        let choices = if is_choice { Verdict::ALL.map(Verdict::as_str).to_vec() } else { Vec::new() };
        Field { name, label, hint, value, kind, choices, mistake }
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        let search = self.search.as_ref().ok()?;
        match name {
            "from" => search.from,
            "until" => search.until,
            _ => None,
        }
    }
}

impl Links {
    /// With the filters of `search`.
    pub fn of(search: &Search) -> Self {
        Self { pairs: search.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }

    /// The first page with `value` looked for as well.
    pub fn with(&self, name: &str, value: &str) -> String {
        self.changed(&[(name, Some(value))])
    }

    /// The first page without the filter.
    pub fn without(&self, name: &str) -> String {
        self.changed(&[(name, None)])
    }

    /// The first page within these times; either may be open.
    pub fn within(&self, from: Option<Timestamp>, until: Option<Timestamp>) -> String {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let (from, until) = (text(from), text(until));
        self.changed(&[("from", from.as_deref()), ("until", until.as_deref())])
    }

    /// The page before `leaf`; none is the first.
    pub fn before(&self, leaf: Option<u64>) -> String {
        address(&self.query(leaf.map(|leaf| (CURSOR, leaf.to_string()))))
    }

    /// The filters as a query, with one thing more.
    pub fn query(&self, more: Option<(&str, String)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs).extend_pairs(more).finish()
    }

    fn changed(&self, changes: &[(&str, Option<&str>)]) -> String {
        let stays = |name: &str| changes.iter().all(|(other, _)| *other != name);
        let kept = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let added = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let mut pairs: Vec<(&str, &str)> = kept.filter(|(name, _)| stays(name)).chain(added).collect();
        pairs.sort_by_key(|(name, _)| Search::FIELDS.iter().position(|field| field == name));
        address(&form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    }
}

fn address(query: &str) -> String {
    if query.is_empty() { "/audit".to_owned() } else { format!("/audit?{query}") }
}

fn exact(at: Timestamp) -> String {
    at.to_string()
}

/// Whether it is the beginning of a second.
const fn is_whole(at: Timestamp) -> bool {
    at.micros() % 1_000_000 == 0
}

/// As an `<input type="datetime-local">` wants it.
fn picker(at: Timestamp) -> String {
    at.to_string().split(['.', 'Z']).next().unwrap_or_default().to_owned()
}

/// Where the next page begins.
const CURSOR: &str = "before";

/// Characters of a search that an entry holds at most.
const LONGEST: usize = 4_000;

/// The form, after the field for words: name, label, hint.
const FIELDS: [(&str, &str, &str); 11] = [
    ("who", "Who", "corp/ada, or a name"),
    ("what", "What", "list pods, sign-in, 404"),
    ("where", "Where", "wiki/docs, prod/default"),
    ("verdict", "Verdict", ""),
    ("from", "From", "UTC"),
    ("until", "Until", "UTC"),
    ("rule", "Rule", "its id"),
    ("address", "Address", "192.0.2.0/24"),
    ("request", "Request", "its id"),
    ("login", "Login", "its id"),
    ("credential", "Credential", "its id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_added_changed_and_taken_away_and_the_rest_stays() {
        let asked = Asked::read(Some("verdict=deny&who=corp%2Fada+b&before=370"));
        assert_eq!(asked.links().with("rule", "a&b"), "/audit?who=corp%2Fada+b&verdict=deny&rule=a%26b");
        assert_eq!(asked.links().with("verdict", "allow"), "/audit?who=corp%2Fada+b&verdict=allow");
        assert_eq!(asked.links().without("who"), "/audit?verdict=deny");
        assert_eq!(asked.links().before(Some(7)), "/audit?who=corp%2Fada+b&verdict=deny&before=7");
        assert_eq!(asked.recorded().as_deref(), Some("who=corp%2Fada+b&verdict=deny&before=370"));
        let chips: Vec<_> = asked.form().chips.into_iter().map(|chip| (chip.name, chip.without)).collect();
        assert_eq!(chips[0], ("who", "/audit?verdict=deny".to_owned()));
        assert_eq!(chips.len(), 2);
    }

    #[test]
    fn everything_is_all_of_the_log() {
        let asked = Asked::read(None);
        assert_eq!((asked.links().before(None).as_str(), asked.recorded()), ("/audit", None));
        assert!(!asked.is_filtered() && asked.shorter().is_none());
    }

    #[test]
    fn white_space_around_what_was_typed_is_none_of_it_and_a_bad_escape_is_a_mistake() {
        assert_eq!(Asked::read(Some("rule=+ops&what=%0a")).search.unwrap().to_query(), "rule=ops");
        let form = Asked::read(Some("rule=%zz&who=")).form();
        let rule = form.fields.iter().find(|field| field.name == "rule").unwrap();
        assert!(rule.mistake.as_ref().unwrap().contains("escapes no character"));
    }

    #[test]
    fn what_a_form_leaves_empty_goes_from_the_address() {
        let asked = Asked::read(Some("who=&what=list+pods&verdict=&from="));
        assert_eq!(asked.shorter().as_deref(), Some("/audit?what=list+pods"));
    }

    #[test]
    fn a_mistake_keeps_what_was_typed_and_stands_beside_its_field() {
        let asked = Asked::read(Some("from=yesterday&verdict=maybe&colour=red&who=corp/ada"));
        let form = asked.form();
        let field = |name: &str| form.fields.iter().find(|field| field.name == name).unwrap().clone();
        assert!(form.open);
        assert_eq!((field("from").value.as_str(), field("from").kind), ("yesterday", "text"));
        assert!(field("from").mistake.unwrap().contains("2026-11-21"));
        assert_eq!((field("verdict").value.as_str(), field("verdict").choices.len()), ("maybe", 0));
        assert_eq!(field("who").value, "corp/ada");
        assert!(form.faults.len() == 1 && form.faults[0].starts_with("colour"), "{:?}", form.faults);
        assert!(
            Asked::read(Some("before=x")).search.is_err() && Asked::read(Some("before=1&before=2")).search.is_err()
        );
    }

    #[test]
    fn a_time_is_shown_the_way_that_a_picker_takes_it() {
        let form = Asked::read(Some("from=2026-11-21T23:15")).form();
        let from = form.fields.iter().find(|field| field.name == "from").unwrap();
        assert_eq!((from.value.as_str(), from.kind), ("2026-11-21T23:15:00", "datetime-local"));
    }

    #[test]
    fn a_form_that_nobody_changed_asks_the_same_again() {
        for query in [
            "from=2026-11-22T18:18:10.5Z&until=2026-11-22T18:18:42.9Z",
            "from=2026-11-22T18:18:42.000001Z&until=2026-11-22T18:18:42.99Z",
            "from=2026-11-22T18:18:10%2B01:00&until=2026-11-23&verdict=deny&who=corp/ada&text=a+b",
        ] {
            let asked = Asked::read(Some(query));
            let form = asked.form();
            let fields = form.fields.iter().chain([&form.text]);
            let sent = fields.filter(|field| !field.value.is_empty()).map(|field| (field.name, field.value.as_str()));
            assert_eq!(Search::from_pairs(sent).unwrap(), asked.search.unwrap(), "{query}");
        }
    }
}
