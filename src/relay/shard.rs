//! A shard is one thread that carries calls from its clients over its own connections to the issuers, and
//! shares nothing with other shards but counters.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::uri::Authority;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::identity::Identity,
    net::{
        tcp::Handed,
        tls::{ClientTls, ServerTls},
    },
};

use super::{
    admission::{Admission, Tenant},
    back::{self, Back},
    bell::Bell,
    drill::Drill,
    fence::Fence,
    front,
    options::Options,
    recorder::Recorder,
    seen::{Common, Seen},
    stats::Stats,
    upstream::Upstreams,
};

/// How long calls that were told to end get for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What all shards of a relay have in common.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) tls: ServerTls,
    pub(super) upstream_tls: ClientTls,
    pub(super) authority: Authority,
    pub(super) admission: Admission,
    pub(super) common: Common,
    pub(super) fence: Fence,
    pub(super) drill: Drill,
    pub(super) recorder: Recorder,
    pub(super) started: Instant,
    /// How many issuers each shard is connected to.
    pub(super) connected: watch::Sender<Vec<usize>>,
    pub(super) serving: watch::Sender<bool>,
    pub(super) connections: AtomicUsize,
    pub(super) soft: CancellationToken,
    pub(super) hard: CancellationToken,
    /// Cancelled when the time for late connections is over.
    pub(super) closing: CancellationToken,
}

/// A client's place among all connections; given back when dropped.
pub(super) struct Place(Arc<Shared>);

impl Place {
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let place = Self(Arc::clone(shared));
        (shared.connections.fetch_add(1, Relaxed) < shared.options.connections_max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// One thread's share of the relay.
pub(super) struct Shard {
    shared: Arc<Shared>,
    index: usize,
    stats: Stats,
    seen: Seen,
    upstreams: Upstreams,
    bell: Bell,
    /// Clients' connections and their calls.
    work: TaskTracker,
    /// Connections to issuers.
    drivers: TaskTracker,
    links_stop: CancellationToken,
}

impl Shard {
    pub(super) fn new(shared: &Arc<Shared>, index: usize) -> Self {
        let options = &shared.options;
        Self {
            shared: Arc::clone(shared),
            index,
            stats: Stats::new(),
            seen: Seen::new(),
            upstreams: Upstreams::new(options.upstreams.len(), options.upstream_wait),
            bell: Bell::default(),
            work: TaskTracker::new(),
            drivers: TaskTracker::new(),
            links_stop: CancellationToken::new(),
        }
    }

    /// Serves the clients that are handed over, until there will be no more and all are done.
    pub(super) async fn run(self: Arc<Self>, mut clients: mpsc::UnboundedReceiver<(Handed, Place)>) {
        for issuer in 0..self.options().upstreams.len() {
            self.drivers.spawn(back::keep(Arc::clone(&self), issuer));
        }
        let carrying = async {
            while let Some((tcp, place)) = clients.recv().await {
                let shard = Arc::clone(&self);
                self.work.spawn(async move {
                    front::serve(shard, tcp).await;
                    drop(place);
                });
            }
            self.work.close();
            let drain = self.options().drain;
            if timeout(drain, self.work.wait()).await.is_err() {
                tracing::warn!(shard = self.index, "{} tasks are not done in {drain:?}", self.work.len());
                self.bell.ring();
                let _ = timeout(LAST_WORDS, self.work.wait()).await;
            }
            self.links_stop.cancel();
            self.upstreams.close();
            self.drivers.close();
            let _ = timeout(LAST_WORDS, self.drivers.wait()).await;
        };
        self.shared.hard.run_until_cancelled(carrying).await;
    }

    /// Runs a call, or what belongs to a client's connection, as part of this shard.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.work.spawn(task);
    }

    /// Drives a connection to an issuer.
    pub(super) fn drive(&self, back: Back) {
        self.drivers.spawn(back);
    }

    pub(super) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What is seen of calls by all shards together.
    pub(super) fn common(&self) -> &Common {
        &self.shared.common
    }

    pub(super) fn drill(&self) -> &Drill {
        &self.shared.drill
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    pub(super) fn fence(&self) -> &Fence {
        &self.shared.fence
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    pub(super) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    pub(super) fn tls(&self) -> &ServerTls {
        &self.shared.tls
    }

    pub(super) fn upstream_tls(&self) -> &ClientTls {
        &self.shared.upstream_tls
    }

    /// What stands as `:authority` on every call to an issuer.
    pub(super) fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.shared.serving.subscribe()
    }

    pub(super) fn soft(&self) -> CancellationToken {
        self.shared.soft.clone()
    }

    pub(super) fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }

    pub(super) fn links_stop(&self) -> &CancellationToken {
        &self.links_stop
    }

    /// Tells the relay how many issuers this shard is connected to.
    pub(super) fn links_changed(&self) {
        let connected = self.upstreams.connected();
        self.shared.connected.send_modify(|all| all[self.index] = connected);
    }

    /// The account of a client.
    pub(super) fn tenant(&self, identity: &Identity) -> Arc<Tenant> {
        self.shared.admission.tenant(identity, self.options(), self.now_ns())
    }

    /// Nanoseconds since the relay started.
    pub(super) fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }

    pub(super) fn ns_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shared.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// A number from 0 to 1 that differs from relay to relay, shard to shard and time to time; never for
    /// secrets.
    pub(super) fn fraction(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        (&self.options().name, self.index, self.now_ns()).hash(&mut hasher);
        let bits = hasher.finish();
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}
