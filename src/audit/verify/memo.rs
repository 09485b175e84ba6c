//! What was read of some bytes, for when the same bytes come again. A fixed number of places, two for each piece: what comes
//! later takes the place of what was there, so whoever makes up bytes to fall on one place wins nothing but that they
//! are read again.

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
    /// What `read` gives for `piece`, or gave when these very bytes came before. What it refuses is not remembered.
    pub(super) fn read(&mut self, piece: &[u8], read: impl FnOnce() -> Option<T>) -> Option<&T> {
        self.read_parts(&[piece], read)
    }

    /// The same for a piece that is given in parts: these, one after the other. Every other part is always the same.
    pub(super) fn read_parts(&mut self, parts: &[&[u8]], read: impl FnOnce() -> Option<T>) -> Option<&T> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || [None, None]);
        }
        let place = usize::try_from(mixed(parts) >> (u64::BITS - PLACES.trailing_zeros())).ok()?;
        let [first, second] = self.places.get_mut(place)?;
        if !holds(first, parts) {
            if holds(second, parts) {
                std::mem::swap(first, second);
            } else {
                let value = read()?;
                if parts.iter().map(|part| part.len()).sum::<usize>() > LONGEST {
                    return Some(self.long.insert(value));
                }
                *second = first.replace(Known { piece: parts.concat().into(), value });
            }
        }
        first.as_ref().map(|known| &known.value)
    }
}

/// Whether these very bytes are known at this place.
fn holds<T>(place: &Option<Known<T>>, parts: &[&[u8]]) -> bool {
    let Some(known) = place else { return false };
    let rest = parts.iter().try_fold(&*known.piece, |rest, part| rest.strip_prefix(*part));
    rest.is_some_and(<[u8]>::is_empty)
}

/// Spreads pieces over the places.
fn mixed(parts: &[&[u8]]) -> u64 {
    parts.iter().step_by(2).fold(0, |sum, part| sum.rotate_left(23) ^ mixed_part(part))
}

/// Two sums side by side, because one multiplication waits for the one before it.
fn mixed_part(part: &[u8]) -> u64 {
    let (blocks, rest) = part.as_chunks::<32>();
    let (mut one, mut two) = (ODD, part.len() as u64);
    let mut mix = |block: &[u8; 32]| {
        let [a, b, c, d] = eights(block);
        one = folded(one ^ a, b ^ ODD);
        two = folded(two ^ c, d ^ ODD);
    };
    blocks.iter().for_each(&mut mix);
    let mut last = [0; 32];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    mix(&last);
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
