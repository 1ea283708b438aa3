//! A role starts only with a configuration of which everything is right.

pub mod duration;
