//! One issuer decides for the pool, as long as it holds the database's lease; a decision takes effect once it
//! is kept. Without the database nothing is decided: what was in force stays so.

mod answers;
mod bundles;
mod calls;
mod export;
mod gauges;
mod holding;
mod intake;
mod leases;
mod orders;
mod places;
mod probes;
mod read;
mod refusals;
mod report;
mod restored;
mod seconds;
#[cfg(feature = "simulation")]
pub mod simulated;
mod step;
mod unkept;
mod vote;
mod witnesses;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{broadcast, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::export::send;
pub use self::holding::Standing;
use self::intake::Intake;
use super::{
    disk::{Disk, ViewFile},
    evidence::{Observer, UnitId},
    gate::Gate,
    judgement::Judgement,
    keeper::{Keeper, KeptDecision},
    ledger::Recorder,
    notes::View,
    policy::{self, Policy},
    prober::Prober,
    rule::{self, Judge},
};
use crate::runtime::{Lateness, OnDeath, Tasks, clock::Clock};

/// How often it decides.
const EVERY: Duration = Duration::from_secs(1);

/// How long the controller's lease lives without being renewed.
const CONTROLLER_LEASE: Duration = Duration::from_secs(10);

/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// How long the database may take to renew the lease, and to be read.
const KEEP_MAX: Duration = Duration::from_secs(3);

/// How long it may take to keep a step; then it is taken to be away. One that is busy with an import takes
/// seconds and is not; and with both, leases of 15 s are extended in time if it is.
const STEP_MAX: Duration = Duration::from_secs(8);

/// Decisions that wait for one who watches them.
const WATCHED_MAX: usize = 256;

/// Numbers and names of a controller.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// Whether the pool is judged here, and relays need a lease. Default true.
    pub enabled: bool,
    /// Whether a relay that nobody registered is registered by its first report. Default true; with false an
    /// operator registers each (`todoke pool register`).
    pub self_register: bool,
    /// Calls of one relay that are worked on here at once; one more is refused with LANE_FULL. Default 2,048.
    pub relay_calls_max: u32,
    /// The most calls a second that the pool must carry, for its floor; 0: one unit is enough. Default 0.
    pub peak_calls_per_s: u32,
    /// The folder of the ledger, from which every decision can be made again (`todoke pool replay`), and of
    /// the last view. Default: beside the database, its name with `-pool-ledger`; an empty text: none.
    pub ledger_dir: Option<PathBuf>,
    /// Bytes of the ledger's files; the oldest go first. Default 256 MiB: about a day with four relays.
    pub ledger_bytes_max: u64,
    /// The rule's numbers.
    pub rule: rule::Parameters,
    /// The policy's numbers.
    pub policy: policy::Parameters,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            self_register: true,
            relay_calls_max: 2_048,
            peak_calls_per_s: 0,
            ledger_dir: None,
            ledger_bytes_max: 256 << 20,
            rule: rule::Parameters::default(),
            policy: policy::Parameters::default(),
        }
    }
}

/// Signs a text as a note.
pub type Sign = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// What a controller is made of.
pub struct Parts {
    /// Its numbers.
    pub options: Options,
    /// The issuer's name.
    pub name: String,
    /// Where what must not be lost is kept.
    pub keeper: Arc<dyn Keeper>,
    /// Signs views, leases and probes.
    pub sign: Sign,
    /// What the issuer itself probes units with.
    pub prober: Prober,
    /// What time is told by.
    pub clock: Clock,
    /// What is left on disk, and was found there.
    pub disk: Disk,
    /// Where its steps run.
    pub tasks: Tasks,
}

/// The pool, as one issuer knows it. A clone is the same.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

