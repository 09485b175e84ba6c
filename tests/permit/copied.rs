//! One decision permits one thing: a permit has no copy.

use bailiwick::access::Permit;

fn copy(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
