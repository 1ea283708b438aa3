//! The relay's data plane: a call that is let in is carried to an issuer with its bytes unread, as
//! exactly the caller that its certificate names; it is never acknowledged by anybody but the issuer.

mod account;
mod admission;
mod answer;
mod back;
mod bell;
mod call;
mod coal;
mod deadline;
mod drill;
mod fence;
mod front;
mod gathered;
mod health;
mod keep_alive;
mod look;
mod open;
mod options;
mod orders;
mod peer;
mod pump;
mod reader;
mod recorder;
mod refusal;
mod report;
mod said;
mod seen;
mod shard;
mod start;
mod stats;
mod upstream;

pub use fence::TAKEN_OUT;
pub use options::Options;
pub use start::{Error, Membership, start};
