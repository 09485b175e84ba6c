//! The one form of a path that the broker judges and forwards.
//!
//! An attacker controls every byte here. Anything that two parsers could read differently is refused, never repaired:
//! what policy judged is then what the upstream receives, whichever way it decodes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An absolute path in canonical form (RFC 3986, section 6.2.2): no dot or empty inner segments, escapes in upper case
/// and only where needed, decoding to UTF-8, no parameters, no escaped delimiters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CanonicalPath(String);

/// Why a path was refused. Says what is wrong without echoing the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with one slash.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// It is longer than [`CanonicalPath::LONGEST`].
    #[error("the path is longer than 8192 bytes")]
    TooLong,
    /// A byte that may not stand in a path.
    #[error("the path has a byte that may not stand there")]
    Byte,
    /// `%` without two upper-case hexadecimal digits after it.
    #[error("the path has a malformed or lower-case percent escape")]
    Escape,
    /// An escape of a character that needs none.
    #[error("the path escapes a character that needs no escape")]
    NeedlessEscape,
    /// An escaped delimiter or control byte.
    #[error("the path escapes a delimiter or control character")]
    EscapedDelimiter,
    /// A segment of dots.
    #[error("the path has a dot segment")]
    DotSegment,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// Escapes that are not UTF-8, or that decode to a look-alike of a dot or slash.
    #[error("the path does not decode to plain UTF-8")]
    Encoding,
}

impl CanonicalPath {
    /// The longest path that is accepted, in bytes.
    pub const LONGEST: usize = 8192;

    /// Accepts `raw` if it is canonical as it stands.
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
        let Some(rest) = raw.strip_prefix('/') else { return Err(PathFault::NotAbsolute) };
        if raw.len() > Self::LONGEST {
            return Err(PathFault::TooLong);
        }
        refuse_ambiguous_text(&decode(raw)?)?;
        let last = rest.split('/').count() - 1;
        for (i, segment) in rest.split('/').enumerate() {
            match segment {
                "." | ".." => return Err(PathFault::DotSegment),
                "" if i != last => return Err(PathFault::EmptySegment),
                _ => {}
            }
        }
        Ok(Self(raw.to_owned()))
    }

    /// The path as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling that rules are asked about. RFC 3986, section 2.2, lets `@` and its like stand as themselves or escaped,
    /// and most upstreams take both for the same; so both are the same to a rule, and each is sent as it came.
    pub fn judged(&self) -> Self {
        let mut judged = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            judged.push_str(before);
            let (escape, left) = after.split_at_checked(2).unwrap_or((after, ""));
            match u8::from_str_radix(escape, 16).ok().filter(|byte| is_plain(*byte)) {
                Some(byte) => judged.push(char::from(byte)),
                None => judged.extend(["%", escape]),
            }
            rest = left;
        }
        judged.push_str(rest);
        Self(judged)
    }

    /// The paths that contain this one, longest first, `/` last: `/a/b/` has `/a/b`, `/a` and `/`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let cuts = self.0.char_indices().rev().filter(|&(i, c)| c == '/' && i > 0);
        let inner = cuts.map(|(i, _)| self.0.get(..i).unwrap_or("/"));
        let root = (self.0 != "/").then_some("/");
        inner.chain(root)
    }
}

/// Decodes escapes once, refusing every byte and escape that is not canonical.
fn decode(raw: &str) -> Result<Vec<u8>, PathFault> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (Some(high), Some(low)) = (bytes.next().and_then(digit), bytes.next().and_then(digit)) else {
                return Err(PathFault::Escape);
            };
            out.push(escaped(high << 4 | low)?);
        } else if is_plain(byte) {
            out.push(byte);
        } else {
            return Err(PathFault::Byte);
        }
    }
    Ok(out)
}

/// The byte that an escape stands for, if it may be escaped at all.
fn escaped(byte: u8) -> Result<u8, PathFault> {
    match byte {
        b'/' | b'\\' | b'%' | b';' | b'?' | b'#' | 0..=0x1f | 0x7f => Err(PathFault::EscapedDelimiter),
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => Err(PathFault::NeedlessEscape),
        byte => Ok(byte),
    }
}

/// pchar of RFC 3986, section 3.3, without `;`, plus the slash.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Refuses what is not UTF-8, C1 controls, and characters that compatibility decomposition (NFKC) turns into dots,
/// slashes or other delimiters.
fn refuse_ambiguous_text(decoded: &[u8]) -> Result<(), PathFault> {
    let text = std::str::from_utf8(decoded).map_err(|_| PathFault::Encoding)?;
    let ambiguous = |c: char| {
        matches!(c,
            '\u{80}'..='\u{a0}' | '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}'
            | '\u{29f8}' | '\u{fe52}' | '\u{fe54}' | '\u{fe68}' | '\u{fe6a}' | '\u{ff00}'..='\u{ff5e}'
            | '\u{2028}'..='\u{202f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{fff9}'..='\u{ffff}'
            // What NFKC turns into a dot, a slash, `;`, `?`, `#` or `%` besides.
            | '\u{37e}' | '\u{2047}'..='\u{2049}' | '\u{2488}'..='\u{249b}' | '\u{33c2}' | '\u{33c7}' | '\u{33d8}'
            | '\u{fe14}' | '\u{fe16}' | '\u{fe19}' | '\u{fe30}' | '\u{fe56}' | '\u{fe5f}' | '\u{1f100}')
    };
    if text.chars().any(ambiguous) { Err(PathFault::Encoding) } else { Ok(()) }
}

