//! What is done over and over by callers of whom each begins again once it is through: how often, and how
//! long it takes.

use std::time::Duration;

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    generator::{Work, busy},
};

/// Load that is not measured, so that connections are made and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Work with its callers, and what was measured of it in each cycle.
pub(crate) struct Timed<W: Work> {
    pub(crate) name: String,
    work: W,
    callers: Vec<W::Caller>,
    pub(crate) per_s: Vec<f64>,
    pub(crate) p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl<W: Work> Timed<W> {
    pub(crate) fn new(name: String, work: W, callers: Vec<W::Caller>) -> Self {
        Self { name, work, callers, per_s: Vec::new(), p50_ms: Vec::new(), p99_ms: Vec::new() }
    }

    pub(crate) async fn warm_up(&mut self) -> Result<(), Failure> {
        let callers = std::mem::take(&mut self.callers);
        let said = Failure::while_doing::<Failure>(&self.name);
        (_, self.callers) = busy(&self.work, callers, WARM_UP).await.map_err(said)?;
        Ok(())
    }

    /// Measures one slice and returns how often it was done.
    pub(crate) async fn slice(&mut self, slice: Duration) -> Result<u64, Failure> {
        let callers = std::mem::take(&mut self.callers);
        let said = Failure::while_doing::<Failure>(&self.name);
        let (sample, callers) = busy(&self.work, callers, slice).await.map_err(said)?;
        self.callers = callers;
        self.per_s.push(sample.per_second());
        self.p50_ms.push(sample.within_ms(0.5));
        self.p99_ms.push(sample.within_ms(0.99));
        Ok(sample.calls)
    }

    pub(crate) fn last(&self) -> String {
        format!("{} {:.0}/s", self.name, self.per_s.last().copied().unwrap_or_default())
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let name = &self.name;
        report.add(name, "per second", Spread::of(&self.per_s));
        report.add(format!("{name}: p50"), "ms", Spread::of(&self.p50_ms));
        report.add(format!("{name}: p99"), "ms", Spread::of(&self.p99_ms));
    }
}
