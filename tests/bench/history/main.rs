//! `make bench-verify` and `make bench-search`: what a log of millions of entries costs an auditor and a reviewer. Both over
//! the same made-up log on a real Postgres, which is one that verifies. Prints Markdown.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on is to stop"
)]

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../it/support/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../it/support/history.rs"]
mod history;
mod made_up;
mod search;
mod verify;

/// The number of entries, what to measure: `verify`, `search` or both, and `binary=FILE` for another build to verify with.
#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let is_asked = |what: &str| arguments.iter().any(|argument| argument == what);
    let log = made_up::write(size).await;
    if is_asked("verify") {
        let other = arguments.iter().find_map(|argument| argument.strip_prefix("binary="));
        verify::measure(&log, other.unwrap_or(env!("CARGO_BIN_EXE_bailiwick")));
    }
    if is_asked("search") {
        search::measure(size).await;
    }
}
