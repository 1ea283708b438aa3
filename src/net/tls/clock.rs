//! Handshakes take the time from the program's clock, so that a test can hold it still.

use std::{sync::Arc, time::Duration};

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

use crate::runtime::clock::Clock;

#[derive(Debug)]
struct ByClock(Clock);

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(time(&self.0))
    }
}

/// The clock as the library takes it.
pub(super) fn provider(clock: &Clock) -> Arc<dyn TimeProvider> {
    Arc::new(ByClock(clock.clone()))
}

/// The present time as the library has it; before 1970 it is 1970.
pub(super) fn time(clock: &Clock) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0)))
}
