//! Every limit and patience of a relay, each with a default that works.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The largest window that HTTP/2 knows.
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// The calls that an issuer takes over one connection.
const ISSUER_CALLS: usize = 512;

/// The most threads that carry calls.
const SHARDS_MAX: usize = 1_024;

/// Limits and patience of a relay.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// The relay's own name, which stands in logs. Default: the name in its certificate.
    pub name: String,
    /// Addresses of the issuers, `host:port`; at least one.
    pub upstreams: Vec<String>,
    /// Threads that carry calls, each with its own connection to each issuer; at most 1,024. Default: the
    /// number of cores.
    pub shards: usize,

    /// Calls of one caller in flight; one more is refused with TENANT_RATE_LIMIT. Of these 15 % are kept for
    /// counter activation, 15 % for counter look-up, 10 % for pre-issuance, 50 % for imports and 10 % for
    /// reports; a lane may use what those below leave, and one call more is refused with TERMINAL_LIMIT.
    /// Default 128.
    pub caller_calls_max: u32,
    /// Calls that one caller may start in a second, on average. Default 500.
    pub caller_rate: u32,
    /// Calls that one caller may start at once after a pause; of these, too, a lane leaves those above what
    /// is kept for them. Default 1,000.
    pub caller_burst: u32,
    /// Calls that one caller may break off in a second, on average; beyond it new ones are refused.
    /// Default 100.
    pub caller_reset_rate: u32,
    /// Calls that one caller may break off at once. Default 500.
    pub caller_reset_burst: u32,
    /// How long an answer may wait for its caller to read on before that counts. Default 1 s.
    pub reader_grace: Duration,
    /// Answers of one caller that wait for longer than that; one more is broken off. Default 8.
    pub caller_unread_max: u32,
    /// Longest time that an answer waits after that, and that a connection takes nothing of what waits for
    /// it. Default 60 s.
    pub reader_patience: Duration,
    /// Connections of one caller. Default 64.
    pub caller_connections_max: u32,

    /// Calls of all callers in flight; one more is refused with LANE_FULL. Of these, or of what the issuers
    /// take if that is less, 25 % are kept for counter activation, 25 % for counter look-up, 15 % for
    /// pre-issuance, 25 % for imports and 10 % for reports; a lane may use what those below leave. Default
    /// 4,096.
    pub calls_max: usize,
    /// Streams that a client may have open on one connection. Default 200.
    pub streams_max: u32,
    /// Connections of all callers; one more is closed. Default 8,192.
    pub connections_max: usize,
    /// Bytes of one request's headers. Default 16 KiB.
    pub header_bytes_max: u32,
    /// Longest time from a connection to its first HTTP/2 byte. Default 5 s.
    pub handshake: Duration,
    /// Age at which a client is asked to connect anew, ± 10 %. Default 5 min.
    pub connection_age: Duration,
    /// How long a silent connection of a client is left before it is asked whether it lives. Default 10 s.
    pub keep_alive_every: Duration,
    /// How long the answer to that may take. Default 5 s.
    pub keep_alive_answer: Duration,

    /// Bytes that a client may send on one stream before they are taken further: a relay holds as many for
    /// each upload while its issuer is busy. Default 256 KiB.
    pub stream_window: u32,
    /// The same for all streams of one connection of a client. Default 4 MiB.
    pub connection_window: u32,
    /// Bytes that an issuer may send on one stream before they are taken further. Default 64 KiB, which
    /// is enough between neighbours. A connection to an issuer gets this for each of its calls, so that
    /// no answer ever waits behind those that others do not read.
    pub answer_window: u32,

    /// Calls in flight over one connection to an issuer. Default 1,024, or less if the issuer says so.
    pub upstream_calls_max: u32,
    /// Longest time that a call waits for a connection to an issuer or for its turn on one. Default 1 s.
    pub upstream_wait: Duration,
    /// Longest time that connecting to an issuer may take, TLS included. Default 2 s.
    pub connect: Duration,
    /// How long a silent connection to an issuer is left before it is asked whether it lives. Default 500 ms:
    /// all callers wait for it.
    pub upstream_alive_every: Duration,
    /// How long the answer to that may take until new calls go to other issuers, if there are any that
    /// answer. Default 500 ms.
    pub upstream_alive_soon: Duration,
    /// How long it may take until the connection is given up, with the calls on it. Default 4 s.
    pub upstream_alive_answer: Duration,
    /// Shortest and longest pause between two attempts to connect. Default 50 ms and 2 s.
    pub reconnect: (Duration, Duration),
    /// How long no issuer may be reached before the relay says NOT_SERVING. Default 3 s.
    pub away_max: Duration,

    /// Whether it is a unit of its issuers' pool: it reports what it sees, and serves only while it holds
    /// their lease. Default true.
    pub pool: bool,
    /// The public key that leases, views and probes are signed by, as `pki/receipt.pub`; without one whatever
    /// an issuer says is believed. Default none.
    pub pool_key: Option<PathBuf>,
    /// `host:port` at which clients reach it, for the pool's view. Default: where it listens.
    pub advertise: Option<String>,
    /// The slot that the box stands in. Default: the relay's name.
    pub slot: Option<String>,
    /// The serial number of the box. Default empty: unknown.
    pub serial: String,
    /// The model of the box. Default empty: unknown.
    pub model: String,
    /// What runs on it. Default `todoke` and its version.
    pub image: String,
    /// Where what the relay recorded is left in a file before it drains. Default nowhere.
    pub bundle_dir: Option<PathBuf>,
    /// Bytes of such a file. Default 1 MiB.
    pub bundle_bytes_max: usize,
    /// How many of them are kept; the oldest goes for one more. Default 8.
    pub bundles_kept: u32,
    /// Whether it plays faults on an operator's order (`todoke pool drill`). Default false.
    pub drills: bool,
    /// Where the last signed view of the pool is kept, so that after a start there is one at once. Default
    /// nowhere.
    pub view_file: Option<PathBuf>,
    /// Where the pool's view is served by xDS without TLS, for clients on this machine: an address of
    /// loopback. Default nowhere.
    pub ads_listen: Option<SocketAddr>,
    /// Clients that learn the pool by xDS here at once. Default 2,048.
    pub ads_streams_max: usize,

    /// How long new connections are still served after the order to stop. Default 1 s.
    pub linger: Duration,
    /// How long calls in flight get at the end. Default 10 s.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            name: String::new(),
            upstreams: Vec::new(),
            shards: std::thread::available_parallelism().map_or(2, usize::from).min(SHARDS_MAX),
            caller_calls_max: 128,
            caller_rate: 500,
            caller_burst: 1_000,
            caller_reset_rate: 100,
            caller_reset_burst: 500,
            reader_grace: seconds(1),
            caller_unread_max: 8,
            reader_patience: seconds(60),
            caller_connections_max: 64,
            calls_max: 4_096,
            streams_max: 200,
            connections_max: 8_192,
            header_bytes_max: 16 * 1024,
            handshake: seconds(5),
            connection_age: seconds(300),
            keep_alive_every: seconds(10),
            keep_alive_answer: seconds(5),
            stream_window: 256 * 1024,
            connection_window: 4 << 20,
            answer_window: 64 * 1024,
            upstream_calls_max: 1_024,
            upstream_wait: seconds(1),
            connect: seconds(2),
            upstream_alive_every: Duration::from_millis(500),
            upstream_alive_soon: Duration::from_millis(500),
            upstream_alive_answer: seconds(4),
            reconnect: (Duration::from_millis(50), seconds(2)),
            away_max: seconds(3),
            pool: true,
            pool_key: None,
            advertise: None,
            slot: None,
            serial: String::new(),
            model: String::new(),
            image: concat!("todoke ", env!("CARGO_PKG_VERSION")).to_owned(),
            bundle_dir: None,
            bundle_bytes_max: 1 << 20,
            bundles_kept: 8,
            drills: false,
            view_file: None,
            ads_listen: None,
            ads_streams_max: 2_048,
            linger: seconds(1),
            drain: seconds(10),
        }
    }
}

