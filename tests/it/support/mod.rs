//! What the integration tests stand on: a private Postgres for this process and a fresh database for each test.
//! Promises that nothing outlives the test process, however it ends, and that fsync is on.

#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod audit;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod bench;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod broker;
#[allow(dead_code, reason = "not every test needs a browser")]
pub mod browser;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod chaos;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod cluster;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod court;
mod database;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod history;
#[allow(dead_code, reason = "not every test needs a provider")]
pub mod issuer;
#[allow(dead_code, reason = "not every test needs a cluster")]
pub mod kubernetes;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod ledger;
#[allow(dead_code, reason = "not every test needs a person")]
pub mod person;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod plain;
pub mod portal;
#[allow(dead_code, reason = "not every test needs a provider")]
pub mod provider;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod rows;
#[allow(dead_code, reason = "each test file takes what it needs")]
pub mod server;
pub mod upstream;
#[allow(dead_code, reason = "not every test needs a witness")]
pub mod witness;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

#[allow(unused_imports, reason = "each test file takes what it needs")]
pub use broker::Site;
#[allow(unused_imports, reason = "each test file takes what it needs")]
pub use database::{TestDb, database};
pub use provider::CertifiedProvider;
pub use upstream::Upstream;

/// For whatever should happen at once; reached only when it does not, on the slowest machine.
pub const SOON: Duration = Duration::from_secs(120);

/// A port for something that is told where to listen. None that the kernel hands out: between asking it for a free one
/// and listening there, any connection of this process or another may take it.
#[allow(dead_code, reason = "each test file takes what it needs")]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes beside this one begin elsewhere.
    let offset = std::process::id() as u16 % 100 * 100;
    loop {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks until there is an answer.
pub async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.expect("it happens")
}
