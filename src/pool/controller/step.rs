//! One step: judge, decide, keep, and only then act.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::sync::{OwnedMutexGuard, oneshot};

use super::{
    Controller, Core, STEP_MAX, gauges,
    intake::LEASE_MS,
    orders::{self, Given},
    seconds,
    unkept::row,
};
use crate::{
    pool::{
        gate::Leave,
        judgement::Judgement,
        keeper::{KeepError, KeptDecision, KeptOrder, Step},
        ledger::{self, Second},
        notes::{Member, View},
        policy::{Decision, Fact, Policy, Request, State},
    },
    runtime::OnDeath,
    wire::{
        fault::{Fault, Reason},
        pb::OrderUnitResponse,
    },
};

/// How long the state goes without being kept when nothing is decided, in ms: what is lost of it by
/// whoever takes over is how long a probation or a step has lasted, and up to ten seconds of what is counted
/// of a return: calls and failures with their excess, whose they were, the row of good ones, and the trickle.
const KEEP_EVERY_MS: i64 = 10_000;

/// What a step would make, if it is kept.
pub(super) struct Draft {
    pub(super) policy: Policy,
    pub(super) judgement: Judgement,
    pub(super) decisions: Vec<Decision>,
    epoch: u64,
    pub(super) due: bool,
    /// What it was made of.
    pub(super) input: Second,
}

impl Core {
    pub(super) fn draft(&mut self, now_ms: i64, peak_calls_per_s: u32, given: Option<&Given>) -> Draft {
        let now_s = self.seconds.at(seconds(now_ms));
        self.recorder.before(now_s, &self.policy, &self.judge);
        let (mut input, judgement) = self.judge_evidence(now_s);
        input.facts = self.intake.take_facts(&self.policy, now_ms, now_s);
        input.facts.push(Fact::Peak { calls_per_s: peak_calls_per_s });
        input.facts.push(Fact::Database { away: false });
        if let Some(Request::Unregister { unit, .. }) = given.map(|given| &given.order.request)
            && self.is_heard(unit, now_ms)
        {
            input.facts.push(Fact::Reports { unit: unit.clone() });
        }
        input.facts.extend(given.map(|given| Fact::Order(given.order.clone())));
        let mut policy = self.policy.clone();
        let decisions = policy.step(now_s, &judgement, &input.facts);
        // A frozen pool learns only so that its database is back.
        let stale = now_ms - self.kept_ms >= KEEP_EVERY_MS;
        let due = self.frozen || stale || policy.view() != self.policy.view();
        Draft { policy, judgement, decisions, epoch: self.epoch, due, input }
    }

    /// Judges what came since the last step, as a replay does it again.
    pub(super) fn judge_evidence(&mut self, now_s: u64) -> (Second, Judgement) {
        let input = self.intake.take_evidence(now_s);
        let judgement = ledger::Judge::judge(&mut self.judge, &input, &self.policy);
        (input, judgement)
    }

    /// A step was kept: now it is in force.
    pub(super) fn take(&mut self, draft: Draft, kept: Option<i64>) {
        self.policy = draft.policy;
        self.judgement = draft.judgement;
        self.recorder.step(draft.input, &draft.decisions);
        if let Some(now_ms) = kept {
            self.kept_ms = now_ms;
            self.unkept.clear();
            if std::mem::take(&mut self.frozen) {
                tracing::info!("the pool's database is back: decisions are made again");
            }
        }
    }
}

impl Controller {
    /// Decides once, with an order if there is one, and returns what that is answered. It is done to its end
    /// in a task of its own: a caller that hangs up in the middle leaves nothing half done.
    ///
    /// # Errors
    /// `ORDER_REFUSED`, `REQUEST_ID_REUSED`. `DATABASE_AWAY`, `OUTCOME_UNKNOWN`; nothing is changed here
    /// then. `UPSTREAM_UNAVAILABLE` if another issuer decides.
    pub(super) async fn step(&self, given: Option<Given>) -> Result<OrderUnitResponse, Fault> {
        // Who hangs up here has not begun; and so no more than one is in work.
        let turn = Arc::clone(&self.0.turn).lock_owned().await;
        let (done, end) = oneshot::channel();
        let this = self.clone();
        self.0.tasks.spawn("pool-step", OnDeath::Ignore, async move {
            // Nobody may be waiting any more.
            let _ = done.send(this.take_turn(turn, given).await);
        });
        end.await.unwrap_or_else(|_| Err(away(&KeepError::Unknown("this issuer stops".to_owned()))))
    }

