//! What stands around every page: the sheet, the glyph, the bar with its links, and what is wrong: with the log, and with the rules.

use crate::portal::assets;

/// The frame of a page.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The sheet's address.
    pub css: String,
    /// The glyph's address.
    pub glyph: String,
    /// The passkey script's address.
    pub script: String,
    /// Who is signed in all the way; without one there is no bar.
    pub person: Option<String>,
    /// The bar's links.
    pub links: Vec<Link>,
    /// What somebody has to look into about the log, for those who may read it.
    pub alarms: Vec<Alarm>,
    /// What is wrong with the rules, for those who may know.
    pub banner: Option<String>,
}

/// What somebody has to look into.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// In a sentence.
    pub said: String,
    /// Where the entries of the log are that tell of it.
    pub href: Option<&'static str>,
}

impl From<String> for Alarm {
    fn from(said: String) -> Self {
        Self { said, href: None }
    }
}

/// A link in the bar.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where to.
    pub href: &'static str,
    /// In a word.
    pub label: &'static str,
    /// Whether it is the page shown.
    pub current: bool,
}

impl Frame {
    /// The frame of a page for somebody who is not, or not all the way, signed in.
    pub fn door() -> Self {
        Self {
            css: assets::address("portal.css"),
            glyph: assets::address("glyph.svg"),
            script: assets::address("passkey.js"),
            ..Self::default()
        }
    }

    /// The frame of a page for `person`.
    pub fn inside(person: &str, links: Vec<Link>, banner: Option<String>) -> Self {
        Self { person: Some(person.to_owned()), links, banner, ..Self::door() }
    }

    /// As an administrator sees it.
    #[cfg(test)]
    pub(super) fn sample(here: &str) -> Self {
        let all = [("/", "Home"), ("/sessions", "Sessions"), ("/audit", "Audit log"), ("/policy", "Rules")];
        let links = all.map(|(href, label)| Link { href, label, current: href == here }).to_vec();
        Self::inside("Ada Lovelace", links, None)
    }
}
