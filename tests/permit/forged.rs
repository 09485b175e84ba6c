//! A permit cannot be made outside the gate.

use bailiwick::{
    access::{Pending, Permit},
    model::{Action, Caller, Context},
};

fn forge(caller: Caller, action: Action, context: Context, pending: Pending) -> Permit {
    Permit { caller, action, context, pending }
}

fn main() {}