    async fn take_turn(
        &self,
        _turn: OwnedMutexGuard<()>,
        given: Option<Given>,
    ) -> Result<OrderUnitResponse, Fault> {
        if self.core().epoch == 0 {
            return self.follow(given.is_some()).await;
        }
        // The same order may have been given twice at once: the second is answered what the first was.
        if let Some(given) = &given
            && let Some(answer) = self.answered(given).await?
        {
            return Ok(answer);
        }
        let sure = self.make_sure().await;
        let now_ms = self.0.clock.now_ms();
        let peak = self.0.options.peak_calls_per_s;
        let draft = self.core().draft(now_ms, peak, given.as_ref());
        let answer = given.map(|given| orders::answer(given, &draft.policy, &draft.decisions, now_ms));
        let (answer, kept_order) = answer.unwrap_or_else(|| (Ok(OrderUnitResponse::default()), None));
        let epoch = draft.epoch;
        let told = self.core().unkept.and(&draft.decisions, now_ms);
        let rows: Vec<KeptDecision> = told.iter().map(|(decision, ms)| row(decision, epoch, *ms)).collect();
        let must = draft.due || !rows.is_empty() || kept_order.is_some();
        let kept = match sure {
            Ok(()) if must => self.keep(&draft, &rows, kept_order.as_ref(), now_ms).await,
            Ok(()) => Ok(Some(0)),
            Err(error) => Err(error),
        };
        let last = match kept {
            Ok(None) => {
                let words = "the lease to decide for the pool is over, or another issuer's";
                tracing::warn!(epoch, "{words}: this step counts for nothing");
                // What waits to be kept does so until somebody else has decided.
                self.core().epoch = 0;
                return Err(not_here());
            }
            Ok(Some(last)) => last,
            Err(error) => {
                self.core().freeze(draft, now_ms, &error);
                self.act();
                return Err(away(&error));
            }
        };
        self.core().take(draft, must.then_some(now_ms));
        self.act();
        self.tell(told, rows, last);
        answer
    }

    /// Keeps a step; the number of its last decision, or `None` if another issuer decides, or may. A database
    /// that reads and writes nothing, as on a full disk, lets the lease run out: it is away.
    async fn keep(
        &self,
        draft: &Draft,
        rows: &[KeptDecision],
        order: Option<&KeptOrder>,
        now_ms: i64,
    ) -> Result<Option<u64>, KeepError> {
        let state = serde_json::to_string(&draft.policy).expect("a policy has a JSON form");
        let (owner, epoch) = (self.0.name.as_str(), draft.epoch);
        let step = Step { owner, epoch, now_ms, state: &state, decisions: rows, order };
        let kept = tokio::time::timeout(STEP_MAX, self.0.keeper.keep(&step)).await;
        match kept.unwrap_or_else(|_| Err(KeepError::Unknown("it does not answer".to_owned()))) {
            Ok(None) if self.core().unrenewed => self.whose(draft.epoch).await,
            kept => kept,
        }
    }

    /// Follows what another issuer decides.
    async fn follow(&self, ordered: bool) -> Result<OrderUnitResponse, Fault> {
        let read = self.load().await.is_some();
        let now_ms = self.0.clock.now_ms();
        {
            let mut core = self.core();
            core.follow_on(read, now_ms);
            core.frozen = !read || core.unrenewed;
            let now_s = core.seconds.at(seconds(now_ms));
            core.judgement = core.judge_evidence(now_s).1;
            let Core { intake, policy, .. } = &mut *core;
            drop(intake.take_facts(policy, now_ms, now_s));
        }
        self.act();
        if ordered { Err(not_here()) } else { Ok(OrderUnitResponse::default()) }
    }

