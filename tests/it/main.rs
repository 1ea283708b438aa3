//! The integration tests: each module proves one promise, through the real door.

mod alerts;
mod cli;
mod dev;
mod foreign;
mod issuance;
mod net;
mod relay;
mod restore;
mod system;
mod tidy;
