//! Every limit and patience of the issuer, each with a default that works.

use std::{path::PathBuf, time::Duration};

use super::lanes;

/// Limits, windows and patience of the issuance service.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// The issuer's own name, which stands in leases and logs. Default `issuer-1`.
    pub name: String,
    /// The name that the relays' certificates carry, for clients that learn the pool by xDS. Default
    /// `todoke.internal`.
    pub relay_name: String,
    /// Clients that learn the pool by xDS at once. Default 2,048.
    pub ads_streams_max: usize,
    /// Longest message taken. Default 10 MiB: a chunk of 8 MiB or the chunk roots of a whole batch fit.
    pub message_bytes_max: usize,
    /// Longest time a call may take when its caller names no deadline. Default 60 s.
    pub call_deadline: Duration,
    /// How many calls are worked on at once, lane by lane.
    pub lanes: lanes::Options,
    /// Upload streams open at once. Default 128.
    pub streams_max: usize,
    /// Upload streams of one municipality open at once; one more is refused with TENANT_RATE_LIMIT. Default
    /// 16.
    pub caller_streams_max: usize,
    /// Frames of one stream in work at once. Default 16.
    pub frames_in_work_max: usize,
    /// Frames of all streams in work at once. Memory is bounded to 16 MiB times this, since a chunk and its
    /// sealed form are there together, and a frame more for each stream, which waits for its place. Default
    /// 64.
    pub frames_in_work_total_max: usize,
    /// Jobs that need a core at once. Default: the number of cores.
    pub cpu_jobs_max: usize,
    /// Longest silence of an uploader. Default 60 s.
    pub upload_idle: Duration,
    /// Longest time a durable chunk waits for its acknowledgement. Default 50 ms.
    pub ack_every: Duration,
    /// Most chunks that wait for an acknowledgement. Default 32.
    pub ack_chunks_max: u64,
    /// Seals that re-read their batch at once. Default 2.
    pub seals_max: usize,
    /// Seals of one municipality at once, with those that wait for their turn; one more is refused with
    /// TENANT_RATE_LIMIT. Default 1.
    pub caller_seals_max: usize,
    /// Longest wait for one's turn to seal. Default 20 s.
    pub seal_wait: Duration,
    /// Watchers at once. Default 1,024.
    pub watchers_max: usize,
    /// Watchers of one municipality at once; one more is refused with TENANT_RATE_LIMIT. Default 64.
    pub caller_watchers_max: usize,
    /// Shortest time between two messages to a watcher, but for the one that says the end. Default 100 ms.
    pub watch_pause: Duration,
    /// How often a watcher looks by itself, for changes that another issuer made. Default 1 s.
    pub watch_poll: Duration,
    /// Batches of one municipality open at once: neither accepted nor aborted. One more is refused with
    /// TOO_MANY_OPEN_BATCHES. Default 100.
    pub caller_open_batches_max: u32,
    /// How far the sequence of a new batch may be above the municipality's highest; one more is refused with
    /// MANIFEST_INVALID. Default 1,000.
    pub sequence_ahead_max: u64,
    /// How far away the moment may be by which a new batch promises to be sealed. Default 31 days.
    pub seal_by_max: Duration,
    /// Batches worked off at once by this issuer. Default 2.
    pub workers: usize,
    /// Records whose orders are stored in one transaction at most, unless a chunk has more. More cost less,
    /// and are held in memory three times, some 0.7 KiB each. On SQLite it is one chunk while small changes
    /// come, as each waits for the transaction before it. Default 8,192, which is 4 chunks.
    pub records_together: u32,
    /// How often an idle worker looks for work. Default 1 s.
    pub work_poll: Duration,
    /// How long a worker's lease lasts without being renewed. Default 10 s.
    pub lease: Duration,
    /// Shortest and longest wait before a failed piece of work is tried again. Default 1 s and 60 s.
    pub retry: (Duration, Duration),
    /// How often the sweeper looks at every open batch, no more seldom than every 30 s: whoever asks takes a
    /// minute without a look for a dead sweeper. Default 10 s.
    pub sweep_every: Duration,
    /// A heartbeat older than this makes the issuer not ready. Default 60 s.
    pub heartbeat_max: Duration,
    /// Least time without progress that counts as stalled. Default 60 s.
    pub stall_after: Duration,
    /// Longest time from seal to a final state. Default 5 min.
    pub stuck_after: Duration,
    /// Which municipality is expected to hand in a batch by when: CSV, `municipality,due,note`. It is read
    /// again when it was written. Default none.
    pub calendar_file: Option<PathBuf>,
    /// Public receipt keys of before, as they were published: receipts of theirs are compared as well.
    /// Default none.
    pub former_receipt_keys: Vec<PathBuf>,
    /// Wrong look-ups of one application ID within `lookup_id_window` that are answered, whether it exists or
    /// not; one more is refused with LOOKUPS_LIMITED. Default 5.
    pub lookup_id_misses_max: usize,
    /// How long a wrong look-up of an application ID counts. Default 1 day.
    pub lookup_id_window: Duration,
    /// Wrong look-ups of one municipality within `lookup_caller_window` that are answered; one more is
    /// refused with LOOKUPS_LIMITED. Default 30.
    pub lookup_caller_misses_max: usize,
    /// How long a wrong look-up of a municipality counts. Default 10 min.
    pub lookup_caller_window: Duration,
    /// Longest time that calls in flight get at the end. Default 10 s.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            name: "issuer-1".to_owned(),
            relay_name: "todoke.internal".to_owned(),
            ads_streams_max: 2_048,
            message_bytes_max: 10 * 1024 * 1024,
            call_deadline: seconds(60),
            lanes: lanes::Options::default(),
            streams_max: 128,
            caller_streams_max: 16,
            frames_in_work_max: 16,
            frames_in_work_total_max: 64,
            cpu_jobs_max: std::thread::available_parallelism().map_or(2, usize::from),
            upload_idle: seconds(60),
            ack_every: Duration::from_millis(50),
            ack_chunks_max: 32,
            seals_max: 2,
            caller_seals_max: 1,
            seal_wait: seconds(20),
            watchers_max: 1024,
            caller_watchers_max: 64,
            watch_pause: Duration::from_millis(100),
            watch_poll: seconds(1),
            caller_open_batches_max: 100,
            sequence_ahead_max: 1000,
            seal_by_max: seconds(31 * 86_400),
            workers: 2,
            records_together: 8192,
            work_poll: seconds(1),
            lease: seconds(10),
            retry: (seconds(1), seconds(60)),
            sweep_every: seconds(10),
            heartbeat_max: seconds(60),
            stall_after: seconds(60),
            stuck_after: seconds(300),
            calendar_file: None,
            former_receipt_keys: Vec::new(),
            lookup_id_misses_max: 5,
            lookup_id_window: seconds(86_400),
            lookup_caller_misses_max: 30,
            lookup_caller_window: seconds(600),
            drain: seconds(10),
        }
    }
}

/// A duration as whole milliseconds.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
