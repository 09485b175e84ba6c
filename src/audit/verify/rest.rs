//! What is left of a leaf while it is taken apart, from both ends. Nothing is believed of what is taken: whoever finds it to be
//! the canonical bytes of a value of its member's type, and between the members exactly what writing the entry puts there,
//! has shown that the leaf is the canonical bytes of the entry of these values.

use memchr::memmem::Finder;
use uuid::Uuid;

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'l>(pub(super) &'l [u8]);

impl<'l> Rest<'l> {
    pub(super) fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    pub(super) fn skip_last(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_suffix(text)?;
        Some(())
    }

    /// The first bytes of it, or all of it if there are fewer. They stay.
    pub(super) fn head(&self, length: usize) -> &'l [u8] {
        self.0.get(..length).unwrap_or(self.0)
    }

    /// What stands before `text`, which is skipped.
    pub(super) fn until(&mut self, text: &Finder<'_>) -> Option<&'l [u8]> {
        let (piece, rest) = self.0.split_at_checked(text.find(self.0)?)?;
        self.0 = rest.strip_prefix(text.needle())?;
        Some(piece)
    }

    /// A text in quotes whose bytes stand for themselves, in its one spelling.
    pub(super) fn text(&mut self) -> Option<&'l [u8]> {
        let stands_for_itself = |byte: &u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
        let inner = self.0.strip_prefix(b"\"")?;
        let length = inner.iter().position(|byte| !stands_for_itself(byte))?;
        let (text, rest) = inner.split_at_checked(length)?;
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// An id in its one spelling: with hyphens and without capitals.
    pub(super) fn id(&mut self) -> Option<Uuid> {
        let id = self.0.split_off(..ID)?;
        read_id(id)
    }

    /// The same at the end.
    pub(super) fn last_id(&mut self) -> Option<Uuid> {
        let id = self.0.split_off(self.0.len().checked_sub(ID)?..)?;
        read_id(id)
    }

    /// A salt at the end.
    pub(super) fn skip_last_salt(&mut self) -> Option<()> {
        let salt = quoted(self.0.split_off(self.0.len().checked_sub(SALT)?..)?)?;
        salt.iter().fold(true, |all, byte| all & matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(())
    }

    /// An integer in its one spelling.
    pub(super) fn integer<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let digits = self.0.strip_prefix(b"-").unwrap_or(self.0);
        let (mut value, mut length) = (0_u64, 0);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(digit.into());
            length += 1;
        }
        let (digits, rest) = digits.split_at_checked(length)?;
        let is_negative = digits.len() + rest.len() < self.0.len();
        match digits {
            [b'0'] => (!is_negative).then_some(())?,
            [b'1'..=b'9', ..] if length <= MOST_DIGITS => {}
            [b'1'..=b'9', ..] => value = str::from_utf8(digits).ok()?.parse().ok()?,
            _ => return None,
        }
        self.0 = rest;
        T::try_from(if is_negative { -i128::from(value) } else { value.into() }).ok()
    }

    /// The same at the end.
    pub(super) fn last_integer<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let is_of_integer = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-');
        let start = self.0.iter().rposition(|byte| !is_of_integer(byte)).map_or(0, |at| at + 1);
        let mut piece = Self(self.0.split_off(start..)?);
        piece.integer().filter(|_| piece.0.is_empty())
    }
}

fn read_id(piece: &[u8]) -> Option<Uuid> {
    let inner: &[u8; 36] = quoted(piece)?.try_into().ok()?;
    let has_capitals = inner.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase());
    if has_capitals { None } else { Uuid::try_parse_ascii(inner).ok() }
}

fn quoted(piece: &[u8]) -> Option<&[u8]> {
    piece.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The length of an id in quotes.
const ID: usize = 38;

/// The length of a salt in quotes.
const SALT: usize = 34;

/// So many digits are never too many for 64 bits.
const MOST_DIGITS: usize = 19;