impl Options {
    /// Bytes that may come from an issuer on one connection.
    pub(super) fn upstream_window(&self) -> u32 {
        self.answer_window.saturating_mul(self.upstream_calls_max).min(WINDOW_MAX)
    }

    /// How many calls the lanes have their shares of: no more than go to the issuers at once, or one lane
    /// could fill the connections.
    pub(super) fn lane_calls_max(&self) -> usize {
        let each = ISSUER_CALLS.min(self.upstream_calls_max as usize);
        self.calls_max.min(each.saturating_mul(self.shards).saturating_mul(self.upstreams.len()))
    }

    /// Says what is wrong with the options, all of it at once, each under its option's name.
    ///
    /// A limit of 0 is refused where options are read, as with every role: see `config`.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.upstreams.is_empty() {
            faults.push(("upstreams", "no issuer is named: pass --upstream host:port".to_owned()));
        }
        for address in &self.upstreams {
            if !address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            }) {
                faults.push(("upstreams", format!("{address} must be host:port")));
            }
        }
        if self.shards > SHARDS_MAX {
            let words =
                format!("is {} and must be 1 to {SHARDS_MAX}, as many as there are cores", self.shards);
            faults.push(("shards", words));
        }
        if self.ads_listen.is_some() && !self.pool {
            faults.push(("ads_listen", "has no view to serve, as relay.pool is false".to_owned()));
        }
        if self.reconnect.0 > self.reconnect.1 {
            faults.push(("reconnect", "the shortest pause is over the longest".to_owned()));
        }
        let bytes = self.bundle_bytes_max;
        if !(4_096..=64 << 20).contains(&bytes) {
            faults.push(("bundle_bytes_max", format!("is {bytes} and must be 4096 to 67108864 bytes")));
        }
        let windows = [
            ("stream_window", self.stream_window),
            ("connection_window", self.connection_window),
            ("answer_window", self.answer_window),
        ];
        faults.extend(
            windows
                .iter()
                .filter(|(_, n)| !(65_535..=WINDOW_MAX).contains(n))
                .map(|(name, n)| (*name, format!("is {n} and must be 65535 to 2147483647 bytes"))),
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_need_an_issuer_and_nothing_else() {
        let mut options = Options::default();
        assert_eq!(options.faults().len(), 1);
        options.upstreams.push("127.0.0.1:40301".to_owned());
        assert_eq!(options.faults(), []);
    }

    #[test]
    fn lanes_share_what_the_issuers_take_where_that_is_less() {
        let upstreams = vec!["127.0.0.1:40301".to_owned(), "127.0.0.1:40302".to_owned()];
        let options = Options { upstreams, shards: 2, ..Options::default() };
        assert_eq!(options.lane_calls_max(), 2_048);
        assert_eq!(Options { upstream_calls_max: 10, ..options.clone() }.lane_calls_max(), 40);
        assert_eq!(Options { calls_max: 100, ..options }.lane_calls_max(), 100);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let options = Options {
            upstreams: vec!["nowhere".to_owned(), ":1".to_owned(), "host:0".to_owned()],
            answer_window: 1,
            stream_window: 0,
            bundle_bytes_max: 4_095,
            shards: 1_025,
            reconnect: (Duration::from_secs(2), Duration::from_secs(1)),
            ..Options::default()
        };
        let faults = options.faults();
        let keys: Vec<&str> = faults.iter().map(|(key, _)| *key).collect();
        let of_windows = ["stream_window", "answer_window"];
        assert_eq!(
            keys,
            [&["upstreams"; 3][..], &["shards", "reconnect", "bundle_bytes_max"], &of_windows].concat(),
            "{faults:?}"
        );
        for (fault, wrong) in faults.iter().zip([
            "nowhere",
            ":1",
            "host:0",
            "is 1025 ",
            "the shortest",
            "is 4095 ",
            "is 0 ",
            "is 1 ",
        ]) {
            assert!(fault.1.contains(wrong), "{fault:?}");
        }
    }
}
