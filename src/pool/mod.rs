//! The relay pool: from what many observers saw, one judge says which unit is sick, and why; a unit is taken
//! out for a stated reason, never two at once, and comes back only by steps.
//!
//! [`evidence`] is what was seen; [`rule`] makes a [`judgement`] of it each second; [`policy`] decides. Both
//! are pure: the same evidence gives the same decisions again, which a [`ledger`] lets anybody check.
//! [`other_tools`] is what the usual tools would have done, and [`explain`] says all of it of one unit. The
//! [`controller`] runs them in the issuer that holds the lease, and makes leases ([`notes`]), the [`gate`]
//! and the view of what was decided, which is on [`disk`], too; stock clients learn it by [`ads`].

pub mod ads;
pub mod controller;
pub mod disk;
pub mod drill;
pub mod evidence;
pub mod explain;
pub mod gate;
#[cfg(test)]
mod guide_tests;
pub mod judgement;
pub mod keeper;
pub mod ledger;
mod limits;
pub mod other_tools;
pub mod policy;
pub mod prober;
pub mod rule;
pub mod service;

// Clients read them, too, and know nothing of the pool itself.
pub use crate::domain::pool_notes as notes;
