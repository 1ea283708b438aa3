//! Starts a relay in order and stops it in order: health first, then GOAWAY, then the listener, calls last.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Duration,
};

use http::uri::Authority;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::note::VerifierKey,
    net::{
        listen::Listening,
        tcp::{Handed, TcpListener},
        tls::{ClientTls, ServerTls},
    },
    pool::{disk::ViewFile, evidence::UnitId, notes::View, prober::Prober},
    runtime::{Lateness, OnDeath, Running, Tasks, clock::Clock},
    telemetry::names,
    wire::{fault::Reason, pb::UnitAttributes},
};

use super::{
    admission::Admission,
    drill::Drill,
    fence::{Fence, Standing},
    options::Options,
    recorder::{Recorder, Sampler, Shelf},
    report::{self, Reporting},
    seen::Common,
    shard::{Place, Shard, Shared},
    stats::Reporter,
};

/// How often what was counted goes into the metrics.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How often certificate, CA and CRL are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict themselves.
    #[error("the relay's options are wrong: {}", .0.join("; "))]
    Options(Vec<String>),
    /// The listener or a thread cannot be used.
    #[error("the relay cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// What makes a relay a unit of its issuers' pool.
pub struct Membership {
    /// Which unit, by the relay's certificate.
    pub unit: UnitId,
    /// What it is, for its registration.
    pub attributes: UnitAttributes,
    /// By which leases, views and probes are believed; `None`: whatever an issuer says.
    pub key: Option<VerifierKey>,
    /// What it probes other relays with.
    pub probe_tls: ClientTls,
    /// What its seconds are told by.
    pub clock: Clock,
    /// Differs from one start of the process to the next.
    pub incarnation: u64,
    /// Where the view is shown; one that is there already is of the last run.
    pub views: watch::Sender<Option<Arc<View>>>,
    /// Where it is kept.
    pub view_file: Option<ViewFile>,
}

/// Starts a relay that serves at `listener` until the soft token of `tasks` is cancelled.
///
/// It says NOT_SERVING until each of its shards is connected to an issuer, and while its certificate, CA or
/// CRL is out of date. After the soft token it goes on for at least [`Options::linger`] and at most that and
/// [`Options::drain`].
///
/// With a `membership` it serves only while it holds a lease of its issuers, if these keep a pool.
///
/// # Errors
/// [`Error`]; nothing runs then.
pub fn start(
    options: Options,
    listener: TcpListener,
    tls: ServerTls,
    upstream_tls: ClientTls,
    membership: Option<Membership>,
    tasks: &Tasks,
) -> Result<Running, Error> {
    let authority = checked(&options, &upstream_tls)?;
    let address = listener.local_addr()?;
    let shards_max = options.shards;
    let shared = Arc::new(Shared {
        admission: Admission::new(&options),
        authority,
        closing: CancellationToken::new(),
        common: Common::new(membership.is_some()),
        connected: watch::Sender::new(vec![0; shards_max]),
        connections: AtomicUsize::new(0),
        drill: Drill::new(options.drills),
        fence: Fence::new(membership.is_some()),
        hard: tasks.hard(),
        recorder: Recorder::new(membership.as_ref().and_then(|membership| shelf(&options, membership))),
        options,
        serving: watch::Sender::new(false),
        soft: tasks.soft(),
        started: Instant::now(),
        tls,
        upstream_tls,
    });
    let mut shards = Vec::new();
    let mut clients = Vec::new();
    for index in 0..shards_max {
        let (hand_over, handed_over) = mpsc::unbounded_channel();
        let shard = Arc::new(Shard::new(&shared, index));
        start_shard(&shard, index, handed_over, tasks)?;
        shards.push(shard);
        clients.push(hand_over);
    }
    tasks.spawn("relay-health", OnDeath::Shutdown, tell_health(Arc::clone(&shared)));
    if let Some(membership) = membership {
        join(&shared, &shards, membership, tasks);
    }
    let ended = CancellationToken::new();
    let counting = count(Arc::clone(&shared), shards);
    let end = ended.clone().drop_guard();
    tasks.spawn("relay-metrics", OnDeath::Shutdown, async move {
        let _end = end;
        counting.await;
    });
    tasks.spawn("relay-accept", OnDeath::Shutdown, accept(Arc::clone(&shared), listener, clients));
    Ok(Running { address, not_ready: not_ready(shared), ended })
}

/// Where what was recorded is left before the relay drains, if that is wanted.
fn shelf(options: &Options, membership: &Membership) -> Option<Shelf> {
    let (limits, clock) = ((options.bundle_bytes_max, options.bundles_kept), membership.clock.clone());
    let dir = options.bundle_dir.as_deref()?;
    Some(Shelf::new(dir, membership.unit.as_str(), limits, clock))
}

