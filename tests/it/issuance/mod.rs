//! Promise: the issuer keeps what it says over real gRPC, mutual TLS and SQL.

mod acknowledged;
mod application;
mod asked;
mod audited;
pub(crate) mod begun;
pub(crate) mod beside;
mod calendar;
mod card;
mod clock;
mod damage;
mod damaged_store;
pub(crate) mod databases;
mod durable;
mod endings;
mod epochs;
mod flow;
mod frames;
pub(crate) mod harness;
mod hidden;
mod hogs;
mod lanes;
mod limits;
mod lost_chunk;
mod mail;
mod model;
mod noticing;
mod production;
mod refusals;
mod restarts;
mod restore;

/// Where the tests' clock begins: now, because the certificates are fresh.
fn now_ms() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).expect("this century")
}
