//! A permit cannot be made outside the gate.

use std::sync::Arc;

use bailiwick::access::{Pending, Permit, Standing};

fn forge(standing: Arc<Standing>, pending: Pending) -> Permit {
    Permit { standing, pending }
}

fn main() {}
