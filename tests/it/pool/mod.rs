//! Promise: who serves is decided by one issuer from what all see, and holds whether a relay listens or not.

mod away;
mod bundles;
mod complaints;
mod crowd;
mod deadlines;
mod drills;
mod elsewhere;
mod evicted;
mod fence;
mod followed;
mod harness;
mod lapse;
mod orders;
mod process;
mod puppet;
mod record;
mod reports;
mod sent_again;
mod shallow;
mod view;
mod xds;
