//! What one server bears, in one place; every number has a reason.

use std::time::Duration;

/// Limits of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections, handshakes included; default 512, so that descriptors are left for the database
    /// under the usual limit of 1,024. One more is closed at once.
    pub connections_max: usize,
    /// Most connections of one identity; default 64. One more is closed after its handshake.
    pub connections_per_identity_max: usize,
    /// Most handshakes that are worked on at a time, once the client's hello is there; default 64. More wait,
    /// within their time.
    pub handshakes_max: usize,
    /// Longest time from accept to the end of the handshake; default 5 s.
    pub handshake: Duration,
    /// Most calls in flight on one connection; default 200. One more waits at the client.
    pub streams_max: u32,
    /// Bytes that may be on their way in one call; default 1 MiB.
    pub stream_window_bytes: u32,
    /// Bytes that may be on their way on one connection; default 16 MiB.
    pub connection_window_bytes: u32,
    /// Bytes that may wait to be sent in one call, whatever its peer lets come; default 1 MiB. A message that
    /// begins below it is taken whole.
    pub send_buffer_bytes_max: usize,
    /// Most bytes of all headers of a call, as HTTP/2 counts them; default 16 KiB. More is answered with
    /// `LIMIT_EXCEEDED`, and more than four times as much with a bare 431.
    pub header_list_bytes_max: u32,
    /// Most calls that a peer cancelled before they were even looked at; default 1,024, as a relay passes on
    /// what many callers cancel at a time. One more ends the connection.
    pub pending_resets_max: usize,
    /// Most times that a peer breaks the protocol of a call, counted from the beginning of its connection;
    /// default 1,024. One more ends the connection, unless it is a relay's, on which are the calls of many.
    pub error_resets_max: usize,
    /// How long a silent connection is left before it is asked whether it lives; default 20 s.
    pub keep_alive_every: Duration,
    /// How long the answer to that may take; default 10 s.
    pub keep_alive_answer: Duration,
    /// How old a connection gets before the peer is asked to make a new one, up to a tenth more so that not
    /// all come at a time; default 30 min. It bounds for how long a certificate works beyond its end.
    pub age_max: Duration,
    /// How long calls in flight get after that; default 5 min.
    pub age_grace: Duration,
    /// How long calls in flight get when the server stops; default 10 s.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_identity_max: 64,
            handshakes_max: 64,
            handshake: Duration::from_secs(5),
            streams_max: 200,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 16 << 20,
            send_buffer_bytes_max: 1 << 20,
            header_list_bytes_max: 16 << 10,
            pending_resets_max: 1_024,
            error_resets_max: 1_024,
            keep_alive_every: Duration::from_secs(20),
            keep_alive_answer: Duration::from_secs(10),
            age_max: Duration::from_secs(30 * 60),
            age_grace: Duration::from_secs(5 * 60),
            drain: Duration::from_secs(10),
        }
    }
}
