//! What the controller knows, as it is asked for.

use tokio::sync::{broadcast::error::RecvError, mpsc};
use tonic::Status;

use super::{Controller, Core, seconds};
use crate::{
    pool::{
        evidence::UnitId,
        explain::{Explanation, Issuer, Known, signed_words, time_of, verdict_words},
        keeper::{KeepError, KeptDecision},
        policy::{Decision, Kind, Raised, State, Suspicion, Unit},
        service,
    },
    wire::{
        convert,
        fault::{Fault, Reason},
        pb,
    },
};

/// Decisions on one page: by default, and at most.
const PAGE: (u32, u32) = (50, 500);

/// Decisions about a unit that are looked at to explain it: the last eviction should be among them.
const LOOKED_AT: u32 = 50;

/// Seconds since which a cause must have been seen to be there still.
const SEEN_WITHIN_S: u64 = 3;

fn unreadable(error: &KeepError) -> Fault {
    Fault::new(Reason::DatabaseAway, error.to_string()).after(std::time::Duration::from_secs(1))
}

fn unknown(unit: &str) -> Fault {
    Fault::new(Reason::UnitUnknown, format!("no unit is named {unit}: see `todoke pool list`"))
}

/// What is said of a unit that is not registered, and may have been.
fn no_longer(unit: &str, past: &[KeptDecision]) -> Fault {
    let Some(last) = past.iter().find(|row| row.kind == Kind::Unregister.name()) else {
        return unknown(unit);
    };
    let (at, why) = (time_of(seconds(last.decided_ms)), decision(last).why);
    let words =
        format!("{unit} is not registered any more: at {at} {why}; `todoke pool decisions` has its past");
    Fault::new(Reason::UnitUnknown, words)
}

impl Core {
    fn unit(&self, unit: &Unit) -> pb::Unit {
        let judged = self.judgement.units.get(unit.id());
        // One that may not serve has none, though it asks.
        let holds = self.policy.takes_calls(unit.id());
        let until_ms = self.intake.lease_until_ms(unit.id()).filter(|_| holds);
        service::unit(&self.policy, unit, judged, until_ms)
    }

    /// Whether the pool is degraded now, and not only was a moment ago: the alarm is kept up for longer.
    pub(super) fn is_degraded_now(&self, raised: &Raised) -> bool {
        let seen = raised.seen + SEEN_WITHIN_S >= self.policy.second();
        raised.kind == Kind::Degraded && (seen || self.frozen)
    }
}

impl Controller {
    /// Reads a row, so that a probe goes the whole way.
    pub(in crate::pool) async fn touch(&self) -> Result<(), Fault> {
        self.0.keeper.holder().await.map(drop).map_err(|error| unreadable(&error))
    }

    pub(in crate::pool) fn sign(&self, text: &str) -> Vec<u8> {
        self.signed(text)
    }

    /// The view as a signed note; `None` while there is no unit.
    #[must_use]
    pub fn signed_view(&self) -> Option<Vec<u8>> {
        self.0.signed.load().as_ref().map(|view| view.to_vec())
    }

    /// Whether what is kept of the pool can be read: nothing true can be said of units that are not known.
    ///
    /// # Errors
    /// `INTERNAL`, with what to do.
    pub(super) fn is_readable(&self) -> Result<(), Fault> {
        if !self.core().damaged {
            return Ok(());
        }
        let words = "the pool's state in the database cannot be read: nothing is decided, and no relay gets \
                     a lease. If a newer version wrote it, start that one; else `todoke report \
                     verify-store` names the damage, and deploy/README.md, Damage, says how to restore it \
                     or begin anew";
        Err(Fault::new(Reason::Internal, words))
    }

    pub(in crate::pool) fn list(&self) -> Result<pb::ListUnitsResponse, Fault> {
        self.is_readable()?;
        let core = self.core();
        let view_version = self.0.views.borrow().as_ref().map_or(0, |view| view.version);
        Ok(pb::ListUnitsResponse {
            units: core.policy.units().values().map(|unit| core.unit(unit)).collect(),
            verdict: verdict_words(&core.judgement.verdict, core.judgement.units.len()),
            degraded: core.policy.alarms().values().any(|raised| core.is_degraded_now(raised)),
            floor: u32::try_from(core.policy.floor().needed).unwrap_or(u32::MAX),
            controller: if core.epoch > 0 { self.0.name.clone() } else { String::new() },
            controller_epoch: core.epoch,
            frozen: core.frozen,
            view_version,
            suspects: core.policy.history().suspects().iter().map(suspect).collect(),
        })
    }

