//! What a shard counts while it carries calls: plain atomics of its own, moved into the metrics once a
//! second.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    telemetry::names,
    wire::fault::{Fault, Reason},
};

use super::refusal::Limit;

/// The names of the gRPC codes, by number; the last one stands for an answer without a status.
const CODES: [&str; 18] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "MISSING",
];

/// Upper bounds of the latency classes in microseconds; one more class lies above.
const LATENCY_US: [u64; 20] = [
    100, 200, 300, 500, 750, 1_000, 1_500, 2_500, 5_000, 7_500, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Latency classes.
pub(super) const CLASSES: usize = LATENCY_US.len() + 1;

/// Something that is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A client broke a call off.
    ClientReset,
    /// A call was sent again, to another connection.
    Resent,
    /// A client sent an identity header of ours, which was taken out.
    Stripped,
    /// An answer waited too long for its caller, or too many did, or a connection took nothing for so long.
    Unread,
    /// TLS or HTTP/2 did not come about.
    HandshakeFailed,
    /// A client had as many connections as it may have.
    ConnectionRefused,
    /// A connection did not answer its ping.
    PeerDead,
    /// An issuer did not answer its ping soon: new calls go to others.
    UpstreamSilent,
    /// The certificate of a client or an issuer was revoked, or ran out, while it was connected.
    PeerRevoked,
}

impl Event {
    const ALL: [Event; 9] = [
        Event::ClientReset,
        Event::Resent,
        Event::Stripped,
        Event::Unread,
        Event::HandshakeFailed,
        Event::ConnectionRefused,
        Event::PeerDead,
        Event::UpstreamSilent,
        Event::PeerRevoked,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Event::ClientReset => "client_reset",
            Event::Resent => "resent",
            Event::Stripped => "header_stripped",
            Event::Unread => "answer_unread",
            Event::HandshakeFailed => "handshake_failed",
            Event::ConnectionRefused => "connection_refused",
            Event::PeerDead => "peer_dead",
            Event::UpstreamSilent => "upstream_silent",
            Event::PeerRevoked => "peer_revoked",
        }
    }
}

/// The counts of one shard. Only its thread writes them.
pub(super) struct Stats {
    calls: [AtomicU64; CODES.len()],
    latency: [AtomicU64; CLASSES],
    events: [AtomicU64; Event::ALL.len()],
    /// By reason, of what no limit was to blame for.
    refusals: Vec<AtomicU64>,
    /// By limit, each of which has one reason.
    limits: [AtomicU64; Limit::ALL.len()],
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    connections: AtomicI64,
}

