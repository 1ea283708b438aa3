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

/// Stops probing a unit for a while: if it gets well by that, the probes were the cause.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool pause-probes relay-2 --for 10m --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool pause-probes relay-2 --resume --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct PauseProbesArgs {
    /// For how long, an hour at the most
    #[arg(
        long = "for",
        value_name = "TIME",
        required_unless_present = "resume",
        value_parser = municipal::wait
    )]
    lasts: Option<Duration>,
    /// Goes on with them now
    #[arg(long, conflicts_with = "lasts")]
    resume: bool,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl PauseProbesArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let lasts = self.lasts.filter(|_| !self.resume).map(span);
        self.order.give(Order::PauseProbes(pb::PauseProbes { until_time: None, lasts })).await
    }
}
