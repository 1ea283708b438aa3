//! `todoke card holder | correct-reading`: what happened to a holder, and a reading that is put right.

use std::io::Read as _;

use clap::{Args, builder::TypedValueParser};
use serde_json::json;

use super::several::all_shown;
use crate::{
    cli::{
        giving::Giving,
        lives::{change::give, words},
        municipal::{Output, say, say_result},
    },
    client::error::Error,
    domain::{item::ItemId, record::FIELD_BYTES_MAX},
    runtime::exit,
    wire::pb,
};

/// What happened to a holder.
#[derive(Debug, Clone, Args)]
pub(super) struct HolderArgs {
    /// What happened
    #[arg(value_name = "EVENT", value_parser = events())]
    event: pb::HolderEvent,
    /// Any order of the person
    #[arg(long, value_name = "ID")]
    order_id: ItemId,
    /// Why, without personal data; needed for a suspicion of fraud and its end
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Whose reading is put right; it stands in standard input, and in no process list.
#[derive(Debug, Clone, Args)]
pub(super) struct CorrectArgs {
    /// The order, in an accepted batch
    #[arg(value_name = "ORDER_ID")]
    order_id: ItemId,
    /// Where the reading comes from
    #[arg(long, value_name = "SOURCE", value_parser = ["DECLARED", "VENDOR", "INFERRED"])]
    source: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

const EVENTS: [&str; 4] = ["MOVED", "DIED", "FRAUD_SUSPECTED", "FRAUD_CLEARED"];

fn events() -> impl TypedValueParser<Value = pb::HolderEvent> {
    words(EVENTS, "HOLDER_EVENT_", pb::HolderEvent::from_str_name)
}

pub(super) async fn run(args: &HolderArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.record_holder_event,
        "RecordHolderEvent",
        RecordHolderEventRequest {
            order_id: args.order_id.to_string(),
            event: args.event.into(),
            reason: args.reason.clone().unwrap_or_default(),
        }
    );
    let (stamp, answer) = given?;
    Ok(all_shown(&args.giving, &stamp, &answer.cards, &answer.application_numbers))
}

pub(super) async fn correct(args: &CorrectArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.correct_reading,
        "CorrectReading",
        CorrectReadingRequest {
            order_id: args.order_id.to_string(),
            reading: from_input()?,
            reading_source: args.source.clone(),
        }
    );
    let (stamp, answer) = given?;
    let count = answer.correction_count;
    if args.giving.output() == Output::Json {
        let value = json!({"order_id": args.order_id.to_string(), "corrections": count});
        return Ok(say_result(exit::DONE, stamp.on(value)));
    }
    say(&format!("the reading of {} is put right; corrections of it: {count}", args.order_id));
    Ok(exit::DONE)
}

fn from_input() -> Result<String, Error> {
    let mut text = String::new();
    let max = FIELD_BYTES_MAX as u64 + 2; // and its line break
    let read = std::io::stdin().lock().take(max).read_to_string(&mut text);
    read.map_err(|error| Error::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_a_holder_can_be_said() {
        for name in EVENTS {
            assert!(pb::HolderEvent::from_str_name(&format!("HOLDER_EVENT_{name}")).is_some(), "{name}");
        }
        assert!(pb::HolderEvent::try_from(5).is_err(), "there are no more");
    }
}
