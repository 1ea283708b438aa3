//! Every limit and patience of the store, each with a default that works.

use std::time::Duration;

/// Where the database is and how patient the store is with it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StoreOptions {
    /// The database: `sqlite:FILE`. Required: the default is empty and opens nothing, as where records are
    /// kept is not to be guessed.
    pub url: String,
    /// Connections that read at once. Default 4.
    pub readers_max: u32,
    /// Longest wait for a connection, and so for one's turn to write. Default 20 s.
    pub acquire_max: Duration,
    /// How long one statement waits for a lock that a tool beside this process holds; a transaction is tried
    /// five times. Default 200 ms.
    pub busy_max: Duration,
    /// Cache of the connection that writes, which holds the trees of order ids and persons. Default 64 MiB.
    pub write_cache_bytes: u64,
    /// Cache of each connection that reads. Default 8 MiB.
    pub read_cache_bytes: u64,
    /// Pages of 4 KiB in the write-ahead log after which it is copied back. Default 20,000 (80 MB).
    pub checkpoint_pages: u32,
    /// Chunks of several senders that share one commit at most. Default 16.
    pub group_chunks_max: usize,
    /// Records whose persons are entered into the look-up together, sorted: more cost less, and make the
    /// commit that enters them longer. Default 65,536, which is 16 chunks.
    pub persons_together: u32,
    /// Checks the whole file for damage before opening it, which reads all of it. Default off.
    pub quick_check: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            readers_max: 4,
            acquire_max: Duration::from_secs(20),
            busy_max: Duration::from_millis(200),
            write_cache_bytes: 64 << 20,
            read_cache_bytes: 8 << 20,
            checkpoint_pages: 20_000,
            group_chunks_max: 16,
            persons_together: 65_536,
            quick_check: false,
        }
    }
}
