//! A permit for one thing cannot be turned into a permit for another.

use std::sync::Arc;

use bailiwick::access::{Permit, Standing};

fn alter(mut permit: Permit, other: Arc<Standing>) -> Permit {
    permit.standing = other;
    permit
}

fn main() {}
