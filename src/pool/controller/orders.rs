//! An operator's order is carried out once, and answered the same each time that it is asked.

use prost::Message as _;

use super::{Controller, report::description};
use crate::{
    domain::{digest::Digest, identity::Identity},
    pool::{
        drill::{Fault as Played, SECONDS_MAX},
        evidence::UnitId,
        keeper::KeptOrder,
        policy::{Decision, Fact, Intervention, Kind, Operator, Order, Policy, Request},
    },
    wire::{
        convert,
        fault::{Fault, Reason},
        pb::{OrderUnitRequest, OrderUnitResponse, order_unit_request},
    },
};

/// The longest text of an operator, in characters.
const WORDS_MAX: usize = 1_000;

fn invalid(field: &str, what: &str) -> Fault {
    Fault::new(Reason::FieldInvalid, format!("{field} {what}")).violation(field, what)
}

/// Words that are neither missing nor too long.
fn words(field: &str, text: String) -> Result<String, Fault> {
    match text.chars().count() {
        1..=WORDS_MAX if !text.trim().is_empty() => Ok(text),
        _ => Err(invalid(field, "must say something, in 1 to 1,000 characters")),
    }
}

fn is_request_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// What is asked of the policy.
fn request(unit: &UnitId, order: order_unit_request::Order, now_ms: i64) -> Result<Request, Fault> {
    use order_unit_request::Order as Asked;
    let unit = unit.clone();
    Ok(match order {
        Asked::Register(asked) => {
            let about = description(&unit, asked.attributes);
            let faults = about.faults();
            if !faults.is_empty() {
                return Err(invalid("register.attributes", &faults.join("; ")));
            }
            Request::Register(Box::new(about))
        }
        Asked::Drain(asked) => Request::Drain { unit, reason: words("drain.why", asked.why)? },
        Asked::Undrain(_) => Request::Undrain { unit },
        Asked::SignOff(asked) => {
            let empty = asked.changed.is_empty() && asked.hypothesis.is_empty();
            let intervention = match empty {
                true => None,
                false => Some(Intervention {
                    changed: words("sign_off.changed", asked.changed)?,
                    hypothesis: words("sign_off.hypothesis", asked.hypothesis)?,
                }),
            };
            Request::SignOff { unit, intervention }
        }
        Asked::Override(asked) => Request::Override { unit, reason: words("override.why", asked.why)? },
        Asked::PauseProbes(asked) => match asked.until_time {
            None => Request::ResumeProbes { unit },
            Some(until) => {
                let seconds = (convert::millis(&until) - now_ms).max(0) / 1000;
                Request::PauseProbes { unit, seconds: u64::try_from(seconds).unwrap_or_default() }
            }
        },
        Asked::Drill(asked) if asked.fault.is_empty() => Request::StopDrill { unit },
        Asked::Drill(asked) => {
            let fault = asked.fault.parse::<Played>();
            let fault = fault.map_err(|error| invalid("drill.fault", &error.to_string()))?;
            let left_ms = asked.until_time.as_ref().map_or(0, convert::millis) - now_ms;
            let seconds = u64::try_from(left_ms).unwrap_or_default().div_ceil(1000);
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return Err(invalid("drill.until_time", "must be within the next ten minutes"));
            }
            Request::Drill { unit, fault, seconds }
        }
    })
}

impl Controller {
    /// Carries out an order.
    ///
    /// # Errors
    /// `WRONG_ROLE`, `FIELD_INVALID`, `UNIT_UNKNOWN`, `ORDER_REFUSED`, `REQUEST_ID_REUSED`, `DATABASE_AWAY`,
    /// `OUTCOME_UNKNOWN`.
    pub async fn order(
        &self,
        caller: &Identity,
        asked: OrderUnitRequest,
    ) -> Result<OrderUnitResponse, Fault> {
        let by = Operator::new(caller.clone()).map_err(|error| {
            Fault::new(Reason::WrongRole, format!("{error}: use an operator's certificate"))
        })?;
        if !is_request_id(&asked.request_id) {
            return Err(invalid("request_id", "must be 1 to 64 of a-z, A-Z, 0-9 and '-'"));
        }
        let unit: UnitId = asked.unit.parse().map_err(|error| invalid("unit", &format!("{error}")))?;
        let digest = Digest::of(&asked.encode_to_vec());
        if let Some(answer) = self.answered(&asked.request_id, digest, &by).await? {
            return Ok(answer);
        }
        let now_ms = self.0.clock.now_ms();
        let wanted = asked.order.ok_or_else(|| invalid("order", "must be one of the orders there are"))?;
        let is_registration = matches!(wanted, order_unit_request::Order::Register(_));
        if !is_registration && !self.core().policy.units().contains_key(&unit) {
            let words = format!("no unit is named {unit}: see `todoke pool list`");
            return Err(Fault::new(Reason::UnitUnknown, words));
        }
        let wanted = request(&unit, wanted, now_ms)?;
        let fact = Fact::Order(Order { by: by.clone(), request: wanted });
        let mut answer = OrderUnitResponse::default();
        let mut kept = |policy: &Policy, decisions: &[Decision]| {
            answer = outcome(policy, &unit, decisions);
            // What is refused has changed nothing: asked again, it is decided again, never said to be done.
            refused(decisions).is_none().then(|| KeptOrder {
                request_id: asked.request_id.clone(),
                digest,
                operator: caller.to_string(),
                ordered_ms: now_ms,
                answer: answer.encode_to_vec(),
            })
        };
        let decisions = self.step(Some((&fact, &mut kept))).await?;
        refused(&decisions).map_or(Ok(answer), Err)
    }

    /// What the same order was answered before.
    async fn answered(
        &self,
        request_id: &str,
        digest: Digest,
        by: &Operator,
    ) -> Result<Option<OrderUnitResponse>, Fault> {
        let found = self.0.keeper.order(request_id).await;
        let found = found.map_err(|error| Fault::new(Reason::DatabaseAway, error.to_string()))?;
        let Some(found) = found else { return Ok(None) };
        if found.digest != digest || found.operator != by.to_string() {
            let words = format!("another order was given under the id {request_id}: use a new one");
            return Err(Fault::new(Reason::RequestIdReused, words));
        }
        let answer = OrderUnitResponse::decode(found.answer.as_slice());
        answer.map(Some).map_err(|_| Fault::new(Reason::Internal, "the kept answer cannot be read"))
    }
}

fn refused(decisions: &[Decision]) -> Option<Fault> {
    let refusal = decisions.iter().find(|decision| matches!(decision.kind, Kind::Refuse(_)))?;
    Some(Fault::new(Reason::OrderRefused, refusal.reason.clone()))
}

/// What an order came to.
fn outcome(policy: &Policy, unit: &UnitId, decisions: &[Decision]) -> OrderUnitResponse {
    let of = |kind: fn(&Kind) -> bool| {
        decisions.iter().filter(move |decision| decision.unit.as_ref() == Some(unit) && kind(&decision.kind))
    };
    // Of a registration there is only something to know if it shares what is suspect.
    let registered = of(|kind| matches!(kind, Kind::Register));
    let shares = registered.filter(|decision| !decision.attributes.is_empty());
    let warnings = shares.map(|decision| decision.reason.clone()).collect();
    let pending = of(|kind| matches!(kind, Kind::SignOff)).map(|decision| decision.reason.clone()).next();
    OrderUnitResponse {
        unit: policy.units().get(unit).map(|unit| super::super::service::unit(policy, unit, None, None)),
        warnings,
        pending: pending.unwrap_or_default(),
    }
}
