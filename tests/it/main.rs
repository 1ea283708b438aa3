//! The integration tests: each module proves one promise, through the real door.

mod alerts;
mod canary;
mod cli;
mod crash;
mod dashboard;
mod dev;
mod failover;
mod faults;
mod foreign;
mod frames;
mod input;
mod issuance;
mod issuers;
mod ledger;
mod mail;
mod net;
mod operators;
mod outdated;
mod pool;
mod relay;
mod restore;
mod stored;
mod system;
mod tidy;
mod upgrade;
