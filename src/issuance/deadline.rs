//! One deadline a call: what the caller named, or the default, checked before each wait.

use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::wire::{
    fault::{Fault, Reason},
    timeout::{self, GRPC_TIMEOUT},
};

/// When a call must have been answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
}

impl Deadline {
    /// Returns the deadline that `grpc-timeout` names, or else the one after `default`.
    pub(crate) fn of(metadata: &MetadataMap, default: Duration) -> Self {
        let named = metadata.get(GRPC_TIMEOUT).and_then(|value| timeout::parse(value.as_bytes()));
        Self { at: Instant::now() + named.unwrap_or(default).min(Duration::from_secs(24 * 3600)) }
    }

    /// Like [`Deadline::of`], but a stream without `grpc-timeout` may last for a day.
    pub(crate) fn of_stream(metadata: &MetadataMap) -> Self {
        Self::of(metadata, Duration::from_secs(24 * 3600))
    }

    /// The instant itself.
    pub(crate) fn at(self) -> Instant {
        self.at
    }

    /// Fails if the time is up: there is nobody left to answer.
    pub(crate) fn check(self) -> Result<(), Fault> {
        if Instant::now() < self.at { Ok(()) } else { Err(Self::passed()) }
    }

    /// Waits for what has no effect if it is dropped.
    pub(crate) async fn wait<T>(self, future: impl Future<Output = T>) -> Result<T, Fault> {
        self.check()?;
        tokio::time::timeout_at(self.at, future).await.map_err(|_| Self::passed())
    }

    fn passed() -> Fault {
        Fault::new(Reason::DeadlineExceeded, "the call's deadline passed: ask again with a longer one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_too_late_is_not_waited_for() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "10m".parse().expect("ascii"));
        let deadline = Deadline::of(&metadata, Duration::from_secs(60));
        let late = deadline.wait(std::future::pending::<()>()).await;
        assert_eq!(late.expect_err("late").reason, Reason::DeadlineExceeded);
        assert!(deadline.check().is_err());
    }
}
