//! The front door and the doors behind it, driven with raw bytes against an upstream that writes down what arrives.

mod doors;
mod kubernetes;
mod lanes;
mod listener;
pub mod pki;
mod streams;
mod tls;
mod two;
mod web;
pub mod wire;
