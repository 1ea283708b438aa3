//! A change of an item is sent again and again under one id until it is answered, and where the item stands
//! after it is shown.

use super::Item;
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, say, say_lines, say_result},
    },
    runtime::exit,
};

/// Sends one change: the service and its call, the name of the call, and what the request has beside id and
/// time. Gives the answer, with under what it was sent; where the answer's field with the item is named
/// behind the call, that item is shown instead.
macro_rules! give {
    ($giving:expr, $service:ident.$call:ident.$item:ident, $name:literal, $request:ident $fields:tt) => {{
        let given =
            $crate::cli::lives::change::give!($giving, $service.$call, $name, $request $fields);
        given.map(|(stamp, answer)| {
            $crate::cli::lives::change::stands(&$giving, &stamp, answer.$item, &[])
        })
    }};
    (
        $giving:expr, $service:ident.$call:ident, $name:literal,
        $request:ident { $($field:ident: $value:expr),* $(,)? }
    ) => {{
        let giving = &$giving;
        let party = giving.asking.party()?;
        let stamp = giving.stamp();
        let message = $crate::wire::pb::$request {
            request_id: stamp.request_id.clone(),
            occurred_time: stamp.time(),
            $($field: $value),*
        };
        let light = ($name, $crate::client::calls::Weight::Light);
        let given = giving.send(party, light, &message, &stamp, |attempt, request| async move {
            attempt.$service().$call(request).await
        });
        given.await.map(|answer| (stamp, answer))
    }};
}
pub(in crate::cli) use give;

/// Shows where an item stands after a change, and what else is to be said of it.
pub(in crate::cli) fn stands<T: Item>(
    giving: &Giving,
    stamp: &Stamp,
    item: Option<T>,
    more: &[(&str, &str)],
) -> u8 {
    let item = item.unwrap_or_default();
    if giving.output() == Output::Json {
        let mut value = item.json();
        more.iter().for_each(|(name, text)| value[*name] = (*text).into());
        return say_result(exit::DONE, stamp.on(value));
    }
    say(&item.stands());
    more.iter().for_each(|(name, text)| say(&format!("{name:columns$} {text}", columns = T::COLUMNS)));
    item.warning().iter().for_each(|lines| say_lines(lines));
    exit::DONE
}
