//! The relay's data plane: a call that is let in is carried to an issuer with its bytes unread, as
//! exactly the caller that its certificate names; it is never acknowledged by anybody but the issuer.

mod admission;
mod answer;
mod back;
mod bell;
mod call;
mod coal;
mod deadline;
mod front;
mod health;
mod keep_alive;
mod options;
mod peer;
mod pump;
mod reader;
mod refusal;
mod shard;
mod start;
mod stats;
mod upstream;

pub use options::Options;
pub use start::{Error, start};
