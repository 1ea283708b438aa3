//! Load scenarios and measurements for todoke, on loopback only.

fn main() {}
