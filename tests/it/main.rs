//! The integration tests: one binary, so that it links once and starts one Postgres.
//! A file here is a room or a walk; what they share is in `support`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to stop"
)]

mod support;

mod access;
mod archive_command;
mod audit_bundle;
mod audit_cli;
mod audit_drills;
mod audit_durable;
mod audit_failure;
mod audit_follow;
mod audit_forged;
mod audit_golden;
mod audit_log;
mod audit_orphans;
mod audit_output;
mod audit_paused;
mod audit_planted;
mod audit_proof;
mod audit_reading;
mod audit_review_cli;
mod audit_search;
mod audit_succession;
mod audit_tlog;
mod audit_usurped;
mod audit_verify;
mod collector;
mod complete_archive;
mod complete_expiry;
mod complete_refusals;
mod credential_issue;
mod demo;
mod feed;
mod fire;
mod first_time;
mod fork;
mod fork_cli;
mod identity_known;
mod identity_login;
mod identity_oidc;
mod identity_presented;
mod identity_session;
mod identity_webauthn;
mod log_tiles;
mod lost_keys;
mod migrations;
mod ocsf;
mod operator;
mod permit;
mod portal_audit;
mod portal_census;
mod portal_pages;
mod proxy;
mod revocation;
mod rotation;
mod shipping;
mod store;
mod streams;
mod walk_browser;
mod walk_kubectl;
