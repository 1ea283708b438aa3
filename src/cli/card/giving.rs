//! How a change of cards is sent under its id and time, and shown.

use serde_json::{Value, json};

use super::item::{card_json, stands};
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, say, say_event, say_result},
    },
    runtime::exit,
    wire::pb,
};

/// Sends one change: the call, its name, and what the request has beside id and time. Gives the answer, with
/// under what it was sent.
macro_rules! give {
    ($giving:expr, $call:ident, $name:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let giving = &$giving;
        let party = giving.asking.party()?;
        let stamp = giving.stamp();
        let message = pb::$request {
            request_id: stamp.request_id.clone(),
            occurred_time: stamp.time(),
            $($field: $value),*
        };
        let light = ($name, crate::client::calls::Weight::Light);
        let given = giving.send(party, light, &message, &stamp, |attempt, request| async move {
            attempt.cards().$call(request).await
        });
        given.await.map(|answer| (stamp, answer))
    }};
}
pub(super) use give;

/// Shows a card after a change, and what else is to be said of it.
pub(super) fn shown(giving: &Giving, stamp: &Stamp, card: Option<pb::Card>, more: &[(&str, &str)]) -> u8 {
    let card = card.unwrap_or_default();
    if giving.output() == Output::Json {
        let mut value = card_json(&card);
        more.iter().for_each(|(name, text)| value[*name] = (*text).into());
        return say_result(exit::DONE, stamped(value, stamp));
    }
    say(&stands(&card));
    more.iter().for_each(|(name, text)| say(&format!("{name:18} {text}")));
    exit::DONE
}

/// Shows several cards after a change, and the applications that are void.
pub(super) fn all_shown(giving: &Giving, stamp: &Stamp, cards: &[pb::Card], applications: &[String]) -> u8 {
    if giving.output() == Output::Json {
        cards.iter().for_each(|card| say_event("card", card_json(card)));
        applications.iter().for_each(|number| say_event("application", json!({"number": number})));
        let counts = json!({"cards": cards.len(), "applications": applications.len()});
        return say_result(exit::DONE, stamped(counts, stamp));
    }
    cards.iter().for_each(|card| say(&stands(card)));
    applications.iter().for_each(|number| say(&format!("application {number} is void")));
    exit::DONE
}

fn stamped(mut value: Value, stamp: &Stamp) -> Value {
    value["request_id"] = stamp.request_id.as_str().into();
    value["at"] = stamp.at().into();
    value
}
