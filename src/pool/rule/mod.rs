//! The rule: a bet each second against "this unit is no worse than its peers", which decides with a stated
//! budget of false alarms and says what it was made of.
//!
//! For each unit, each class of calls (traffic, deep probes, both), each scale τ and each set of observers
//! that may be left out, the share of bad calls within τ is compared with that of all other units; d is by
//! how much it is larger, beyond twice the noise of sampling. A second adds (1/τ)·ln(1 + (η/p0)·(d − p0)) to
//! the log-wealth S, which never falls below 0. While a unit is no worse than its peers by more than p0, the
//! wealth cannot grow in the mean, whatever law the errors follow within τ; so S passes the limit h of
//! [`Parameters::limit`] by chance once in the budget's unit-years at most. S counts as the largest over
//! classes and scales of the least over the sets, so that no observer's word is needed; and the worst
//! municipality's calls are left out of both sides, so that no caller's is.
//!
//! The judge is pure and deterministic: no clock, no randomness, and whole numbers in every sum. Its whole
//! state can be written down and read back, and then judges as before. All of it is bounded by the limits in
//! [`Parameters`].

mod callers;
mod counts;
mod doubts;
mod explain;
mod fixed;
mod gone;
mod history;
mod judge;
mod latency;
mod left_out;
mod parameters;
mod roster;
mod step;
mod unit;
mod usual;
mod verdict;
mod waiting;
mod wealth;

#[cfg(test)]
mod evidence_tests;
#[cfg(test)]
mod promises_tests;
#[cfg(test)]
mod trials_tests;
#[cfg(test)]
mod vectors_tests;
#[cfg(test)]
mod verdict_tests;
#[cfg(test)]
mod world;

pub use judge::{Judge, Refused};
pub use parameters::Parameters;
pub use unit::Attributes;
