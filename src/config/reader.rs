//! Takes a section apart key by key and collects every mistake on the way, instead of stopping at the first.
//! A section's reader asks for each key that it knows; what is left over is unknown.

use std::collections::BTreeMap;

use super::{
    document::{Entry, Node, Table, Value, parse_value},
    mistake::{Mistake, Origin, Source},
    value::Files,
};

/// What the walk over the document gathers.
pub(super) struct Reading {
    pub(super) files: Files,
    source: Source,
    mistakes: Vec<Mistake>,
    places: BTreeMap<String, Origin>,
    /// What each section is called, be the rest of it right or wrong.
    names: BTreeMap<String, String>,
    /// Every key that was asked for, so that a test can hold the sample against it.
    pub(super) asked: Vec<Asked>,
}

/// A key that a section knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// The default as TOML, where there is a fixed one.
    pub(super) default: Option<&'static str>,
}

/// One section while it is being read.
pub(super) struct Section<'r> {
    name: &'static str,
    path: String,
    origin: Origin,
    table: Table,
    known: Vec<&'static str>,
    reading: &'r mut Reading,
}

impl Reading {
    pub(super) fn new(source: Source, files: Files) -> Self {
        Self { files, source, mistakes: Vec::new(), places: BTreeMap::new(), names: BTreeMap::new(), asked: Vec::new() }
    }

    /// Notes a mistake at a key (`app[0].host`), or at its section where it is a default.
    pub(super) fn wrong(&mut self, path: &str, message: impl Into<String>, label: impl Into<String>) {
        let heading = path.rsplit_once('.').map_or(path, |(heading, _)| heading);
        let origin = self.places.get(path).or_else(|| self.places.get(heading)).cloned().unwrap_or(Origin::Absent);
        self.mistakes.push(self.source.mistake(&origin, message, label));
    }

    /// Whether the document has this key, right or wrong.
    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The names of the sections `[[section]]` that have one, each with its place, in order.
    pub(super) fn names(&self, section: &str, count: usize) -> Vec<(String, String)> {
        let path = |nth| format!("{section}[{nth}]");
        (0..count)
            .filter_map(|nth| Some((format!("{}.name", path(nth)), self.names.get(&path(nth))?.clone())))
            .collect()
    }

    /// Whether no mistake was found.
    pub(super) fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The mistakes, in the order of the file.
    pub(super) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(Mistake::order);
        self.mistakes
    }

    /// Reads the section `[name]`.
    pub(super) fn one<T>(
        &mut self,
        table: &mut Table,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Option<T> {
        let (origin, entries) = match table.remove(name) {
            None => (Origin::Absent, Table::new()),
            Some(Entry { key, node: Node { value: Value::Table(entries), .. } }) => (key, entries),
            Some(Entry { key, node }) => {
                let message = format!("`{name}` is one section, `[{name}]`, not {}", node.value.kind());
                self.mistakes.push(self.source.mistake(&key, message, "not a section"));
                return None;
            }
        };
        self.section(name, name.to_owned(), origin, entries, read)
    }

    /// Reads every section `[[name]]`; `None` stands for one that has mistakes.
    pub(super) fn each<T>(
        &mut self,
        table: &mut Table,
        name: &'static str,
        read: impl Fn(&mut Section<'_>) -> Option<T>,
    ) -> Vec<Option<T>> {
        let Some(Entry { key, node }) = table.remove(name) else { return Vec::new() };
        let Value::List(items) = node.value else {
            let message = format!("`{name}` is a list of sections, each headed `[[{name}]]`");
            let help = format!("write `[[{name}]]`; variables cannot reach into a list");
            self.mistakes.push(self.source.mistake(&key, message, "one section").with_help(help));
            return Vec::new();
        };
        let mut all = Vec::new();
        for (nth, item) in items.into_iter().enumerate() {
            let path = format!("{name}[{nth}]");
            all.push(match item.value {
                Value::Table(entries) => self.section(name, path, item.origin, entries, &read),
                _ => {
                    let message = format!("`[[{name}]]` is a list of sections, which variables cannot reach into");
                    self.mistakes.push(self.source.mistake(&item.origin, message, "not a section"));
                    None
                }
            });
        }
        all
    }

    /// Notes the sections that nobody asked for.
    pub(super) fn refuse_unknown_sections(&mut self, table: &Table, known: &[&'static str]) {
        for (name, entry) in table {
            let mistake = self.source.mistake(&entry.key, format!("there is no section `{name}`"), "unknown section");
            self.mistakes.push(mistake.with_help(suggestion(name, known)));
        }
    }

    fn section<T>(
        &mut self,
        name: &'static str,
        path: String,
        origin: Origin,
        table: Table,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Option<T> {
        self.places.insert(path.clone(), origin.clone());
        for (key, entry) in &table {
            self.places.insert(format!("{path}.{key}"), entry.node.origin.clone());
            if let ("name", Value::Text(name)) = (key.as_str(), &entry.node.value) {
                self.names.insert(path.clone(), name.clone());
            }
        }
        let mut section = Section { name, path, origin, table, known: Vec::new(), reading: self };
        let settings = read(&mut section);
        section.refuse_unknown_keys();
        settings
    }
}

impl Section<'_> {
    /// How files of this configuration are looked at.
    pub(super) fn files(&self) -> Files {
        self.reading.files.clone()
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key was there to begin with, right or wrong.
    pub(super) fn was_given(&self, key: &str) -> bool {
        self.reading.has(&self.path_of(key))
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            let message = format!("`{}` is missing", self.path_of(key));
            let origin = self.origin.clone();
            self.reading.mistakes.push(self.reading.source.mistake(&origin, message, format!("needs `{key}`")));
        }
        self.take(key, None, parse)
    }

    /// A key that may be there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        self.take(key, None, parse)
    }

    /// A key with a fixed default, written as TOML.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            let node = parse_value(default)?;
            self.table.insert(key.to_owned(), Entry { key: Origin::Absent, node });
        }
        self.take(key, Some(default), parse)
    }

    /// Notes a mistake at a key of this section, or at its heading when the key is not there.
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>, label: impl Into<String>) {
        let path = self.path_of(key);
        self.reading.wrong(&path, message, label);
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        default: Option<&'static str>,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        self.reading.asked.push(Asked { section: self.name, key, default });
        let entry = self.table.remove(key)?;
        match parse(&entry.node) {
            Ok(value) => Some(value),
            Err(why) => {
                let message = format!("`{}`: {why}", self.path_of(key));
                let mistake = self.reading.source.mistake(&entry.node.origin, message, why);
                self.reading.mistakes.push(mistake);
                None
            }
        }
    }

    fn refuse_unknown_keys(self) {
        for (key, entry) in &self.table {
            let message = format!("`{}` is not a setting", self.path_of(key));
            let mistake = self.reading.source.mistake(&entry.key, message, "unknown key");
            self.reading.mistakes.push(mistake.with_help(suggestion(key, &self.known)));
        }
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

/// `did you mean ...?` when a known word is near, and all of them otherwise.
fn suggestion(word: &str, known: &[&'static str]) -> String {
    let nearest = known.iter().map(|candidate| (distance(word, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 4 => format!("did you mean `{candidate}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("url", "ur", 1)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_word_is_suggested_and_no_far_one() {
        assert_eq!(suggestion("isuer", &["name", "issuer"]), "did you mean `issuer`?");
        assert_eq!(suggestion("colour", &["name", "issuer"]), "known here: name, issuer");
    }
}
