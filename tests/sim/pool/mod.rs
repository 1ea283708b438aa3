//! Promise: by any seed no unit that is well is ever taken out by evidence, and one that is sick is steered
//! away from, taken out and named in good time, whatever else goes wrong beside it.
//!
//! What decides is real: the controller's core with its judge, policy, leases and freezing, and the picker of
//! our client. What is made up: relays, issuers, callers, errors, latencies, the network and time.

mod any;
mod away;
mod calls;
mod chance;
mod client;
mod eyes;
mod issuer;
mod law;
mod loops;
mod night;
mod others;
mod parted;
mod plan;
mod power;
mod record;
mod relay;
mod world;

use crate::{each_seed, number, on_all_cores};

/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;
/// The second since 1970 in which every run begins.
const START_S: i64 = 1_800_000_000;

/// The seeds of a story that is always the same but for its dice: one of an ordinary run, more by night.
fn some_seeds() -> std::ops::RangeInclusive<u64> {
    let first = number("TEST_TODOKE_SEED").unwrap_or(1);
    first..=first + number("TEST_TODOKE_SEEDS").unwrap_or_default() / 400
}
