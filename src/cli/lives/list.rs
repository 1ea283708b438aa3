//! A list is asked for page by page until it ends, or as many items are shown as somebody wants.

use std::time::Duration;

use prost_types::Timestamp;
use serde_json::json;

use super::Item;
use crate::{
    cli::municipal::{Output, now_ms, say, say_event, say_result, warn},
    client::{calls::CallError, error::Error},
    runtime::exit,
    wire::convert::timestamp,
};

/// Items that an issuer gives at once.
const PAGE_MAX: u32 = 1000;

/// Shows `limit` items at the most. `page` asks for so many behind a token, and returns them with the token
/// of the next page; `line` is an item for people, and `nothing` is what they hear where there is none.
pub(in crate::cli) async fn list<T: Item>(
    (limit, output): (u32, Output),
    page: impl AsyncFn(u32, String) -> Result<(Vec<T>, String), CallError>,
    line: impl Fn(&T) -> String,
    nothing: &str,
) -> Result<u8, Error> {
    let (mut left, mut token) = (limit, String::new());
    while left > 0 {
        let (items, next) = page(left.min(PAGE_MAX), token).await?;
        token = next;
        for item in &items {
            match output {
                Output::Json => say_event(T::NAME, item.json()),
                Output::Text => say(&line(item)),
            }
        }
        left = left.saturating_sub(u32::try_from(items.len()).unwrap_or(left));
        if token.is_empty() {
            break;
        }
    }
    let more = left == 0 && !token.is_empty();
    if output == Output::Json {
        return Ok(say_result(exit::DONE, json!({format!("{}s", T::NAME): limit - left, "more": more})));
    }
    if left == limit {
        warn(nothing);
    } else if more {
        warn(&format!("there are more than these {limit}: pass a larger --limit"));
    }
    Ok(exit::DONE)
}

/// The moment since which an item has been in its state that is in it for so long.
pub(in crate::cli) fn since(older_than: Option<Duration>) -> Option<Timestamp> {
    let span_ms = i64::try_from(older_than?.as_millis()).unwrap_or(i64::MAX);
    Some(timestamp(now_ms().saturating_sub(span_ms)))
}
