//! Under which id a change is sent that happens now, so that the same one can be sent again.

use std::future::Future;

use clap::Args;
use tonic::{Request, Response, Status};

use crate::{
    cli::{
        giving::{Asker, say_id},
        municipal::{Output, warn},
    },
    client::{
        calls::{Attempt, Weight},
        error::Error,
    },
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
    pub(super) async fn send<M, T, F, Fut>(
        &self,
        method: &'static str,
        message: impl FnOnce(String) -> M,
        send: F,
    ) -> Result<(T, String), Error>
    where
        M: Clone,
        F: Fn(Attempt, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let party = self.asking.party()?;
        let id = say_id(self.request_id.as_ref(), self.output());
        let message = message(id.clone());
        let sent = party.over(async |party| party.ask(method, Weight::Heavy, &message, send).await).await;
        let sent = sent.inspect_err(|error| {
            if error.transient && self.output() == Output::Text {
                warn(&format!("it may have been recorded: --request-id {id} sends the same again"));
            }
        })?;
        Ok((sent, id))
    }
}
