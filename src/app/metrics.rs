//! What `/metrics` shows, read from the parts at the moment somebody asks. Counts and states only: no names of people,
//! apps' paths or anything else from a request becomes a label.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, family::Family, gauge::ConstGauge, gauge::Gauge},
    registry::Registry,
};

use crate::{
    access::Gate,
    audit::{Log, Refusals, Storage},
    model::Clock,
    shipping::{Shipping, collector},
    store::feed::Feed,
    streams::Streams,
};

/// A registry whose values are read when it is asked.
pub(super) fn registry(parts: Readings) -> Arc<Registry> {
    let mut registry = Registry::with_prefix("bailiwick");
    let build = Family::<Vec<(String, String)>, Gauge>::default();
    build.get_or_create(&vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]).set(1);
    registry.register("build_info", "Which version runs", build);
    registry.register_collector(Box::new(parts));
    Arc::new(registry)
}

/// The parts that are read.
pub(super) struct Readings {
    pub(super) gate: Gate,
    pub(super) log: Log,
    pub(super) shipping: Shipping,
    pub(super) refusals: Refusals,
    pub(super) storage: Storage,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) feed: Feed,
    pub(super) streams: Streams,
    pub(super) collectors: Vec<Arc<collector::Reading>>,
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = self.gate.counters();
        let decisions = [
            ("allowed", "Requests permitted", &counters.allowed),
            ("denied", "Requests denied", &counters.denied),
            ("step_up", "Requests for a fresh passkey", &counters.step_up),
            (
                "unavailable",
                "Requests refused because something could not be decided or recorded",
                &counters.unavailable,
            ),
        ];
        for (name, help, value) in decisions {
            total(&mut encoder, &format!("requests_{name}"), help, value.load(Ordering::Relaxed))?;
        }
        let refused = self.refusals.noted();
        total(&mut encoder, "requests_refused", "Requests refused before any rule was asked", refused)?;
        let health = self.log.health();
        total(&mut encoder, "log_lost_entries", "Entries that could not be kept", health.lost)?;
        let rules = self.gate.live().state();
        let storage = self.storage.seen();
        let oldest = storage.oldest.map_or(0, |oldest| self.clock.now().since(oldest).as_secs());
        let now = [
            ("database_bytes", "What the whole database takes", whole(storage.database)),
            ("log_bytes", "What the entries of the audit log take, with their indexes", whole(storage.entries)),
            ("log_months", "Months of the audit log that are in the database", whole(storage.months)),
            ("log_months_ahead", "Months there is room for, this one included: alarm below 2", whole(storage.ahead)),
            ("log_oldest_seconds", "Since the oldest month in the database began", whole(oldest)),
            ("log_up", "Whether the audit log takes entries", i64::from(self.log.alive())),
            ("log_waiting", "Entries that wait to be recorded", whole(health.waiting)),
            (
                "log_gaps",
                "Times in seven days that the audit log could not take entries, at any broker: alarm above 0",
                whole(self.shipping.lost().gaps),
            ),
            (
                "log_unreadable",
                "Entries that readers found missing or changed since the start: alarm above 0",
                whole(health.unreadable),
            ),
            ("log_size", "Entries in the audit log", whole(health.size)),
            ("log_epoch", "How often the log's past was cut and that accepted", whole(health.epoch)),
            (
                "log_fork",
                "Whether the database or a witness holds another log than was published",
                i64::from(self.shipping.is_forked()),
            ),
            ("log_signed", "Entries that the newest checkpoint covers", whole(health.signed)),
            ("feed_up", "Whether revocations are seen in time", i64::from(self.feed.freshness().is_ok())),
            ("streams_open", "Streams that are open", whole(self.streams.count())),
            ("policy_rules", "Rules in force", whole(rules.rules)),
            ("policy_fault", "Whether newer rules were not taken", i64::from(rules.fault.is_some())),
        ];
        for (name, help, value) in now {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        self.encode_destinations(&mut encoder)?;
        super::collectors::encode(&mut encoder, &self.collectors, &self.shipping.unshipped())
    }
}

impl Readings {
    /// How far each destination of checkpoints has come; its name is from the configuration.
    fn encode_destinations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (size, behind) = (Family::<_, Gauge>::default(), Family::<_, Gauge>::default());
        for reading in self.shipping.readings() {
            let labels = vec![("destination".to_owned(), reading.name)];
            size.get_or_create(&labels).set(whole(reading.size));
            behind.get_or_create(&labels).set(whole(reading.behind.as_secs()));
        }
        let help = "Entries that the newest published checkpoint covers";
        size.encode(encoder.encode_descriptor("checkpoint_published_size", help, None, MetricType::Gauge)?)?;
        let help = "How long the oldest checkpoint that was not published yet has waited";
        let name = "checkpoint_published_age_seconds";
        behind.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

fn total(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn whole(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
