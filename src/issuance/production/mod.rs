//! Production: blank cards are allocated by lots, orders are pulled against them, and each card is
//! reported as good or bad.
//!
//! `service` has the calls, `asked` what they have in common, `lot` is a municipality's share of a lot:
//! what is stored of it, and what that makes of its figures. `allocate` gives blank cards, `waiting`
//! looks for orders, `taking` decides which of them a `pull` gets, `report` and `made` say what came out
//! of them, `shipment` what was sent, `recall` calls a lot back. `figures` holds the ledger of a lot
//! against its cards, `ages` says how long they took, `view` how all that looks in the API.

mod ages;
mod allocate;
mod asked;
mod figures;
pub(crate) mod lot;
mod made;
mod pull;
mod recall;
mod report;
mod service;
mod shipment;
mod taking;
mod view;
mod waiting;

pub(crate) use service::Production;
pub(crate) use taking::stands as pull_stands;
