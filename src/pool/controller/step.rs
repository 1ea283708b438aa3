//! One step: judge, decide, keep, and only then act.

use std::{collections::BTreeMap, sync::Arc};

use super::{Controller, Core, KEEP_MAX, gauges, intake::LEASE_MS, seconds};
use crate::{
    pool::{
        gate::Leave,
        judgement::Judgement,
        keeper::{KeepError, KeptDecision, KeptOrder, Step},
        notes::{Member, View},
        policy::{Decision, Fact, Policy},
        rule::Attributes,
    },
    wire::fault::{Fault, Reason},
};

/// How long the state goes without being kept when nothing is decided, in ms: what is lost of it is only how
/// long a probation or a step has lasted.
const KEEP_EVERY_MS: i64 = 10_000;

/// What a step would make, if it is kept.
struct Draft {
    policy: Policy,
    judgement: Judgement,
    decisions: Vec<Decision>,
    epoch: u64,
    due: bool,
}

/// Makes what an order is answered of what was decided, before it is kept with it; `None` of a refused one.
pub(super) type Answer<'a> = &'a mut (dyn FnMut(&Policy, &[Decision]) -> Option<KeptOrder> + Send);

impl Core {
    fn draft(&mut self, now_ms: i64, peak_calls_per_s: u32, order: Option<&Fact>) -> Draft {
        let now_s = seconds(now_ms);
        self.judge.units(&judged(&self.policy));
        let judgement = self.judge.judge(now_s);
        let mut facts = self.intake.facts(&self.policy, now_ms);
        facts.push(Fact::Peak { calls_per_s: peak_calls_per_s });
        facts.push(Fact::Database { away: false });
        facts.extend(order.cloned());
        let mut policy = self.policy.clone();
        let decisions = policy.step(now_s, &judgement, &facts);
        // A frozen pool learns only so that its database is back.
        let stale = now_ms - self.kept_ms >= KEEP_EVERY_MS;
        let due = self.frozen || stale || policy.view() != self.policy.view();
        Draft { policy, judgement, decisions, epoch: self.epoch, due }
    }

    /// Nothing can be kept: what is in force stays so.
    fn freeze(&mut self, now_ms: i64) {
        let judgement = self.judgement.clone();
        self.policy.step(seconds(now_ms), &judgement, &[Fact::Database { away: true }]);
        if !std::mem::replace(&mut self.frozen, true) {
            tracing::error!("the pool is frozen, as its database is away: leases and view stay as they are");
        }
    }
}

/// The units that the rule is to judge, with what they may share.
fn judged(policy: &Policy) -> BTreeMap<crate::pool::evidence::UnitId, Attributes> {
    let attributes = |about: &crate::pool::policy::Description| {
        let pairs = about.shared().into_iter().filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Attributes(pairs.collect())
    };
    policy.judged().map(|unit| (unit.id().clone(), attributes(&unit.about))).collect()
}

