//! Promise: whoever is killed, stopped or cut off from power, and exactly wherever, what was acknowledged is
//! there once, and the batch ends with a verified receipt or says what is missing.

mod client;
mod disk;
mod harness;
mod issuer;
mod points;
mod power;
mod relay;
mod stopped;
