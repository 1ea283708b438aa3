//! A relay reports, and is answered its lease, what to probe, and a newer view.

use std::{collections::BTreeMap, time::Duration};

use super::{Controller, Core, gauges, intake::Says, orders::Given, seconds};
use crate::{
    domain::identity::Identity,
    pool::{
        evidence::{Observer, UnitId},
        notes::Lease,
        policy::{Bundle, Description, Drills, Operator, Order, Process, Request, UNKNOWN},
        prober::Target,
        service,
    },
    wire::{
        fault::{Fault, Reason},
        pb::{
            EvidenceBucket, EvidenceClass, ProbeTarget, RelayOrder, ReportRequest, ReportResponse,
            UnitAttributes,
        },
    },
};

/// In whose name a relay that nobody registered is registered.
const ITSELF: &str = "operator/self-registration";

/// A bucket of one's own.
pub(super) fn bucket(
    second: i64,
    unit: &str,
    probe: bool,
    (call_count, bad_count): (u32, u32),
    latencies: Vec<u32>,
) -> EvidenceBucket {
    let class = if probe { EvidenceClass::Probe } else { EvidenceClass::Traffic }.into();
    let (unit, caller) = (unit.to_owned(), String::new());
    EvidenceBucket { second, unit, class, caller, call_count, bad_count, latencies }
}

/// What a prober needs of a target.
///
/// # Panics
/// Never: the unit's name comes from the policy.
pub(super) fn target(target: ProbeTarget) -> Target {
    let every = Duration::from_millis(target.deep_every_ms.into());
    Target {
        unit: target.unit.parse().expect("a unit's own name"),
        address: target.address,
        every: (!every.is_zero()).then_some(every),
        shallow_every: (target.shallow_every_ms > 0)
            .then(|| Duration::from_millis(target.shallow_every_ms.into())),
        threshold: Duration::from_micros(target.threshold_us),
    }
}

/// What a relay says of itself.
pub(super) fn description(unit: &UnitId, attributes: Option<UnitAttributes>) -> Description {
    let UnitAttributes { address, slot, serial, model, image, others } = attributes.unwrap_or_default();
    let known = |text: String, instead: &str| if text.is_empty() { instead.to_owned() } else { text };
    Description {
        id: unit.clone(),
        address,
        slot: known(slot, unit.as_str()),
        serial: known(serial, unit.as_str()),
        model: known(model, UNKNOWN),
        image: known(image, UNKNOWN),
        attributes: others.into_iter().collect::<BTreeMap<_, _>>(),
    }
}

/// For how long at most a relay that is drained goes on taking calls, in ms: a stock client hears of
/// NOT_SERVING and GOAWAY within milliseconds, one on a busy machine within a good part of a second.
const GRACE_MS: u64 = 1_000;

/// What a relay is told of what is known.
struct Told {
    lease: Result<Lease, String>,
    targets: Vec<ProbeTarget>,
    threshold_us: u64,
    drills: Drills,
    /// The pool's second.
    second: u64,
    /// For how long it goes on taking calls that come all the same.
    grace_ms: u32,
}

impl Core {
    /// Whether a unit that may have a lease is served by another process than the last step knew of.
    fn is_taken_over(&self, unit: &UnitId, incarnation: u64) -> bool {
        let known = self.policy.units().get(unit).filter(|unit| unit.state.is_leased());
        let process = known.and_then(|unit| unit.drills.process);
        !self.frozen && process.is_some_and(|process| process.incarnation != incarnation)
    }

    fn told(&mut self, unit: &UnitId, now_ms: i64) -> Told {
        let drills = self.policy.units().get(unit).map(|unit| unit.drills.clone());
        let second = self.seconds.at(seconds(now_ms));
        // Who drains is let in until that is over, and no longer.
        let until = self.policy.graced_until(unit).unwrap_or_default();
        let into_ms = u64::try_from(now_ms.rem_euclid(1000)).unwrap_or_default();
        let left_ms = (until.saturating_sub(second) * 1000).saturating_sub(into_ms);
        Told {
            lease: self.lease(unit, now_ms),
            targets: self.targets(Some(unit)),
            threshold_us: self.judge.threshold_us(unit),
            drills: drills.unwrap_or_default(),
            second,
            grace_ms: u32::try_from(left_ms.min(GRACE_MS)).unwrap_or_default(),
        }
    }
}

impl Controller {
    /// Takes the report of a relay.
    ///
    /// # Errors
    /// `WRONG_ROLE`, `LIMIT_EXCEEDED`, `FIELD_INVALID`, `GENERATION_STALE`, `VIEW_NOT_READY`.
    pub async fn report(&self, relay: &Identity, request: ReportRequest) -> Result<ReportResponse, Fault> {
        let (Some(unit), Ok(observer)) = (UnitId::of(relay), Observer::new(relay.clone())) else {
            return Err(Fault::new(Reason::WrongRole, format!("{relay} is no relay: only relays report")));
        };
        self.is_in_the_know(&unit)?;
        self.take(&unit, &observer, &request)?;
        if !self.core().policy.units().contains_key(&unit) && self.0.options.self_register {
            if !self.register(&unit, request.attributes.clone()).await? {
                return Ok(self.answer(&unit, &request));
            }
            self.take(
                &unit,
                &observer,
                &ReportRequest { buckets: Vec::new(), shallow: Vec::new(), ..request.clone() },
            )?;
            // So that the gate knows of the lease before the relay does.
            self.step(None).await?;
        } else if self.core().is_taken_over(&unit, request.incarnation) {
            // For the same reason: what the older process holds is void by that. Without the database leases
            // stay as they are, and so does this one's.
            drop(self.step(None).await);
        }
        Ok(self.answer(&unit, &request))
    }

