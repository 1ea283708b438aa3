//! A relay tells its issuers each second what it saw, and learns by what right it serves; what an issuer did
//! not take is kept for it, within a limit, and sent again.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tonic::{Code, transport::Channel};

use crate::{
    domain::{municipality::MunicipalityCode, note::VerifierKey},
    net::channel::{self, ChannelOptions},
    pool::{
        disk::ViewFile,
        evidence::{Latencies, UnitId},
        notes::{Lease, View},
        prober::{Prober, Target},
    },
    runtime::clock::Clock,
    telemetry::names,
    wire::{
        fault::{Fault, Reason},
        pb::{
            EvidenceBucket, EvidenceClass, RelayOrder, ReportRequest, ReportResponse, ShallowProbes,
            UnitAttributes, pool_service_client::PoolServiceClient,
        },
    },
};

use super::{
    fence::Standing,
    orders::{drilled, play, stand},
    shard::{Shard, Shared},
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// The longest wait for an issuer's answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// For how long an issuer's order to stop holds after it was heard last, as long as a lease would: one that
/// is gone must not keep this relay out for ever.
const STOP_LIVES: Duration = Duration::from_secs(15);

/// Seconds that are kept for an issuer that does not answer; what is older says nothing of now.
const KEPT_MAX: usize = 30;

/// Callers of a second that are named; all others are counted together.
const CALLERS_MAX: usize = 16;

/// The relay's own reporting: what it is, and what it needs for it.
pub(super) struct Reporting {
    pub(super) unit: UnitId,
    pub(super) attributes: UnitAttributes,
    pub(super) key: Option<VerifierKey>,
    pub(super) prober: Prober,
    pub(super) clock: Clock,
    pub(super) incarnation: u64,
    pub(super) views: watch::Sender<Option<Arc<View>>>,
    pub(super) view_file: Option<ViewFile>,
    /// Whether the view is still the one of the last run: the first that an issuer sends replaces it.
    pub(super) from_disk: AtomicBool,
}

impl Reporting {
    /// The version of the view that an issuer need not send.
    fn view_version(&self) -> u64 {
        let known = self.views.borrow().as_ref().map_or(0, |view| view.version);
        if self.from_disk.load(Relaxed) { 0 } else { known }
    }
}

/// Reports until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, shards: Vec<Arc<Shard>>, reporting: Reporting) {
    let mut issuers: Vec<Issuer> =
        shared.options.upstreams.iter().filter_map(|address| Issuer::new(&shared, address)).collect();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut due, mut is_leaving) = (Instant::now(), false);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Who is to stop says so at once.
            () = shared.soft.cancelled(), if !is_leaving => is_leaving = true,
        }
        let late = millis(due.elapsed());
        due = Instant::now() + EVERY;
        nudge(&shared, &shards);
        let second = reporting.clock.now_ms().div_euclid(1000);
        let buckets = collect(&shared, &shards, &reporting, second);
        let shallow = shallow(&reporting.prober);
        for issuer in &mut issuers {
            issuer.keep(&buckets);
        }
        // One that hangs must not hold up the others, nor the next second.
        let asked = issuers.iter_mut().map(|issuer| issuer.report(&shared, &reporting, late, &shallow));
        futures_util::future::join_all(asked).await;
        if let Some(standing) = settle(&issuers) {
            stand(&shared, &shards, standing).await;
        }
        due = due.max(Instant::now()); // what an issuer takes is no lateness of our own
        play(&shared, &shards);
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Has calls looked at that wait for an answer too long, where there can be any.
fn nudge(shared: &Shared, shards: &[Arc<Shard>]) {
    let (now, age) = (shared.started.elapsed(), shared.common.threshold());
    for shard in shards.iter().filter(|shard| shard.seen().has_older(now, age)) {
        shard.bell().nudge();
    }
}

