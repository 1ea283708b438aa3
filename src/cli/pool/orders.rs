//! `todoke pool drain | undrain | sign-off | override | unregister`: orders about one unit, each carried out
//! once and on the record.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    asking::Asking,
    show::{drill, paused, state, time, unit_json},
};
use crate::{
    cli::municipal::{self, Output, new_batch_id, say, say_event, say_result, warn},
    client::{calls::CallError, error::Error},
    pool::evidence::UnitId,
    runtime::exit,
    wire::{
        convert::span,
        fault::Reason,
        pb::{self, order_unit_request::Order},
        text::one_line,
    },
};

/// What was ordered, as far as the answer is told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Register,
    Unregister,
    Absolve,
    Other,
}

impl Asked {
    fn of(order: &Order) -> Self {
        match order {
            Order::Register(_) => Asked::Register,
            Order::Unregister(_) => Asked::Unregister,
            Order::Absolve(_) => Asked::Absolve,
            _ => Asked::Other,
        }
    }
}

/// What every order about a unit needs.
#[derive(Debug, Clone, Args)]
pub(super) struct Ordering {
    /// The unit, as `todoke pool list` shows it
    #[arg(value_name = "UNIT")]
    unit: UnitId,
    #[command(flatten)]
    pub(super) giving: Giving,
}

impl Ordering {
    pub(super) async fn give(&self, order: Order) -> Result<(), Error> {
        self.giving.give(self.unit.as_str(), self.unit.as_str(), order).await
    }
}

/// What every order needs.
#[derive(Debug, Clone, Args)]
pub(super) struct Giving {
    /// The key that makes the order idempotent: pass the same one to ask again what became of it
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

impl Giving {
    /// Gives an order about what is named so, again and again under one id until it is answered, and shows
    /// what it came to. `unit` is empty of what is no unit.
    pub(super) async fn give(&self, unit: &str, about: &str, order: Order) -> Result<(), Error> {
        let issuers = self.asking.issuers()?;
        let request_id = self.request_id.clone().unwrap_or_else(|| new_batch_id().to_string());
        let output = self.asking.output;
        if output == Output::Json {
            say_event("order", json!({"unit": about, "request_id": request_id}));
        }
        let asked = Asked::of(&order);
        let (id, unit) = (request_id.clone(), unit.to_owned());
        let message = pb::OrderUnitRequest { request_id: id, unit, order: Some(order) };
        let given = issuers
            .ask("OrderUnit", &message, |mut pool, request| async move { pool.order_unit(request).await })
            .await;
        match given {
            Ok(answer) => self.show(&answer, &request_id, about, asked),
            Err(error) => {
                if error.transient && output == Output::Text {
                    warn(&what_became(&error, issuers.is_unsure(), &request_id));
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn show(&self, answer: &pb::OrderUnitResponse, request_id: &str, about: &str, asked: Asked) {
        let pb::OrderUnitResponse { unit, warnings, pending, ordered_time } = answer;
        if self.asking.output == Output::Json {
            let mut value = unit.as_ref().map_or_else(|| json!({"unit": about}), unit_json);
            value["warnings"] = warnings.as_slice().into();
            value["pending"] = pending.as_str().into();
            value["request_id"] = request_id.into();
            value["ordered_time"] = time(ordered_time.as_ref()).into();
            say_result(exit::DONE, value);
            return;
        }
        if let Some(unit) = unit.as_ref().filter(|_| asked == Asked::Register) {
            say(&registered(unit));
        }
        say(&unit.as_ref().map_or_else(|| came_to(about, asked, pending), stands));
        warnings.iter().for_each(|warning| say(&format!("Note: {warning}")));
        if !pending.is_empty() {
            say(&format!("Still needed: {pending}"));
        }
        // Who did not ask under an id of before asked again only because the first answer was lost.
        if let Some(then) = ordered_time.as_ref().filter(|_| self.request_id.is_some()) {
            let then = time(Some(then));
            say(&format!(
                "Note: the order of this id was given before, and this is what it was answered then, at \
                 {then}: `todoke pool list` says what is so now"
            ));
        }
    }
}

/// What an order came to that is about no unit, or about one that is there no more.
fn came_to(about: &str, asked: Asked, pending: &str) -> String {
    match asked {
        Asked::Unregister => format!("{about} is not registered any more"),
        Asked::Absolve if pending.is_empty() => format!("{about} is not suspect any more"),
        Asked::Absolve => format!("{about} stays suspect until another operator signs the same"),
        Asked::Register | Asked::Other => format!("{about}: it is ordered"),
    }
}

/// What a unit is registered as.
fn registered(unit: &pb::Unit) -> String {
    let pb::UnitAttributes { address, slot, serial, model, image, others } =
        unit.attributes.clone().unwrap_or_default();
    let mut others: Vec<String> =
        others.into_iter().map(|(name, value)| format!(", {name} {value}")).collect();
    others.sort();
    let words =
        format!("{} is registered at {address}: slot {slot}, serial {serial}, model {model}", unit.unit);
    one_line(&format!("{words}, image {image}{}", others.concat()))
}

/// Where a unit stands after an order, and why, with what else was ordered of it.
fn stands(unit: &pb::Unit) -> String {
    let mut words = format!("{} is {}", unit.unit, state(unit));
    if unit.probes_paused {
        words += &format!(", {}", paused(unit));
    }
    if !unit.drill.is_empty() {
        words += &format!(", and {}", drill(unit));
    }
    words + ": " + &one_line(&unit.why)
}

/// What a person is told of an order that was not answered in time.
fn what_became(error: &CallError, unsure: bool, request_id: &str) -> String {
    if error.is(Reason::DatabaseAway) && !unsure {
        return "nothing was done: no order can be put on record. Give it again when `todoke pool list` no \
                longer says FROZEN"
            .to_owned();
    }
    format!(
        "an attempt was not answered, so it may have been carried out: --request-id {request_id} asks again"
    )
}

/// Takes a unit out of use: no new calls, and those that run may end.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke pool drain relay-2 --reason 'disk is replaced' \\\n    \
                        --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct DrainArgs {
    /// Why, in one line; it is kept
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl DrainArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        self.order.give(Order::Drain(pb::DrainUnit { why: self.reason.clone() })).await
    }
}

/// Lets a drained unit come back, once its probes pass.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  \
    todoke pool undrain relay-2 --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct UndrainArgs {
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl UndrainArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        self.order.give(Order::Undrain(pb::UndrainUnit::default())).await
    }
}

/// Signs a quarantined unit off; the second of two operators releases it.
///
/// The first says what was changed and which hypothesis that tests; the second may leave both out, and then
/// signs the same.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke pool sign-off relay-2 --changed 'driver 2.1 to 2.2' \\\n    \
                        --hypothesis 'interrupt conflict with the monitoring agent' \\\n    \
                        --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct SignOffArgs {
    /// What was changed
    #[arg(long, value_name = "TEXT", requires = "hypothesis")]
    changed: Option<String>,
    /// Which hypothesis the change tests
    #[arg(long, value_name = "TEXT", requires = "changed")]
    hypothesis: Option<String>,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl SignOffArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let order = pb::SignOffUnit { changed: text(&self.changed), hypothesis: text(&self.hypothesis) };
        self.order.give(Order::SignOff(order)).await
    }
}

/// Lets a quarantined unit come back with no cause found, for a day and no longer. Then it is quarantined
/// again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke pool override relay-2 --reason 'no other box is left' \\\n    \
                        --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct OverrideArgs {
    /// Why, in one line; it is kept
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long, if not for a day, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = municipal::wait)]
    lasts: Option<Duration>,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl OverrideArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let lasts = self.lasts.map(span);
        let order = pb::OverrideUnit { why: self.reason.clone(), until_time: None, lasts };
        self.order.give(Order::Override(order)).await
    }
}