    pub(in crate::pool) async fn explain(&self, unit: &str) -> Result<pb::ExplainUnitResponse, Fault> {
        let id: UnitId = unit.parse().map_err(|_| unknown(unit))?;
        self.is_readable()?;
        // Without the database all but the past can still be said.
        let past = self.0.keeper.before(u64::MAX, LOOKED_AT, Some(id.as_str())).await.unwrap_or_default();
        let now_ms = self.0.clock.now_ms();
        let mut core = self.core();
        let now_s = core.seconds.at(seconds(now_ms));
        let unit = core.policy.units().get(&id).ok_or_else(|| no_longer(unit, &past))?;
        let explanation = Explanation::of(
            unit,
            &Known {
                policy: &core.policy,
                judgement: &core.judgement,
                rule: core.judge.parameters(),
                seen: core.intake.witnesses(&id, now_s),
                health: core.intake.health(&id, now_s),
                lease_until_ms: core.intake.lease_until_ms(&id),
                reported_address: core.intake.addresses.get(&id).cloned(),
                elsewhere: core.intake.opinions(&id),
                decisions: &past,
                issuer: Issuer {
                    name: self.0.name.clone(),
                    decides: core.epoch > 0,
                    epoch: core.epoch,
                    frozen: core.frozen,
                },
                now_s,
            },
        );
        Ok(pb::ExplainUnitResponse {
            unit: Some(core.unit(unit)),
            explanation_json: serde_json::to_string(&explanation).expect("an explanation has a JSON form"),
            text: explanation.text(),
        })
    }

    pub(in crate::pool) async fn decisions(
        &self,
        asked: pb::ListDecisionsRequest,
    ) -> Result<pb::ListDecisionsResponse, Fault> {
        let (default, max) = PAGE;
        let size = u32::try_from(asked.page_size).unwrap_or(u32::MAX);
        let size = convert::page_size(size, default, max)?;
        let bad = |_| Fault::new(Reason::PageTokenInvalid, "page_token: start again with an empty one");
        let before =
            if asked.page_token.is_empty() { u64::MAX } else { asked.page_token.parse().map_err(bad)? };
        let unit = (!asked.unit.is_empty()).then_some(asked.unit.as_str());
        let rows = self.0.keeper.before(before, size, unit).await.map_err(|error| unreadable(&error))?;
        if let Some(name) = unit.filter(|_| rows.is_empty() && before == u64::MAX) {
            let id: UnitId = name.parse().map_err(|_| unknown(name))?;
            if !self.core().policy.units().contains_key(&id) {
                return Err(unknown(name));
            }
        }
        let full = rows.len() == size as usize;
        let next = rows.last().filter(|last| full && last.number > 1).map(|last| last.number.to_string());
        Ok(pb::ListDecisionsResponse {
            decisions: rows.iter().map(decision).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    /// Sends decisions as they are made, those after a number first, if there is one;
    /// ends with one who is too slow.
    pub(in crate::pool) async fn watch_decisions(
        &self,
        after: Option<u64>,
        out: mpsc::Sender<Result<pb::WatchDecisionsResponse, Status>>,
    ) {
        let mut decided = self.0.decided.subscribe();
        let mut last = after.unwrap_or_default();
        if after.is_some() && !self.tell_past(&mut last, &out).await {
            return;
        }
        loop {
            let row = tokio::select! {
                row = decided.recv() => row,
                () = out.closed() => return,
            };
            match row {
                Ok(row) if row.number <= last => {}
                Ok(row) => {
                    let told = pb::WatchDecisionsResponse { decision: Some(decision(&row)) };
                    if out.send(Ok(told)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    let words = "decisions came faster than they were read: ask again from the last number";
                    return drop(out.send(Err(Fault::new(Reason::LimitExceeded, words).into())).await);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Sends the decisions after a number that are kept; whether its reader is still there.
    async fn tell_past(
        &self,
        last: &mut u64,
        out: &mpsc::Sender<Result<pb::WatchDecisionsResponse, Status>>,
    ) -> bool {
        loop {
            let rows = match self.0.keeper.after(*last, PAGE.1).await {
                Ok(rows) if rows.is_empty() => return true,
                Ok(rows) => rows,
                Err(error) => {
                    let _ = out.send(Err(unreadable(&error).into())).await;
                    return false;
                }
            };
            for row in rows {
                *last = row.number;
                let told = pb::WatchDecisionsResponse { decision: Some(decision(&row)) };
                if out.send(Ok(told)).await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// A suspect attribute as it is listed.
fn suspect((attribute, held): (&String, &Suspicion)) -> pb::SuspectAttribute {
    pb::SuspectAttribute {
        attribute: attribute.clone(),
        since_time: Some(service::at(held.since)),
        units: held.units.iter().map(ToString::to_string).collect(),
        signed: held.signed.as_ref().map(signed_words).unwrap_or_default(),
    }
}

/// A decision as it is told.
fn decision(row: &KeptDecision) -> pb::Decision {
    let parsed: Option<Decision> = serde_json::from_str(&row.record).ok();
    let state = |state: Option<State>| state.map_or(pb::UnitState::Unspecified, service::state).into();
    pb::Decision {
        number: row.number,
        time: Some(convert::timestamp(row.decided_ms)),
        unit: row.unit.clone(),
        kind: row.kind.clone(),
        rule: parsed.as_ref().map(|one| format!("{:?}", one.rule)).unwrap_or_default(),
        why: parsed.as_ref().map(|one| one.reason.clone()).unwrap_or_default(),
        from_state: state(parsed.as_ref().and_then(|one| one.from)),
        to_state: state(parsed.as_ref().and_then(|one| one.to)),
        epoch: row.epoch,
        record_json: row.record.clone(),
    }
}
