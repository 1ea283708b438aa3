//! An operator's order is carried out once, and answered the same each time that it is asked.

use prost::Message as _;

use super::{Controller, KEEP_MAX, report::description};
use crate::{
    domain::{digest::Digest, identity::Identity},
    pool::{
        drill::{Fault as Played, SECONDS_MAX},
        evidence::UnitId,
        keeper::{KeepError, KeptOrder},
        policy::{Decision, Description, Intervention, Kind, Operator, Order, Policy, Request, State, Unit},
        service,
    },
    wire::{
        convert,
        fault::{Fault, Reason},
        pb::{AbsolveAttribute, OrderUnitRequest, OrderUnitResponse, UnitAttributes, order_unit_request},
    },
};

/// An order as it is given for one step.
pub(super) struct Given {
    /// What is wanted, and by whom.
    pub(super) order: Order,
    /// About which unit, if about one.
    pub(super) unit: Option<UnitId>,
    /// By what it is known again; `None` of one that nobody asks for again.
    pub(super) under: Option<Under>,
}

/// By what an order is known again.
pub(super) struct Under {
    request_id: String,
    digest: Digest,
}

/// The longest text of an operator, in characters.
const WORDS_MAX: usize = 1_000;

fn invalid(field: &str, what: &str) -> Fault {
    Fault::new(Reason::FieldInvalid, format!("{field} {what}")).violation(field, what)
}

/// Words that are neither missing nor too long, in one line: they stand in tables and logs.
fn words(field: &str, text: String) -> Result<String, Fault> {
    if text.chars().any(char::is_control) {
        return Err(invalid(
            field,
            "must be one line, without line breaks, tabs or other control characters",
        ));
    }
    match text.chars().count() {
        1..=WORDS_MAX if !text.trim().is_empty() => Ok(text),
        _ => Err(invalid(field, "must say something, in 1 to 1,000 characters")),
    }
}

/// An operator does not register a unit where another one is reached: only one of them would ever be.
fn free(about: &Description, policy: &Policy) -> Result<(), Fault> {
    let (unit, address) = (&about.id, &about.address);
    let same = |other: &&Unit| other.id() != unit && other.about.address == *address;
    let Some(other) = policy.units().values().find(same).map(Unit::id) else { return Ok(()) };
    let what = format!(
        "{address} is the address of {other}: give {unit} its own, or drain {other} and register it with \
         another one first; `todoke pool unregister {other}` if it is gone"
    );
    Err(invalid("register.attributes.address", &what))
}

fn is_request_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// The field that a fault of a description is about: each begins with its name.
fn described(fault: &str) -> String {
    let name =
        fault.split(' ').next().filter(|name| ["address", "slot", "serial", "model", "image"].contains(name));
    format!("register.attributes.{}", name.unwrap_or("others"))
}

/// For how many seconds something is to last: a span as it is said, and a moment to the nearest second, as
/// some of it has gone by on the way.
fn seconds(lasts: Option<prost_types::Duration>, until: Option<prost_types::Timestamp>, now_ms: i64) -> u64 {
    match (lasts, until) {
        (Some(lasts), _) => convert::span_ms(&lasts).div_ceil(1000),
        (None, until) => {
            let left_ms = until.as_ref().map_or(0, convert::millis).saturating_sub(now_ms);
            u64::try_from(left_ms).unwrap_or_default().saturating_add(500) / 1000
        }
    }
}

/// What a registration does not say of a unit that is known stays as it was, unless it names another box.
fn filled(asked: Option<UnitAttributes>, known: Option<&Unit>) -> Option<UnitAttributes> {
    let Some(about) = known.map(|unit| &unit.about) else { return asked };
    let or = |text: String, known: &String| if text.is_empty() { known.clone() } else { text };
    let UnitAttributes { address, slot, serial, model, image, others } = asked.unwrap_or_default();
    if !serial.is_empty() && serial != about.serial {
        return Some(UnitAttributes { address, slot: or(slot, &about.slot), serial, model, image, others });
    }
    Some(UnitAttributes {
        address,
        slot: or(slot, &about.slot),
        serial: or(serial, &about.serial),
        model: or(model, &about.model),
        image: or(image, &about.image),
        others: if others.is_empty() { about.attributes.clone().into_iter().collect() } else { others },
    })
}

