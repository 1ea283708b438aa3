//! Operators see from outside whether a process lives, whether it should get calls and why not, and what it
//! counts; nobody who asks can hurt the work it does.
//!
//! There is no authentication: whoever reaches the port reads counts and the reasons of not being ready. None
//! of it is personal data, but bind it to loopback or to a network that only monitoring reaches.

mod pages;
mod serve;

use std::{sync::Arc, time::Duration};

pub use serve::{Error, serve};

use crate::telemetry::Metrics;

/// What the pages show.
#[derive(Clone)]
pub struct State {
    /// The counts of this process.
    pub metrics: Metrics,
    /// Every reason why this process should not get calls; empty if it should. Asked anew each time, so it
    /// must be quick and must not wait.
    pub ready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Limits of the ops port, so that a forgotten or hostile client costs little.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue. Default 64.
    pub connections_max: usize,
    /// Longest time for a request's head, and for silence between requests. Default 30 s.
    pub head_timeout: Duration,
    /// Most bytes of a request's head. Default 16 KiB.
    pub head_bytes_max: usize,
    /// Longest life of a connection, in whatever state. Default 10 min.
    pub connection_age_max: Duration,
    /// Longest time that answers under way get at the end. Default 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            head_timeout: Duration::from_secs(30),
            head_bytes_max: 16 * 1024,
            connection_age_max: Duration::from_secs(600),
            drain: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests;
