//! The front door and the doors behind it, driven with raw bytes against an upstream that writes down what arrives.

mod listener;
mod pki;
mod tls;
mod wire;