    /// Makes leases, gate and view what was decided. What the step waited for has taken its time since: by
    /// the moment of its beginning the clock would look as if it was set back.
    fn act(&self) {
        let now_ms = self.0.clock.now_ms();
        let (leaves, view) = {
            let mut core = self.core();
            let now_s = core.seconds.at(seconds(now_ms));
            core.show(now_s);
            (core.leaves(now_ms), core.view(now_ms))
        };
        self.0.gate.set(&leaves, now_ms);
        let Some(view) = view else { return };
        // A database that was restored is behind what is on disk, and is the truth all the same.
        let first = self.0.from_disk.swap(false, Relaxed);
        let newer = first || self.0.views.borrow().as_ref().is_none_or(|old| view.replaces(old));
        if newer {
            let note = (self.0.sign)(&view.text());
            if let Some(file) = &self.0.view_file {
                file.put(&note);
            }
            self.0.signed.store(Some(Arc::new(note)));
            self.0.views.send_replace(Some(Arc::new(view)));
        }
    }

    fn tell(&self, told: Vec<(Decision, i64)>, rows: Vec<KeptDecision>, last: u64) {
        let first = last + 1 - rows.len() as u64;
        for ((number, (decision, _)), row) in (first..).zip(told).zip(rows) {
            gauges::decided(&decision.kind);
            let (unit, kind) = (&row.unit, &row.kind);
            let whose = if unit.is_empty() { "the pool" } else { unit.as_str() };
            let why = &decision.reason;
            tracing::warn!(number, %unit, %kind, "pool decision {number}, {kind} of {whose}: {why}");
            // Nobody may be watching.
            let _ = self.0.decided.send(Arc::new(KeptDecision { number, ..row }));
        }
    }
}

impl Core {
    /// Who may pass calls on here: one that drains, too, until its draining is over. A lease of a frozen pool
    /// does not end.
    pub(super) fn leaves(&self, now_ms: i64) -> BTreeMap<crate::pool::evidence::UnitId, Option<Leave>> {
        let leave = |unit: &crate::pool::policy::Unit| {
            // A controller that was started anew has heard of nobody yet.
            let until_ms = self.intake.lease_until_ms(unit.id()).unwrap_or(self.believed_until_ms);
            let until_ms = if self.frozen { until_ms.max(now_ms + LEASE_MS) } else { until_ms };
            let may = self.policy.takes_calls(unit.id());
            let draining = unit.state == State::Draining;
            let shown_by_probes = self.policy.grants_lease(unit.id()) && unit.state != State::Probation;
            may.then_some(Leave { generation: unit.generation, until_ms, draining, shown_by_probes })
        };
        self.policy.units().values().map(|unit| (unit.id().clone(), leave(unit))).collect()
    }

    /// The view as it is published; `None` while there is no unit.
    fn view(&self, now_ms: i64) -> Option<View> {
        let view = self.policy.view()?;
        let member = |entry: crate::pool::policy::Entry| Member {
            unit: entry.unit,
            address: entry.address,
            share_percent: entry.share_percent,
            generation: entry.generation,
        };
        let members = view.units.into_iter().map(member).collect();
        Some(View { version: view.version, epoch: view.epoch, made_ms: now_ms, members })
    }
}

fn not_here() -> Fault {
    let words = "this issuer does not hold the lease to decide for the pool now: ask another, if there is \
                 one, or this one again in a moment";
    Fault::new(Reason::UpstreamUnavailable, words).after(std::time::Duration::from_secs(1))
}

fn away(error: &KeepError) -> Fault {
    let fault = match error {
        KeepError::Unknown(_) => Fault::new(
            Reason::OutcomeUnknown,
            "it is not known whether this was kept: ask again under the same id",
        ),
        KeepError::Away(_) | KeepError::Failed(_) => {
            Fault::new(Reason::DatabaseAway, format!("nothing can be decided: {error}"))
        }
    };
    fault.after(std::time::Duration::from_secs(1))
}
