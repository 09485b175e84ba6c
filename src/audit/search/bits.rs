//! Which of the 1,024 leaves of a block carry something. Stored as a list of places while that is shorter than a map.

/// How many leaves a block has.
pub(super) const BLOCK: u64 = 1024;

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits([u64; 16]);

impl Bits {
    /// Every leaf.
    pub(super) const ALL: Self = Self([u64::MAX; 16]);

    /// The leaves `from..until`, counted within the block.
    pub(super) fn range(from: u64, until: u64) -> Self {
        let mut bits = Self::default();
        (from..until.min(BLOCK)).for_each(|place| bits.set(place));
        bits
    }

    pub(super) fn set(&mut self, place: u64) {
        let word = usize::try_from(place / 64).unwrap_or(usize::MAX);
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (place % 64);
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(word, with)| *word &= with);
        both
    }

    pub(super) fn or(self, other: Self) -> Self {
        let mut either = self;
        either.0.iter_mut().zip(other.0).for_each(|(word, with)| *word |= with);
        either
    }

    pub(super) fn count(self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The places, lowest first.
    pub(super) fn places(self) -> impl Iterator<Item = u64> {
        (0..).zip(self.0).flat_map(|(nth, word): (u64, u64)| {
            let rest = |word: &u64| Some(word & word.wrapping_sub(1)).filter(|rest| *rest != 0);
            let first = Some(word).filter(|word| *word != 0);
            std::iter::successors(first, rest).map(move |word| nth * 64 + u64::from(word.trailing_zeros()))
        })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        match usize::try_from(self.count()) {
            Ok(count) if count < FEWEST_OF_A_MAP => {
                let mut bytes = Vec::with_capacity(2 * count);
                let places = self.places().map(|place| u16::try_from(place).unwrap_or(u16::MAX));
                places.for_each(|place| bytes.extend_from_slice(&place.to_be_bytes()));
                bytes
            }
            _ => self.0.map(u64::to_be_bytes).concat(),
        }
    }

    /// None: nothing that [`Bits::to_bytes`] gives.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bits = Self::default();
        if bytes.len() == MAP {
            for (word, bytes) in bits.0.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_be_bytes(bytes.try_into().ok()?);
            }
            return Some(bits);
        }
        for place in bytes.chunks(2) {
            let place = u64::from(u16::from_be_bytes(place.try_into().ok()?));
            if place >= BLOCK {
                return None;
            }
            bits.set(place);
        }
        Some(bits)
    }
}

/// The bytes of a map.
const MAP: usize = 128;

/// A list of so many places would be as long as the map.
const FEWEST_OF_A_MAP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_places_are_a_list_and_many_are_a_map_and_both_come_back() {
        for count in [0, 1, 2, 63, 64, 65, 1023, 1024] {
            let mut bits = Bits::default();
            (0..count).for_each(|nth| bits.set((nth * 37 + 5) % BLOCK));
            let bytes = bits.to_bytes();
            assert_eq!(bits.count(), count);
            assert_eq!(bytes.len(), if count < 64 { count as usize * 2 } else { 128 }, "{count}");
            assert_eq!(Bits::from_bytes(&bytes), Some(bits));
            let places: Vec<u64> = bits.places().collect();
            assert!(places.len() as u64 == count && places.is_sorted(), "{places:?}");
        }
        assert_eq!((Bits::from_bytes(&[1]), Bits::from_bytes(&[4, 0])), (None, None));
    }

    #[test]
    fn ranges_end_with_the_block() {
        assert_eq!(Bits::range(0, BLOCK), Bits::ALL);
        assert_eq!(Bits::range(1020, 5000).places().collect::<Vec<_>>(), [1020, 1021, 1022, 1023]);
        assert!(Bits::range(7, 7).is_empty());
    }
}
