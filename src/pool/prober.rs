//! Every relay and every issuer probes each unit: a deep probe goes the whole way through it to an issuer's
//! signature and back, at random times, so that no fault that comes and goes can hide between them; a shallow
//! one asks for its health, as load balancers do, and shows only whether its process answers.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    evidence::{Latencies, UnitId},
    notes::UNITS_MAX,
};
use crate::{
    domain::note::{self, VerifierKey},
    net::{
        channel::{self, BadAuthority, ChannelOptions},
        tls::ClientTls,
    },
    telemetry::names,
    wire::pb::{ProbeRequest, pool_service_client::PoolServiceClient},
};

/// The longest that a probe is waited for, whatever the threshold is.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// The longest that a shallow probe is waited for.
const SHALLOW_MAX: Duration = Duration::from_millis(500);

/// The first line of what a probe's answer signs; the nonce in hex is the second.
pub const SIGNED: &str = "todoke-probe v1";

/// A unit that is to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub unit: UnitId,
    /// Its `host:port`.
    pub address: String,
    /// Mean time between two deep probes; `None`: they are paused.
    pub every: Option<Duration>,
    /// Time between two shallow ones, give or take a tenth; `None`: they are paused.
    pub shallow_every: Option<Duration>,
    /// An answer that takes longer is bad.
    pub threshold: Duration,
}

/// What became of the deep probes of one unit since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probed {
    /// Probes whose outcome is known.
    pub n: u32,
    /// Bad ones.
    pub bad: u32,
    /// How long the answered ones took.
    pub latencies: Latencies,
}

