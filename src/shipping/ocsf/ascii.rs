//! JSON in one line of printable ASCII: whatever a peer put into a path or a name, the line cannot be broken, no cursor
//! moves, and no text turns round, in whichever terminal, file or collector it ends (RFC 8259, section 7).

use std::io;

use serde::Serialize as _;
use serde_json::{Serializer, Value, ser::Formatter};

/// `value` in one line, without its end.
pub fn line(value: &Value) -> String {
    let mut out = Vec::new();
    // INVARIANT: a tree of JSON values is always written, and memory does not fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut out, Ascii));
    String::from_utf8(out).unwrap_or_default()
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                writer.write_all(&[c as u8])?;
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_printable_ascii_and_reads_back_as_it_was() {
        let text = "a\0\r\n\t\u{1b}[2J\u{7f}\u{85}\u{202e}\u{2028}\"\\/é🔑";
        let line = line(&json!({ text: [text, 1, null] }));
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({ text: [text, 1, null] }));
        assert!(line.contains("\\u202e") && line.contains("\\ud83d\\udd11"), "{line}");
    }
}
