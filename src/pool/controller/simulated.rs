//! What decides in an issuer, without its tasks, its clock and its network: a simulation tells it what comes
//! and when a second is over, and gets what an issuer would decide and answer. For `tests/sim` alone.

use super::{Core, Options, intake, seconds};
use crate::{
    pool::{
        evidence::{Observer, UnitId},
        judgement::Judgement,
        keeper::KeepError,
        ledger::Recorder,
        policy::{Decision, Fact, Operator, Order, Policy, Process, Request, Unit},
    },
    wire::{fault::Fault, pb::EvidenceBucket},
};

/// A controller's core.
pub struct Deciding {
    core: Core,
    options: Options,
}

/// One report of a relay, as far as anything is decided by it.
pub struct Said<'a> {
    /// Whose.
    pub unit: &'a UnitId,
    /// The same as an observer.
    pub observer: &'a Observer,
    /// Differs from start to start.
    pub incarnation: u64,
    /// Of the lease that it holds; 0: none.
    pub generation: u64,
    /// By its own clock, in seconds since 1970.
    pub sent_second: i64,
    /// How late its timers were.
    pub late_ms: u32,
    /// What it saw.
    pub buckets: &'a [EvidenceBucket],
}

impl Deciding {
    /// One that knows nothing and decides nothing yet.
    #[must_use]
    pub fn new(options: Options, now_ms: i64) -> Self {
        Self { core: Core::new(&options, Recorder::default(), seconds(now_ms)), options }
    }

    /// Goes by what was kept, which another decided.
    fn load(&mut self, kept: Option<&str>) {
        let Some(kept) = kept else { return };
        let mut policy: Policy = serde_json::from_str(kept).expect("it was written by a policy");
        policy.set_parameters(self.options.policy.clone());
        self.core.seconds.after(policy.second());
        self.core.policy = policy;
    }

    /// Holds the lease of this epoch from now on, and goes on from what was kept.
    pub fn take_over(&mut self, epoch: u64, kept: Option<&str>, now_ms: i64) {
        self.load(kept);
        self.core.epoch = epoch;
        self.core.go_on(now_ms);
        self.core.intake.add(Fact::Controller { epoch, restored: false });
    }

    /// Of the lease that it holds; 0: another decides.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.core.epoch
    }

    /// Another took the lease.
    pub fn step_down(&mut self) {
        self.core.epoch = 0;
    }

    /// Takes an operator's order for the next step.
    pub fn order(&mut self, by: Operator, request: Request) {
        self.core.intake.add(Fact::Order(Order { by, request }));
    }

    /// Takes the report of a relay.
    ///
    /// # Errors
    /// `GENERATION_STALE`, `LIMIT_EXCEEDED`, `FIELD_INVALID`, `LANE_FULL`.
    pub fn hear(&mut self, said: &Said<'_>, now_ms: i64) -> Result<(), Fault> {
        let Core { intake, policy, seconds: second, .. } = &mut self.core;
        let clock = seconds(now_ms);
        let (now_s, (shift, _)) = (second.at(clock), second.shift(clock, said.sent_second));
        let process = Process { incarnation: said.incarnation, drills: false };
        let says = intake::Says { generation: said.generation, leaving: "", address: "" };
        intake.take_request(policy, said.unit, process, says, now_ms)?;
        intake.weigh(said.observer, said.late_ms);
        intake.take(said.observer, said.buckets, now_s, (shift, said.sent_second))
    }

    /// Takes what the issuer saw by itself.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `FIELD_INVALID`, `LANE_FULL`.
    pub fn observe(
        &mut self,
        observer: &Observer,
        buckets: &[EvidenceBucket],
        late_ms: u32,
        now_ms: i64,
    ) -> Result<(), Fault> {
        let now_s = self.core.seconds.at(seconds(now_ms));
        self.core.intake.take(observer, buckets, now_s, (0, 0))?;
        self.core.intake.weigh(observer, late_ms);
        Ok(())
    }

    /// A second is over: decides, and has it kept, or is frozen. What was decided, if it is in force.
    pub fn step(
        &mut self,
        peak_calls_per_s: u32,
        now_ms: i64,
        keep: impl FnOnce(&str) -> Result<(), KeepError>,
    ) -> Vec<Decision> {
        let core = &mut self.core;
        let draft = core.draft(now_ms, peak_calls_per_s, None);
        let told = core.unkept.and(&draft.decisions, now_ms);
        let must = draft.due || !told.is_empty();
        let kept = match must {
            true => keep(&serde_json::to_string(&draft.policy).expect("a policy has a JSON form")),
            false => Ok(()),
        };
        match kept {
            Ok(()) => {
                core.take(draft, must.then_some(now_ms));
                told.into_iter().map(|(decision, _)| decision).collect()
            }
            Err(error) => {
                core.freeze(draft, now_ms, &error);
                Vec::new()
            }
        }
    }

    /// A second is over in which another decided this.
    pub fn follow(&mut self, kept: Option<&str>, now_ms: i64) {
        self.load(kept);
        let core = &mut self.core;
        let now_s = core.seconds.at(seconds(now_ms));
        core.judgement = core.judge_evidence(now_s).1;
        let Core { intake, policy, .. } = core;
        drop(intake.take_facts(policy, now_ms, now_s));
    }

    /// Whether it cannot decide, as the database is away.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.core.frozen
    }

    /// Who is in use, and why.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.core.policy
    }

    /// What was judged last.
    #[must_use]
    pub fn judgement(&self) -> &Judgement {
        &self.core.judgement
    }

    /// The generation and the end of the lease that a unit gets if it asks now, in ms since 1970; `None`: it
    /// is to serve no more.
    #[must_use]
    pub fn lease(&self, unit: &UnitId, now_ms: i64) -> Option<(u64, i64)> {
        let lease = self.core.lease(unit, now_ms).ok()?;
        Some((lease.generation, lease.until_ms))
    }

    /// Whether an issuer that goes by this takes calls that come through a unit.
    #[must_use]
    pub fn lets_in(&self, unit: &UnitId, generation: u64, now_ms: i64) -> bool {
        let until_ms = self.core.intake.lease_until_ms(unit).unwrap_or(self.core.believed_until_ms);
        let is_live = self.core.frozen || now_ms <= until_ms;
        let known = self.core.policy.units().get(unit);
        is_live && self.core.policy.takes_calls(unit) && known.is_some_and(|of| of.generation == generation)
    }

    /// Mean time between two deep probes of a unit by one observer, in ms; 0: they are paused.
    #[must_use]
    pub fn probe_every_ms(&self, unit: &Unit) -> u32 {
        self.core.probe_every_ms(unit)
    }

    /// A call on a unit that is older than this is bad, in µs.
    #[must_use]
    pub fn threshold_us(&self, unit: &UnitId) -> u64 {
        self.core.judge.threshold_us(unit)
    }

    /// How long a lease lives, in ms.
    pub const LEASE_MS: i64 = intake::LEASE_MS;
}
