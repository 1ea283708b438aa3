//! What the recorder holds becomes lines of JSON within a limit, the calls in flight and the newest first,
//! and the last line says how many did not fit.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        open::Open,
        shard::{Shard, Shared},
    },
    Recorder,
};
use crate::telemetry::figures;

/// How the lines are to be read.
const FORMAT: u32 = 1;

/// Bytes that are kept free for the last line.
const END_BYTES: usize = 128;

/// Lines that fit.
struct Lines {
    bytes: Vec<u8>,
    max: usize,
    left_out: u64,
}

impl Lines {
    /// Adds a line if it fits below `max`.
    fn push_below(&mut self, max: usize, line: &Value) {
        let text = line.to_string();
        if self.bytes.len() + text.len() < max.min(self.max.saturating_sub(END_BYTES)) {
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.push(b'\n');
        } else {
            self.left_out += 1;
        }
    }

    fn push(&mut self, line: &Value) {
        self.push_below(self.max, line);
    }

    fn end(mut self) -> Vec<u8> {
        let end = json!({"event": "end", "left_out": self.left_out});
        self.bytes.extend_from_slice(format!("{end}\n").as_bytes());
        self.bytes
    }
}

/// Writes down what there is now.
pub(super) fn render(
    recorder: &Recorder,
    (shared, shards): (&Shared, &[Arc<Shard>]),
    (cause, why): (&str, &str),
    made_ms: i64,
    bytes_max: usize,
) -> Vec<u8> {
    let now = Instant::now();
    let ago = |at: Instant| i64::try_from((now - at).as_millis()).unwrap_or(i64::MAX);
    let at_ms = |at: Instant| made_ms.saturating_sub(ago(at));
    let mut lines = Lines { bytes: Vec::new(), max: bytes_max, left_out: 0 };
    lines.push(&json!({
        "event": "bundle",
        "format": FORMAT,
        "at_ms": made_ms,
        "name": shared.options.name,
        "cause": cause,
        "why": why,
        "version": env!("CARGO_PKG_VERSION"),
        "up_ms": ago(shared.started),
        "generation": shared.fence.generation(),
        "in_flight": shared.admission.in_flight(),
        "connections": shared.connections.load(std::sync::atomic::Ordering::Relaxed),
        "serving": *shared.serving.borrow(),
        "drill": shared.drill.now(),
        "threshold_ms": u64::try_from(shared.common.threshold().as_millis()).unwrap_or(u64::MAX),
        "upstreams": shared.options.upstreams,
        "process": figures(),
    }));
    calls(&mut lines, shared, shards, now);
    let kept = recorder.lock();
    for second in kept.seconds.iter().rev() {
        lines.push(&second.json(at_ms(second.at)));
    }
    for note in kept.notes.iter().rev() {
        lines.push(&json!({"event": note.what, "at_ms": at_ms(note.at), "words": note.words}));
    }
    for one in kept.connections.iter().rev() {
        let lasted_ms = one.lasted.map(|lasted| u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX));
        let event = if lasted_ms.is_some() { "disconnected" } else { "connected" };
        let (at_ms, caller) = (at_ms(one.at), one.whose.to_string());
        lines.push(&json!({"event": event, "at_ms": at_ms, "caller": caller, "lasted_ms": lasted_ms}));
    }
    drop(kept);
    lines.end()
}

/// The threads, and the calls in flight, the oldest first; they take half of the room at the most.
fn calls(lines: &mut Lines, shared: &Shared, shards: &[Arc<Shard>], now: Instant) {
    let mut all: Vec<(usize, Arc<Open>)> = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        let open = shard.bell().open();
        let links = shared.connected.borrow().get(index).copied();
        let event = json!({
            "event": "thread",
            "thread": index,
            "open_calls": open.len(),
            "upstream_connections": links,
        });
        lines.push(&event);
        all.extend(open.into_iter().map(|open| (index, open)));
    }
    all.sort_by_key(|(_, open)| open.started);
    let max = lines.max / 2;
    for (thread, open) in all {
        let age = now.saturating_duration_since(open.started);
        let event = json!({
            "event": "call",
            "thread": thread,
            "caller": open.whose.to_string(),
            "method": open.method(),
            "age_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            "at": open.at(),
        });
        lines.push_below(max, &event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_their_limit_and_the_last_says_what_is_missing() {
        for max in [128, 200, 1_000, 4_096] {
            let mut lines = Lines { bytes: Vec::new(), max, left_out: 0 };
            for n in 0..100 {
                lines.push_below(max / 2, &json!({"call": n}));
            }
            assert!(lines.bytes.len() <= max / 2);
            for n in 0..100 {
                lines.push(&json!({"event": n, "words": "検".repeat(n % 7)}));
            }
            let bytes = lines.end();
            assert!(bytes.len() <= max, "{} of {max}", bytes.len());
            let text = String::from_utf8(bytes).expect("UTF-8");
            let read: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
            let (last, others) = read.split_last().expect("the end");
            assert_eq!(last["left_out"], 200 - others.len());
        }
    }
}