/// Looks at everything that can be wrong, and returns what stands as `:authority` on calls to issuers.
fn checked(options: &Options, upstream_tls: &ClientTls) -> Result<Authority, Error> {
    let of = |(option, what): (&str, String)| format!("{option}: {what}");
    let mut faults: Vec<String> = options.faults().into_iter().map(of).collect();
    let authority = upstream_tls.server_name().to_str().parse::<Authority>();
    if authority.is_err() {
        faults.push("the issuers' server name cannot be sent as :authority".to_owned());
    }
    authority.ok().filter(|_| faults.is_empty()).ok_or(Error::Options(faults))
}

type Clients = Vec<mpsc::UnboundedSender<(Handed, Place)>>;

/// Runs a shard on a thread of its own; its end is the end of a task.
#[cfg(not(feature = "simulation"))]
fn start_shard(
    shard: &Arc<Shard>,
    index: usize,
    clients: mpsc::UnboundedReceiver<(Handed, Place)>,
    tasks: &Tasks,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let shard = Arc::clone(shard);
    std::thread::Builder::new().name(format!("relay-{index}")).spawn(move || {
        let _ended = ended;
        runtime.block_on(shard.run(clients));
    })?;
    tasks.spawn("relay-shard", OnDeath::Shutdown, async move {
        let _ = end.await; // the thread ends by dropping its half
    });
    Ok(())
}

/// Runs a shard as a task: a simulated relay has one thread.
#[cfg(feature = "simulation")]
fn start_shard(
    shard: &Arc<Shard>,
    _index: usize,
    clients: mpsc::UnboundedReceiver<(Handed, Place)>,
    tasks: &Tasks,
) -> Result<(), Error> {
    tasks.spawn("relay-shard", OnDeath::Shutdown, Arc::clone(shard).run(clients));
    Ok(())
}

/// Hands each client to the next shard in turn, and goes on for a while after the order to stop.
async fn accept(shared: Arc<Shared>, listener: TcpListener, clients: Clients) {
    let late = async {
        shared.soft.cancelled().await;
        sleep(shared.options.linger).await;
    };
    let mut listener = Listening::new(listener);
    let accepting = async {
        for at in (0..clients.len()).cycle() {
            let tcp = listener.next().await;
            let Some(place) = Place::take(&shared) else {
                metrics::counter!(names::RELAY_EVENTS, names::EVENT => "connections_full").increment(1);
                continue;
            };
            if let Ok(tcp) = Handed::from(tcp) {
                // It fails only when the shard's thread is gone, which stops the process.
                let _ = clients[at].send((tcp, place));
            }
        }
    };
    tokio::select! {
        () = late => {}
        () = accepting => {}
    }
    drop(listener);
    shared.closing.cancel();
}

/// SERVING while every shard can send calls on, and certificate, CA and CRL are good; an absence of issuers
/// counts only when it lasts.
async fn tell_health(shared: Arc<Shared>) {
    let mut connected = shared.connected.subscribe();
    let mut standing = shared.fence.watch();
    let name = &shared.options.name;
    let mut looks = interval(LOOK_EVERY);
    let telling = async {
        loop {
            let all = !connected.borrow_and_update().contains(&0);
            standing.mark_unchanged();
            let serves = all && shared.fence.serves() && shared.tls.ended().is_empty();
            if serves != *shared.serving.borrow() {
                // The first time waits for nothing; what was there and is gone may come back at once.
                let back = connected.wait_for(|each| !each.contains(&0));
                if !all && timeout(shared.options.away_max, back).await.is_ok() {
                    continue;
                }
                let why = if serves { String::new() } else { reasons(&shared).join("; ") };
                shared.recorder.note(if serves { "serving" } else { "not_serving" }, &why);
                if serves {
                    tracing::info!("{name} is serving");
                } else {
                    tracing::error!("{name} is not serving: {why}");
                }
                shared.serving.send_replace(serves);
            }
            tokio::select! {
                changed = connected.changed() => if changed.is_err() { return },
                changed = standing.changed() => if changed.is_err() { return },
                _ = looks.tick() => {}
            }
        }
    };
    shared.soft.run_until_cancelled(telling).await;
    shared.serving.send_replace(false);
    tracing::info!("{name} is draining");
}

/// Begins to report, and to hold to what the answers say.
fn join(shared: &Arc<Shared>, shards: &[Arc<Shard>], membership: Membership, tasks: &Tasks) {
    let Membership { unit, attributes, key, probe_tls, clock, incarnation, views, view_file } = membership;
    shared.recorder.recall();
    let authority = shared.authority.as_str();
    let prober = Prober::new(&format!("relay/{unit}"), probe_tls, authority, key.clone());
    let (from_disk, lateness) = (AtomicBool::new(views.borrow().is_some()), Lateness::default());
    let watch = until(shared.closing.clone(), lateness.clone().watch());
    tasks.spawn("relay-lateness", OnDeath::Shutdown, watch);
    let reporting = Reporting {
        unit,
        attributes,
        key,
        prober,
        clock,
        incarnation,
        lateness,
        views,
        view_file,
        from_disk,
    };
    let reports = report::run(Arc::clone(shared), shards.to_vec(), reporting);
    tasks.spawn("relay-report", OnDeath::Shutdown, until(shared.closing.clone(), reports));
    let fence = mind_fence(Arc::clone(shared), shards.to_vec());
    tasks.spawn("relay-fence", OnDeath::Shutdown, until(shared.closing.clone(), fence));
}

