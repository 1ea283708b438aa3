//! The one binary; each role is a sub-command.

fn main() {}