    /// Whether anything can be said of a unit: who does not decide, and has not read of it yet, must not stop
    /// it.
    fn is_in_the_know(&self, unit: &UnitId) -> Result<(), Fault> {
        let core = self.core();
        if core.epoch > 0 || core.policy.units().contains_key(unit) {
            return Ok(());
        }
        let words = format!("this issuer does not decide, and knows nothing of {unit} yet");
        Err(Fault::new(Reason::ViewNotReady, words).after(Duration::from_secs(1)))
    }

    fn take(&self, unit: &UnitId, observer: &Observer, request: &ReportRequest) -> Result<(), Fault> {
        let now_ms = self.0.clock.now_ms();
        let mut core = self.core();
        let Core { intake, policy, seconds: second, .. } = &mut *core;
        let clock = seconds(now_ms);
        let (now_s, (shift, skew)) = (second.at(clock), second.shift(clock, request.sent_second));
        let process = Process { incarnation: request.incarnation, drills: request.drills };
        let address = request.attributes.as_ref().map_or("", |said| &said.address);
        let says = Says { generation: request.generation, leaving: &request.leaving, address };
        intake.take_request(policy, unit, process, says, now_ms)?;
        intake.take_bundles(
            policy,
            unit,
            request.bundles.iter().filter_map(|text| Bundle::read(text)),
            now_ms,
        );
        intake.weigh(observer, request.timer_late_ms);
        intake.take_address(policy, unit, request.attributes.as_ref(), now_ms);
        intake.note_skew(unit, skew);
        intake.take(observer, &request.buckets, now_s, (shift, request.sent_second))?;
        intake.take_shallow(observer, &request.shallow, now_s)
    }

    /// Registers a relay that nobody did; whether it is now. That it may not be is a decision, on record each
    /// time that the reason changes, and not each second that it asks.
    async fn register(&self, unit: &UnitId, attributes: Option<UnitAttributes>) -> Result<bool, Fault> {
        let by = Operator::try_from(ITSELF.to_owned()).expect("an operator's name");
        let about = description(unit, attributes);
        let faults = about.faults();
        if !faults.is_empty() {
            return Err(Fault::new(Reason::FieldInvalid, format!("attributes: {}", faults.join("; "))));
        }
        let now_ms = self.0.clock.now_ms();
        let refusal = self.core().policy.may_register(&about).err();
        if let Some(why) = &refusal
            && !self.core().refusals.ask(unit, why, now_ms)
        {
            return Ok(false);
        }
        let order = Order { by, request: Request::Register(Box::new(about)) };
        let stepped = self.step(Some(Given { order, unit: Some(unit.clone()), under: None })).await;
        match stepped {
            Err(fault) if fault.reason != Reason::OrderRefused => Err(fault),
            Err(fault) => {
                let why = refusal.unwrap_or(fault.message);
                self.core().refusals.note(unit, why, now_ms);
                Ok(false)
            }
            Ok(_) => Ok(true),
        }
    }

    fn answer(&self, unit: &UnitId, request: &ReportRequest) -> ReportResponse {
        let now_ms = self.0.clock.now_ms();
        let Told { lease, targets, threshold_us, drills, second, grace_ms } = self.core().told(unit, now_ms);
        let pool_ms = i64::try_from(second).unwrap_or(i64::MAX).saturating_mul(1000);
        let drill = drills.of(request.incarnation, pool_ms);
        gauges::lease(lease.is_ok());
        let newer = self.0.views.borrow().as_ref().is_some_and(|view| view.version != request.view_version);
        let view = self.0.signed.load().as_ref().filter(|_| newer).map(|view| view.to_vec());
        let (order, why, lease) = match lease {
            Ok(lease) => (RelayOrder::Serve, String::new(), self.signed(&lease.text())),
            Err(why) => (RelayOrder::Drain, why, Vec::new()),
        };
        ReportResponse {
            order: order.into(),
            why,
            lease,
            view: view.unwrap_or_default(),
            targets,
            drill: drill.map(|(drill, _)| drill.fault.to_string()).unwrap_or_default(),
            drill_until_time: drill.map(|(drill, _)| service::at(drill.until)),
            threshold_us,
            drill_number: drills.number,
            drill_left_ms: drill.map_or(0, |(_, left)| u32::try_from(left).unwrap_or(u32::MAX)),
            grace_ms,
        }
    }
}
