//! A change of one application is sent again and again under one id until it is answered, and the application
//! is shown as it stands after it.

use std::future::Future;

use tonic::{Request, Response, Status};

use super::item::{item_json, stands};
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, say, say_lines, say_result},
    },
    client::{
        calls::{Attempt, Weight},
        error::Error,
    },
    runtime::exit,
    wire::pb,
};

/// Sends a change, and shows what it made of the application.
pub(super) async fn give_over<M, F, Fut>(
    giving: &Giving,
    method: &'static str,
    message: impl FnOnce(&Stamp) -> M,
    send: F,
) -> Result<u8, Error>
where
    M: Clone,
    F: Fn(Attempt, Request<M>) -> Fut,
    Fut: Future<Output = Result<Response<Option<pb::Application>>, Status>>,
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
    let number = &item.application_number;
    if item.suspicions.iter().any(|one| !one.confirmed) {
        say_lines(&format!(
            "HOUSEHOLD_SWAP_SUSPECTED: no card is made before each reason is confirmed to be none\n\
             (`todoke application show {number}` names them)"
        ));
    }
    Ok(exit::DONE)
}

/// Sends one change: the call, its name, and what the request has beside id and time.
macro_rules! give {
    ($giving:expr, $call:ident, $name:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $crate::cli::application::giving::give_over(
            &$giving,
            $name,
            |stamp| pb::$request {
                request_id: stamp.request_id.clone(),
                occurred_time: stamp.time(),
                $($field: $value),*
            },
            |attempt, request| async move {
                let answer = attempt.applications().$call(request).await?;
                Ok(answer.map(|answer| answer.application))
            },
        )
        .await
    };
}
pub(super) use give;
