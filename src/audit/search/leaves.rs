//! Which leaves of a block carry a term: mostly so few that a map of all would be larger than all else about the term.

use super::bits::Bits;

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) enum Leaves {
    /// The first `count` of these places, in no order, each once.
    Few { count: u8, places: [u16; MOST_FEW] },
    /// Any number.
    Many(Box<Bits>),
}

impl Default for Leaves {
    fn default() -> Self {
        Self::Few { count: 0, places: [0; MOST_FEW] }
    }
}

impl Leaves {
    pub(super) fn set(&mut self, place: u64) {
        if self.is_set_as_one_of_few(place) {
            return;
        }
        let mut bits = self.to_bits();
        bits.set(place);
        *self = Self::Many(Box::new(bits));
    }

    /// False: there is no room for it.
    fn is_set_as_one_of_few(&mut self, place: u64) -> bool {
        let (count, places) = match self {
            Self::Many(bits) => {
                bits.set(place);
                return true;
            }
            Self::Few { count, places } => (count, places),
        };
        let (taken, free) = places.split_at_mut(usize::from(*count));
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        if taken.contains(&place) {
            return true;
        }
        let Some(free) = free.first_mut() else { return false };
        *free = place;
        *count += 1;
        true
    }

    /// Adds all of `others`.
    pub(super) fn add(&mut self, others: &Self) {
        match others {
            Self::Few { .. } => others.few().iter().for_each(|place| self.set((*place).into())),
            Self::Many(bits) => *self = Self::Many(Box::new(self.to_bits().or(**bits))),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few { count: 0, .. })
    }

    /// What [`Bits::to_bytes`] gives for the same leaves.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Many(bits) => bits.to_bytes(),
            Self::Few { count, places } => {
                let mut sorted = *places;
                let sorted = sorted.get_mut(..usize::from(*count)).unwrap_or_default();
                sorted.sort_unstable();
                let mut bytes = Vec::with_capacity(2 * sorted.len());
                sorted.iter().for_each(|place| bytes.extend_from_slice(&place.to_be_bytes()));
                bytes
            }
        }
    }

    fn to_bits(&self) -> Bits {
        match self {
            Self::Many(bits) => **bits,
            Self::Few { .. } => {
                let mut bits = Bits::default();
                self.few().iter().for_each(|place| bits.set((*place).into()));
                bits
            }
        }
    }

    fn few(&self) -> &[u16] {
        match self {
            Self::Few { count, places } => places.get(..usize::from(*count)).unwrap_or_default(),
            Self::Many(_) => &[],
        }
    }
}

/// As many as take no more room than what leads to a map.
const MOST_FEW: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_leaves_have_the_bytes_of_their_map() {
        for count in [0_u64, 1, 5, 6, 7, 8, 63, 64, 200] {
            let (mut leaves, mut bits) = (Leaves::default(), Bits::default());
            for nth in (0..count).chain(0..count) {
                let place = (nth * 389 + 17) % 1024;
                leaves.set(place);
                bits.set(place);
            }
            assert_eq!((leaves.to_bytes(), leaves.is_empty()), (bits.to_bytes(), count == 0), "{count}");
            for others in [0_u64, 3, 9] {
                let (mut more, mut all, mut both) = (Leaves::default(), bits, leaves.clone());
                for place in (0..others).map(|nth| nth * 91 + 17) {
                    more.set(place);
                    all.set(place);
                }
                both.add(&more);
                assert_eq!(both.to_bytes(), all.to_bytes(), "{count} and {others}");
            }
        }
    }
}