impl Controller {
    /// Decides once, with an order if there is one, and returns what was decided.
    ///
    /// # Errors
    /// `DATABASE_AWAY`, `OUTCOME_UNKNOWN`; nothing is changed here then. `UPSTREAM_UNAVAILABLE` if another
    /// issuer decides.
    pub(super) async fn step(&self, order: Option<(&Fact, Answer<'_>)>) -> Result<Vec<Decision>, Fault> {
        let _turn = self.0.turn.lock().await;
        if self.core().epoch == 0 {
            return self.follow(order.is_some()).await;
        }
        let now_ms = self.0.clock.now_ms();
        let peak = self.0.options.peak_calls_per_s;
        let (fact, answer) = order.map_or((None, None), |(fact, answer)| (Some(fact), Some(answer)));
        let draft = self.core().draft(now_ms, peak, fact);
        let kept_order = answer.and_then(|answer| answer(&draft.policy, &draft.decisions));
        let Draft { policy, judgement, decisions, epoch, due } = draft;
        let must = due || !decisions.is_empty() || kept_order.is_some();
        let rows: Vec<KeptDecision> = decisions.iter().map(|decision| row(decision, epoch, now_ms)).collect();
        let last = if must {
            let state = serde_json::to_string(&policy).expect("a policy has a JSON form");
            let (owner, order) = (self.0.name.as_str(), kept_order.as_ref());
            let step = Step { owner, epoch, now_ms, state: &state, decisions: &rows, order };
            let kept = tokio::time::timeout(KEEP_MAX, self.0.keeper.keep(&step)).await;
            match kept.unwrap_or_else(|_| Err(KeepError::Unknown("it does not answer".to_owned()))) {
                Ok(Some(last)) => Some(last),
                Ok(None) => {
                    tracing::warn!(
                        epoch,
                        "the lease to decide for the pool is over, or another issuer's: this step counts for nothing"
                    );
                    self.core().epoch = 0;
                    return Err(not_here());
                }
                Err(error) => {
                    self.core().freeze(now_ms);
                    self.act(now_ms);
                    return Err(away(&error));
                }
            }
        } else {
            None
        };
        {
            let mut core = self.core();
            core.policy = policy;
            core.judgement = judgement;
            if must {
                core.kept_ms = now_ms;
                if std::mem::take(&mut core.frozen) {
                    tracing::info!("the pool's database is back: decisions are made again");
                }
            }
        }
        self.act(now_ms);
        self.tell(&decisions, rows, last);
        Ok(decisions)
    }

    /// Follows what another issuer decides.
    async fn follow(&self, ordered: bool) -> Result<Vec<Decision>, Fault> {
        let read = self.load().await;
        let now_ms = self.0.clock.now_ms();
        {
            let mut core = self.core();
            core.frozen = !read;
            let units = judged(&core.policy);
            core.judge.units(&units);
            core.judgement = core.judge.judge(seconds(now_ms));
            let Core { intake, policy, .. } = &mut *core;
            drop(intake.facts(policy, now_ms));
        }
        self.act(now_ms);
        if ordered { Err(not_here()) } else { Ok(Vec::new()) }
    }

    /// Makes leases, gate and view what was decided.
    fn act(&self, now_ms: i64) {
        let (leaves, view) = {
            let core = self.core();
            core.show();
            (core.leaves(now_ms), core.view(now_ms))
        };
        self.0.gate.set(&leaves);
        let Some(view) = view else { return };
        let newer = self.0.views.borrow().as_ref().is_none_or(|old| view.replaces(old));
        if newer {
            self.0.signed.store(Some(Arc::new((self.0.sign)(&view.text()))));
            self.0.views.send_replace(Some(Arc::new(view)));
        }
    }

    fn tell(&self, decisions: &[Decision], rows: Vec<KeptDecision>, last: Option<u64>) {
        let first = last.unwrap_or_default() + 1 - rows.len() as u64;
        for ((number, decision), row) in (first..).zip(decisions).zip(rows) {
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
    fn leaves(&self, now_ms: i64) -> BTreeMap<crate::pool::evidence::UnitId, Option<Leave>> {
        let leave = |unit: &crate::pool::policy::Unit| {
            // A controller that was started anew has heard of nobody yet.
            let until_ms = self.intake.lease_until_ms(unit.id()).unwrap_or(self.believed_until_ms);
            let until_ms = if self.frozen { until_ms.max(now_ms + LEASE_MS) } else { until_ms };
            let may = self.policy.takes_calls(unit.id());
            may.then_some(Leave { generation: unit.generation, until_ms })
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

/// A decision as it is kept.
fn row(decision: &Decision, epoch: u64, now_ms: i64) -> KeptDecision {
    let kind = serde_json::to_value(&decision.kind).expect("a kind has a JSON form");
    let kind = match &kind {
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    KeptDecision {
        number: 0,
        epoch,
        decided_ms: now_ms,
        unit: decision.unit.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind,
        record: serde_json::to_string(decision).expect("a decision has a JSON form"),
    }
}

fn not_here() -> Fault {
    Fault::new(Reason::UpstreamUnavailable, "another issuer decides for the pool: ask that one, or try again")
        .after(std::time::Duration::from_secs(1))
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
