//! A search as people write it: in a page's address, on the command line, in a saved search. Reads back what it writes.
//! Refuses what it does not understand, by name, rather than leave a filter out in silence.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};
use url::form_urlencoded;

use super::{terms::indexed_network, words::words};
use crate::model::{CredentialId, LoginId, RequestId, Timestamp};

/// Which entries are looked for: those that meet everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// `provider/subject`, the id of a person, or words of a name: who asked, or whom it was about.
    pub who: Option<String>,
    /// Words for what was done, in any case: a kind (`sign-in`), a method, a verb and resource (`list pods`), a status.
    pub what: Option<String>,
    /// `where`: an app, a cluster, `portal` or `broker`; with whole steps of a path (`wiki/docs`) or a namespace
    /// (`prod/default`).
    pub place: Option<String>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// The id of a rule that decided.
    pub rule: Option<String>,
    /// Where it came from.
    pub address: Option<IpNet>,
    /// What was presented, issued or revoked.
    pub credential: Option<CredentialId>,
    /// The login that it hangs on, or that it ended.
    pub login: Option<LoginId>,
    /// The request that it belongs to.
    pub request: Option<RequestId>,
    /// Recorded at this instant or later.
    pub from: Option<Timestamp>,
    /// Recorded before this instant.
    pub until: Option<Timestamp>,
    /// Words that all occur: in path, groups, rules, reasons, causes.
    pub text: Option<String>,
}

/// What was wrong with one field of a search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Mistake {
    /// The field, as it was written.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A decision that let it pass.
    Allow,
    /// A decision against it.
    Deny,
    /// A decision that asks for a fresh passkey.
    StepUp,
    /// Refused before any rule was asked.
    Refused,
    /// A sign-in step that failed, or rules that were not taken.
    Failed,
}

impl Search {
    /// The names of all fields, in the order in which they are written.
    pub const FIELDS: [&'static str; 12] = [
        "who",
        "what",
        "where",
        "verdict",
        "rule",
        "address",
        "credential",
        "login",
        "request",
        "from",
        "until",
        "text",
    ];

    /// Reads a query as it stands in an address, without `?`.
    pub fn parse(query: &str) -> Result<Self, Vec<Mistake>> {
        Self::from_pairs(decoded(query)?)
    }

    /// The same, from names and values that are decoded already. An empty value is no value: who offers empty fields, as
    /// a form does, leaves them out.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Vec<Mistake>> {
        let (mut search, mut mistakes, mut seen) = (Self::default(), Vec::new(), Vec::<String>::new());
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            let taken = if seen.iter().any(|earlier| earlier == name) {
                Err("is given twice".to_owned())
            } else {
                search.take(name, value)
            };
            seen.push(name.to_owned());
            if let Err(problem) = taken {
                mistakes.push(Mistake { field: shortened(name), problem });
            }
        }
        if let (Some(from), Some(until)) = (search.from, search.until)
            && from >= until
        {
            mistakes.push(Mistake { field: "until".to_owned(), problem: "is not after `from`".to_owned() });
        }
        if mistakes.is_empty() { Ok(search) } else { Err(mistakes) }
    }

    /// The canonical query: [`Search::parse`] reads the same search from it.
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }

    /// The fields that are given, as text, in order.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let fields = [
            self.who.clone(),
            self.what.clone(),
            self.place.clone(),
            self.verdict.map(|verdict| verdict.as_str().to_owned()),
            self.rule.clone(),
            self.address
                .map(|address| if is_single(address) { address.addr().to_string() } else { address.to_string() }),
            self.credential.map(|id| id.to_string()),
            self.login.map(|id| id.to_string()),
            self.request.map(|id| id.to_string()),
            self.from.map(|at| at.to_string()),
            self.until.map(|at| at.to_string()),
            self.text.clone(),
        ];
        Self::FIELDS.into_iter().zip(fields).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match value {
            _ if !Self::FIELDS.contains(&name) => {}
            "" => return Err("is empty: leave it out, or say what is looked for".to_owned()),
            _ if value.trim() != value => return Err("has white space around it".to_owned()),
            _ if value.chars().count() > LONGEST => return Err(format!("is longer than {LONGEST} characters")),
            _ => {}
        }
        match name {
            "who" => self.who = Some(who(value)?),
            "what" => self.what = Some(few_words(value, value.split_whitespace().count())?.to_lowercase()),
            "where" => self.place = Some(place(value)?),
            "verdict" => self.verdict = Some(value.parse()?),
            "rule" => self.rule = Some(value.to_owned()),
            "address" => self.address = Some(address(value)?),
            "credential" => self.credential = Some(id(value)?),
            "login" => self.login = Some(id(value)?),
            "request" => self.request = Some(id(value)?),
            "from" => self.from = Some(instant(value)?),
            "until" => self.until = Some(instant(value)?),
            "text" => self.text = Some(few_words(value, words(value).count())?),
            _ => return Err(format!("is no field; there are {}", Self::FIELDS.join(", "))),
        }
        Ok(())
    }
}

