//! Composition: settings, a clock and entropy become running parts, and stop in good order. `serve`, the demonstration
//! and the tests all start here. Holds no logic of its own.

mod behind;
mod check;
mod collectors;
mod doors;
mod metrics;
pub(crate) mod signing;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::behind::Behind;
pub use self::check::check;
use crate::{
    access::{AccessFault, Gate, Live},
    audit::{
        Draft, Event, Limits, Log, LogFault, Refusals, Storage, Tasks, Unrecorded, checkpoint::CheckpointFault,
        follow_readings,
    },
    config::Settings,
    credential::{Authority, CredentialFault, Credentials, Issuer, Wrapping},
    identity::{Callers, CommandLines, Handovers, IdentityFault, Logins, Maintenance, Passkeys, Provider, Sessions},
    listener::{ListenerFault, StatusListener, TlsFault},
    model::{BrokerId, Clock, Entropy},
    outbound::{Outbound, OutboundFault, Plain, Route},
    portal::{PortalState, errands::Errands, pace::Pace},
    proxy::{Rooms, TargetFault},
    shipping::{
        self, Shipping, ShippingFault, ShippingTasks,
        collector::{self, CollectorMistake, Collectors, Ground},
    },
    store::{self, StoreFault, feed::Feed, key::KeyPurpose},
    streams::{Streams, Watched},
};

