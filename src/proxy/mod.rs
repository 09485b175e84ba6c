//! The doors to what is protected: web apps and Kubernetes clusters.
//!
//! Promises: nothing is forwarded without a [`Permit`](crate::access::Permit), and what is forwarded is built from that
//! permit. Leaves who the caller is to identity, and whether they may to access. An attacker controls every byte of a
//! request; an upstream controls every byte of its response.

mod answer;
mod body;
mod browser;
mod claims;
pub mod cookies;
mod dial;
mod forward;
mod handover;
pub mod headers;
mod ids;
pub mod impersonate;
mod kubeconfig;
mod kubernetes;
pub mod kubernetes_request;
mod lane;
pub mod ours;
mod place;
pub mod selector;
mod status;
mod target;
mod told;
mod upgrade;
mod upload;
mod upstream;
mod web;

use std::sync::Arc;

use crate::{
    access::Gate,
    audit::{Log, Refusals},
    identity::{Callers, Handovers},
    model::{Clock, Entropy},
    streams::Streams,
};

pub use kubernetes::KubernetesDoor;
pub use target::TargetFault;
pub use web::WebDoor;

/// What every door needs of the other rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    /// Who asks.
    pub callers: Callers,
    /// From the portal to an app and back.
    pub handovers: Handovers,
    /// May they.
    pub gate: Gate,
    /// For what changes besides.
    pub log: Log,
    /// For what was refused before the gate.
    pub refusals: Refusals,
    /// What stays open.
    pub streams: Streams,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
}
