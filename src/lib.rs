//! Bailiwick: one door in front of a company's admin web apps and Kubernetes clusters.
//!
//! Every request takes the same walk: **who** is it ([`identity`]), **may** they ([`access`]), **record** it
//! ([`audit`]), **do** it ([`proxy`], [`portal`], [`credential`]).

pub mod access;
pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod credential;
pub mod demo;
pub mod identity;
pub mod listener;
pub mod model;
pub mod outbound;
pub mod portal;
pub mod proxy;
pub mod shipping;
pub mod store;
pub mod streams;

/// For everybody who links this: entries are made by one thread and freed by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
