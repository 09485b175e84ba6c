//! The field table as Markdown, for `docs/AUDIT.md` and `bailiwick audit fields`.

use std::fmt::Write as _;

use super::{CALLER, ENTRY, Field, KINDS, VERSION};

/// The whole table.
pub fn page() -> String {
    let mut page = format!(
        "OCSF {VERSION}. Each entry becomes one event; `a[].b` is an object for each item of a list, `a+x:` a text in the \
         list `a` that begins with `x:`. Instants and lengths are in microseconds in the log and in milliseconds in OCSF \
         (`…_us` excepted). Empty fields are left out.\n\n### Beside every event\n\n"
    );
    table(&mut page, ENTRY);
    page.push_str("\n### `caller`, where a person is known\n\n");
    table(&mut page, CALLER);
    for kind in KINDS {
        let (class, name) = (kind.class, kind.name);
        let activities: Vec<String> = kind.activities.iter().map(|it| format!("{} {}", it.id, it.name)).collect();
        let entity = if kind.entity.is_empty() { String::new() } else { format!(", `entity.type` {}", kind.entity) };
        let _ = write!(
            page,
            "\n### `{name}`\n\n{}. OCSF: {} ({}), activity {}{entity}.\n",
            capital(kind.meaning),
            class.name(),
            class.uid(),
            activities.join(", "),
        );
        if !kind.fields.is_empty() {
            page.push('\n');
            table(&mut page, kind.fields);
        }
    }
    page
}

fn table(page: &mut String, fields: &[Field]) {
    page.push_str("| field | type | unit | meaning | OCSF |\n|---|---|---|---|---|\n");
    for Field { name, form, meaning, to } in fields {
        let (kind, unit) = form.words();
        let to = if to.is_empty() { "not shipped".to_owned() } else { format!("`{}`", to.replace(", ", "` `")) };
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {meaning} | {to} |");
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}
