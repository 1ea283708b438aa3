//! `todoke pool pause-probes`: leaves a unit unprobed for a while, as a monitor can be the cause.

use std::time::Duration;

use clap::Args;

use super::orders::Ordering;
use crate::{
    cli::municipal,
    client::error::Error,
    wire::{
        convert::span,
        pb::{self, order_unit_request::Order},
    },
};

/// Stops probing a unit for a while: if its callers' calls get well by that, the probes were the cause.
///
/// That takes some two minutes to find out: what its probes said counts for a minute, and is forgotten after
/// another. Then 30 s of good calls in a row steer it back, with the alarm PROBE_INDUCED. Without calls
/// nothing is found out, and it stays steered away until it is probed again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool pause-probes relay-2 --for 10m --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool pause-probes relay-2 --resume --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct PauseProbesArgs {
    /// For how long, an hour at the most; less than three minutes is too short to find out
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = municipal::wait)]
    lasts: Duration,
    /// Goes on with them now
    #[arg(long, conflicts_with = "lasts")]
    resume: bool,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl PauseProbesArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let lasts = (!self.resume).then(|| span(self.lasts));
        self.order.give(Order::PauseProbes(pb::PauseProbes { until_time: None, lasts })).await
    }
}
