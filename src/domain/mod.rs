//! The pure rules: nothing in here reads a clock, a file, a socket or a random number.

pub mod abort;
pub mod batch;
pub mod batch_id;
pub mod calendar;
pub mod chunk;
pub mod date;
pub mod digest;
pub mod disposition;
#[cfg(test)]
mod guide_tests;
pub mod households;
pub mod identity;
pub mod item;
pub mod lane;
pub mod layout;
pub mod life;
pub mod manifest;
pub mod merkle;
pub mod municipality;
pub mod note;
pub mod pool_notes;
pub mod ranges;
pub mod receipt;
pub mod record;
pub mod rules;
pub mod text;
pub mod totals;
pub mod unit;
pub mod validation;