/// What an operator signs; nothing, who signs what another one did.
fn intervention(field: &str, changed: String, hypothesis: String) -> Result<Option<Intervention>, Fault> {
    if changed.is_empty() && hypothesis.is_empty() {
        return Ok(None);
    }
    let changed = words(&format!("{field}.changed"), changed)?;
    let hypothesis = words(&format!("{field}.hypothesis"), hypothesis)?;
    Ok(Some(Intervention { changed, hypothesis }))
}

/// That an attribute is mended, which is said of no one unit.
fn absolution(unit: &str, asked: AbsolveAttribute) -> Result<Request, Fault> {
    if !unit.is_empty() {
        return Err(invalid("unit", "must be empty: an attribute is not one unit's"));
    }
    let attribute = words("absolve.attribute", asked.attribute)?;
    let intervention = intervention("absolve", asked.changed, asked.hypothesis)?;
    Ok(Request::Absolve { attribute, intervention })
}

/// What is asked of the policy.
fn request(
    unit: &UnitId,
    order: order_unit_request::Order,
    known: Option<&Unit>,
    now_ms: i64,
) -> Result<Request, Fault> {
    use order_unit_request::Order as Asked;
    let unit = unit.clone();
    Ok(match order {
        Asked::Register(asked) => {
            let about = description(&unit, filled(asked.attributes, known));
            let faults = about.faults();
            if !faults.is_empty() {
                let words = faults.join("; ");
                let fault = Fault::new(Reason::FieldInvalid, format!("it cannot be registered: {words}"));
                return Err(faults.iter().fold(fault, |fault, what| fault.violation(described(what), what)));
            }
            Request::Register(Box::new(about))
        }
        Asked::Drain(asked) => Request::Drain { unit, reason: words("drain.why", asked.why)? },
        Asked::Unregister(asked) => Request::Unregister { unit, reason: words("unregister.why", asked.why)? },
        Asked::Undrain(_) => Request::Undrain { unit },
        Asked::SignOff(asked) => {
            let intervention = intervention("sign_off", asked.changed, asked.hypothesis)?;
            Request::SignOff { unit, intervention }
        }
        Asked::Absolve(asked) => absolution(unit.as_str(), asked)?,
        Asked::Override(asked) => {
            let reason = words("override.why", asked.why)?;
            let field = if asked.lasts.is_some() { "override.lasts" } else { "override.until_time" };
            let is_said = asked.lasts.is_some() || asked.until_time.is_some();
            let lasts = is_said.then(|| seconds(asked.lasts, asked.until_time, now_ms));
            if lasts == Some(0) {
                return Err(invalid(field, "is over already: say for how long, or nothing for a day"));
            }
            Request::Override { unit, reason, seconds: lasts }
        }
        Asked::PauseProbes(asked) => match (asked.lasts, asked.until_time) {
            (None, None) => Request::ResumeProbes { unit },
            (lasts, until) => Request::PauseProbes { unit, seconds: seconds(lasts, until, now_ms) },
        },
        Asked::Drill(asked) if asked.fault.is_empty() => Request::StopDrill { unit },
        Asked::Drill(asked) => {
            let fault = asked.fault.parse::<Played>();
            let fault = fault.map_err(|error| invalid("drill.fault", &error.to_string()))?;
            let field = if asked.lasts.is_some() { "drill.lasts" } else { "drill.until_time" };
            let seconds = seconds(asked.lasts, asked.until_time, now_ms);
            if seconds == 0 {
                return Err(invalid(field, "is over already: say for how long"));
            }
            if seconds > SECONDS_MAX {
                return Err(invalid(field, "must be within the next ten minutes"));
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
        self.is_readable()?;
        if self.core().frozen {
            // Whoever waits for the database here would hold others up, and may not know what became of it.
            return Err(frozen());
        }
        let under = Under { digest: Digest::of(&asked.encode_to_vec()), request_id: asked.request_id };
        if let Some(answer) = self.answered_under(&under, &by).await? {
            return Ok(answer);
        }
        let now_ms = self.0.clock.now_ms();
        let wanted = asked.order.ok_or_else(|| invalid("order", "must be one of the orders there are"))?;
        let (unit, request) = match wanted {
            order_unit_request::Order::Absolve(about) => (None, absolution(&asked.unit, about)?),
            wanted => {
                let unit: UnitId =
                    asked.unit.parse().map_err(|error| invalid("unit", &format!("{error}")))?;
                let request = self.about(&unit, wanted, now_ms)?;
                (Some(unit), request)
            }
        };
        self.step(Some(Given { order: Order { by, request }, unit, under: Some(under) })).await
    }

    /// What is asked of a unit that is known, or is to be registered.
    fn about(&self, unit: &UnitId, wanted: order_unit_request::Order, now_ms: i64) -> Result<Request, Fault> {
        let core = self.core();
        let known = core.policy.units().get(unit);
        if known.is_none() && !matches!(wanted, order_unit_request::Order::Register(_)) {
            let words = format!("no unit is named {unit}: see `todoke pool list`");
            return Err(Fault::new(Reason::UnitUnknown, words));
        }
        let request = request(unit, wanted, known, now_ms)?;
        if let Request::Register(about) = &request {
            free(about, &core.policy)?;
        }
        Ok(request)
    }

    /// What the same order was answered before.
    pub(super) async fn answered(&self, given: &Given) -> Result<Option<OrderUnitResponse>, Fault> {
        match &given.under {
            Some(under) => self.answered_under(under, &given.order.by).await,
            None => Ok(None),
        }
    }

    async fn answered_under(&self, under: &Under, by: &Operator) -> Result<Option<OrderUnitResponse>, Fault> {
        let Under { request_id, digest } = under;
        let found = tokio::time::timeout(KEEP_MAX, self.0.keeper.order(request_id)).await;
        let found = found.unwrap_or_else(|_| Err(KeepError::Away("it does not answer".to_owned())));
        let found = found.map_err(|error| Fault::new(Reason::DatabaseAway, error.to_string()))?;
        let Some(found) = found else { return Ok(None) };
        if found.digest != *digest || found.operator != by.to_string() {
            let words = format!("another order was given under the id {request_id}: use a new one");
            return Err(Fault::new(Reason::RequestIdReused, words));
        }
        let answer = OrderUnitResponse::decode(found.answer.as_slice());
        let ordered_time = Some(convert::timestamp(found.ordered_ms));
        let answer = answer.map(|answer| OrderUnitResponse { ordered_time, ..answer });
        answer.map(Some).map_err(|_| Fault::new(Reason::Internal, "the kept answer cannot be read"))
    }
}

/// What an order is answered, and how that is kept: a refused one is not, as it has changed nothing. Asked
/// again, it is decided again, never said to be done.
pub(super) fn answer(
    given: Given,
    policy: &Policy,
    decisions: &[Decision],
    now_ms: i64,
) -> (Result<OrderUnitResponse, Fault>, Option<KeptOrder>) {
    // A step has one order at most, so what is refused in it is this one.
    if let Some(refusal) = decisions.iter().find(|one| matches!(one.kind, Kind::Refuse(_))) {
        return (Err(Fault::new(Reason::OrderRefused, refusal.reason.clone())), None);
    }
    let answer = outcome(policy, given.unit.as_ref(), decisions);
    let kept = given.under.map(|under| KeptOrder {
        request_id: under.request_id,
        digest: under.digest,
        operator: given.order.by.to_string(),
        ordered_ms: now_ms,
        answer: answer.encode_to_vec(),
    });
    (Ok(answer), kept)
}

/// What an order came to.
fn outcome(policy: &Policy, unit: Option<&UnitId>, decisions: &[Decision]) -> OrderUnitResponse {
    let of = |kind: fn(&Kind) -> bool| {
        decisions.iter().filter(move |decision| decision.unit.as_ref() == unit && kind(&decision.kind))
    };
    // Of a registration there is only something to know if it shares what is suspect, or comes back.
    let registered = of(|kind| matches!(kind, Kind::Register | Kind::Unregister | Kind::Override));
    let is_news = |one: &&Decision| {
        !one.attributes.is_empty() || one.kind != Kind::Register || one.from == Some(State::Evicted)
    };
    let warnings = registered.filter(is_news).map(|decision| decision.reason.clone()).collect();
    let pending = of(|kind| matches!(kind, Kind::SignOff)).map(|decision| decision.reason.clone()).next();
    OrderUnitResponse {
        unit: unit
            .and_then(|unit| policy.units().get(unit))
            .map(|unit| service::unit(policy, unit, None, None)),
        warnings,
        pending: pending.unwrap_or_default(),
        ordered_time: None,
    }
}

/// What an order is told while nothing can be put on record.
fn frozen() -> Fault {
    let words = "the pool is frozen, as its database is away: no order is taken until it is back";
    Fault::new(Reason::DatabaseAway, words).after(std::time::Duration::from_secs(1))
}
