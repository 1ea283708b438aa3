//! Who asks, and under which id and time a change is sent, so that the same one can be sent again.

use std::future::Future;

use clap::Args;
use prost_types::Timestamp;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Request, Response, Status};

use super::item::{item_json, stands};
use crate::{
    cli::municipal::{self, Output, new_batch_id, now_ms, say, say_event, say_result, warn},
    client::{
        calls::Weight,
        error::Error,
        party::{Mail, Party},
    },
    domain::{date, item::ItemId},
    runtime::exit,
    wire::{convert::timestamp, pb},
};

/// What every command of the mail needs.
#[derive(Debug, Clone, Args)]
pub(super) struct Asker {
    #[command(flatten)]
    connect: municipal::Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

impl Asker {
    /// The caller over its relays; nothing is sent yet.
    pub(super) fn party(&self) -> Result<Party, Error> {
        self.connect.party(self.output)
    }
}

/// What every change that happened at some time needs.
#[derive(Debug, Clone, Args)]
pub(super) struct Giving {
    /// The key that makes the request idempotent: pass the same one and the same --at to send it again
    /// [default: a fresh one, which is shown]
    #[arg(long, value_name = "ID")]
    request_id: Option<ItemId>,
    /// When it happened, such as 2026-11-20T09:30:00+09:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

/// Under what a change is sent.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) request_id: String,
    pub(super) at_ms: i64,
}

impl Stamp {
    pub(super) fn time(&self) -> Option<Timestamp> {
        Some(timestamp(self.at_ms))
    }

    pub(super) fn at(&self) -> String {
        date::utc(self.at_ms)
    }
}

impl Giving {
    pub(super) fn output(&self) -> Output {
        self.asking.output
    }

    /// Decides under what the change is sent, and says so before anything is.
    pub(super) fn stamp(&self) -> Stamp {
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
    pub(super) async fn send<M, T, F, Fut>(
        &self,
        party: Party,
        (method, weight): (&'static str, Weight),
        message: &M,
        stamp: &Stamp,
        send: F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Fn(Mail, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let sent = party.over(async |party| party.mail(method, weight, message, send).await).await;
        sent.map_err(|error| {
            if error.transient && self.output() == Output::Text {
                let (id, at) = (&stamp.request_id, stamp.at());
                warn(&format!("it may have been recorded: --request-id {id} --at {at} sends the same again"));
            }
            error.into()
        })
    }

    /// Sends a change of one envelope, again and again under one id until it is answered, and shows where the
    /// envelope stands after it.
    pub(super) async fn give<M, F, Fut>(
        &self,
        method: &'static str,
        message: impl FnOnce(&Stamp) -> M,
        send: F,
    ) -> Result<u8, Error>
    where
        M: Clone,
        F: Fn(Mail, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<Option<pb::MailItem>>, Status>>,
    {
        let party = self.asking.party()?;
        let stamp = self.stamp();
        let item = self.send(party, (method, Weight::Light), &message(&stamp), &stamp, send).await?;
        let item = item.unwrap_or_default();
        if self.output() == Output::Json {
            let mut value = item_json(&item);
            value["request_id"] = stamp.request_id.as_str().into();
            value["at"] = stamp.at().into();
            return Ok(say_result(exit::DONE, value));
        }
        say(&stands(&item));
        Ok(exit::DONE)
    }
}

/// Sends one change: the call, its name, and what the request has beside id and time.
macro_rules! give {
    ($giving:expr, $call:ident, $name:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $giving
            .give(
                $name,
                |stamp| pb::$request {
                    request_id: stamp.request_id.clone(),
                    occurred_time: stamp.time(),
                    $($field: $value),*
                },
                |mut mail, request| async move {
                    mail.$call(request).await.map(|answer| answer.map(|answer| answer.mail_item))
                },
            )
            .await
    };
}
pub(super) use give;

/// The id that was given, or a fresh one.
pub(super) fn id_or_fresh(given: Option<&ItemId>) -> String {
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
