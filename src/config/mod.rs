//! A role starts only with a configuration of which everything is right: a TOML file, overridden by
//! `TODOKE_*` variables (`__` between levels), overridden by flags. Unknown keys are refused, and every
//! problem is said at once.
//!
//! Each limit and its default stand with the component that keeps it; here they are only put together,
//! and the tree of the defaults is the list of keys.

pub mod duration;
mod issuer;
mod load;
mod print;
mod problem;
mod tree;

pub use issuer::IssuerConfig;
pub use load::{Flag, Loaded, PREFIX, Role, Sources, keys, load, variable};
pub use print::{Effective, line};
pub use problem::{Problem, Problems};

/// Whether some role has this key.
fn is_key_of_any_role(key: &str) -> bool {
    keys::<IssuerConfig>().iter().any(|known| known == key)
}
