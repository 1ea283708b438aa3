//! A process ends with one of these codes and no other, so that scripts and service managers can tell.

/// Done and proved.
pub const DONE: u8 = 0;
/// Failed; the last line says why.
pub const FAILED: u8 = 1;
/// Wrong usage: the command line is not understood.
pub const USAGE: u8 = 2;
/// Records are missing: the ranges and districts were printed.
pub const GAPS: u8 = 3;
/// Totals disagree, or shelves do not fit: a human must compare.
pub const TOTALS: u8 = 4;
/// Bad configuration.
pub const CONFIG: u8 = 64;
/// Nothing is wrong with the data: try again later.
pub const TRY_AGAIN: u8 = 75;
