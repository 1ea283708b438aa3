//! How a change of several cards is shown.

use serde_json::json;

use crate::{
    cli::{
        giving::{Giving, Stamp},
        lives::Item as _,
        municipal::{Output, say, say_event, say_result},
    },
    runtime::exit,
    wire::pb,
};

/// Shows several cards after a change, and the applications that are void.
pub(super) fn all_shown(giving: &Giving, stamp: &Stamp, cards: &[pb::Card], applications: &[String]) -> u8 {
    if giving.output() == Output::Json {
        cards.iter().for_each(|card| say_event("card", card.json()));
        applications.iter().for_each(|number| say_event("application", json!({"number": number})));
        let counts = json!({"cards": cards.len(), "applications": applications.len()});
        return say_result(exit::DONE, stamp.on(counts));
    }
    cards.iter().for_each(|card| say(&card.stands()));
    applications.iter().for_each(|number| say(&format!("application {number} is void")));
    exit::DONE
}
