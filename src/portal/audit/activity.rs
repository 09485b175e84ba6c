//! The chart of the log's page: counts over time as the index has them, or of the entries shown for those who may not
//! know how much else there is.

use super::asked::Links;
use crate::{
    access::Reader,
    audit::{
        entry::{Entry, Event},
        search::{Activity, Bucket},
    },
    model::{Timestamp, Verdict},
    portal::{
        page::{Bar, Chart, STEP},
        words,
    },
};

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Everything that matches.
    All,
    /// The entries of this page.
    Shown,
}

impl Counted {
    /// What this reader may know the number of.
    pub fn for_reader(reader: &Reader) -> Self {
        if reader.may_see_totals() { Self::All } else { Self::Shown }
    }
}

/// How many bars a chart has.
pub const BARS: usize = 48;

/// The chart. None: there is nothing to see.
pub fn chart(activity: &Activity, counted: Counted, links: &Links) -> Option<Chart> {
    let buckets = &activity.buckets;
    // Fewer bars than three say less than the numbers do.
    let (first, last) = (buckets.first()?, buckets.last().filter(|_| buckets.len() > 2)?);
    let most = buckets.iter().map(sum).max().filter(|most| *most > 0)?;
    let number = |count: u64| if activity.is_exact { words::grouped(count) } else { words::about(count) };
    let total = |of: fn(&Bucket) -> u64| number(buckets.iter().map(of).fold(0, u64::saturating_add));
    let totals = [total(|bucket| bucket.allow), total(|bucket| bucket.deny), total(|bucket| bucket.other)];
    let length = last.until.since(first.from);
    let bar = |(nth, bucket): (usize, &Bucket)| {
        let counts = [bucket.allow, bucket.deny, bucket.other];
        Bar {
            href: links.within(Some(bucket.from), Some(bucket.until)),
            from: words::tick(bucket.from, length / 8),
            counts: counts.map(number),
            x: u32::try_from(nth).unwrap_or(0).saturating_mul(STEP),
            parts: Bar::parts(counts, most),
        }
    };
    let middle = buckets.get(buckets.len() / 2);
    let ticks = [Some(first.from), middle.map(|bucket| bucket.from), Some(last.until)];
    let (from, until) = (words::second(first.from), words::second(last.until));
    let [allowed, denied, other] = &totals;
    Some(Chart {
        summary: format!("From {from} to {until} UTC: {allowed} allowed, {denied} denied, {other} other."),
        bars: buckets.iter().enumerate().map(bar).collect(),
        most: number(most),
        ticks: ticks.into_iter().flatten().map(|at| words::tick(at, length)).collect(),
        step: words::step(first.until.since(first.from)),
        scope: if counted == Counted::All { "All that match" } else { "The entries shown" },
        totals,
    })
}

/// How many entries match, in words.
pub fn count(activity: &Activity) -> String {
    let count = activity.buckets.iter().map(sum).fold(0, u64::saturating_add);
    if activity.is_exact { words::entries(count) } else { format!("about {} entries", words::about(count)) }
}

/// The activity of a few entries, newest first.
pub fn of_entries(entries: &[&Entry]) -> Activity {
    let (Some(newest), Some(oldest)) = (entries.first(), entries.last()) else {
        return Activity { buckets: Vec::new(), is_exact: true };
    };
    let start = oldest.recorded_at.micros();
    let bars = i64::try_from(BARS).unwrap_or(i64::MAX);
    let step = (newest.recorded_at.micros().saturating_sub(start) / bars).saturating_add(1);
    let at = |nth: i64| Timestamp::from_micros(start.saturating_add(step.saturating_mul(nth)));
    let mut buckets: Vec<Bucket> =
        (0..bars).map(|nth| Bucket { from: at(nth), until: at(nth + 1), allow: 0, deny: 0, other: 0 }).collect();
    for entry in entries {
        let nth = entry.recorded_at.micros().saturating_sub(start) / step;
        let Some(bucket) = usize::try_from(nth).ok().and_then(|nth| buckets.get_mut(nth)) else { continue };
        match &entry.event {
            Event::Decision { decision, .. } if decision.verdict == Verdict::Allow => bucket.allow += 1,
            Event::Decision { decision, .. } if decision.verdict == Verdict::Deny => bucket.deny += 1,
            Event::Refused { .. } | Event::Refusals { .. } => bucket.deny += 1,
            _ => bucket.other += 1,
        }
    }
    Activity { buckets, is_exact: true }
}

fn sum(bucket: &Bucket) -> u64 {
    bucket.allow.saturating_add(bucket.deny).saturating_add(bucket.other)
}

#[cfg(test)]
mod tests {
    use super::{super::asked::Asked, *};

    fn bucket(nth: i64, allow: u64, deny: u64) -> Bucket {
        let at = |nth: i64| Timestamp::from_micros(1_795_261_500_000_000 + nth * 60_000_000);
        Bucket { from: at(nth), until: at(nth + 1), allow, deny, other: 1 }
    }

    #[test]
    fn each_bar_narrows_the_time_and_keeps_the_other_filters() {
        let activity = Activity { buckets: vec![bucket(0, 5, 0), bucket(1, 0, 2), bucket(2, 0, 0)], is_exact: true };
        let links = Asked::read(Some("who=corp/ada")).links();
        let chart = chart(&activity, Counted::All, &links).unwrap();
        assert_eq!(
            chart.bars[1].href,
            "/audit?who=corp%2Fada&from=2026-11-21T11%3A46%3A00Z&until=2026-11-21T11%3A47%3A00Z"
        );
        assert_eq!((chart.most.as_str(), chart.totals.join(" ").as_str()), ("6", "5 2 3"));
        assert_eq!((count(&activity).as_str(), chart.step.as_str()), ("10 entries", "1 minute"));
    }

    #[test]
    fn an_estimate_says_that_it_is_one() {
        let activity = Activity { buckets: vec![bucket(0, 12_345, 0)], is_exact: false };
        assert_eq!(count(&activity), "about 12\u{202f}000 entries");
        let nothing = Activity { buckets: vec![], is_exact: true };
        assert!(chart(&nothing, Counted::All, &Links::default()).is_none());
        assert_eq!(count(&nothing), "0 entries");
    }
}
