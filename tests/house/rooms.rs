//! Who may look at whom. The order is that of the map in `src/lib.rs`; the exceptions are written out.

use std::path::Path;

use super::words::{Word, is};

/// The rooms, foundations first. A room may use the rooms before it, unless [`may_use`] says otherwise.
pub const ORDER: [&str; 16] = [
    "model",
    "config",
    "store",
    "outbound",
    "audit",
    "access",
    "credential",
    "identity",
    "streams",
    "listener",
    "shipping",
    "proxy",
    "portal",
    "app",
    "demo",
    "cli",
];

/// Whether code in `room` may name `other`.
pub fn may_use(room: &str, other: &str) -> bool {
    let place = |name: &str| ORDER.iter().position(|&one| one == name);
    let (Some(own), Some(others)) = (place(room), place(other)) else { return false };
    match (room, other) {
        _ if room == other => true,
        ("demo" | "cli", _) => true,
        // The wall: a door does not know the pages, nor a page the doors.
        ("portal", "proxy") => false,
        // Foundations know less than their place would allow.
        ("outbound", _) => matches!(other, "model" | "config"),
        ("audit" | "access" | "credential", "outbound") => false,
        _ => others < own,
    }
}

/// The module that a file is: `src/store/person.rs` is `[store, person]`.
pub fn module_of(path: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        path.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.first().is_some_and(|first| first == "src") {
        parts.remove(0);
    }
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Every path in the words that begins with `crate`, `self` or `super`, resolved, with its line.
pub fn paths(module: &[String], words: &[Word]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate() {
        match word.text.as_str() {
            "{" => {
                depth += 1;
                if at >= 2 && words[at - 2].text == "mod" {
                    inner.push((words[at - 1].text.clone(), depth));
                }
            }
            "}" => {
                inner.retain(|(_, opened)| *opened != depth);
                depth = depth.saturating_sub(1);
            }
            "crate" | "self" | "super" if starts_a_path(words, at) => {
                let mut here = module.to_vec();
                here.extend(inner.iter().map(|(name, _)| name.clone()));
                expand(&here, words, at, &mut found);
            }
            _ => {}
        }
    }
    found
}

fn starts_a_path(words: &[Word], at: usize) -> bool {
    let follows_path = at > 0 && words[at - 1].text == "::";
    let in_group = at > 0 && matches!(words[at - 1].text.as_str(), "{" | ",") && words[at].text != "crate";
    let goes_on = is(words, at + 1, &["::"]);
    let renamed = is(words, at + 1, &["as"]) && words[at].text != "self";
    // Inside a group, `self` and `super` belong to the path that the group hangs on.
    (goes_on || renamed) && !follows_path && !(in_group && is_use_group(words, at))
}

/// Whether the group around `at` follows `::`.
fn is_use_group(words: &[Word], at: usize) -> bool {
    let mut depth = 0_usize;
    for before in (0..at).rev() {
        match words[before].text.as_str() {
            "}" => depth += 1,
            "{" if depth == 0 => return before > 0 && words[before - 1].text == "::",
            "{" => depth -= 1,
            ";" => return false,
            _ => {}
        }
    }
    false
}

/// Follows one path from `at`, into its groups; returns where it ends.
fn expand(base: &[String], words: &[Word], mut at: usize, found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = base.to_vec();
    let line = words[at].line;
    loop {
        match words.get(at).map_or("", |word| word.text.as_str()) {
            "crate" => path.clear(),
            "self" => {}
            "super" => drop(path.pop()),
            "{" => {
                at += 1;
                while at < words.len() && words[at].text != "}" {
                    let end = expand(&path, words, at, found);
                    at = skip_to_next(words, end.max(at));
                }
                return at + 1;
            }
            "" | "}" => break,
            name => path.push(name.to_owned()),
        }
        if !is(words, at + 1, &["::"]) || is(words, at + 2, &["<"]) {
            at += 1;
            break;
        }
        at += 2;
    }
    found.push((line, path));
    at
}

/// Past `as name` and the comma.
fn skip_to_next(words: &[Word], mut at: usize) -> usize {
    while at < words.len() && words[at].text != "}" {
        at += 1;
        if words[at - 1].text == "," {
            break;
        }
    }
    at
}
