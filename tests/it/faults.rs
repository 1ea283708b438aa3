//! Faults on the way between a sender and the issuer: what they may cost is time, never a record, and never a
//! receipt that is not true.

mod away;
mod callers;
mod liar;
mod lies;
mod lost;
mod nil;
mod renewal;
mod sick;
mod signals;
mod strangers;
mod twice;
mod world;
