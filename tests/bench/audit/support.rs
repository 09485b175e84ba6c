//! What the integration tests stand on, as far as a measurement needs it.

#[allow(dead_code, reason = "a measurement takes what it needs")]
#[path = "../../it/support/audit.rs"]
pub mod audit;
#[allow(dead_code, reason = "a measurement takes what it needs")]
#[path = "../../it/support/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "a measurement takes what it needs")]
#[path = "../../it/support/server.rs"]
pub mod server;
