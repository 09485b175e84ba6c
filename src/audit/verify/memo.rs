//! What was read of some bytes, for when the same bytes come again. A fixed number of places, two for each piece: what comes
//! later takes the place of what was there, so whoever makes up bytes to fall on one place wins nothing but that they
//! are read again.

use super::rest::Rest;

/// See the head of this file.
pub(super) struct Memo<T> {
    places: Vec<[Option<Known<T>>; 2]>,
    /// The last piece that was too long for a place.
    long: Option<T>,
}

struct Known<T> {
    piece: Box<[u8]>,
    value: T,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { places: Vec::new(), long: None }
    }
}

impl<T> Memo<T> {
    /// Takes the next piece off `rest`, and returns what `read` gives for it, or gave when these very bytes came before. What it
    /// refuses is not remembered. INVARIANT: where `read` ends depends on nothing but the bytes that it takes. By `key` the
    /// place is found: as many of the piece's first bytes as the shortest has, or as tell it from others.
    pub(super) fn next<'l>(
        &mut self,
        key: &[u8],
        rest: &mut Rest<'l>,
        read: impl FnOnce(&mut Rest<'l>) -> Option<T>,
    ) -> Option<&T> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || [None, None]);
        }
        let place = usize::try_from(mixed(key) >> (u64::BITS - PLACES.trailing_zeros())).ok()?;
        let [first, second] = self.places.get_mut(place)?;
        if skip(rest, first).is_none() {
            if skip(rest, second).is_some() {
                std::mem::swap(first, second);
            } else {
                let before = rest.0;
                let value = read(rest)?;
                let piece = before.get(..before.len().checked_sub(rest.0.len())?)?;
                if piece.len() > LONGEST {
                    return Some(self.long.insert(value));
                }
                *second = first.replace(Known { piece: piece.into(), value });
            }
        }
        first.as_ref().map(|known| &known.value)
    }
}

/// Skips the very bytes that are known at this place.
fn skip<T>(rest: &mut Rest<'_>, place: &Option<Known<T>>) -> Option<()> {
    rest.skip(&place.as_ref()?.piece)
}

/// Spreads keys over the places. Two sums side by side, because one multiplication waits for the one before it.
fn mixed(key: &[u8]) -> u64 {
    let (mut one, mut two) = (ODD, key.len() as u64);
    let mut mix = |block: &[u8; 32]| {
        let [a, b, c, d] = eights(block);
        one = folded(one ^ a, b ^ ODD);
        two = folded(two ^ c, d ^ ODD);
    };
    match key.last_chunk() {
        Some(last) => {
            key.as_chunks().0.iter().for_each(&mut mix);
            mix(last);
        }
        None => {
            let mut only = [0; 32];
            only.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            mix(&only);
        }
    }
    folded(one ^ two.rotate_left(32), ODD)
}

fn eights(block: &[u8; 32]) -> [u64; 4] {
    let mut eights = [0; 4];
    eights.iter_mut().zip(block.as_chunks().0).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
    eights
}

/// Both halves of the product.
fn folded(one: u64, two: u64) -> u64 {
    let product = u128::from(one) * u128::from(two);
    (product as u64) ^ (product >> u64::BITS) as u64
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many pairs of pieces are remembered.
const PLACES: usize = 4_096;

/// The longest piece that is remembered, in bytes.
const LONGEST: usize = 1_024;
