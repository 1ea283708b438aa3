//! Promise: whatever the network and the processes do to a batch, by any seed, its sender ends with a
//! verified receipt once they have recovered, each record is there once, and nothing acknowledged is ever
//! gone. What is promised of the relay pool under such is in `pool`.
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
mod pool;
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

/// Plays the seeds of a run, or the one that was asked for, on all cores; says how to repeat the first that
/// fails.
fn each_seed(play: impl Fn(u64) + Sync + std::panic::RefUnwindSafe) {
    let asked = number("TEST_TODOKE_SEED");
    let (first, last) = match asked {
        Some(seed) => (seed, seed),
        None => (1, number("TEST_TODOKE_SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let failed = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed > last || !failed.lock().expect("no panic holds it").is_empty() {
                        return;
                    }
                    if std::panic::catch_unwind(|| play(seed)).is_err() {
                        failed.lock().expect("no panic holds it").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic holds it");
    assert!(failed.is_empty(), "repeat with TEST_TODOKE_SEED={} tests/run --sim", failed[0]);
}

/// Does something for each number from 1 to `count`, on all cores; what came of it, in their order.
fn on_all_cores<T: Send>(count: u64, play: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicU64::new(1), std::sync::Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number > count {
                        return;
                    }
                    let of = play(number);
                    done.lock().expect("no panic holds it").push((number, of));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic holds it");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, of)| of).collect()
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
    each_seed(|seed| {
        system::run(seed, false);
    });
}