/// What was seen since the last time, of calls and of other units.
fn collect(
    shared: &Shared,
    shards: &[Arc<Shard>],
    reporting: &Reporting,
    second: i64,
) -> Vec<EvidenceBucket> {
    let own = reporting.unit.as_str();
    let mut callers: Vec<(MunicipalityCode, (u32, u32))> = Vec::new();
    let mut rest = shared.common.others.take();
    shared.recorder.seen(rest.0, rest.1);
    for (caller, seen) in shared.admission.take_seen() {
        shared.recorder.seen(seen.0, seen.1);
        if let Some(municipality) = caller.municipality() {
            callers.push((municipality, seen));
        }
    }
    callers.sort_by_key(|(code, (n, bad))| (std::cmp::Reverse((*bad, *n)), *code));
    for (_, (n, bad)) in callers.drain(CALLERS_MAX.min(callers.len())..) {
        rest = (rest.0.saturating_add(n), rest.1.saturating_add(bad));
    }
    let mut latencies = Latencies::default();
    shards.iter().for_each(|shard| shard.seen().take(&mut latencies));
    let mut buckets = vec![bucket(second, own, EvidenceClass::Traffic, "", rest, latencies.0)];
    for (code, seen) in callers {
        buckets.push(bucket(second, own, EvidenceClass::Traffic, &code.to_string(), seen, Vec::new()));
    }
    for (unit, code) in shared.common.take_complaints() {
        let (unit, code) = (unit.as_str(), code.to_string());
        buckets.push(bucket(second, unit, EvidenceClass::Traffic, &code, (1, 1), Vec::new()));
    }
    for (unit, probed) in reporting.prober.take() {
        let (seen, latencies) = ((probed.n, probed.bad), probed.latencies.0);
        buckets.push(bucket(second, unit.as_str(), EvidenceClass::Probe, "", seen, latencies));
    }
    buckets.retain(|bucket| bucket.call_count > 0 || bucket.latencies.iter().any(|n| *n > 0));
    buckets
}

/// What shallow probes found since the last time; an issuer that does not hear it now never will.
fn shallow(prober: &Prober) -> Vec<ShallowProbes> {
    let of = |(unit, (call_count, bad_count)): (UnitId, (u32, u32))| ShallowProbes {
        unit: unit.to_string(),
        call_count,
        bad_count,
    };
    prober.take_shallow().into_iter().map(of).collect()
}

fn bucket(
    second: i64,
    unit: &str,
    class: EvidenceClass,
    caller: &str,
    (n, bad): (u32, u32),
    latencies: Vec<u32>,
) -> EvidenceBucket {
    let (unit, caller) = (unit.to_owned(), caller.to_owned());
    EvidenceBucket { second, unit, class: class.into(), caller, call_count: n, bad_count: bad, latencies }
}

/// What one issuer last said.
enum Said {
    Nothing,
    /// It keeps no pool.
    NoPool,
    /// It gave this lease.
    Lease(Lease, Instant),
    /// It said that this relay is not to serve, and when.
    Stop(String, Instant),
}

/// One issuer, as it is reported to.
struct Issuer {
    address: String,
    client: PoolServiceClient<Channel>,
    kept: VecDeque<Vec<EvidenceBucket>>,
    said: Said,
    silent: bool,
}

impl Issuer {
    fn new(shared: &Shared, address: &str) -> Option<Self> {
        let authority = shared.authority.as_str();
        let channel = channel::connect(address, &shared.upstream_tls, authority, ChannelOptions::default());
        let client = PoolServiceClient::new(channel.ok()?); // the authority was checked at the start
        let (address, kept) = (address.to_owned(), VecDeque::new());
        Some(Self { address, client, kept, said: Said::Nothing, silent: false })
    }

