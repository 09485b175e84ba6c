//! The configuration: one TOML file and the environment become checked [`Settings`].
//!
//! The only room that reads the environment. Everything that is wrong is said at once, each with file, line and column.
//! Secrets are handed out as [`SecretFile`] handles and re-read at use, so that a rotated secret needs no restart.

mod agreement;
mod app;
mod audit;
pub mod client;
mod cluster;
mod collector;
mod database;
mod document;
mod host;
mod keys;
mod listener;
mod load;
mod login;
mod mistake;
mod policy;
mod portal;
mod provider;
mod reader;
mod secret;
mod shipping;
mod value;

pub use app::App;
pub use audit::Audit;
pub use cluster::{Cluster, ClusterAccess};
pub use collector::{BatchFormat, Begin, Collector, Destination, HttpCollector, OnReject, SyslogReceiver};
pub use database::{Database, DatabaseUrl};
pub use host::PublicHost;
pub use keys::Keys;
pub use listener::{Listener, ProxyProtocol};
pub use login::Login;
pub use mistake::Mistake;
pub use policy::Policy;
pub use portal::Portal;
pub use provider::{Algorithm, Issuer, Provider};
pub use secret::{SecretFault, SecretFile};
pub use shipping::{Shipping, Witness};

/// Everything that an administrator decides, checked. Fields are named as the sections of the file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[portal]`
    pub portal: Portal,
    /// `[listener]`
    pub listener: Listener,
    /// `[database]`
    pub database: Database,
    /// `[audit]`
    pub audit: Audit,
    /// `[shipping]`
    pub shipping: Shipping,
    /// `[[witness]]`
    pub witness: Vec<Witness>,
    /// `[[collector]]`
    pub collector: Vec<Collector>,
    /// `[keys]`
    pub keys: Keys,
    /// `[[provider]]`: at least one.
    pub provider: Vec<Provider>,
    /// `[policy]`
    pub policy: Policy,
    /// `[login]`
    pub login: Login,
    /// `[[app]]`
    pub app: Vec<App>,
    /// `[[cluster]]`
    pub cluster: Vec<Cluster>,
    /// SHA-256 of the file, in lower-case hex; the log says with which configuration a broker started.
    pub digest: String,
}
