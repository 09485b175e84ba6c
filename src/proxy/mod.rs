//! The doors to what is protected: web apps and Kubernetes clusters.
//!
//! Promises: nothing is forwarded without a [`Permit`](crate::access), and what is forwarded is built from that permit.
//! Leaves who the caller is to identity, and whether they may to access. An attacker controls every byte of a request;
//! an upstream controls every byte of its response.

pub mod cookies;
pub mod dial;
pub mod headers;
mod kubeconfig;
pub mod kubernetes_request;
pub mod selector;
pub mod target;
