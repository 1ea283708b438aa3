//! Promise: whoever is not exactly one party of ours, known good now, gets no call through; and a server
//! bears what it says and no more.

mod authority;
mod callers;
mod chains;
mod frames;
mod harness;
mod limits;
mod reload;
mod stopping;
