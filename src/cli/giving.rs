//! Who asks, and under which id and time a change of a life is sent, so that the same one can be sent again.

use std::future::Future;

use clap::Args;
use prost_types::Timestamp;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Request, Response, Status};

use super::municipal::{self, Output, new_batch_id, now_ms, say_event, warn};
use crate::{
    client::{
        calls::{Attempt, Weight},
        error::Error,
        party::Party,
        session::Session,
    },
    domain::{date, item::ItemId},
    wire::convert::timestamp,
};

/// What every command about a life needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asker {
    #[command(flatten)]
    connect: municipal::Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

impl Asker {
    /// The caller over its relays; nothing is sent yet.
    pub(crate) fn party(&self) -> Result<Party, Error> {
        self.connect.party(self.output)
    }

    /// The same for a municipality.
    pub(crate) fn session(&self) -> Result<Session, Error> {
        self.connect.session(self.output)
    }

    /// Asks for what changes nothing, and returns the answer.
    pub(crate) async fn ask<M, T, F, Fut>(
        &self,
        (method, weight): (&'static str, Weight),
        message: &M,
        send: F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Fn(Attempt, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let asked = self.party()?.over(async |party| party.ask(method, weight, message, send).await);
        Ok(asked.await?)
    }
}

/// What every change that happened at some time needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Giving {
    /// The key that makes the request idempotent: pass the same one and the same --at to send it again
    /// [default: a fresh one, which is shown]
    #[arg(long, value_name = "ID")]
    request_id: Option<ItemId>,
    /// When it happened, such as 2026-11-20T09:30:00+09:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    #[command(flatten)]
    pub(crate) asking: Asker,
}

/// Under what a change is sent.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) request_id: String,
    pub(crate) at_ms: i64,
}

impl Stamp {
    pub(crate) fn time(&self) -> Option<Timestamp> {
        Some(timestamp(self.at_ms))
    }

    pub(crate) fn at(&self) -> String {
        date::utc(self.at_ms)
    }

    /// Adds it to a result, so that programs can send the same again.
    pub(crate) fn on(&self, mut result: Value) -> Value {
        result["request_id"] = self.request_id.as_str().into();
        result["at"] = self.at().into();
        result
    }

    /// Under what a further part of it is sent, the same each time.
    pub(crate) fn part(&self, number: usize) -> Self {
        Self { request_id: format!("{}-{number}", self.request_id), ..self.clone() }
    }
}

impl Giving {
    pub(crate) fn output(&self) -> Output {
        self.asking.output
    }

    /// Decides under what the change is sent, and says so before anything is.
    pub(crate) fn stamp(&self) -> Stamp {
        let request_id = id_or_fresh(self.request_id.as_ref());
        let stamp = Stamp { request_id, at_ms: self.at.unwrap_or_else(now_ms) };
        let (id, at) = (&stamp.request_id, stamp.at());
        match self.output() {
            Output::Json => say_event("request", json!({"request_id": id, "at": at})),
            Output::Text if self.request_id.is_some() && self.at.is_some() => {}
            Output::Text => warn(&format!("to send the same again: --request-id {id} --at {at}")),
        }
        stamp
    }

    /// Sends a change; who is not answered hears how the same is sent again.
    pub(crate) async fn send<M, T, F, Fut>(
        &self,
        party: Party,
        (method, weight): (&'static str, Weight),
        message: &M,
        stamp: &Stamp,
        send: F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Fn(Attempt, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let sent = party.over(async |party| party.ask(method, weight, message, send).await).await;
        sent.map_err(|error| {
            if error.transient && self.output() == Output::Text {
                let (id, at) = (&stamp.request_id, stamp.at());
                warn(&format!("it may have been recorded: --request-id {id} --at {at} sends the same again"));
            }
            error.into()
        })
    }
}

/// Decides under which id a change is sent that happens when it is recorded, and says so before anything is.
pub(crate) fn say_id(given: Option<&ItemId>, output: Output) -> String {
    let id = id_or_fresh(given);
    match output {
        Output::Json => say_event("request", json!({"request_id": id})),
        Output::Text if given.is_some() => {}
        Output::Text => warn(&format!("to send the same again: --request-id {id}")),
    }
    id
}

/// The id that was given, or a fresh one.
fn id_or_fresh(given: Option<&ItemId>) -> String {
    given.map_or_else(|| new_batch_id().to_string(), ToString::to_string)
}

/// Reads a moment as ms since the Unix epoch.
fn moment(text: &str) -> Result<i64, String> {
    let needed = "must be a moment with its zone, such as 2026-11-20T09:30:00+09:00 (RFC 3339)";
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| needed.to_owned())?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| needed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_zone_and_what_is_shown_is_read_back() {
        assert_eq!(moment("2015-10-17T00:00:00.000+09:00"), Ok(1_445_007_600_000));
        assert_eq!(moment("2015-10-16T15:00:00Z"), Ok(1_445_007_600_000));
        for ms in [0, 1_445_007_599_999, 1_790_000_000_123] {
            assert_eq!(moment(&date::utc(ms)), Ok(ms));
        }
        for bad in ["", "2015-10-17", "2015-10-17T00:00:00", "2015-02-30T00:00:00Z", "now"] {
            assert!(moment(bad).expect_err(bad).contains("+09:00"), "{bad}");
        }
    }
}