impl Stats {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            calls: std::array::from_fn(|_| zero()),
            latency: std::array::from_fn(|_| zero()),
            events: std::array::from_fn(|_| zero()),
            refusals: Reason::ALL.iter().map(|_| zero()).collect(),
            limits: std::array::from_fn(|_| zero()),
            bytes_up: zero(),
            bytes_down: zero(),
            connections: AtomicI64::new(0),
        }
    }

    /// A call ended with this status, as the client saw it.
    pub(super) fn end(&self, status: Option<u8>, bytes_up: u64, bytes_down: u64) {
        let code = status.map_or(CODES.len() - 1, usize::from).min(CODES.len() - 1);
        self.calls[code].fetch_add(1, Relaxed);
        self.bytes_up.fetch_add(bytes_up, Relaxed);
        self.bytes_down.fetch_add(bytes_down, Relaxed);
    }

    /// An issuer began to answer after this time.
    pub(super) fn answered(&self, after: Duration) {
        let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.latency[LATENCY_US.partition_point(|bound| *bound < us)].fetch_add(1, Relaxed);
    }

    /// The relay itself refused a call.
    pub(super) fn refused(&self, fault: &Fault) {
        let counter = match Limit::of(fault) {
            Some(limit) => &self.limits[limit as usize],
            None => &self.refusals[fault.reason as usize],
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn event(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }

    /// Every counter with what it counts, in the same order each time.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let calls = self.calls.iter().zip(CODES).map(|(n, code)| ("calls", code, n));
        let refusals = self.refusals.iter().zip(Reason::ALL);
        let refusals = refusals.map(|(n, reason)| ("refused", reason.as_str(), n));
        let limits = self.limits.iter().zip(Limit::ALL).map(|(n, limit)| ("limited", limit.as_str(), n));
        let events = self.events.iter().zip(Event::ALL).map(|(n, event)| ("events", event.as_str(), n));
        let bytes = [("bytes", "up", &self.bytes_up), ("bytes", "down", &self.bytes_down)];
        let all = calls.chain(refusals).chain(limits).chain(events).chain(bytes);
        all.map(|(what, which, n)| (what, which, n.load(Relaxed)))
    }

    /// How many answers began within the bounds of each latency class.
    pub(super) fn answers(&self) -> impl Iterator<Item = u64> {
        self.latency.iter().map(|n| n.load(Relaxed))
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

/// Moves what shards counted into the metrics.
#[derive(Default)]
pub(super) struct Reporter {
    last: Vec<Vec<u64>>,
}

impl Reporter {
    /// Adds to the metrics what was counted since the last time. `shards` come in the same order each time.
    pub(super) fn report<'a>(&mut self, shards: impl Iterator<Item = &'a Stats>) {
        let mut connections = 0;
        for (at, stats) in shards.enumerate() {
            if self.last.len() <= at {
                self.last.push(Vec::new());
            }
            let last = &mut self.last[at];
            let mut seen = 0;
            let mut delta = |counter: &AtomicU64| {
                let now = counter.load(Relaxed);
                if last.len() <= seen {
                    last.push(0);
                }
                let delta = now - std::mem::replace(&mut last[seen], now);
                seen += 1;
                delta
            };
            for (counter, code) in stats.calls.iter().zip(CODES) {
                count(delta(counter), || metrics::counter!(names::RELAY_CALLS, names::CODE => code));
            }
            for (counter, reason) in stats.refusals.iter().zip(Reason::ALL) {
                count(delta(counter), || refusals(*reason, None));
            }
            for (counter, limit) in stats.limits.iter().zip(Limit::ALL) {
                count(delta(counter), || refusals(limit.reason(), Some(limit)));
            }
            for (counter, event) in stats.events.iter().zip(Event::ALL) {
                let label = event.as_str();
                count(delta(counter), || metrics::counter!(names::RELAY_EVENTS, names::EVENT => label));
            }
            for (counter, way) in [(&stats.bytes_up, "up"), (&stats.bytes_down, "down")] {
                count(delta(counter), || metrics::counter!(names::RELAY_BYTES, names::DIRECTION => way));
            }
            for (class, counter) in stats.latency.iter().enumerate() {
                let n = usize::try_from(delta(counter)).unwrap_or(usize::MAX);
                if n > 0 {
                    metrics::histogram!(names::RELAY_ANSWER_SECONDS).record_many(middle(class), n);
                }
            }
            connections += stats.connections.load(Relaxed);
        }
        metrics::gauge!(names::RELAY_CONNECTIONS).set(connections as f64);
    }
}

fn count(delta: u64, counter: impl FnOnce() -> metrics::Counter) {
    if delta > 0 {
        counter().increment(delta);
    }
}

fn refusals(reason: Reason, limit: Option<Limit>) -> metrics::Counter {
    let (reason, limit) = (reason.as_str(), limit.map_or("none", Limit::as_str));
    metrics::counter!(names::RELAY_REFUSALS, names::REASON => reason, names::LIMIT => limit)
}

/// The time in µs within which this share of the answers began; of those above the last bound, that bound.
pub(super) fn within_us(answers: &[u64; CLASSES], share: f64) -> Option<u64> {
    let wanted = (answers.iter().sum::<u64>() as f64 * share).ceil() as u64;
    let mut sum = 0;
    let class = answers.iter().position(|n| {
        sum += n;
        *n > 0 && sum >= wanted
    });
    class.map(|class| LATENCY_US[class.min(LATENCY_US.len() - 1)])
}

/// The middle of a latency class, in seconds: what a call of the class is taken to have needed.
fn middle(class: usize) -> f64 {
    let below = class.checked_sub(1).map_or(0, |at| LATENCY_US[at]);
    let above = LATENCY_US.get(class).copied().unwrap_or(2 * LATENCY_US[LATENCY_US.len() - 1]);
    (below + above) as f64 / 2e6
}

#[cfg(test)]
mod tests {
    use super::{super::refusal::Refusal, *};

    #[test]
    fn every_code_and_no_code_has_its_place() {
        let stats = Stats::new();
        for status in [Some(0), Some(16), Some(17), Some(255), None] {
            stats.end(status, 2, 3);
        }
        assert_eq!(stats.calls[0].load(Relaxed), 1);
        assert_eq!(stats.calls[16].load(Relaxed), 1);
        assert_eq!(stats.calls[17].load(Relaxed), 3);
        assert_eq!(stats.bytes_down.load(Relaxed), 15);
    }

    #[test]
    fn a_latency_falls_into_the_class_between_its_bounds_and_counts_as_the_middle_of_both() {
        let class_of = |us| {
            let stats = Stats::new();
            stats.answered(Duration::from_micros(us));
            stats.latency.iter().position(|n| n.load(Relaxed) == 1).expect("one class")
        };
        let mut below = 0;
        for (class, bound) in LATENCY_US.into_iter().enumerate() {
            assert_eq!((class_of(below + 1), class_of(bound)), (class, class), "up to {bound} µs");
            let us = (middle(class) * 1e6).round() as u64;
            assert_eq!(us, (below + bound) / 2, "class {class}");
            below = bound;
        }
        assert_eq!((class_of(0), class_of(below + 1), class_of(u64::MAX)), (0, 20, 20));
        assert!(middle(20) > middle(19));
    }

    #[test]
    fn a_share_of_answers_began_within_the_bound_of_its_class() {
        let mut answers = [0; CLASSES];
        assert_eq!(within_us(&answers, 0.5), None, "there were none");
        answers[3] = 98;
        answers[10] = 1;
        answers[CLASSES - 1] = 1;
        let within = [0.0, 0.5, 0.98, 0.99, 1.0].map(|share| within_us(&answers, share));
        assert_eq!(within, [500, 500, 500, 10_000, 10_000_000].map(Some));
    }

    #[test]
    fn every_counter_is_told_under_its_own_name() {
        let stats = Stats::new();
        stats.end(Some(14), 2, 3);
        stats.refused(&Fault::new(Reason::UpstreamUnavailable, "no limit"));
        stats.refused(&Refusal { limit: Limit::AllCalls, lane: None, max: 1, wait: Duration::ZERO }.fault());
        stats.event(Event::PeerDead);
        let counted: Vec<_> = stats.counters().filter(|(_, _, n)| *n > 0).collect();
        let wanted = [
            ("calls", "UNAVAILABLE", 1),
            ("refused", "UPSTREAM_UNAVAILABLE", 1),
            ("limited", "all_calls", 1),
            ("events", "peer_dead", 1),
            ("bytes", "up", 2),
            ("bytes", "down", 3),
        ];
        assert_eq!(counted, wanted);
    }

    #[test]
    fn a_refusal_is_counted_once_under_its_limit_or_else_under_its_reason() {
        let stats = Stats::new();
        let refusal = Refusal { limit: Limit::AllCalls, lane: None, max: 1, wait: Duration::ZERO };
        stats.refused(&refusal.fault());
        stats.refused(&Fault::new(Reason::UpstreamUnavailable, "no limit"));
        assert_eq!(stats.limits[Limit::AllCalls as usize].load(Relaxed), 1);
        assert_eq!(stats.refusals[Reason::UpstreamUnavailable as usize].load(Relaxed), 1);
        let sum = |counters: &[AtomicU64]| counters.iter().map(|n| n.load(Relaxed)).sum::<u64>();
        assert_eq!((sum(&stats.limits), sum(&stats.refusals)), (1, 1));
    }

    #[test]
    fn events_stand_in_the_order_of_their_numbers() {
        for (at, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, at);
        }
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