/// Probes units until it is dropped.
pub struct Prober {
    inner: Arc<Inner>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Inner {
    tls: ClientTls,
    authority: String,
    key: Option<VerifierKey>,
    seed: u64,
    units: Mutex<BTreeMap<UnitId, Unit>>,
}

/// One unit, as it is probed.
struct Unit {
    target: Target,
    probed: Probed,
    /// Shallow probes whose outcome is known, and the bad ones.
    shallow: (u32, u32),
    end: CancellationToken,
}

impl Inner {
    fn units(&self) -> MutexGuard<'_, BTreeMap<UnitId, Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, unit: &UnitId, bad: bool, took: Option<Duration>) {
        let (name, outcome) = (unit.to_string(), if bad { "bad" } else { "good" });
        metrics::counter!(names::POOL_PROBES, names::UNIT => name, names::OUTCOME => outcome).increment(1);
        if let Some(Unit { probed, .. }) = self.units().get_mut(unit) {
            probed.n = probed.n.saturating_add(1);
            probed.bad = probed.bad.saturating_add(bad.into());
            if let Some(took) = took {
                probed.latencies.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }
}

impl Prober {
    /// Connects with `tls` to relays, whose certificates carry `authority`; an answer counts as good only if
    /// this key has signed it, where one is given. `name` is the prober's own: two of them are never in step.
    #[must_use]
    pub fn new(name: &str, tls: ClientTls, authority: &str, key: Option<VerifierKey>) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let (authority, units) = (authority.to_owned(), Mutex::default());
        let inner = Arc::new(Inner { tls, authority, key, seed: hasher.finish(), units });
        Self { inner, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Probes these from now on, and no others; at most [`UNITS_MAX`].
    ///
    /// # Errors
    /// [`BadAuthority`], never once it was right.
    pub fn aim(&self, targets: Vec<Target>) -> Result<(), BadAuthority> {
        let wanted: BTreeMap<UnitId, Target> =
            targets.into_iter().take(UNITS_MAX).map(|target| (target.unit.clone(), target)).collect();
        let mut units = self.inner.units();
        // One with another address is another one.
        units.retain(|unit, old| {
            let stays = wanted.get(unit).is_some_and(|target| target.address == old.target.address);
            if !stays {
                old.end.cancel();
            }
            stays
        });
        for (unit, target) in wanted {
            if let Some(old) = units.get_mut(&unit) {
                old.target = target;
                continue;
            }
            let inner = &self.inner;
            let channel =
                channel::connect(&target.address, &inner.tls, &inner.authority, ChannelOptions::default())?;
            let end = self.stop.child_token();
            let deep = probe_on(Arc::clone(inner), unit.clone(), channel.clone());
            let shallow = ask_on(Arc::clone(inner), unit.clone(), channel);
            let until = end.clone();
            let probing = async move { tokio::join!(deep, shallow) };
            self.tasks.spawn(async move { until.run_until_cancelled(Box::pin(probing)).await });
            units.insert(unit, Unit { target, probed: Probed::default(), shallow: (0, 0), end });
        }
        Ok(())
    }

    /// What deep probes found of each unit since the last time; units without any probe are left out.
    #[must_use]
    pub fn take(&self) -> Vec<(UnitId, Probed)> {
        let mut units = self.inner.units();
        let taken = units.iter_mut().map(|(unit, of)| (unit.clone(), std::mem::take(&mut of.probed)));
        taken.filter(|(_, probed)| probed.n > 0).collect()
    }

    /// Shallow probes of each unit since the last time, and the bad ones; units without any are left out.
    #[must_use]
    pub fn take_shallow(&self) -> Vec<(UnitId, (u32, u32))> {
        let mut units = self.inner.units();
        let taken = units.iter_mut().map(|(unit, of)| (unit.clone(), std::mem::take(&mut of.shallow)));
        taken.filter(|(_, (n, _))| *n > 0).collect()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How long a prober with nothing to do waits before it looks again.
const IDLE: Duration = Duration::from_millis(200);

async fn probe_on(inner: Arc<Inner>, unit: UnitId, channel: Channel) {
    let mut last = Instant::now();
    for count in 0u64.. {
        // The time between two is exponential: nothing that repeats can keep out of its way. It is looked at
        // in short steps, since the mean may change at any moment.
        let wait = exponential(inner.seed, &unit, count);
        let threshold = loop {
            let Some((every, threshold)) =
                inner.units().get(&unit).map(|of| (of.target.every, of.target.threshold))
            else {
                return;
            };
            match every.map(|every| last + every.mul_f64(wait)) {
                Some(due) if due <= Instant::now() => break threshold,
                Some(due) => sleep(IDLE.min(due.saturating_duration_since(Instant::now()))).await,
                None => {
                    last = Instant::now(); // paused
                    sleep(IDLE).await;
                }
            }
        };
        last = Instant::now();
        probe(&inner, &unit, channel.clone(), threshold, count).await;
    }
}

async fn ask_on(inner: Arc<Inner>, unit: UnitId, channel: Channel) {
    for count in 0u64.. {
        let begun = Instant::now();
        let Some(every) = inner.units().get(&unit).map(|of| of.target.shallow_every) else { return };
        let Some(every) = every else {
            sleep(IDLE).await; // paused
            continue;
        };
        let bad = !serves(channel.clone()).await;
        let (name, outcome) = (unit.to_string(), if bad { "bad" } else { "good" });
        metrics::counter!(names::POOL_SHALLOW_PROBES, names::UNIT => name, names::OUTCOME => outcome)
            .increment(1);
        if let Some(Unit { shallow, .. }) = inner.units().get_mut(&unit) {
            *shallow = (shallow.0.saturating_add(1), shallow.1.saturating_add(bad.into()));
        }
        sleep_until(begun + every.mul_f64(0.9 + 0.2 * uniform(inner.seed ^ SHALLOW, &unit, count))).await;
    }
}

/// Whether a unit says in time that it serves.
async fn serves(channel: Channel) -> bool {
    let mut client = HealthClient::new(channel).max_decoding_message_size(4 * 1024);
    let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
    request.set_timeout(SHALLOW_MAX);
    let answer = timeout(SHALLOW_MAX, client.check(request)).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|said| said.into_inner().status() == ServingStatus::Serving))
}

/// One probe: bad as soon as it is too old, and then no longer waited for, so that a unit that hangs is
/// probed as often as any other.
async fn probe(inner: &Inner, unit: &UnitId, channel: Channel, threshold: Duration, count: u64) {
    let nonce = [inner.seed.to_be_bytes(), count.to_be_bytes()].concat();
    let mut client = PoolServiceClient::new(channel).max_decoding_message_size(4 * 1024);
    let started = Instant::now();
    let mut request = tonic::Request::new(ProbeRequest { nonce: nonce.clone() });
    request.set_timeout(PROBE_MAX);
    let answer = timeout(threshold.min(PROBE_MAX), client.probe(request)).await;
    let answer = answer.ok().and_then(Result::ok);
    let good = answer.is_some_and(|answer| is_signed(inner, &answer.into_inner().signed, &nonce));
    inner.count(unit, !good, good.then(|| started.elapsed()));
}

fn is_signed(inner: &Inner, signed: &[u8], nonce: &[u8]) -> bool {
    let Some(key) = &inner.key else { return true };
    note::open(signed, key).is_ok_and(|text| text == signed_text(nonce))
}

/// The text that the answer to a probe signs.
#[must_use]
pub fn signed_text(nonce: &[u8]) -> String {
    format!("{SIGNED}\n{}\n", hex::encode(nonce))
}

/// A number with the exponential law of mean 1, at most 4 so that no unit is left alone for long; never for
/// secrets.
fn exponential(seed: u64, unit: &UnitId, count: u64) -> f64 {
    (-uniform(seed, unit, count).ln()).min(4.0)
}

/// Tells the times of shallow probes from those of deep ones.
const SHALLOW: u64 = 0x5AA1_10EE;

/// A number between 0 and 1; never for secrets.
fn uniform(seed: u64, unit: &UnitId, count: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, unit, count).hash(&mut hasher);
    ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::identity::Role,
        net::{pki::Authority, tls::TlsFiles},
    };

