//! Instants, spans, sizes and browsers as people say them. UTC throughout, because two people who compare what they
//! see must see the same.

use std::time::Duration;

use time::{format_description::BorrowedFormatItem, macros::format_description};

use crate::model::Timestamp;

/// `21 Nov 2026, 23:15 UTC`
pub fn moment(at: Timestamp) -> String {
    formatted(at, format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC"))
}

/// `21 Nov 2026, 23:15:25`
pub fn second(at: Timestamp) -> String {
    formatted(at, format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second]"))
}

/// `23:15:25`
pub fn time_of_day(at: Timestamp) -> String {
    formatted(at, format_description!("[hour]:[minute]:[second]"))
}

/// `Saturday, 21 November 2026`
pub fn weekday(at: Timestamp) -> String {
    formatted(at, format_description!("[weekday], [day padding:none] [month repr:long] [year]"))
}

/// An instant on an axis of this length, no finer than it can be told apart there.
pub fn tick(at: Timestamp, length: Duration) -> String {
    match length.as_secs() {
        0..600 => formatted(at, format_description!("[hour]:[minute]:[second]")),
        600..1_209_600 => formatted(at, format_description!("[day padding:none] [month repr:short], [hour]:[minute]")),
        _ => day(at),
    }
}

/// `21 Nov 2026`
pub fn day(at: Timestamp) -> String {
    formatted(at, format_description!("[day padding:none] [month repr:short] [year]"))
}

/// `2 minutes ago`
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.since(then).as_secs() {
        0..=4 => "just now".to_owned(),
        seconds => format!("{} ago", span(Duration::from_secs(seconds))),
    }
}

/// `in 11 hours`
pub fn ahead(now: Timestamp, then: Timestamp) -> String {
    format!("in {}", span(then.since(now)))
}

/// `5 minutes`: the largest unit that is not a fraction, rounded down.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    plural(count, unit)
}

/// `1 minute`, `90 seconds`, `37 minutes`: a length that is repeated, so no unit that would say less than half of it.
pub fn step(length: Duration) -> String {
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let fits = |unit: u64| millis >= unit * 2 || millis == unit;
    let rounded = |unit: u64| (millis + unit / 2) / unit;
    match millis {
        0..1_000 => plural(millis.max(1), "millisecond"),
        _ if fits(86_400_000) => plural(rounded(86_400_000), "day"),
        _ if fits(3_600_000) => plural(rounded(3_600_000), "hour"),
        _ if fits(60_000) => plural(rounded(60_000), "minute"),
        _ => plural(rounded(1_000), "second"),
    }
}

/// `12 000`: the first two digits of an estimate, grouped.
pub fn about(number: u64) -> String {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(1));
    grouped(number.saturating_add(unit / 2) / unit * unit)
}

/// `1 rule`, `12 rules`
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(count)) }
}

/// `1 entry`, `1 419 002 entries`.
pub fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(count)) }
}

/// `1 419 002`, with narrow spaces that do not break.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `18.3 kB`
pub fn size(bytes: u64) -> String {
    let scaled = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", scaled(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", scaled(1_000_000)),
        _ => format!("{} GB", scaled(1_000_000_000)),
    }
}

/// `41 ms`, from microseconds.
pub fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000_000 => format!("{} ms", micros / 1_000),
        _ => span(Duration::from_micros(micros)),
    }
}

/// `Firefox on Linux`, out of a User-Agent. Only for recognising one's own: anybody can claim to be anything.
pub fn agent(header: &str) -> String {
    let first = |choices: &[(&str, &'static str)]| {
        choices.iter().find(|(mark, _)| header.contains(mark)).map(|&(_, name)| name)
    };
    match (first(BROWSERS), first(SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if header.is_empty() => "unknown program".to_owned(),
        (None, _) => header.chars().filter(|c| !c.is_control()).take(60).collect(),
    }
}

fn formatted(at: Timestamp, format: &[BorrowedFormatItem<'_>]) -> String {
    at.to_datetime().format(format).unwrap_or_else(|_| at.to_string())
}

/// Most specific first: nearly every browser also claims to be Safari.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("bailiwick", "bailiwick"),
];

const SYSTEMS: &[(&str, &str)] = &[
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_261_525_000_000);

    #[test]
    fn instants_are_given_in_utc() {
        assert_eq!(moment(NOON), "21 Nov 2026, 11:45 UTC");
        assert_eq!(second(NOON), "21 Nov 2026, 11:45:25");
        assert_eq!(day(NOON), "21 Nov 2026");
    }

    #[test]
    fn spans_are_given_in_their_largest_unit() {
        let later = |seconds| NOON.plus(Duration::from_secs(seconds));
        assert_eq!(ago(later(2), NOON), "just now");
        assert_eq!(ago(later(61), NOON), "1 minute ago");
        assert_eq!(ahead(NOON, later(11 * 3_600 + 5)), "in 11 hours");
        assert_eq!(ago(later(4 * 86_400), NOON), "4 days ago");
    }

    #[test]
    fn numbers_are_grouped_and_scaled() {
        assert_eq!(grouped(1_419_002), "1\u{202f}419\u{202f}002");
        assert_eq!((about(12_345).as_str(), about(7).as_str(), about(0).as_str()), ("12\u{202f}000", "7", "0"));
        assert_eq!(about(1_995_000), "2\u{202f}000\u{202f}000");
        let steps = [900, 1_000, 60_000, 90_000, 150_000, 7_300_000].map(|millis| step(Duration::from_millis(millis)));
        assert_eq!(steps, ["900 milliseconds", "1 second", "1 minute", "90 seconds", "3 minutes", "2 hours"]);
        assert_eq!(plural(1, "rule"), "1 rule");
        assert_eq!(size(18_345), "18.3 kB");
        assert_eq!(duration(41_900), "41 ms");
    }

    #[test]
    fn a_browser_is_known_by_its_own_mark() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36";
        assert_eq!(agent(chrome), "Chrome on Linux");
        assert_eq!(agent("curl/8.5.0\u{1b}[31m"), "curl/8.5.0[31m");
        assert_eq!(agent(""), "unknown program");
    }
}
