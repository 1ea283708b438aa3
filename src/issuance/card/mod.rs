//! Cards: what producer and municipality say of each is recorded, and where it stands follows from that.
//!
//! `service` has the calls, `act` how one event of one card is recorded; `arrival`, `remake` and `holder`
//! are changes of several items at once, `activation` brings terminal, server and chip to one answer, of
//! which `chip` reads what the chip says. `expiry` ends cards whose last day is over. `find` is how cards
//! are looked up, `ids` what they are called, `blanks` what becomes of the blank cards of a lot. `event`
//! is what is stored of each thing that happens, `life` what that makes of a card, `fields` what requests
//! say in words, `view` how a card looks in the API.

mod act;
mod activation;
mod arrival;
pub(crate) mod blanks;
mod chip;
pub(crate) mod event;
mod expiry;
mod fields;
mod find;
pub(crate) mod holder;
pub(crate) mod ids;
pub(crate) mod life;
mod ordered;
mod query;
mod remake;
mod service;
mod view;

pub(crate) use expiry::Expiring;
pub(crate) use service::Cards;
