//! A permit is used up by spending it.

use bailiwick::access::Permit;

fn spend_twice(permit: Permit) {
    let _first = permit.spend();
    let _second = permit.spend();
}

fn main() {}