impl Verdict {
    /// The word in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::StepUp => "step-up",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Every one.
    pub const ALL: [Self; 5] = [Self::Allow, Self::Deny, Self::StepUp, Self::Refused, Self::Failed];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verdict| verdict.as_str() == word);
        found.ok_or_else(|| format!("is one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

fn who(value: &str) -> Result<String, String> {
    if value.contains('/') { Ok(value.to_owned()) } else { few_words(value, words(value).count()) }
}

/// The words of `value` with one blank between them.
fn few_words(value: &str, count: usize) -> Result<String, String> {
    match count {
        0 => Err("has no word in it".to_owned()),
        1..=MOST_WORDS => Ok(value.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => Err(format!("has more than {MOST_WORDS} words")),
    }
}

fn place(value: &str) -> Result<String, String> {
    let place = value.trim_end_matches('/');
    if place.is_empty() || place.starts_with('/') {
        return Err("begins with an app, a cluster, `portal` or `broker`, as in wiki/docs".to_owned());
    }
    Ok(place.to_owned())
}

fn address(value: &str) -> Result<IpNet, String> {
    let single = value.parse::<std::net::IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    let network = single.or_else(|_| value.parse::<IpNet>());
    let network = network.map_err(|_| "is an address or a network, as 192.0.2.7 or 192.0.2.0/24".to_owned())?;
    let whole = network.trunc();
    match indexed_network(whole) {
        None => Err("is too large a network: the largest are /8, and /32 for IPv6".to_owned()),
        Some(_) if network != whole => {
            Err(format!("is neither the address {} nor the network {whole}", network.addr()))
        }
        Some(_) => Ok(network),
    }
}

fn is_single(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

fn id<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "is an id of the form 01234567-89ab-4cde-8f01-23456789abcd".to_owned())
}

const INSTANT: &str = "is an instant as RFC 3339 has it, with seconds and a zone (2026-11-21T23:15:07.5Z, \
                       2026-11-22T00:15:07+01:00), or one of UTC without a zone (2026-11-21T23:15, 2026-11-21)";

/// RFC 3339, or what an `<input type=datetime-local>` or `date` sends, which is taken as UTC.
fn instant(value: &str) -> Result<Timestamp, String> {
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let day = format_description!("[year]-[month]-[day]");
    let local = PrimitiveDateTime::parse(value, minutes).or_else(|_| PrimitiveDateTime::parse(value, seconds));
    let at = OffsetDateTime::parse(value, &Rfc3339).ok().or_else(|| local.ok().map(PrimitiveDateTime::assume_utc));
    let at = at.or_else(|| Date::parse(value, day).ok().map(|date| date.midnight().assume_utc()));
    at.map(Timestamp::from_datetime).ok_or_else(|| INSTANT.to_owned())
}

/// The names and values in a query. What a browser takes as it stands, or as U+FFFD, is a mistake here: `%` without two
/// hex digits, and bytes that are not UTF-8.
pub fn decoded(query: &str) -> Result<Vec<(String, String)>, Vec<Mistake>> {
    let fields = query.split('&').filter(|field| !is_escaped_well(field));
    let problem = || "has a `%` that escapes no character".to_owned();
    let name = |field: &str| shortened(field.split('=').next().unwrap_or_default());
    let mistakes: Vec<Mistake> = fields.map(|field| Mistake { field: name(field), problem: problem() }).collect();
    if mistakes.is_empty() {
        Ok(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    } else {
        Err(mistakes)
    }
}

fn is_escaped_well(field: &str) -> bool {
    let is_hex = |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    field.split('%').skip(1).all(is_hex) && percent_encoding::percent_decode_str(field).decode_utf8().is_ok()
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

/// In characters, for each field.
const LONGEST: usize = 512;

/// For each field.
const MOST_WORDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(query: &str) -> String {
        let said: Vec<String> = Search::parse(query).unwrap_err().iter().map(ToString::to_string).collect();
        said.join("\n")
    }

    #[test]
    fn every_field_comes_back_in_its_canonical_form() {
        let id = "0a0b0c0d-0102-4304-8506-0708090a0b0c";
        let query = format!(
            "text=not++found&until=2026-11-22&from=2026-11-21T23%3A15&request={id}&login={id}&credential={id}&\
             address=192.0.2.0/24&rule=ops-may%20read&verdict=step-up&where=wiki/docs/&what=List+PODS&who=corp/u-1&"
        );
        let search = Search::parse(&query).unwrap();
        let canonical = format!(
            "who=corp%2Fu-1&what=list+pods&where=wiki%2Fdocs&verdict=step-up&rule=ops-may+read&address=192.0.2.0%2F24&\
             credential={id}&login={id}&request={id}&from=2026-11-21T23%3A15%3A00Z&until=2026-11-22T00%3A00%3A00Z&\
             text=not+found"
        );
        assert_eq!(search.to_query(), canonical);
        assert_eq!(Search::parse(&canonical).unwrap(), search);
        assert_eq!(search.pairs().iter().map(|(name, _)| *name).collect::<Vec<_>>(), Search::FIELDS);
        assert_eq!(Search::parse("address=::ffff:192.0.2.7").unwrap().to_query(), "address=192.0.2.7");
    }

    #[test]
    fn nothing_looked_for_is_an_empty_query() {
        assert_eq!(Search::parse("").unwrap(), Search::default());
        assert_eq!(Search::default().to_query(), "");
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (query, said) in [
            ("caller=ada", "caller: is no field"),
            ("before=7", "before: is no field"),
            ("verdict=maybe", "verdict: is one of allow, deny"),
            ("address=nowhere", "address: is an address"),
            ("address=0.0.0.0/0", "address: is too large"),
            ("address=2001::/16", "address: is too large"),
            ("address=127.0.0.0/7", "address: is too large"),
            ("address=192.0.2.5/24", "address: is neither the address 192.0.2.5 nor the network 192.0.2.0/24"),
            ("address=2001:db8::1/32", "address: is neither"),
            ("who=", "who: is empty"),
            ("verdict=deny&rule=", "rule: is empty"),
            ("text=+", "text: has white space around it"),
            ("rule=+ops", "rule: has white space around it"),
            ("rule=ops%0a", "rule: has white space around it"),
            ("who=%zz", "who: has a `%` that escapes no character"),
            ("text=100%", "text: has a `%`"),
            ("rule=%ff", "rule: has a `%`"),
            ("login=7", "login: is an id"),
            ("from=yesterday", "from: is an instant"),
            ("from=2026-02-30", "from: is an instant"),
            ("text=---", "text: has no word"),
            ("where=/docs", "where: begins with"),
            ("who=a&who=b", "who: is given twice"),
            ("from=2026-11-21&until=2026-11-21", "until: is not after"),
        ] {
            assert!(mistakes(query).starts_with(said), "{query}: {}", mistakes(query));
        }
        assert_eq!(mistakes("a=1&b=2&verdict=x").lines().count(), 3, "everything at once");
        assert!(mistakes(&format!("text={}", "a".repeat(513))).contains("longer than 512"));
        assert!(mistakes(&format!("text={}a", "a+".repeat(16))).contains("more than 16 words"));
    }
}