impl TryFrom<String> for CanonicalPath {
    type Error = PathFault;

    fn try_from(raw: String) -> Result<Self, PathFault> {
        Self::parse(&raw)
    }
}

impl From<CanonicalPath> for String {
    fn from(path: CanonicalPath) -> Self {
        path.0
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_pass_unchanged() {
        for good in ["/", "/a", "/a/", "/a/b.c", "/a..b/...", "/caf%C3%A9", "/a%20b", "/a:b@c,d=e+f", "/~x/-_!$&'()*"] {
            assert_eq!(CanonicalPath::parse(good).map(String::from), Ok(good.to_owned()));
        }
    }

    #[test]
    fn whatever_two_parsers_could_read_differently_is_refused() {
        let cases = [
            ("", PathFault::NotAbsolute),
            ("admin", PathFault::NotAbsolute),
            ("*", PathFault::NotAbsolute),
            ("http://evil/a", PathFault::NotAbsolute),
            ("/a/../b", PathFault::DotSegment),
            ("/a/.", PathFault::DotSegment),
            ("/..", PathFault::DotSegment),
            ("//a", PathFault::EmptySegment),
            ("/a//b", PathFault::EmptySegment),
            ("/a//", PathFault::EmptySegment),
            ("/a/%2e%2e/b", PathFault::Escape),
            ("/a/%2E%2E/b", PathFault::NeedlessEscape),
            ("/a/.%2E", PathFault::NeedlessEscape),
            ("/%41dmin", PathFault::NeedlessEscape),
            ("/a%2Fb", PathFault::EscapedDelimiter),
            ("/a%5Cb", PathFault::EscapedDelimiter),
            ("/a%00", PathFault::EscapedDelimiter),
            ("/a%0Ab", PathFault::EscapedDelimiter),
            ("/a%7F", PathFault::EscapedDelimiter),
            ("/a%252E", PathFault::EscapedDelimiter),
            ("/a%3Bx", PathFault::EscapedDelimiter),
            ("/a%3Fx", PathFault::EscapedDelimiter),
            ("/a%23", PathFault::EscapedDelimiter),
            ("/caf%c3%a9", PathFault::Escape),
            ("/a%", PathFault::Escape),
            ("/a%4", PathFault::Escape),
            ("/a%zz", PathFault::Escape),
            ("/a%u002e", PathFault::Escape),
            ("/a;b", PathFault::Byte),
            ("/a\\b", PathFault::Byte),
            ("/a#b", PathFault::Byte),
            ("/a?b", PathFault::Byte),
            ("/a b", PathFault::Byte),
            ("/a\tb", PathFault::Byte),
            ("/é", PathFault::Byte),
            ("/%C0%AE", PathFault::Encoding),
            ("/%FF", PathFault::Encoding),
            ("/%EF%BC%8E", PathFault::Encoding),
            ("/%E2%80%AE", PathFault::Encoding),
            ("/%EF%B8%B0/a", PathFault::Encoding),
            ("/%CD%BE", PathFault::Encoding),
            ("/%E2%92%88", PathFault::Encoding),
            ("/%EF%B9%96", PathFault::Encoding),
            ("/%C2%85", PathFault::Encoding),
        ];
        for (raw, fault) in cases {
            assert_eq!(CanonicalPath::parse(raw), Err(fault), "{raw:?}");
        }
        assert_eq!(CanonicalPath::parse(&format!("/{}", "a".repeat(8192))), Err(PathFault::TooLong));
    }

    #[test]
    fn both_spellings_of_a_delimiter_are_one_path_to_a_rule() {
        let judged = |raw| String::from(CanonicalPath::parse(raw).unwrap().judged());
        for (raw, same) in [
            ("/docs/%40secret/x", "/docs/@secret/x"),
            ("/a%2Bb%3D%24", "/a+b=$"),
            ("/%21%26%27%28%29%2A%2C%3A", "/!&'()*,:"),
            ("/caf%C3%A9%20x", "/caf%C3%A9%20x"),
            ("/@a/", "/@a/"),
        ] {
            assert_eq!(judged(raw), same);
            assert_eq!(judged(same), same, "judging twice changes it");
        }
    }

    #[test]
    fn prefixes_run_from_the_parent_to_the_root() {
        let prefixes = |raw| CanonicalPath::parse(raw).unwrap().prefixes().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(prefixes("/"), Vec::<String>::new());
        assert_eq!(prefixes("/a"), ["/"]);
        assert_eq!(prefixes("/a/"), ["/a", "/"]);
        assert_eq!(prefixes("/a/b/c"), ["/a/b", "/a", "/"]);
    }
}