/// Forgets a unit that is gone for good, or was registered by mistake: drained, and stopped, first.
///
/// It leaves the list, the view and the limit of 64 units. What its slot and its box did is remembered under
/// slot, serial and image: whoever is registered with them comes back under their penalties, by probation,
/// and not out of quarantine. It is refused while a process reports for it, whose next report would register
/// it anew, undrained.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke pool unregister relay-5 --reason 'the box is scrapped' \\\n    \
                        --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct UnregisterArgs {
    /// Why, in one line; it is kept
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) order: Ordering,
}

impl UnregisterArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        self.order.give(Order::Unregister(pb::UnregisterUnit { why: self.reason.clone() })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fault::Fault;

    #[test]
    fn an_order_is_answered_with_all_that_is_ordered_of_the_unit() {
        let unit = pb::Unit {
            unit: "relay-4".to_owned(),
            state: pb::UnitState::Healthy.into(),
            why: "relay-4 joins".to_owned(),
            probes_paused: true,
            drill: "slow:1ms".to_owned(),
            attributes: Some(pb::UnitAttributes {
                address: "10.0.0.14:40101".to_owned(),
                slot: "slot-4".to_owned(),
                serial: "S4".to_owned(),
                model: "HSM-7".to_owned(),
                image: "r12".to_owned(),
                others: [("rack".to_owned(), "B".to_owned())].into(),
            }),
            ..pb::Unit::default()
        };
        let words = "relay-4 is HEALTHY, not probed, and plays slow:1ms until : a drill: relay-4 joins";
        assert_eq!(stands(&unit), words);
        let words = "relay-4 is registered at 10.0.0.14:40101: slot slot-4, serial S4, model HSM-7, image \
                     r12, rack B";
        assert_eq!(registered(&unit), words);
    }

    #[test]
    fn the_first_who_signs_an_attribute_off_is_told_that_it_stays_suspect() {
        let first = came_to("model=HSM-7", Asked::Absolve, "another must sign too");
        assert_eq!(first, "model=HSM-7 stays suspect until another operator signs the same");
        assert_eq!(came_to("model=HSM-7", Asked::Absolve, ""), "model=HSM-7 is not suspect any more");
    }

    #[test]
    fn what_may_have_been_carried_out_is_never_said_to_be_nothing() {
        let fault = Fault::new(Reason::DatabaseAway, "it is away");
        let error = CallError {
            method: "OrderUnit",
            status: Box::new(fault.clone().into()),
            fault: Some(Box::new(fault)),
            attempts: 3,
            transient: true,
        };
        assert!(what_became(&error, false, "d-1").contains("nothing was done"));
        let unsure = what_became(&error, true, "d-1");
        assert!(unsure.contains("--request-id d-1") && !unsure.contains("nothing was done"), "{unsure}");
    }
}
