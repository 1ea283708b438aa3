//! A list of items goes on page by page: what is asked of it is checked before anything is read, and each
//! page's token says where the next one begins.

use prost_types::Timestamp;

use crate::{
    domain::{
        item::{ItemId, ItemKind},
        municipality::MunicipalityCode,
    },
    store::{ItemRow, WhichItems},
    wire::{
        convert::millis,
        fault::{Fault, Reason},
    },
};

use super::{
    core::{Core, store_fault},
    deadline::Deadline,
    office, pages,
};

/// Which items are asked for.
pub(crate) struct Wanted<'a> {
    /// The list's own name, which its tokens have.
    pub(crate) list: &'static str,
    /// Items of a page.
    pub(crate) size: u32,
    pub(crate) page_token: &'a str,
    pub(crate) state: Option<&'static str>,
    /// Empty: at whichever office.
    pub(crate) office: &'a str,
    /// Since when they are in the state at the latest.
    pub(crate) state_by_time: Option<&'a Timestamp>,
}

/// Returns a page, those first that are longest in their state, and the token of the next one.
pub(crate) async fn page(
    core: &Core,
    (municipality, kind): (MunicipalityCode, ItemKind),
    wanted: Wanted<'_>,
    deadline: Deadline,
) -> Result<(Vec<ItemRow>, String), Fault> {
    let Wanted { list, size, page_token, state, office, state_by_time } = wanted;
    if state_by_time.is_some() && state.is_none() {
        let words = "state_by_time goes with a state: name one";
        return Err(Fault::new(Reason::FieldInvalid, words).violation("state", "required"));
    }
    if !office.is_empty() {
        office::read(office)?;
    }
    let after = pages::position(list, page_token)?;
    let after = after.map(|text| since_and_id(&text).ok_or_else(pages::invalid)).transpose()?;
    let which = WhichItems {
        state: state.map(str::to_owned),
        office: office.to_owned(),
        since_by_ms: state_by_time.map(millis),
        after,
    };
    let listed = core.store.list_items(municipality, kind, &which, size);
    let rows = deadline.wait(listed).await?.map_err(store_fault)?;
    let last = rows.last().filter(|_| rows.len() == size as usize);
    let next = last.map(|row| pages::token(list, &format!("{} {}", row.since_ms, row.key.id)));
    Ok((rows, next.unwrap_or_default()))
}

/// Reads the state that a list is asked for, of all those that the API has under a name each; `None`: all.
pub(crate) fn read_state<S: Copy, W: TryFrom<i32> + Default + PartialEq>(
    asked: i32,
    all: &[S],
    shown: impl Fn(S) -> W,
) -> Result<Option<S>, Fault> {
    let unknown =
        || Fault::new(Reason::FieldInvalid, "this state does not exist").violation("state", "a known state");
    let asked = W::try_from(asked).map_err(|_| unknown())?;
    if asked == W::default() {
        return Ok(None);
    }
    all.iter().copied().find(|one| shown(*one) == asked).map(Some).ok_or_else(unknown)
}

fn since_and_id(text: &str) -> Option<(i64, ItemId)> {
    let (since, id) = text.split_once(' ')?;
    Some((since.parse().ok()?, id.parse().ok()?))
}