struct Inner {
    options: Options,
    name: String,
    observer: Observer,
    keeper: Arc<dyn Keeper>,
    sign: Sign,
    prober: Prober,
    clock: Clock,
    gate: Arc<Gate>,
    views: watch::Sender<Option<Arc<View>>>,
    signed: ArcSwapOption<Vec<u8>>,
    /// Whether the view is still the one of the last run: the first that is made here replaces it.
    from_disk: AtomicBool,
    view_file: Option<ViewFile>,
    ledger_dir: Option<PathBuf>,
    decided: broadcast::Sender<Arc<KeptDecision>>,
    /// One step or order at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    tasks: Tasks,
    core: Mutex<Core>,
}

/// What is known, between two steps.
struct Core {
    judge: Judge,
    policy: Policy,
    intake: Intake,
    judgement: Judgement,
    /// Of the lease that is held; 0: another issuer decides, or nobody.
    epoch: u64,
    /// Whether the database is away.
    frozen: bool,
    /// What was said since, and when: it goes on record once the database is back.
    unkept: unkept::Unkept,
    /// Whether what is kept there cannot be read.
    damaged: bool,
    /// Whether the database would not renew the lease, or give it, when it was asked last.
    unrenewed: bool,
    /// Whether the last step may have been kept, and may not: it is read anew before the next one.
    unsure: bool,
    /// Relays that may not register themselves, as far as that was said.
    refusals: refusals::Refusals,
    /// The units whose figures are shown.
    shown: BTreeSet<UnitId>,
    /// Those of them whose health is shown.
    probed: BTreeSet<UnitId>,
    kept_ms: i64,
    /// The epoch after which the judge goes on from its record.
    restored: Option<u64>,
    /// By what is judged and decided.
    seconds: self::seconds::Seconds,
    /// Until when leases of before are believed, in ms since 1970.
    believed_until_ms: i64,
    /// When what another issuer decided was followed last, in ms since 1970; 0: never yet.
    followed_ms: i64,
    recorder: Recorder,
}

impl Core {
    /// What knows nothing yet.
    fn new(options: &Options, recorder: Recorder, now_s: u64) -> Self {
        let mut judge = Judge::new(options.rule.clone(), now_s);
        let judgement = judge.judge(now_s);
        Self {
            judge,
            policy: Policy::new(options.policy.clone()),
            intake: Intake::default(),
            judgement,
            epoch: 0,
            frozen: false,
            unkept: unkept::Unkept::default(),
            damaged: false,
            unrenewed: false,
            unsure: false,
            refusals: refusals::Refusals::default(),
            shown: BTreeSet::new(),
            probed: BTreeSet::new(),
            kept_ms: 0,
            restored: None,
            believed_until_ms: 0,
            followed_ms: 0,
            seconds: self::seconds::Seconds::default(),
            recorder,
        }
    }
}

