//! The municipal client: reads a file, declares its totals, sends it over the relays, and is done only with a
//! receipt that it has checked against its own totals.

mod agreed;
mod call_error;
mod calling;
pub mod calls;
pub mod control_totals;
pub mod endpoints;
pub mod error;
pub mod events;
pub mod finish;
mod fixed;
pub mod flow;
mod frames;
mod heard;
pub mod held;
pub mod input_fault;
pub mod interruption;
#[cfg(test)]
mod issuer_double;
pub mod issuers;
pub mod journal;
mod kept_view;
pub mod outcome;
pub mod party;
pub mod picker;
pub mod plan;
pub mod produced;
pub mod proof;
pub mod reader;
pub mod receipts;
mod refusals;
pub mod rejects;
mod retry;
mod rows;
mod runs;
pub mod scan;
pub mod session;
pub mod signer;
pub mod source;
pub mod streams;
mod taken;
mod turns;
pub mod upkeep;
pub mod uploaded;
pub mod uploader;
mod view;
mod watch;