    fn keep(&mut self, buckets: &[EvidenceBucket]) {
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
            metrics::counter!(names::RELAY_EVIDENCE_LOST).increment(1);
        }
        self.kept.push_back(buckets.to_vec());
    }

    async fn report(
        &mut self,
        shared: &Shared,
        reporting: &Reporting,
        timer_late_ms: u32,
        shallow: &[ShallowProbes],
    ) {
        let generation = match &self.said {
            Said::Lease(lease, _) => lease.generation,
            _ => 0,
        };
        let mut request = tonic::Request::new(ReportRequest {
            attributes: Some(reporting.attributes.clone()),
            buckets: self.kept.iter().flatten().cloned().collect(),
            generation,
            view_version: reporting.view_version(),
            timer_late_ms,
            incarnation: reporting.incarnation,
            sent_second: reporting.clock.now_ms().div_euclid(1000),
            leaving: leaving(shared),
            bundles: shared.recorder.left(),
            drills: shared.drill.is_allowed(),
            shallow: shallow.to_vec(),
        });
        request.set_timeout(ANSWER_MAX);
        let asked = Instant::now();
        let answer = tokio::time::timeout(ANSWER_MAX, self.client.report(request)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.kept.clear();
                if std::mem::take(&mut self.silent) {
                    shared.recorder.note("issuer_answers", &self.address);
                }
                self.take(shared, reporting, answer.into_inner(), asked);
            }
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                self.kept.clear();
                self.said = Said::NoPool;
            }
            Ok(Err(status)) => self.failed(shared, &status),
            Err(_) => {
                self.failed(
                    shared,
                    &tonic::Status::deadline_exceeded(format!("no answer in {ANSWER_MAX:?}")),
                );
            }
        }
    }

    fn failed(&mut self, shared: &Shared, status: &tonic::Status) {
        let fault = Fault::from_status(status);
        match fault.as_ref().map(|fault| fault.reason) {
            Some(Reason::GenerationStale | Reason::UnitUnknown) => {
                let why = fault.map(|fault| fault.message).unwrap_or_default();
                self.said = Said::Stop(why, Instant::now());
            }
            // What is too large once is too large again.
            Some(Reason::LimitExceeded | Reason::FieldInvalid) => self.kept.clear(),
            _ => {}
        }
        if !std::mem::replace(&mut self.silent, true) {
            let (issuer, words) = (&self.address, status.message());
            shared.recorder.note("issuer_silent", &format!("{issuer}: {words}"));
            tracing::warn!(%issuer, "issuer {issuer} takes no report: {words}; trying on each second");
        }
    }

    fn take(&mut self, shared: &Shared, reporting: &Reporting, answer: ReportResponse, asked: Instant) {
        if answer.threshold_us > 0 {
            shared.common.set_threshold(answer.threshold_us);
        }
        let targets = answer.targets.iter().filter_map(|target| {
            let every = Duration::from_millis(target.deep_every_ms.into());
            Some(Target {
                unit: target.unit.parse::<UnitId>().ok()?,
                address: target.address.clone(),
                every: (!every.is_zero()).then_some(every),
                shallow_every: (target.shallow_every_ms > 0)
                    .then(|| Duration::from_millis(target.shallow_every_ms.into())),
                threshold: Duration::from_micros(target.threshold_us),
            })
        });
        shared.drill.hear(drilled(&answer), asked);
        if let Err(error) = reporting.prober.aim(targets.collect()) {
            tracing::error!(%error, "units cannot be probed: {error}");
        }
        if !answer.view.is_empty() {
            self.learn(reporting, &answer.view);
        }
        self.said = match answer.order() {
            RelayOrder::Serve => self.leased(reporting, &answer, asked),
            RelayOrder::Drain | RelayOrder::Unspecified => Said::Stop(answer.why, asked),
        };
    }

    /// Takes a view that is newer than the one there is.
    fn learn(&self, reporting: &Reporting, note: &[u8]) {
        let view = match &reporting.key {
            Some(key) => View::open(note, key),
            None => View::unsigned(note),
        };
        match view {
            Ok(view) => {
                let first = reporting.from_disk.swap(false, Relaxed);
                let taken = reporting.views.send_if_modified(|now| {
                    let newer = first || now.as_ref().is_none_or(|now| view.replaces(now));
                    if newer {
                        *now = Some(Arc::new(view));
                    }
                    newer
                });
                if let Some(file) = reporting.view_file.as_ref().filter(|_| taken) {
                    file.put(note);
                }
            }
            Err(error) => {
                tracing::error!(issuer = %self.address, %error, "the view of {} is not believed: {error}",
                    self.address);
            }
        }
    }

    /// Believes a lease that is signed, for this unit; its span counts from before it was asked for, so that
    /// no difference of clocks makes it longer.
    fn leased(&self, reporting: &Reporting, answer: &ReportResponse, asked: Instant) -> Said {
        let lease = match &reporting.key {
            Some(key) => Lease::open(&answer.lease, key),
            None => Lease::unsigned(&answer.lease),
        };
        match lease {
            Ok(lease) if lease.unit == reporting.unit => {
                let span = u64::try_from(lease.until_ms.saturating_sub(lease.from_ms)).unwrap_or_default();
                let until = asked + Duration::from_millis(span);
                Said::Lease(lease, until)
            }
            Ok(lease) => Said::Stop(format!("the lease is one of {}", lease.unit), asked),
            Err(error) => {
                tracing::error!(issuer = %self.address, %error, "the lease of {} is not believed: {error}",
                    self.address);
                Said::Nothing
            }
        }
    }
}

/// Why this relay gives its lease back, if it does: it is to stop, or nobody can connect to it any more.
fn leaving(shared: &Shared) -> String {
    match shared.soft.is_cancelled() {
        true => "it is told to stop".to_owned(),
        false => shared.tls.ended().join("; "),
    }
}

/// Makes one standing of what all issuers said: an order to stop of any that was heard lately, else the live
/// lease of the latest epoch, else what there was.
fn settle(issuers: &[Issuer]) -> Option<Standing> {
    let now = Instant::now();
    let best = issuers.iter().filter_map(|issuer| match &issuer.said {
        Said::Lease(lease, until) if *until > now => Some((lease.epoch, *until, lease.generation)),
        _ => None,
    });
    let stop = issuers.iter().find_map(|issuer| match &issuer.said {
        Said::Stop(why, said) if *said + STOP_LIVES > now => Some(why.clone()),
        _ => None,
    });
    match (stop, best.max()) {
        (Some(why), _) => Some(Standing::Ordered { why }),
        (None, Some((_, until, generation))) => Some(Standing::Leased { until, generation }),
        (None, None) => {
            let none = issuers.iter().all(|issuer| matches!(issuer.said, Said::NoPool));
            none.then_some(Standing::Unbound)
        }
    }
}