    #[test]
    fn times_between_probes_have_the_mean_and_the_spread_of_the_law() {
        let unit: UnitId = "relay-2".parse().expect("a name");
        let times: Vec<f64> = (0..10_000).map(|count| exponential(7, &unit, count)).collect();
        let mean = times.iter().sum::<f64>() / 10_000.0;
        let below = times.iter().filter(|time| **time < 0.693).count();
        assert!((0.94..1.02).contains(&mean), "{mean}: cut at 4, the mean is 0.98");
        assert!((4_800..5_200).contains(&below), "{below} of 10,000 are below the median");
        assert_ne!(exponential(7, &unit, 1), exponential(8, &unit, 1), "two probers are not in step");
    }

    #[tokio::test]
    async fn a_unit_that_hangs_is_probed_as_often_as_any_other() {
        // Connections are taken by the system, and nobody ever says a word on them.
        let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::create(dir.path(), time::OffsetDateTime::now_utc()).expect("an authority");
        let identity = "issuer/issuer-1".parse().expect("legal");
        authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        let [cert, key, ca] = ["issuer-1.pem", "issuer-1.key", "ca.pem"].map(|name| dir.path().join(name));
        let files = TlsFiles { cert, key, ca, crl: None };
        let tls = ClientTls::load_for(&files, "todoke.internal", &[Role::Relay]).expect("a certificate");
        let prober = Prober::new("issuer/issuer-1", tls, "todoke.internal", None);
        let target = Target {
            unit: "relay-2".parse().expect("a name"),
            address: hangs.local_addr().expect("it has one").to_string(),
            every: Some(Duration::from_millis(10)),
            shallow_every: None,
            threshold: Duration::from_millis(50),
        };
        prober.aim(vec![target]).expect("a legal name");
        let five = async {
            let (mut n, mut bad) = (0, 0);
            while n < 5 {
                sleep(Duration::from_millis(10)).await;
                for (_, probed) in prober.take() {
                    (n, bad) = (n + probed.n, bad + probed.bad);
                }
            }
            assert_eq!(bad, n, "none is answered");
        };
        timeout(PROBE_MAX, five).await.expect("the next probe does not wait for the last one");
    }
}
