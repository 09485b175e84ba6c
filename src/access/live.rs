//! The rules as they are now: loaded, checked, stored, recorded, and only then swapped in, all at once.
//!
//! INVARIANT: no decision is made under texts that are not in the store, nor under rules whose loading is not in the log.
//! The last good set stays when newer files are wrong, and the fault is shown. Files are compared by content.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use sqlx::PgPool;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    AccessFault,
    check::Mistake,
    policy::{Rules, Texts},
    source::Sources,
};
use crate::{
    audit::{Draft, Entry, Event, Log},
    config::Policy as Settings,
    model::{Clock, PolicyVersion, Timestamp},
    store::{
        self, StoreFault,
        policy_text::{TextKind, keep_policy_text, newest_loading},
    },
};

/// The rules in force. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

struct Shared {
    rules: ArcSwap<Rules>,
    fault: Mutex<Option<PolicyFault>>,
    changed: watch::Sender<()>,
    settings: Settings,
    pool: PgPool,
    log: Log,
    clock: Arc<dyn Clock>,
}

/// What a page, a probe or a metric needs to know about the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyState {
    /// Which rules are in force.
    pub version: PolicyVersion,
    /// How many.
    pub rules: usize,
    /// What is wrong with newer files, if anything is.
    pub fault: Option<PolicyFault>,
}

/// Why newer files were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// Each `file:line:column: what`.
    pub errors: Vec<String>,
    /// Since when.
    pub since: Timestamp,
}

impl Live {
    /// Loads the rules and goes on watching them until the task is aborted. A broker does not start on broken rules.
    pub async fn open(
        settings: Settings,
        pool: PgPool,
        log: Log,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, JoinHandle<()>), AccessFault> {
        let read = read(&settings).await;
        let rules = read.clone().map_err(AccessFault::Rules).and_then(|sources| Rules::read(&sources))?;
        let shared = Shared {
            rules: ArcSwap::from_pointee(rules),
            fault: Mutex::new(None),
            changed: watch::Sender::new(()),
            settings,
            pool,
            log,
            clock,
        };
        let live = Self(Arc::new(shared));
        live.found(&live.rules(), live.last_in_force().await?).await?;
        let task = tokio::spawn(live.clone().watch(read));
        Ok((live, task))
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    /// Which they are, and what is wrong with newer ones.
    pub fn state(&self) -> PolicyState {
        let rules = self.rules();
        PolicyState { version: rules.version().to_value(), rules: rules.count(), fault: self.fault().clone() }
    }

    /// Wakes whenever other rules have been put in force.
    pub fn changed(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    async fn watch(self, mut known: Reading) {
        loop {
            sleep(POLL).await;
            let reading = self.settled().await;
            if reading != known && self.take(&reading).await.is_ok() {
                known = reading;
            }
        }
    }

    /// Reads until two readings agree, so that a save under way is not taken for a finished one.
    async fn settled(&self) -> Reading {
        let mut reading = read(&self.0.settings).await;
        loop {
            sleep(SETTLE).await;
            let again = read(&self.0.settings).await;
            if again == reading {
                return reading;
            }
            reading = again;
        }
    }

    /// Puts what was read in force, or records why not. An error means that neither could be done: try again.
    async fn take(&self, reading: &Reading) -> Result<(), AccessFault> {
        let rules = reading.clone().map_err(AccessFault::Rules).and_then(|sources| Rules::read(&sources));
        match rules {
            Ok(rules) => {
                let same = rules.version() == self.rules().version();
                if !same {
                    let in_force = self.rules().version().to_value();
                    self.found(&rules, Some(in_force)).await?;
                    self.0.rules.store(Arc::new(rules));
                    self.0.changed.send_replace(());
                }
                *self.fault() = None;
                Ok(())
            }
            Err(AccessFault::Rules(mistakes)) => self.reject(&mistakes).await,
            Err(other) => self.reject(&[Mistake::of_file("rules", &other.to_string())]).await,
        }
    }

    /// Stores the texts and records the loading; both before anything is decided under them.
    async fn found(&self, rules: &Rules, before: Option<PolicyVersion>) -> Result<(), AccessFault> {
        self.keep(rules.texts()).await?;
        let policy = rules.version().to_value();
        let before = before.filter(|before| *before != policy);
        let rule_count = u64::try_from(rules.count()).unwrap_or(u64::MAX);
        let event = Event::PolicyLoaded { policy, rules: rule_count, before };
        tracing::info!(rules = rules.count(), version = %rules.version().policies, "rules are in force");
        self.record(event).await
    }

    /// Which rules the log says were put in force last, by this broker or another. What cannot be read says nothing.
    async fn last_in_force(&self) -> Result<Option<PolicyVersion>, StoreFault> {
        let leaf = newest_loading(&self.0.pool).await?;
        let event = leaf.and_then(|leaf| Entry::from_leaf(&leaf).ok()).map(|entry| entry.event);
        Ok(match event {
            Some(Event::PolicyLoaded { policy, .. }) => Some(policy),
            _ => None,
        })
    }

    async fn keep(&self, texts: &Texts) -> Result<(), StoreFault> {
        let now = self.0.clock.now();
        let mut transaction = store::begin(&self.0.pool).await?;
        let kinds = [
            (TextKind::Policies, &texts.policies),
            (TextKind::Entities, &texts.entities),
            (TextKind::Schema, &texts.schema),
        ];
        for (kind, text) in kinds {
            keep_policy_text(&mut transaction, kind, text, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn reject(&self, mistakes: &[Mistake]) -> Result<(), AccessFault> {
        let errors: Vec<String> =
            mistakes.iter().take(MOST_ERRORS).map(|mistake| short(&mistake.to_string())).collect();
        for error in &errors {
            tracing::error!(%error, "the rules were not taken; the last good ones stay");
        }
        *self.fault() = Some(PolicyFault { errors: errors.clone(), since: self.0.clock.now() });
        self.record(Event::PolicyRejected { errors }).await
    }

    async fn record(&self, event: Event) -> Result<(), AccessFault> {
        let draft = Draft { caller: None, event, happened_at: self.0.clock.now(), request: None };
        self.0.log.append(draft).await.map(drop).map_err(|_| AccessFault::Unrecorded)
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<PolicyFault>> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the files held, or why they could not be read.
type Reading = Result<Sources, Vec<Mistake>>;

async fn read(settings: &Settings) -> Reading {
    let (folder, entities) = (settings.folder.clone(), settings.entities.clone());
    let unreadable = |_| vec![Mistake::of_file("rules", "the files could not be read")];
    tokio::task::spawn_blocking(move || Sources::load(&folder, &entities)).await.map_err(unreadable)?
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_ERROR).collect()
}

const POLL: Duration = Duration::from_millis(900);
const SETTLE: Duration = Duration::from_millis(100);
const MOST_ERRORS: usize = 20;
const LONGEST_ERROR: usize = 500;