async fn until(end: CancellationToken, task: impl Future<Output = ()>) {
    end.run_until_cancelled(task).await;
}

/// Closes the fence when the lease ends, or the grace of an order to stop, and some time later breaks off
/// what was still in flight then.
async fn mind_fence(shared: Arc<Shared>, shards: Vec<Arc<Shard>>) {
    let serves = |now: &Standing| matches!(now, Standing::Leased { .. } | Standing::Unbound);
    let cut = async {
        let mut standing = shared.fence.watch();
        loop {
            let _ = standing.wait_for(|now| matches!(now, Standing::Ordered { .. } | Standing::Lapsed)).await;
            let ordered = Instant::now();
            let closed = ordered + shared.fence.grace().min(shared.options.drain);
            let _ = timeout_at(closed, standing.wait_for(|now| !now.is_graced())).await;
            if !shared.fence.serves() {
                let name = &shared.options.name;
                tracing::error!("{name} takes no calls: {}", shared.fence.reason().unwrap_or_default());
                metrics::counter!(names::RELAY_EVENTS, names::EVENT => "fenced").increment(1);
                if timeout_at(ordered + shared.options.drain, standing.wait_for(serves)).await.is_err() {
                    shards.iter().for_each(|shard| shard.bell().cut(shard.ns_at(closed)));
                    let _ = standing.wait_for(serves).await;
                }
                tracing::info!("{name} takes calls again");
            }
            shared.recorder.note("open", &format!("lease of generation {}", shared.fence.generation()));
        }
    };
    let lapses = || {
        let why = "its lease ended and no issuer renewed it";
        shared.recorder.note("lapsed", why);
        // Without a lease it must not wait for a disk: what is written is what was so before.
        drop(shared.recorder.leave((&shared, &shards), "lapse", why));
    };
    tokio::join!(shared.fence.mind(lapses), cut);
}

async fn count(shared: Arc<Shared>, shards: Vec<Arc<Shard>>) {
    let mut reporter = Reporter::default();
    let mut sampler = Sampler::new(REPORT_EVERY);
    let mut report = || {
        reporter.report(shards.iter().map(|shard| shard.stats()));
        let links: usize = shared.connected.borrow().iter().sum();
        metrics::gauge!(names::RELAY_IN_FLIGHT).set(shared.admission.in_flight() as f64);
        tell_lanes(&shared);
        metrics::gauge!(names::RELAY_UPSTREAM_CONNECTIONS).set(links as f64);
        metrics::gauge!(names::RELAY_SERVING).set(f64::from(u8::from(*shared.serving.borrow())));
        metrics::gauge!(names::RELAY_DRAINING).set(f64::from(u8::from(shared.soft.is_cancelled())));
    };
    while shared.closing.run_until_cancelled(sleep(REPORT_EVERY)).await.is_some() {
        report();
        sampler.look(&shared, &shards, REPORT_EVERY);
    }
    // The last calls of a drain are counted too, as long as somebody may still ask.
    while shared.connections.load(std::sync::atomic::Ordering::Relaxed) > 0 {
        report();
        sleep(REPORT_EVERY / 10).await;
    }
    report();
}

/// Moves what the lanes counted into the metrics.
fn tell_lanes(shared: &Shared) {
    for (lane, in_use, refused) in shared.admission.take_lanes() {
        let lane = lane.as_str();
        metrics::gauge!(names::LANE_PLACES, names::LANE => lane).set(in_use as f64);
        for (reason, count) in [Reason::TerminalLimit, Reason::LaneFull].into_iter().zip(refused) {
            let reason = reason.as_str();
            metrics::counter!(names::LANE_REFUSALS, names::LANE => lane, names::REASON => reason)
                .increment(count);
        }
    }
}

fn not_ready(shared: Arc<Shared>) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
    Arc::new(move || {
        if shared.soft.is_cancelled() {
            return vec!["draining: no new calls".to_owned()];
        }
        match *shared.serving.borrow() {
            true => shared.tls.ended(),
            false => reasons(&shared),
        }
    })
}

/// Says why a relay does not serve.
fn reasons(shared: &Shared) -> Vec<String> {
    let mut reasons = shared.tls.ended();
    reasons.extend(shared.fence.reason());
    if reasons.is_empty() || shared.connected.borrow().contains(&0) {
        reasons.push(without_issuer(shared));
    }
    reasons
}

/// Says how many threads no issuer can be reached from.
fn without_issuer(shared: &Shared) -> String {
    let connected = shared.connected.borrow();
    let without = connected.iter().filter(|n| **n == 0).count();
    let (all, issuers) = (connected.len(), shared.options.upstreams.join(", "));
    format!("{without} of {all} threads are connected to no issuer ({issuers})")
}
