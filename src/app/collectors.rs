//! What `/metrics` shows of collectors: one line for each that is configured, named as it is there,
//! and one for each that no broker ships to.

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::shipping::collector::{Figures, Owed, Reading};

/// Every figure of every collector, and what is owed to those that no broker ships to.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    readings: &[Arc<Reading>],
    unshipped: &[Owed],
) -> Result<(), fmt::Error> {
    let all: Vec<_> =
        readings.iter().map(|reading| ([("collector", reading.name.clone())], reading.figures())).collect();
    for (name, help, kind, read) in SERIES {
        let mut series = encoder.encode_descriptor(name, help, None, *kind)?;
        for (labels, figures) in &all {
            let one = series.encode_family(labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(read(figures)).encode(one)?,
                _ => ConstGauge::new(i64::try_from(read(figures)).unwrap_or(i64::MAX)).encode(one)?,
            }
        }
    }
    let help = "Entries owed to a collector that no broker ships to: alarm above 0";
    let mut series = encoder.encode_descriptor("collector_unshipped", help, None, MetricType::Gauge)?;
    for owed in unshipped {
        let labels = [("collector", owed.collector.as_str())];
        let one = series.encode_family(&labels)?;
        ConstGauge::new(i64::try_from(owed.entries).unwrap_or(i64::MAX)).encode(one)?;
    }
    Ok(())
}

type Series = (&'static str, &'static str, MetricType, fn(&Figures) -> u64);

const SERIES: &[Series] = &[
    ("collector_held", "Whether this broker ships to the collector", MetricType::Gauge, |it| u64::from(it.is_held)),
    ("collector_position", "The leaf index that goes next", MetricType::Gauge, |it| it.next),
    ("collector_lag", "Entries that the collector does not have yet", MetricType::Gauge, |it| it.lag),
    ("collector_failing", "Whether it did not take the last batch", MetricType::Gauge, |it| u64::from(it.is_failing)),
    ("collector_shipped", "Entries that it took from this broker", MetricType::Counter, |it| it.shipped),
    ("collector_failures", "Batches that it did not take", MetricType::Counter, |it| it.failures),
    ("collector_rejected", "Times that it refused a single entry", MetricType::Counter, |it| it.rejected),
    ("collector_skipped", "Entries left out of it, each recorded", MetricType::Counter, |it| it.skipped),
];
