//! Once a second it is taken down how many calls there were, how they ended and how long they took, and how
//! the process is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::{
    shard::{Shard, Shared},
    stats::{CLASSES, within_us},
};
use crate::{
    pool::drill::Fault,
    telemetry::{Figures, figures},
};

/// How often memory and files are looked at, in seconds: a folder with an entry for each connection is read.
const FIGURES_EVERY: u64 = 5;

/// One second.
pub(super) struct Second {
    pub(super) at: Instant,
    /// How much later it was looked at than it should have been.
    late: Duration,
    calls: u64,
    bad: u64,
    in_flight: usize,
    connections: usize,
    upstream_connections: usize,
    serving: bool,
    drill: Option<Fault>,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    /// What was counted, but for what was not.
    counts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    figures: Option<Figures>,
}

impl Second {
    pub(super) fn json(&self, at_ms: i64) -> Value {
        json!({
            "event": "second",
            "at_ms": at_ms,
            "late_ms": u64::try_from(self.late.as_millis()).unwrap_or(u64::MAX),
            "calls": self.calls,
            "bad": self.bad,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "in_flight": self.in_flight,
            "connections": self.connections,
            "upstream_connections": self.upstream_connections,
            "serving": self.serving,
            "drill": self.drill,
            "counts": self.counts,
            "process": self.figures,
        })
    }
}

/// Takes down one second after the other.
pub(in crate::relay) struct Sampler {
    due: Instant,
    seconds: u64,
    counters: Vec<u64>,
    answers: [u64; CLASSES],
}

impl Sampler {
    pub(in crate::relay) fn new(every: Duration) -> Self {
        Self { due: Instant::now() + every, seconds: 0, counters: Vec::new(), answers: [0; CLASSES] }
    }

    /// Takes down what came since the last time; the next look is due in so long.
    pub(in crate::relay) fn look(&mut self, shared: &Shared, shards: &[Arc<Shard>], every: Duration) {
        let now = Instant::now();
        let late = now.saturating_duration_since(std::mem::replace(&mut self.due, now + every));
        let (counts, answers) = self.since(shards);
        let (calls, bad) = shared.recorder.take_seen();
        shared.recorder.second(Second {
            at: now,
            late,
            calls,
            bad,
            in_flight: shared.admission.in_flight(),
            connections: shared.connections.load(std::sync::atomic::Ordering::Relaxed),
            upstream_connections: shared.connected.borrow().iter().sum(),
            serving: *shared.serving.borrow(),
            drill: shared.drill.now(),
            p50_us: within_us(&answers, 0.5),
            p99_us: within_us(&answers, 0.99),
            counts,
            figures: self.seconds.is_multiple_of(FIGURES_EVERY).then(figures),
        });
        self.seconds += 1;
    }

    /// What all shards together counted since the last time.
    fn since(
        &mut self,
        shards: &[Arc<Shard>],
    ) -> (BTreeMap<&'static str, BTreeMap<&'static str, u64>>, [u64; CLASSES]) {
        let mut sums: Vec<(&'static str, &'static str, u64)> = Vec::new();
        let mut answers = [0; CLASSES];
        for stats in shards.iter().map(|shard| shard.stats()) {
            for (at, (what, which, n)) in stats.counters().enumerate() {
                match sums.get_mut(at) {
                    Some(sum) => sum.2 += n,
                    None => sums.push((what, which, n)),
                }
            }
            answers.iter_mut().zip(stats.answers()).for_each(|(sum, n)| *sum += n);
        }
        self.counters.resize(sums.len(), 0);
        let mut counts: BTreeMap<&'static str, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for ((what, which, sum), last) in sums.into_iter().zip(&mut self.counters) {
            let n = sum - std::mem::replace(last, sum);
            if n > 0 {
                counts.entry(what).or_default().insert(which, n);
            }
        }
        let last = std::mem::replace(&mut self.answers, answers);
        answers.iter_mut().zip(last).for_each(|(sum, last)| *sum -= last);
        (counts, answers)
    }
}
