//! `todoke pool drill`: has a unit play a fault on purpose, for a stated time.

use std::time::Duration;

use clap::Args;

use super::orders::Ordering;
use crate::{
    cli::municipal,
    client::error::Error,
    pool::drill::{Fault, SECONDS_MAX},
    wire::{
        convert::span,
        pb::{self, order_unit_request::Order},
    },
};

/// Has a unit play a fault on purpose, so that what the pool does about it is seen before it is needed.
///
/// It ends by itself, and its beginning and its end are on record. The unit's health answers stay green: its
/// calls suffer, and the deep probes that go the same way. What the pool does about it is real: an eviction
/// counts like any other.
///
/// A unit plays nothing unless it was started with --drills, as those of `todoke dev` and `todoke demo` are.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool drill relay-2 --fault fail:0.3 --for 2m \\\n    \
    --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool drill relay-2 --stop --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct DrillArgs {
    /// hang, fail:SHARE, slow:TIME, slow:TIME:SHARE, flap:GOOD:BAD, crash or drop-upstream
    ///
    /// hang: calls are never answered. fail:0.3: so many fail. slow:2s:0.3: so many take so much longer, all
    /// without a share. flap:3s:2s: none fails for 3 s, then all for 2 s. crash: its process ends at once.
    /// drop-upstream: its connections to issuers break, and no call or probe gets through it.
    #[arg(long, value_name = "FAULT", required_unless_present = "stop")]
    fault: Option<Fault>,
    /// For how long, ten minutes at the most
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = lasts)]
    lasts: Duration,
    /// Ends what is played
    #[arg(long, conflicts_with = "fault")]
    stop: bool,
    #[command(flatten)]
    pub(super) order: Ordering,
}

fn lasts(text: &str) -> Result<Duration, String> {
    let lasts = municipal::wait(text)?;
    if lasts <= Duration::from_secs(SECONDS_MAX) {
        Ok(lasts)
    } else {
        Err("must be 10m at the most".to_owned())
    }
}

impl DrillArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let fault = self.fault.filter(|_| !self.stop);
        let lasts = fault.map(|_| span(self.lasts));
        let fault = fault.map(|fault| fault.to_string()).unwrap_or_default();
        let order = pb::DrillUnit { fault, until_time: None, lasts };
        self.order.give(Order::Drill(order)).await
    }
}
