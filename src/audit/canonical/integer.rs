//! Integers in decimal digits, two at a time: an entry has half a dozen, most of them instants.

/// Writes the integer of this sign and size.
pub(super) fn integer(is_negative: bool, size: u64, out: &mut Vec<u8>) {
    if is_negative {
        out.push(b'-');
    }
    if let Ok(digit @ 0..=9) = u8::try_from(size) {
        return out.push(b'0' + digit);
    }
    let (mut digits, mut rest) = ([[0; 2]; MOST_PAIRS], size);
    let mut taken = 0;
    for pair in digits.iter_mut().rev() {
        *pair = PAIRS.get(usize::try_from(rest % 100).unwrap_or(0)).copied().unwrap_or_default();
        rest /= 100;
        taken += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.as_flattened();
    let leading = digits.len() - 2 * taken;
    let written = digits.get(leading..).unwrap_or_default();
    // The first pair of a number with an odd count of digits begins with a zero that is not written.
    match written {
        [b'0', rest @ ..] => out.extend_from_slice(rest),
        all => out.extend_from_slice(all),
    }
}

/// 20 digits are the most.
const MOST_PAIRS: usize = 10;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut rest: &mut [[u8; 2]] = &mut pairs;
    let mut value = 0_u8;
    while let [pair, after @ ..] = rest {
        *pair = [b'0' + value / 10, b'0' + value % 10];
        rest = after;
        value += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_everywhere() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7)]);
        for value in around.chain([u64::MAX, u64::MAX - 1, 1_800_000_000_123_456]) {
            let mut out = b"x".to_vec();
            integer(false, value, &mut out);
            assert_eq!(out, format!("x{value}").into_bytes());
            out.clear();
            integer(true, value, &mut out);
            assert_eq!(out, format!("-{value}").into_bytes());
        }
    }
}
