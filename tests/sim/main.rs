//! Promise: whatever the network and the processes do to a batch, by any seed, its sender ends with a
//! verified receipt once they have recovered, each record is there once, and nothing acknowledged is ever
//! gone.
//!
//! Client, relays and issuer are the real ones, over a simulated network and simulated time; only the
//! database is on real threads. A seed decides what goes wrong, when, and how long every message takes. What
//! happens in the very same moment may still come in another order, so that a seed is repeated several
//! times: `TEST_TODOKE_SEED=7 tests/run --sim`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that tells what happens to a seed, and is told which by a variable"
)]

mod faults;
mod party;
mod random;
mod system;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;
/// How often a seed that was asked for is played.
const TIMES: u64 = 10;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'")))
}

#[test]
fn every_seed_ends_with_receipts_and_nothing_lost() {
    if let Some(seed) = number("TEST_TODOKE_SEED") {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().without_time().with_ansi(false).with_env_filter(filter).init();
        for _ in 0..number("TEST_TODOKE_TIMES").unwrap_or(TIMES) {
            println!("seed {seed}: {}", system::run(seed, true));
        }
        return;
    }
    let seeds = number("TEST_TODOKE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(1);
    let failed = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed > seeds || !failed.lock().expect("no panic holds it").is_empty() {
                        return;
                    }
                    if std::panic::catch_unwind(|| system::run(seed, false)).is_err() {
                        failed.lock().expect("no panic holds it").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic holds it");
    assert!(failed.is_empty(), "repeat with TEST_TODOKE_SEED={} tests/run --sim", failed[0]);
}
