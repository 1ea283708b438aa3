//! A change of an item is decided on what is committed, and stored with its event and its request, all or
//! none; the same request again changes nothing more.
//!
//! A change may take other items of its municipality with it, decided and stored with it.
//!
//! Changes that wait share a transaction, in which each statement serves all of them. Two that could meet, as
//! they are of one item, one request id or one hold, never share one.

mod change;
mod links;
mod read;
mod replay;
mod rows;
mod sqlite;
mod steps;

pub use read::WhichItems;
pub use rows::{Asked, Changed, Decided, EVENTS_MAX, EventRow, Found, ItemRow, Known, WITH_MAX};

pub(super) use change::Change;
pub(super) use steps::{
    Carried, Holder, ItemSteps, LinkOf, NewEvent, NewRequest, OfItem, RawEvent, RawItem, RequestKey, carried,
    holder,
};