impl Controller {
    /// A controller that knows nothing yet; [`Controller::run`] makes it learn and decide.
    ///
    /// # Panics
    /// If the issuer's name is none: it was checked with its certificate.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { options, name, keeper, sign, prober, clock, disk, tasks } = parts;
        let Disk { folder: ledger_dir, recorder, view_file, last_view } = disk;
        let (view, note) = last_view.unzip();
        let now_s = seconds(clock.now_ms());
        let observer = Observer::try_from(format!("issuer/{name}")).expect("a name from a certificate");
        let core = Core::new(&options, recorder, now_s);
        let drain = Duration::from_secs(options.policy.drain_s);
        let gate = Arc::new(Gate::new(options.relay_calls_max, drain));
        gauges::begin_at_zero();
        Self(Arc::new(Inner {
            options,
            name,
            observer,
            keeper,
            sign,
            prober,
            clock,
            gate,
            from_disk: AtomicBool::new(view.is_some()),
            views: watch::Sender::new(view.map(Arc::new)),
            signed: ArcSwapOption::new(note.map(Arc::new)),
            view_file,
            ledger_dir,
            decided: broadcast::Sender::new(WATCHED_MAX),
            turn: Arc::default(),
            tasks,
            core: Mutex::new(core),
        }))
    }

    /// What lets relays' calls in.
    #[must_use]
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.0.gate)
    }

    /// The view, and each one after it.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.0.views.subscribe()
    }

    /// Takes the lease if it is free, and what was kept into force, before the first call is let in.
    pub async fn begin(&self) {
        self.restore().await;
        self.renew().await;
        if let Err(fault) = self.step(None).await {
            tracing::warn!("the pool is not in force yet: {}", fault.message);
        }
    }

    /// Decides each second until told to stop; then it gives its lease back.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lateness = Lateness::default();
        let (watch, ends) = (lateness.clone().watch(), stop.clone());
        self.0.tasks.spawn("pool-lateness", OnDeath::Ignore, async move {
            ends.run_until_cancelled(watch).await;
        });
        let mut renewed = None;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = tokio::time::Instant::now();
            if self.core().epoch == 0 {
                renewed = None;
            }
            if renewed.is_none_or(|renewed: tokio::time::Instant| now - renewed >= RENEW_EVERY) {
                let held = self.renew().await;
                renewed = held.then_some(now);
            }
            self.observe(lateness.take());
            if let Err(fault) = self.step(None).await {
                tracing::debug!("the pool's step was not kept: {}", fault.message);
            }
        }
        let epoch = self.core().rest(self.0.clock.now_ms());
        if epoch > 0 {
            let given = self.0.keeper.give_up(&self.0.name, epoch, self.0.clock.now_ms());
            if let Ok(Err(error)) = tokio::time::timeout(KEEP_MAX, given).await {
                tracing::warn!(%error, "the pool's lease was not given back: another takes it in 10 s");
            }
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why an operator should look, beside the alarms of the pool itself.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let core = self.core();
        let words = match core.damaged {
            true => {
                "the pool is frozen, as its state in the database cannot be read: no relay gets a lease. \
                     `todoke report verify-store` says what to do"
            }
            false => "the pool is frozen, as its database is away: no unit is let in or taken out",
        };
        core.frozen.then(|| words.to_owned()).into_iter().collect()
    }

    /// What this issuer saw by itself: its probes, and the calls that relays passed on.
    fn observe(&self, late_ms: u32) {
        let now_s = self.core().seconds.at(seconds(self.0.clock.now_ms()));
        let second = i64::try_from(now_s).unwrap_or(i64::MAX);
        let mut buckets = Vec::new();
        for (unit, probed) in self.0.prober.take() {
            buckets.push(report::bucket(
                second,
                unit.as_str(),
                true,
                (probed.n, probed.bad),
                probed.latencies.0,
            ));
        }
        let shallow = self.0.prober.take_shallow();
        for (unit, calls) in self.0.gate.take_calls() {
            let calls = u32::try_from(calls).unwrap_or(u32::MAX);
            buckets.push(report::bucket(second, unit.as_str(), false, (calls, 0), Vec::new()));
        }
        let core = &mut *self.core();
        if let Err(fault) = core.intake.take(&self.0.observer, &buckets, now_s, (0, 0)) {
            tracing::error!("what this issuer saw is not taken: {}", fault.message);
        }
        core.intake.weigh(&self.0.observer, late_ms);
        for (unit, seen) in &shallow {
            core.intake.see_health(&self.0.observer, unit, *seen, now_s);
        }
        let targets = core.targets(None).into_iter().map(report::target).collect();
        if let Err(error) = self.0.prober.aim(targets) {
            tracing::error!(%error, "units cannot be probed: {error}");
        }
    }
}

/// Whole seconds since 1970.
fn seconds(ms: i64) -> u64 {
    u64::try_from(ms.div_euclid(1000)).unwrap_or_default()
}

#[cfg(test)]
mod anew_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod intake_tests;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod restored_tests;
#[cfg(test)]
mod step_tests;
#[cfg(test)]
mod unregister_tests;
