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
    domain::note::VerifierKey,
    net::channel::{self, ChannelOptions},
    pool::{
        disk::ViewFile,
        evidence::UnitId,
        notes::{Lease, View},
        prober::{Prober, Target},
    },
    runtime::{Lateness, clock::Clock},
    telemetry::names,
    wire::{
        fault::{Fault, Reason},
        pb::{
            EvidenceBucket, RelayOrder, ReportRequest, ReportResponse, ShallowProbes, UnitAttributes,
            pool_service_client::PoolServiceClient,
        },
    },
};

use super::{
    gathered::{collect, shallow},
    orders::{drilled, play, stand},
    said::{Said, settle},
    shard::{Shard, Shared},
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// The longest wait for an issuer's answer, and for that of one which gave none the last time where another
/// did: one that hangs must not hold up the next second of the others.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const SILENT_ANSWER_MAX: Duration = Duration::from_millis(900);

/// Seconds that are kept for an issuer that does not answer; what is older says nothing of now.
const KEPT_MAX: usize = 30;

/// The relay's own reporting: what it is, and what it needs for it.
pub(super) struct Reporting {
    pub(super) unit: UnitId,
    pub(super) attributes: UnitAttributes,
    pub(super) key: Option<VerifierKey>,
    pub(super) prober: Prober,
    pub(super) clock: Clock,
    pub(super) incarnation: u64,
    pub(super) lateness: Lateness,
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
    let mut is_leaving = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Who is to stop says so at once.
            () = shared.soft.cancelled(), if !is_leaving => is_leaving = true,
        }
        let late = reporting.lateness.take();
        nudge(&shared, &shards);
        let second = reporting.clock.now_ms().div_euclid(1000);
        let buckets = collect(&shared, &shards, &reporting, second);
        let shallow = shallow(&reporting.prober);
        for issuer in &mut issuers {
            issuer.keep(&buckets);
        }
        let hurries = issuers.iter().any(|issuer| !issuer.silent);
        for issuer in &mut issuers {
            issuer.hurries = hurries && issuer.silent;
        }
        let asked = issuers.iter_mut().map(|issuer| issuer.report(&shared, &reporting, late, &shallow));
        futures_util::future::join_all(asked).await;
        if let Some(standing) = settle(&Vec::from_iter(issuers.iter().map(|issuer| &issuer.said))) {
            stand(&shared, &shards, standing).await;
        }
        play(&shared, &shards);
    }
}

/// Has calls looked at that wait for an answer too long, where there can be any.
fn nudge(shared: &Shared, shards: &[Arc<Shard>]) {
    let (now, age) = (shared.started.elapsed(), shared.common.threshold());
    for shard in shards.iter().filter(|shard| shard.seen().has_older(now, age)) {
        shard.bell().nudge();
    }
}

/// One issuer, as it is reported to.
struct Issuer {
    address: String,
    client: PoolServiceClient<Channel>,
    kept: VecDeque<Vec<EvidenceBucket>>,
    said: Said,
    silent: bool,
    /// Whether others answer, which it must not hold up.
    hurries: bool,
    /// Whether it refuses what was seen; that is said once.
    refuses: bool,
}

impl Issuer {
    fn new(shared: &Shared, address: &str) -> Option<Self> {
        let authority = shared.authority.as_str();
        let channel = channel::connect(address, &shared.upstream_tls, authority, ChannelOptions::default());
        let client = PoolServiceClient::new(channel.ok()?); // the authority was checked at the start
        let (address, kept) = (address.to_owned(), VecDeque::new());
        let said = Said::Nothing;
        Some(Self { address, client, kept, said, silent: false, hurries: false, refuses: false })
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
        let bare = ReportRequest {
            attributes: Some(reporting.attributes.clone()),
            buckets: Vec::new(),
            generation,
            view_version: reporting.view_version(),
            timer_late_ms,
            incarnation: reporting.incarnation,
            sent_second: reporting.clock.now_ms().div_euclid(1000),
            leaving: leaving(shared),
            bundles: shared.recorder.left(),
            drills: shared.drill.is_allowed(),
            shallow: Vec::new(),
        };
        let evidence = self.kept.iter().flatten().cloned().collect();
        let whole = ReportRequest { buckets: evidence, shallow: shallow.to_vec(), ..bare.clone() };
        let asked = Instant::now();
        let (mut answer, mut taken) = (self.ask(whole, asked).await, true);
        if let Err(status) = &answer
            && self.is_of_evidence(status)
        {
            // What was seen may be refused; the right to serve is asked for all the same.
            (answer, taken) = (self.ask(bare, asked).await, false);
        }
        match answer {
            Ok(answer) => {
                if taken {
                    self.kept.clear();
                    self.refuses = false;
                }
                if std::mem::take(&mut self.silent) {
                    shared.recorder.note("issuer_answers", &self.address);
                }
                self.take(shared, reporting, answer, asked);
            }
            Err(status) if status.code() == Code::Unimplemented => {
                self.kept.clear();
                self.said = Said::NoPool;
            }
            Err(status) => self.failed(shared, &status),
        }
    }

    /// Sends a report, and waits for its answer no longer than the longest wait since `begun`.
    async fn ask(&mut self, report: ReportRequest, begun: Instant) -> Result<ReportResponse, tonic::Status> {
        let max = if self.hurries { SILENT_ANSWER_MAX } else { ANSWER_MAX };
        let mut request = tonic::Request::new(report);
        request.set_timeout(max);
        match tokio::time::timeout_at(begun + max, self.client.report(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(tonic::Status::deadline_exceeded(format!("no answer in {max:?}"))),
        }
    }

    /// Whether what was seen is why a report was refused. What is wrong or too large once is so again, and is
    /// lost; what found no room is sent again.
    fn is_of_evidence(&mut self, status: &tonic::Status) -> bool {
        let reason = Fault::from_status(status).map(|fault| fault.reason);
        if matches!(reason, Some(Reason::LimitExceeded | Reason::FieldInvalid)) {
            let seconds = self.kept.iter().filter(|buckets| !buckets.is_empty()).count();
            metrics::counter!(names::RELAY_EVIDENCE_LOST).increment(seconds as u64);
            self.kept.clear();
            if !std::mem::replace(&mut self.refuses, true) {
                let (issuer, words) = (&self.address, status.message());
                tracing::warn!(%issuer, "issuer {issuer} refuses what was seen here, which is lost: {words}");
            }
            return true;
        }
        reason == Some(Reason::LaneFull)
    }

    fn failed(&mut self, shared: &Shared, status: &tonic::Status) {
        let fault = Fault::from_status(status);
        if let Some(Reason::GenerationStale | Reason::UnitUnknown) = fault.as_ref().map(|fault| fault.reason)
        {
            let why = fault.map(|fault| fault.message).unwrap_or_default();
            self.said = Said::Stop { why, heard: Instant::now(), grace: Duration::ZERO };
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
            RelayOrder::Drain | RelayOrder::Unspecified => {
                let grace = Duration::from_millis(answer.grace_ms.into());
                Said::Stop { why: answer.why, heard: asked, grace }
            }
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
            Ok(lease) => {
                let why = format!("the lease is one of {}", lease.unit);
                Said::Stop { why, heard: asked, grace: Duration::ZERO }
            }
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
