//! What a row of the field table says. One table describes the log: the page in `docs/AUDIT.md` is printed from it, and
//! events are translated by it, so that neither can say something that the other does not.

use super::class::Class;

/// A kind of entry.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The word in the entry.
    pub name: &'static str,
    /// When it is recorded.
    pub meaning: &'static str,
    /// Which OCSF class it becomes.
    pub class: Class,
    /// Which activities of that class: what it is, by the number that OCSF gives it.
    pub activities: &'static [Activity],
    /// What `entity.type` says; empty where the class has no entity.
    pub entity: &'static str,
    /// Its fields, below `event`.
    pub fields: &'static [Field],
}

/// An activity of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// `activity_id`; 99 where OCSF has no number for it.
    pub id: u8,
    /// `activity_name`.
    pub name: &'static str,
}

/// A field of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it is below its group, with dots.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// What it means.
    pub meaning: &'static str,
    /// Where it goes in OCSF: places with commas between. `a[].b` makes an object of each item, `a+x:` adds text to a
    /// list with a word before it. Empty: it stays in the log.
    pub to: &'static str,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text from people, peers or files.
    Text,
    /// One word of a fixed set.
    Word,
    /// A UUID.
    Id,
    /// A SHA-256 or other bytes, in lower-case hex.
    Hex,
    /// An IP address.
    Address,
    /// A whole number, with its unit.
    Count(&'static str),
    /// An instant.
    Moment,
    /// A length of time in microseconds.
    Span,
    /// True or false.
    Flag,
    /// A list of texts.
    Texts,
    /// A list of objects.
    Objects,
}

impl Form {
    /// Its name and unit, as JSON holds it in the log.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", ""),
            Self::Word => ("word", ""),
            Self::Id => ("UUID", ""),
            Self::Hex => ("text", "hex"),
            Self::Address => ("text", "IP address"),
            Self::Count(unit) => ("integer", unit),
            Self::Moment => ("integer", "µs since 1970, UTC"),
            Self::Span => ("integer", "µs"),
            Self::Flag => ("boolean", ""),
            Self::Texts => ("list of texts", ""),
            Self::Objects => ("list of objects", ""),
        }
    }
}

pub(super) const fn field(name: &'static str, form: Form, meaning: &'static str, to: &'static str) -> Field {
    Field { name, form, meaning, to }
}

pub(super) const fn does(id: u8, name: &'static str) -> Activity {
    Activity { id, name }
}
