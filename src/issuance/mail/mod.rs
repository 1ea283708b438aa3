//! Mail: what press and post have seen and what offices do is recorded for each envelope, and where it stands
//! follows from that.
//!
//! `service` has the calls, `record` how one event of one envelope is recorded, `event` what is stored of
//! each, `life` what that makes of an envelope, `stocktake` the comparison with the shelves, `retention` how
//! long a municipality keeps what came back, `view` how an envelope looks in the API.

mod event;
pub(crate) mod life;
mod record;
mod retention;
mod service;
mod stocktake;
mod view;

pub(crate) use service::Mail;
pub(crate) use stocktake::stands as stocktake_stands;
