//! Nothing runs without a name, a token that ends it, and a stated meaning of its death; a process stops in
//! order or says what it cut off.

mod aside;
pub mod clock;
mod dumps;
pub mod exit;
mod lateness;
mod parent;
mod running;
mod signals;
mod tasks;

pub use aside::{blocking, outside};
pub use dumps::forbid_core_dumps;
pub use lateness::Lateness;
pub use parent::{end_with_parent, parent_gone};
pub use running::Running;
pub use signals::signals;
pub use tasks::{Ended, OnDeath, Tasks};
