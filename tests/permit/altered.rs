//! A permit for one thing cannot be turned into a permit for another.

use bailiwick::{access::Permit, model::Action};

fn alter(mut permit: Permit, other: Action) -> Permit {
    permit.action = other;
    permit
}

fn main() {}