/// Why a broker does not start. Each says what to do about it, where there is something to do.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The schema is older than this binary.
    #[error("the database lacks migrations ({}): run `bailiwick migrate`", .0.join(", "))]
    Unmigrated(Vec<String>),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The log's name cannot sign.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointFault),
    /// Publishing the log's checkpoints.
    #[error(transparent)]
    Shipping(#[from] ShippingFault),
    /// The rules.
    #[error(transparent)]
    Access(#[from] AccessFault),
    /// The keys.
    #[error("{0}. `bailiwick key init` makes the first keys, and says what to do if they are lost")]
    Credential(#[from] CredentialFault),
    /// Sign-in.
    #[error(transparent)]
    Identity(#[from] IdentityFault),
    /// The client for the provider.
    #[error(transparent)]
    Outbound(#[from] OutboundFault),
    /// The sockets.
    #[error(transparent)]
    Listener(#[from] ListenerFault),
    /// The server certificate.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// An app or cluster behind the broker.
    #[error(transparent)]
    Target(#[from] TargetFault),
    /// A collector of the log.
    #[error(transparent)]
    Collector(#[from] CollectorMistake),
    /// That the broker starts could not be recorded.
    #[error("the start could not be recorded: {0}")]
    Unrecorded(#[from] Unrecorded),
}

/// A broker that runs.
pub struct Running {
    /// Where it listens: plain HTTP first, if any, then the TLS ports in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub status: Option<SocketAddr>,
    /// This process in the log.
    pub broker: BrokerId,
    parts: Parts,
    stop: CancellationToken,
    serving: TaskTracker,
    behind: Behind,
}

/// What the doors and the portal are made of.
pub(crate) struct Parts {
    settings: Arc<Settings>,
    pool: PgPool,
    log: Log,
    shipping: Shipping,
    refusals: Refusals,
    storage: Storage,
    gate: Gate,
    feed: Feed,
    streams: Streams,
    errands: Errands,
    callers: Callers,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Starts a broker. It serves when this returns.
pub async fn start(
    settings: Settings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Running, StartFault> {
    let broker = BrokerId::random(entropy.as_ref());
    let (parts, (recording, shipping), watching) = Parts::assemble(Arc::new(settings), broker, clock, entropy).await?;
    let stop = CancellationToken::new();
    let serving = TaskTracker::new();

    let collectors = Collectors::start(&parts.settings.collector, &parts.ground(broker), collector::Pace::default())?;
    let listener = doors::open(&parts).await?;
    let status = StatusListener::bind(
        parts.settings.listener.status,
        parts.readiness(),
        metrics::registry(parts.readings(&collectors)),
    )
    .await?;
    parts
        .record(Event::BrokerStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: parts.settings.digest.clone(),
            key: parts.log.verifier(),
        })
        .await?;

    let (addresses, status_address) = (listener.addresses(), status.address());
    serving.spawn(listener.serve(stop.clone()));
    serving.spawn(status.serve(stop.clone()));
    serving.close();
    Ok(Running {
        addresses,
        status: status_address,
        broker,
        parts,
        stop,
        serving,
        behind: Behind { watching, recording, shipping, collectors },
    })
}

impl Running {
    /// Returns when something that should run as long as the broker does has ended, with how.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        self.behind.ended().await
    }

    /// Stops in good order: streams are closed, requests finish, outcomes are recorded.
    pub async fn stop(self) {
        self.stop.cancel();
        self.parts.streams.drain(PATIENCE).await;
        self.parts.errands.finish(PATIENCE).await;
        self.serving.wait().await;
        self.parts.refusals.finish();
        // An entry that cannot be written any more is closed by the next broker's sweep.
        let _ = self.parts.record(Event::BrokerStopped {}).await;
        self.behind.stop(PATIENCE).await;
        self.parts.pool.close().await;
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

impl Parts {
    async fn assemble(
        settings: Arc<Settings>,
        broker: BrokerId,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, (Tasks, ShippingTasks), Vec<JoinHandle<()>>), StartFault> {
        let pool = store::connect_durably(&settings.database).await?;
        let missing = store::pending_migrations(&pool).await?;
        if !missing.is_empty() {
            return Err(StartFault::Unmigrated(missing));
        }
        let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
        let mut connection = pool.acquire().await.map_err(StoreFault::from)?;
        let authority = Arc::new(Authority::load(&mut connection, &wrapping).await?);
        drop(connection);

        let signers = signing::signers(&settings, &pool, &wrapping, clock.now()).await?;
        let publics = store::key::publics(&pool, KeyPurpose::Checkpoint).await?;
        let published = shipping::published(&settings.shipping, &settings.audit.origin, publics)?;
        let limits = Limits { wait: settings.audit.wait, ..Limits::default() };
        let ours = (Arc::clone(&clock), Arc::clone(&entropy));
        let (log, recording) =
            Log::open_after(published.as_ref(), pool.clone(), signers, broker, ours.0, ours.1, limits).await?;
        let (shipping, shipping_tasks) = Shipping::open(&settings.shipping, &settings.witness, &log, &pool, &clock)?;
        let (live, rules_watch) =
            Live::open(settings.policy.clone(), pool.clone(), log.clone(), Arc::clone(&clock)).await?;
        let (feed, feed_watch) = Feed::open(pool.clone()).await?;
        let gate = Gate::new(live, log.clone(), feed.clone(), Arc::clone(&clock));
        let watched = Watched {
            feed: feed.clone(),
            gate: gate.clone(),
            log: log.clone(),
            pool: pool.clone(),
            idle: settings.login.idle,
        };
        let (streams, streams_watch) = Streams::open(watched, Arc::clone(&clock), Arc::clone(&entropy));
        let certificate = authority.certificate().clone();
        let callers =
            Callers::new(pool.clone(), Arc::clone(&clock), settings.login.clone(), Some(certificate.as_ref()))
                .remembering(feed.clone());
        let rotation =
            tokio::spawn(signing::follow_keys(pool.clone(), Arc::clone(&settings), log.clone(), Arc::clone(&clock)));
        let passwords = tokio::spawn(follow_passwords(pool.clone(), Arc::clone(&settings)));
        let refusals = Refusals::new(log.clone(), Arc::clone(&clock));
        let counting = tokio::spawn(refusals.clone().run());
        let (storage, storing) = Storage::open(pool.clone(), Arc::clone(&clock)).await?;
        let maintenance = Maintenance::new(pool.clone(), log.clone(), Arc::clone(&clock), settings.login.idle);
        let clearing = tokio::spawn(maintenance.run());
        let reading = tokio::spawn(follow_readings(pool.clone(), log.clone(), Arc::clone(&clock)));
        let watching =
            vec![rules_watch, feed_watch, streams_watch, passwords, rotation, counting, clearing, storing, reading];
        let parts = Self {
            settings,
            pool,
            log,
            shipping,
            refusals,
            storage,
            gate,
            feed,
            streams,
            errands: Errands::default(),
            callers,
            authority,
            clock,
            entropy,
        };
        Ok((parts, (recording, shipping_tasks), watching))
    }

    /// What every door needs.
    fn rooms(&self) -> Rooms {
        Rooms {
            callers: self.callers.clone(),
            handovers: self.handovers(),
            gate: self.gate.clone(),
            log: self.log.clone(),
            refusals: self.refusals.clone(),
            streams: self.streams.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// What the portal stands on.
    fn portal(&self) -> Result<Arc<PortalState>, StartFault> {
        let (pool, log) = (self.pool.clone(), self.log.clone());
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let settings = &self.settings;
        let providers = settings.provider.iter().map(|provider| self.provider(provider)).collect::<Result<_, _>>()?;
        Ok(Arc::new(PortalState {
            settings: Arc::clone(settings),
            pool: pool.clone(),
            gate: self.gate.clone(),
            refusals: self.refusals.clone(),
            log: log.clone(),
            pace: Pace::of_sign_ins(),
            answer_pace: Pace::of_sign_ins(),
            tile_pace: Pace::of_tiles(),
            callers: self.callers.clone(),
            logins: Logins::new(
                pool.clone(),
                log.clone(),
                Arc::clone(&clock),
                Arc::clone(&entropy),
                settings.login.clone(),
                providers,
            ),
            passkeys: Passkeys::new(
                &settings.portal,
                pool.clone(),
                log.clone(),
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )?,
            handovers: self.handovers(),
            command_lines: CommandLines::new(
                pool.clone(),
                log.clone(),
                Arc::clone(&clock),
                Arc::clone(&entropy),
                self.callers.clone(),
            ),
            credentials: Credentials::new(pool.clone(), log.clone(), Arc::clone(&clock)),
            issuer: Issuer::new(
                Arc::clone(&self.authority),
                pool.clone(),
                log,
                Arc::clone(&clock),
                Arc::clone(&entropy),
                settings.login.clone(),
            ),
            sessions: Sessions::new(pool, Arc::clone(&clock), Arc::clone(&entropy), settings.login.absolute),
            errands: self.errands.clone(),
            shipping: self.shipping.clone(),
            clock,
            entropy,
        }))
    }

    fn provider(&self, settings: &crate::config::Provider) -> Result<Provider, StartFault> {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Ok(Provider::new(settings.clone(), &self.settings.portal, provider_client(settings)?, clock, entropy)?)
    }

    fn handovers(&self) -> Handovers {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Handovers::new(self.pool.clone(), clock, entropy, self.callers.clone())
    }

    /// Ready while the log takes entries, its checkpoints are published and revocations are seen in time.
    fn readiness(&self) -> crate::listener::Readiness {
        let (log, shipping, feed) = (self.log.clone(), self.shipping.clone(), self.feed.clone());
        let storage = self.storage.clone();
        Arc::new(move || {
            log.readiness()?;
            shipping.readiness()?;
            if storage.seen().ahead < 2 {
                return Err("there is no room made for next month's entries".to_owned());
            }
            feed.freshness().map(|_| ()).map_err(|stale| stale.to_string())
        })
    }

    /// What collectors work with.
    fn ground(&self, broker: BrokerId) -> Ground {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let (pool, log) = (self.pool.clone(), self.log.clone());
        Ground { origin: self.settings.audit.origin.clone(), pool, log, broker, clock, entropy }
    }

    fn readings(&self, collectors: &Collectors) -> metrics::Readings {
        metrics::Readings {
            gate: self.gate.clone(),
            log: self.log.clone(),
            shipping: self.shipping.clone(),
            refusals: self.refusals.clone(),
            storage: self.storage.clone(),
            clock: Arc::clone(&self.clock),
            feed: self.feed.clone(),
            streams: self.streams.clone(),
            collectors: collectors.readings(),
        }
    }

    async fn record(&self, event: Event) -> Result<(), Unrecorded> {
        let draft = Draft { caller: None, event, happened_at: self.clock.now(), request: None };
        self.log.append(draft).await.map(|_| ())
    }
}

/// The client that asks a provider.
fn provider_client(settings: &crate::config::Provider) -> Result<Outbound, StartFault> {
    let host = settings.issuer.url().host_str().unwrap_or_default().to_owned();
    let route = Route {
        ca_file: settings.ca_file.clone(),
        resolve: settings.resolve.map(|address| (host, address)).into_iter().collect(),
        plain: Plain::Loopback,
    };
    Ok(Outbound::new(route)?)
}

/// Reads the database's URL again now and then, so that a rotated password needs no restart.
async fn follow_passwords(pool: PgPool, settings: Arc<Settings>) {
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        if let Err(fault) = store::take_up_new_url(&pool, &settings.database) {
            tracing::warn!(%fault, "the database's URL could not be read again");
        }
    }
}
