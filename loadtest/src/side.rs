//! One way of calls to a backend: what goes through it, how long it takes, and what the process in between
//! needs for it, in slices that take turns with those of other ways.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    generator::{self, Target},
    import::MIB,
    peers::Peer,
    process, progress,
};

/// Load that is not measured, so that connections are made and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// How much is called, how often and for how long.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = value_parser!(u32).range(1..=100))]
    cycles: u32,
    /// Seconds of one slice
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = value_parser!(u64).range(1..=60))]
    slice: u64,
    /// Calls in flight in the closed loop, over 8 connections
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u16).range(1..=1600))]
    pub(crate) callers: u16,
    /// Calls a second in the open loop before the cheap backend
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = rate())]
    pub(crate) rate: u32,
    /// Calls a second in the open loop to the issuer
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = rate())]
    pub(crate) issuer_rate: u32,
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=100_000)
}

impl Load {
    /// Calls in flight in the closed loop to the issuer.
    pub(crate) fn issuer_callers(&self) -> usize {
        usize::from(self.callers).min(64)
    }
}

/// One way to the backend, and what was measured on it.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    target: Target,
    /// The process in between, if there is one.
    pub(crate) between: Option<Peer>,
    pub(crate) closed_per_s: Vec<f64>,
    closed_p99_ms: Vec<f64>,
    closed_cpu_us: Vec<f64>,
    pub(crate) open_p50_ms: Vec<f64>,
    open_p99_ms: Vec<f64>,
    open_p999_ms: Vec<f64>,
    open_cpu_us: Vec<f64>,
}

/// Measures all sides in turn, each cycle beginning with another one, and reports each.
pub(crate) async fn measure(
    load: &Load,
    sides: &mut [Side],
    callers: usize,
    rate: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let (count, slice) = (sides.len(), Duration::from_secs(load.slice));
    for cycle in 0..load.cycles as usize {
        for turn in 0..count {
            sides[(turn + cycle) % count].closed(callers, slice).await?;
        }
        for turn in 0..count {
            sides[(turn + cycle) % count].open(rate, slice).await?;
        }
        let last: Vec<String> = sides.iter().map(Side::last).collect();
        progress(&format!("cycle {} of {}: {}", cycle + 1, load.cycles, last.join(", ")));
    }
    sides.iter().for_each(|side| side.report(report));
    Ok(())
}

impl Side {
    pub(crate) fn new(name: &'static str, target: Target, between: Option<Peer>) -> Self {
        Self {
            name,
            target,
            between,
            closed_per_s: Vec::new(),
            closed_p99_ms: Vec::new(),
            closed_cpu_us: Vec::new(),
            open_p50_ms: Vec::new(),
            open_p99_ms: Vec::new(),
            open_p999_ms: Vec::new(),
            open_cpu_us: Vec::new(),
        }
    }

    async fn closed(&mut self, callers: usize, slice: Duration) -> Result<(), Failure> {
        generator::closed(&self.target, callers, WARM_UP).await.map_err(self.said())?;
        let before = self.cpu_us()?;
        let sample = generator::closed(&self.target, callers, slice).await.map_err(self.said())?;
        if let (Some(before), Some(after)) = (before, self.cpu_us()?) {
            self.closed_cpu_us.push((after - before) / sample.calls as f64);
        }
        self.closed_per_s.push(sample.per_second());
        self.closed_p99_ms.push(sample.within_ms(0.99));
        Ok(())
    }

    async fn open(&mut self, rate: u32, slice: Duration) -> Result<(), Failure> {
        generator::open(&self.target, rate, WARM_UP).await.map_err(self.said())?;
        let before = self.cpu_us()?;
        let sample = generator::open(&self.target, rate, slice).await.map_err(self.said())?;
        if let (Some(before), Some(after)) = (before, self.cpu_us()?) {
            self.open_cpu_us.push((after - before) / sample.calls as f64);
        }
        self.open_p50_ms.push(sample.within_ms(0.5));
        self.open_p99_ms.push(sample.within_ms(0.99));
        self.open_p999_ms.push(sample.within_ms(0.999));
        Ok(())
    }

    fn said(&self) -> impl FnOnce(Failure) -> Failure {
        Failure::while_doing(self.name)
    }

    /// CPU time of the process in between so far.
    fn cpu_us(&self) -> Result<Option<f64>, Failure> {
        let Some(peer) = &self.between else { return Ok(None) };
        Ok(Some(process::cpu(peer.pid())?.as_secs_f64() * 1e6))
    }

    /// Reports the ratios of this side to another.
    pub(crate) fn compare(&self, other: &Self, names: &str, report: &mut Report) {
        let mut add = |what: &str, ours: &[f64], theirs: &[f64]| {
            report.add(format!("{names}: {what}"), "ratio", Spread::of_ratios(ours, theirs));
        };
        add("calls", &self.closed_per_s, &other.closed_per_s);
        add("CPU a call, closed", &self.closed_cpu_us, &other.closed_cpu_us);
        add("CPU a call, open", &self.open_cpu_us, &other.open_cpu_us);
        add("p50, open", &self.open_p50_ms, &other.open_p50_ms);
        add("p99, open", &self.open_p99_ms, &other.open_p99_ms);
    }

    fn last(&self) -> String {
        format!("{} {:.0}/s", self.name, self.closed_per_s.last().copied().unwrap_or_default())
    }

    fn report(&self, report: &mut Report) {
        let name = self.name;
        report.add(format!("{name}: closed loop"), "calls/s", Spread::of(&self.closed_per_s));
        report.add(format!("{name}: closed loop p99"), "ms", Spread::of(&self.closed_p99_ms));
        report.add(format!("{name}: CPU a call, closed"), "µs", Spread::of(&self.closed_cpu_us));
        report.add(format!("{name}: open loop p50"), "ms", Spread::of(&self.open_p50_ms));
        report.add(format!("{name}: open loop p99"), "ms", Spread::of(&self.open_p99_ms));
        report.add(format!("{name}: open loop p99.9"), "ms", Spread::of(&self.open_p999_ms));
        report.add(format!("{name}: CPU a call, open"), "µs", Spread::of(&self.open_cpu_us));
        if let Some(peer) = &self.between {
            let peak = process::peak_rss_bytes(peer.pid()).map(|bytes| bytes as f64 / MIB);
            report.add(format!("{name}: peak memory"), "MiB", Spread::of(&Vec::from_iter(peak)));
        }
    }
}
