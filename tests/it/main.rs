//! The integration tests: each module proves one promise, through the real door.

mod net;
mod tidy;
