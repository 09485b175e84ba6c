//! A chart of what happened when: bars of allowed, denied and other entries, as SVG with classes alone, each a link that
//! narrows the time. The same as a table, for whoever cannot see it. Knows places on the page, not the log.

/// The chart, measured out.
pub struct Chart {
    /// In a sentence, for whoever hears it.
    pub summary: String,
    /// The bars, oldest first.
    pub bars: Vec<Bar>,
    /// The largest count of a bar, for the upper line.
    pub most: String,
    /// When the chart begins and ends, and some instant between.
    pub ticks: Vec<String>,
    /// What a bar spans, in words: `15 minutes`.
    pub step: String,
    /// What was counted: all that match, or the entries shown.
    pub scope: &'static str,
    /// Totals: allowed, denied, other.
    pub totals: [String; 3],
}

/// A bar.
pub struct Bar {
    /// The address of the same search within the bar's time.
    pub href: String,
    /// `21 Nov 2026, 23:00 UTC`
    pub from: String,
    /// Counts: allowed, denied, other.
    pub counts: [String; 3],
    /// Where it begins, in units of the chart's width.
    pub x: u32,
    /// Its parts from the bottom up: class, upper edge, height.
    pub parts: Vec<(&'static str, u32, u32)>,
}

/// From one bar to the next.
pub const STEP: u32 = 10;
/// The height of the tallest bar.
pub const HEIGHT: u32 = 100;

impl Chart {
    /// The width of the whole.
    pub fn width(&self) -> u32 {
        u32::try_from(self.bars.len()).unwrap_or(0).saturating_mul(STEP).max(STEP)
    }
}

impl Bar {
    /// The parts of a bar that counts so many allowed, denied and other entries, where the tallest counts `most`.
    /// Denials stand at the foot, where bars are compared best; what is there at all is never too small to see.
    pub fn parts([allow, deny, other]: [u64; 3], most: u64) -> Vec<(&'static str, u32, u32)> {
        let scale = |count: u64| -> u32 {
            let height = u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1));
            let least = if count > 0 { LEAST } else { 0 };
            u32::try_from(height).unwrap_or(HEIGHT).clamp(least, HEIGHT)
        };
        let mut top = HEIGHT;
        let mut parts = Vec::new();
        for (class, count) in [("deny", deny), ("allow", allow), ("other", other)] {
            let height = scale(count).min(top);
            top -= height;
            if height > 0 {
                parts.push((class, top, height));
            }
        }
        parts
    }
}

/// The least height of what is there at all.
const LEAST: u32 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn sample() -> Chart {
        let counts = |nth: u64| [nth * 7 % 23, if nth % 9 == 4 { 6 } else { nth % 2 }, nth * 5 % 11];
        let bars = (0..48).map(|nth| Bar {
            href: format!("/audit?from={nth}"),
            from: format!("21 Nov 2026, {nth:02}:00 UTC"),
            counts: counts(nth).map(|count| count.to_string()),
            x: u32::try_from(nth).unwrap() * STEP,
            parts: Bar::parts(counts(nth), 36),
        });
        Chart {
            summary: "48 spans of 30 minutes".to_owned(),
            bars: bars.collect(),
            most: "36".to_owned(),
            ticks: ["20 Nov, 23:15", "21 Nov, 11:15", "21 Nov, 23:15"].map(str::to_owned).to_vec(),
            step: "30 minutes".to_owned(),
            scope: "all that match",
            totals: ["524", "31", "240"].map(str::to_owned),
        }
    }

    #[test]
    fn a_single_denial_among_a_million_is_still_seen() {
        let parts = Bar::parts([1_000_000, 1, 0], 1_000_001);
        assert_eq!(parts, [("deny", 98, 2), ("allow", 0, 98)]);
        assert_eq!(Bar::parts([0, 0, 0], 5), []);
        assert_eq!(Bar::parts([0, 0, u64::MAX], u64::MAX), [("other", 0, 100)]);
    }
}
