//! The pure rules: nothing in here reads a clock, a file, a socket or a random number.

pub mod identity;
pub mod municipality;
