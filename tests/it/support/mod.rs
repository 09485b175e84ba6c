//! What the integration tests stand on: a private Postgres for this process and a fresh database for each test.
//! Promises that nothing outlives the test process, however it ends, and that fsync is on.

#[allow(dead_code, reason = "not every test needs a browser")]
mod browser;
mod cluster;
mod database;
#[allow(dead_code, reason = "not every test needs a provider")]
pub mod provider;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod rows;

#[allow(unused_imports, reason = "each test file takes what it needs")]
pub use database::{TestDb, database};
