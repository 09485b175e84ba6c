//! Text in quotes. Most of it needs no escape, which is found out eight bytes at a time.

/// Writes `text` in quotes, with only those escapes that must be (RFC 8785, section 3.2.2.2).
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 3);
    out.push(b'"');
    if may_need_escapes(text.as_bytes()) {
        escaped(text.as_bytes(), out)
    } else {
        out.extend_from_slice(text.as_bytes())
    }
    out.push(b'"');
}

/// Eight bytes at a time: false only when no byte needs an escape.
fn may_need_escapes(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let any = |eight: [u8; 8]| {
        let bytes = u64::from_le_bytes(eight);
        let (quote, slash) = (bytes ^ (ONES * b'"' as u64), bytes ^ (ONES * b'\\' as u64));
        let low = bytes.wrapping_sub(ONES * 0x20) & !bytes;
        let zero = quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash;
        (low | zero) & (ONES * 0x80) != 0
    };
    // The last eight may have some of those before them once more.
    match bytes.last_chunk() {
        Some(last) => any(*last) || bytes.as_chunks().0.iter().any(|eight| any(*eight)),
        None => bytes.iter().any(|byte| is_escaped(*byte)),
    }
}

fn escaped(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = escaped.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            0x08 => out.extend_from_slice(br"\b"),
            0x09 => out.extend_from_slice(br"\t"),
            0x0a => out.extend_from_slice(br"\n"),
            0x0c => out.extend_from_slice(br"\f"),
            0x0d => out.extend_from_slice(br"\r"),
            other => {
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex_digit(other >> 4), hex_digit(other & 15)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// The lower-case digit of half a byte.
pub(super) const fn hex_digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + half - 10 }
}

/// Whether a byte of a text cannot stand for itself.
pub(super) const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
