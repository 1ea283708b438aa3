//! A change of one envelope is sent, and where it stands after that is shown.

use std::future::Future;

use tonic::{Request, Response, Status};

use super::item::{item_json, stands};
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, say, say_result},
    },
    client::{
        calls::{Attempt, Weight},
        error::Error,
    },
    runtime::exit,
    wire::pb,
};

/// Sends a change of one envelope, again and again under one id until it is answered, and shows where the
/// envelope stands after it.
pub(super) async fn give_to<M, F, Fut>(
    giving: &Giving,
    method: &'static str,
    message: impl FnOnce(&Stamp) -> M,
    send: F,
) -> Result<u8, Error>
where
    M: Clone,
    F: Fn(Attempt, Request<M>) -> Fut,
    Fut: Future<Output = Result<Response<Option<pb::MailItem>>, Status>>,
{
    let party = giving.asking.party()?;
    let stamp = giving.stamp();
    let item = giving.send(party, (method, Weight::Light), &message(&stamp), &stamp, send).await?;
    let item = item.unwrap_or_default();
    if giving.output() == Output::Json {
        let mut value = item_json(&item);
        value["request_id"] = stamp.request_id.as_str().into();
        value["at"] = stamp.at().into();
        return Ok(say_result(exit::DONE, value));
    }
    say(&stands(&item));
    Ok(exit::DONE)
}

/// Sends one change: the call, its name, and what the request has beside id and time.
macro_rules! give {
    ($giving:expr, $call:ident, $name:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $crate::cli::mail::giving::give_to(
            &$giving,
            $name,
            |stamp| pb::$request {
                request_id: stamp.request_id.clone(),
                occurred_time: stamp.time(),
                $($field: $value),*
            },
            |attempt, request| async move {
                attempt.mail().$call(request).await.map(|answer| answer.map(|answer| answer.mail_item))
            },
        )
        .await
    };
}
pub(super) use give;
