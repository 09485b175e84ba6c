//! Under fire: real brokers on a real Postgres, killed at random points under load, and whatever else breaks a database.
//! The upstream's own record is the judge: whatever reached it must stand in the log. `make fire` runs the long form;
//! `FIRE_ROUNDS` and `FIRE_SEED` say how long and from which seed, so that a run can be had again.

mod load;
mod modes;
mod rounds;
mod site;

/// So many rounds; a few, unless said.
fn rounds() -> u64 {
    number("FIRE_ROUNDS", 4)
}

/// Where the dice begin.
fn seed() -> u64 {
    number("FIRE_SEED", 1)
}

#[allow(clippy::disallowed_methods, reason = "whoever lights the fire says how long")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
