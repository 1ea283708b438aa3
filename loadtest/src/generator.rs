//! The load generator: tonic channels that move bytes.
//!
//! A closed loop shows how much goes through; it asks less when it is answered slowly, so its latencies
//! flatter. An open loop asks at fixed times whatever happens and measures from the time at which a call was
//! due, so that a pause counts for every call that should have been made in it (Tene, "How NOT to Measure
//! Latency": coordinated omission).

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::uri::PathAndQuery;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, Request, client::Grpc, transport::Channel};

use crate::{failure::Failure, raw::Raw};

/// The longest latency that is told apart from longer ones.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Three digits of each latency count.
const DIGITS: u8 = 3;

/// What is called, over which connections.
#[derive(Clone)]
pub(crate) struct Target {
    /// Each is one connection.
    pub(crate) channels: Vec<Channel>,
    pub(crate) path: PathAndQuery,
    pub(crate) request: Bytes,
}

/// What a slice of load came to.
pub(crate) struct Sample {
    /// Calls that were answered with OK.
    pub(crate) calls: u64,
    pub(crate) wall: Duration,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.wall.as_secs_f64()
    }

    /// The latency, in milliseconds, within which this share of the calls was answered.
    pub(crate) fn within_ms(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1000.0
    }
}

impl Target {
    async fn call(&self, grpc: &mut Grpc<Channel>) -> Result<(), tonic::Status> {
        let ready = grpc.ready().await;
        ready.map_err(|error| tonic::Status::new(Code::Unavailable, error.to_string()))?;
        grpc.unary(Request::new(self.request.clone()), self.path.clone(), Raw).await.map(drop)
    }
}

pub(crate) fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_max(LATENCY_MAX_US, DIGITS).map_err(Failure::while_doing("histogram"))
}

pub(crate) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(LATENCY_MAX_US).min(LATENCY_MAX_US)
}

fn failed(error: &tonic::Status) -> Failure {
    Failure::new(format!("a call failed, so the figures would be of something else: {error}"))
}

/// What callers do again and again.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    /// What one caller keeps from one time to the next.
    type Caller: Send + 'static;

    /// Does it once.
    fn once(&self, caller: &mut Self::Caller) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Work for Target {
    type Caller = Grpc<Channel>;

    async fn once(&self, grpc: &mut Grpc<Channel>) -> Result<(), Failure> {
        self.call(grpc).await.map_err(|error| failed(&error))
    }
}

/// Keeps `callers` calls in flight for as long as `duration`; each caller asks again once it is answered.
pub(crate) async fn closed(target: &Target, callers: usize, duration: Duration) -> Result<Sample, Failure> {
    let grpc = |caller: usize| Grpc::new(target.channels[caller % target.channels.len()].clone());
    Ok(busy(target, (0..callers).map(grpc).collect(), duration).await?.0)
}

/// Keeps all callers busy for as long as `duration`, and gives them back.
pub(crate) async fn busy<W: Work>(
    work: &W,
    callers: Vec<W::Caller>,
    duration: Duration,
) -> Result<(Sample, Vec<W::Caller>), Failure> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (work, mut latency) = (work.clone(), histogram()?);
        tasks.spawn(async move {
            while started.elapsed() < duration {
                let asked = Instant::now();
                work.once(&mut caller).await?;
                latency.saturating_record(microseconds(asked.elapsed()));
            }
            Ok::<_, Failure>((latency, caller))
        });
    }
    let (mut all, mut callers) = (histogram()?, Vec::new());
    while let Some(ended) = tasks.join_next().await {
        let (latency, caller) = ended.map_err(Failure::while_doing("a caller"))??;
        all.add(latency).map_err(Failure::while_doing("histogram"))?;
        callers.push(caller);
    }
    Ok((Sample { calls: all.len(), wall: started.elapsed(), latency: all }, callers))
}

/// Makes `rate` calls a second for as long as `duration`, each at its time, however the others fare.
pub(crate) async fn open(target: &Target, rate: u32, duration: Duration) -> Result<Sample, Failure> {
    let mut due = schedule(rate, duration);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let mut turn = 0;
    while let Some(due) = due.recv().await {
        let target = target.clone();
        let mut grpc = Grpc::new(target.channels[turn % target.channels.len()].clone());
        turn += 1;
        tasks.spawn(async move {
            target.call(&mut grpc).await.map_err(|error| failed(&error))?;
            Ok::<_, Failure>(due.elapsed())
        });
    }
    let mut latency = histogram()?;
    while let Some(ended) = tasks.join_next().await {
        let took = ended.map_err(Failure::while_doing("a call"))??;
        latency.saturating_record(microseconds(took));
    }
    Ok(Sample { calls: latency.len(), wall: started.elapsed(), latency })
}

/// Tells the time of each call when it has come. A thread of its own, as the runtime's timers know only
/// milliseconds; it ends with the last call or with its listener.
pub(crate) fn schedule(rate: u32, duration: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (tell, due) = mpsc::unbounded_channel();
    let calls = (f64::from(rate) * duration.as_secs_f64()) as u32;
    thread::spawn(move || {
        let begin = Instant::now();
        for call in 0..calls {
            let time = begin + duration.mul_f64(f64::from(call) / f64::from(calls));
            thread::sleep(time.saturating_duration_since(Instant::now()));
            if tell.send(time).is_err() {
                return;
            }
        }
    });
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_due_at_even_times_and_never_early() {
        let started = Instant::now();
        let mut due = schedule(1000, Duration::from_millis(50));
        let mut times = Vec::new();
        while let Some(time) = due.recv().await {
            assert!(Instant::now() >= time, "a call was made before it was due");
            times.push(time);
        }
        assert_eq!(times.len(), 50);
        assert!(started.elapsed() >= Duration::from_millis(49));
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] < Duration::from_micros(1001)));
    }
}
