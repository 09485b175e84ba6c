//! One entry as a row of CSV or a line of JSON. Promises that a row is one line whatever a peer wrote, and that no cell
//! begins as a formula does.

use crate::audit::{
    Entry, Event,
    columns::Columns,
    printable,
    told::{Targets, Told, stamp},
};

/// The names of the columns.
pub(super) const HEADER: &str = "leaf_index,recorded_at,happened_at,kind,verdict,who,name,address,what,rules,why,\
                                 request,login,credential,broker\r\n";

/// Writes `entry` as a row.
pub(super) fn csv(index: u64, entry: &Entry, targets: &Targets, out: &mut Vec<u8>) {
    let (told, columns) = (Told::of(entry, targets), Columns::of(entry));
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let (name, address) = match (&entry.caller, &entry.event) {
        (Some(caller), _) => (caller.identity.name.clone(), caller.address.to_string()),
        (None, Event::LoginEnded { owner, .. }) => (owner.name.clone(), String::new()),
        (None, Event::Refused { address, .. } | Event::SignIn { address, .. }) => (String::new(), address.clone()),
        (None, Event::Refusals { network, .. }) => (String::new(), network.clone()),
        _ => (String::new(), String::new()),
    };
    let rules = match &entry.event {
        Event::Decision { decision, .. } => decision.policies.join(" "),
        _ => String::new(),
    };
    let cells = [
        index.to_string(),
        told.at,
        stamp(entry.happened_at),
        columns.kind.to_owned(),
        columns.verdict.unwrap_or_default().to_owned(),
        told.who,
        name,
        address,
        told.what,
        rules,
        told.why,
        id(columns.request),
        id(columns.login),
        id(columns.credential),
        columns.broker.to_string(),
    ];
    write(&cells, out);
}

/// Writes bytes that are no entry as a row.
pub(super) fn unreadable(index: u64, leaf: &[u8], out: &mut Vec<u8>) {
    let mut cells: [String; 15] = std::array::from_fn(|_| String::new());
    for (cell, text) in cells.iter_mut().zip([index.to_string(), String::new(), String::new(), "unreadable".to_owned()])
    {
        *cell = text;
    }
    if let Some(why) = cells.get_mut(10) {
        *why = hex::encode(leaf);
    }
    write(&cells, out);
}

fn write(cells: &[String], out: &mut Vec<u8>) {
    for (nth, cell) in cells.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        if nth > 0 { quote(cell, out) } else { out.extend_from_slice(cell.as_bytes()) }
    }
    out.extend_from_slice(b"\r\n");
}

/// Between quotes. What moves a cursor, ends a line or turns it around becomes U+FFFD; before what a spreadsheet would
/// take for a formula stands an apostrophe, which it takes for "this is text".
fn quote(cell: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let begins_as_formula =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    if cell.trim_start().starts_with(begins_as_formula) || cell.starts_with(begins_as_formula) {
        out.push(b'\'');
    }
    out.extend_from_slice(printable(cell).replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// The entry in one line of JSON, with its index. What could move a cursor or turn a line around is escaped, so the line
/// means exactly what the leaf's bytes mean.
pub fn json_line(index: u64, leaf: &[u8]) -> String {
    let body = Entry::from_leaf(leaf).ok().and_then(|_| std::str::from_utf8(leaf.get(1..)?).ok());
    let Some(body) = body else {
        return format!(r#"{{"leaf_index":{index},"unreadable":"{}"}}"#, hex::encode(leaf));
    };
    let mut line = format!(r#"{{"leaf_index":{index},"entry":"#);
    for c in body.chars() {
        if c.is_ascii_graphic() || c == ' ' || !moves(c) {
            line.push(c);
        } else {
            // In canonical bytes such characters occur inside strings alone.
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line.push_str(&format!("\\u{unit:04x}")));
        }
    }
    line.push('}');
    line
}

/// Whether a terminal or an editor would do more than show it.
fn moves(c: char) -> bool {
    let mut text = [0; 4];
    printable(c.encode_utf8(&mut text)) != *c.encode_utf8(&mut [0; 4])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::entry::Salt,
        model::{BrokerId, Timestamp},
    };

    fn refused(target: &str) -> Entry {
        let at = Timestamp::from_micros(0);
        let event = Event::Refused {
            check: "path".into(),
            why: "a\"b".into(),
            target: target.into(),
            address: "192.0.2.7".into(),
        };
        let broker = BrokerId::from_uuid(Uuid::nil());
        Entry { broker, caller: None, event, happened_at: at, recorded_at: at, request: None, salt: Salt([0; 16]) }
    }

    fn row(target: &str) -> String {
        let mut out = Vec::new();
        csv(7, &refused(target), &Targets::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_cell_begins_as_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"] {
            let row = row(formula);
            let cell = row.split("\",\"").nth(7).unwrap();
            assert!(cell.starts_with(['\'', '\u{fffd}']), "{formula:?}: {row}");
        }
        assert!(row("wiki").contains("\"wiki\""));
    }

    #[test]
    fn a_row_is_one_line_and_its_quotes_are_doubled() {
        let row = row("a\r\n8,\"x\"\u{1b}[2J\0\u{202e}\u{85}");
        assert_eq!(row.matches('\n').count(), 1);
        assert!(
            row.ends_with("\r\n") && row.contains("a\u{fffd}\u{fffd}8,\"\"x\"\"\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}")
        );
        assert_eq!(HEADER.split(',').count(), 15);
        assert!(row.contains("path: a\"\"b, from 192.0.2.7"));
    }

    #[test]
    fn a_line_of_json_is_inert_and_gives_the_leaf_back() {
        let leaf = refused("a\r\n\u{1b}[2J\0\u{202e}\u{85}\u{7f}é🔑").leaf().unwrap();
        let line = json_line(7, &leaf);
        assert_eq!(printable(&line), line);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let entry: Entry = serde_json::from_value(value["entry"].clone()).unwrap();
        assert_eq!((entry.leaf().unwrap(), value["leaf_index"].as_u64()), (leaf, Some(7)));
        assert_eq!(json_line(8, b"\x01\x1b"), r#"{"leaf_index":8,"unreadable":"011b"}"#);
    }
}
