//! Under which id a change is sent that happens now, so that the same one can be sent again.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        giving::{Asker, id_or_fresh},
        municipal::{Output, say_event, warn},
    },
    client::{calls::CallError, error::Error, party::Party},
    domain::item::ItemId,
};

/// What every change needs that happens when it is recorded.
#[derive(Debug, Clone, Args)]
pub(super) struct Keyed {
    /// The key that makes the request idempotent: pass the same one to send it again [default: a fresh one,
    /// which is shown]
    #[arg(long, value_name = "ID")]
    request_id: Option<ItemId>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

impl Keyed {
    pub(super) fn output(&self) -> Output {
        self.asking.output
    }

    /// Decides under what the change is sent, says so, and sends it; who is not answered hears how the
    /// same is sent again.
    pub(super) async fn over<T>(
        &self,
        call: impl AsyncFnOnce(&Party, String) -> Result<T, CallError>,
    ) -> Result<(T, String), Error> {
        let party = self.asking.party()?;
        let id = id_or_fresh(self.request_id.as_ref());
        match self.output() {
            Output::Json => say_event("request", json!({"request_id": id})),
            Output::Text if self.request_id.is_some() => {}
            Output::Text => warn(&format!("to send the same again: --request-id {id}")),
        }
        let sent = party.over(async |party| call(party, id.clone()).await).await;
        let sent = sent.inspect_err(|error| {
            if error.transient && self.output() == Output::Text {
                warn(&format!("it may have been recorded: --request-id {id} sends the same again"));
            }
        })?;
        Ok((sent, id))
    }
}
