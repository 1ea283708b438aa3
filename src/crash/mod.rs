//! A test can kill this process exactly where it matters; in a build for use nothing of this is left.
//!
//! Only in a build with debug assertions: `TEST_TODOKE_CRASH_AT=NAME[:N][=kill|stop|hang]` has the process
//! kill itself (SIGKILL), stop itself (SIGSTOP), or the thread wait for ever, when it passes the point of
//! that name for the N-th time. `TEST_TODOKE_CRASH_ONCE=FILE` must be set, too: the point makes that file,
//! and does nothing if it is there. So a whole system may inherit both: one process dies, once, and is back.

/// Names every point, in the order of a batch's way.
macro_rules! points {
    ($($(#[$meta:meta])* $point:ident = $name:literal,)*) => {
        /// Where a process can be made to die.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$meta])* $point,)*
        }

        impl Point {
            /// Every point with the name that stands for it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$point, $name),)*];
        }
    };
}

points! {
    /// Client: some households are on the disk, in the middle of the first pass.
    HouseholdsSpilled = "households-spilled",
    /// Client: the batch is in the journal, and nothing of it was sent.
    ClientBegun = "client-begun",
    /// Issuer: the batch is committed, and its sender does not know.
    BatchOpened = "batch-opened",
    /// Relay: some of a long stream was passed on.
    RelayMidStream = "relay-mid-stream",
    /// Issuer: in the transaction of a chunk, between its rows.
    ChunkHalfStored = "chunk-half-stored",
    /// Issuer: all rows of some chunks are written, and their COMMIT was not sent.
    ChunkUncommitted = "chunk-uncommitted",
    /// Issuer: a chunk is committed and not acknowledged.
    ChunkStored = "chunk-stored",
    /// Client: chunks were acknowledged.
    ChunkAcknowledged = "chunk-acknowledged",
    /// Issuer: some of the batch was re-read for its seal.
    SealReading = "seal-reading",
    /// Issuer: the seal is committed, and nobody knows.
    BatchSealed = "batch-sealed",
    /// Worker: in the transaction that makes orders of a chunk, between its rows.
    ChunkHalfExploded = "chunk-half-exploded",
    /// Worker: the orders of a chunk are committed, and the next chunk's are not.
    ChunkExploded = "chunk-exploded",
    /// Worker: some of the orders were re-read for the acceptance.
    ReconcileReading = "reconcile-reading",
    /// Worker: in the transaction of the acceptance, before its receipt.
    HalfAccepted = "half-accepted",
    /// Worker: acceptance and receipt are committed, and nobody knows.
    BatchAccepted = "batch-accepted",
    /// Client: the receipt came and is nowhere but in its memory.
    ReceiptCame = "receipt-came",
    /// Client: the receipt is written, and the journal does not say so.
    ReceiptWritten = "receipt-written",
    /// Rotation of the key: the next page of data keys was not read.
    RotationPage = "rotation-page",
    /// Copy of a database: some rows of a table were read, and the rest of them were not.
    CopyPage = "copy-page",
}

#[cfg(debug_assertions)]
mod armed;

#[cfg(debug_assertions)]
pub use armed::{arm, point, syncs_seldom};

/// Nothing.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
pub fn arm() -> Result<(), String> {
    Ok(())
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: Point) {}

/// Never.
#[cfg(not(debug_assertions))]
#[must_use]
#[inline(always)]
pub const fn syncs_seldom() -> bool {
    false
}
