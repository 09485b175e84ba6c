//! What was read of some bytes, for when the same bytes come again. A fixed number of places: what comes later takes the
//! place of what was there, so whoever makes up bytes to fall on one place wins nothing but that they are read again.

/// See the head of this file.
pub(super) struct Memo<T> {
    places: Vec<Option<(Box<[u8]>, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T: Clone> Memo<T> {
    /// What `read` gives for `piece`, or gave when these very bytes came before. What it refuses is not remembered.
    pub(super) fn read(&mut self, piece: &[u8], read: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let place =
            self.places.get_mut(usize::try_from(mixed(piece) >> (u64::BITS - PLACES.trailing_zeros())).ok()?)?;
        if let Some((known, value)) = place
            && **known == *piece
        {
            return Some(value.clone());
        }
        let value = read()?;
        if piece.len() <= LONGEST {
            *place = Some((piece.into(), value.clone()));
        }
        Some(value)
    }
}

/// Spreads pieces over the places.
fn mixed(piece: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, eight: &[u8; 8]| (sum.rotate_left(5) ^ u64::from_le_bytes(*eight)).wrapping_mul(ODD);
    let (eights, rest) = piece.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    mix(eights.iter().fold(0, mix), &last)
}

/// How many pieces are remembered.
const PLACES: usize = 8_192;

/// The longest piece that is remembered, in bytes.
const LONGEST: usize = 1_024;
