//! todoke: a fault-tolerant card-management backend. No record is lost without somebody being told, and no
//! sick node takes the others down.

pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod net;
pub mod ops;
pub mod relay;
pub mod runtime;
pub mod sample;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod wire;
