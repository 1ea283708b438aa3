//! Promise: what takes long in the database is in the log by its name, with its time and no value, and is
//! counted; what does not is not.

use std::time::Duration;

use super::*;
use crate::telemetry::{Lines, names, prometheus};

/// A district that a log must not name.
const DISTRICT: &str = "白鳥";

/// Works a batch off with this limit, and returns what was logged at the finest level.
async fn logged(case: Case, slow_min: Duration) -> String {
    let _ = prometheus(); // counts from now on
    let case = case.reopened(|options| options.slow_min = slow_min).await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    case.accepted(1, &orders("K", 8)).await;
    case.row(1).await;
    lines.text()
}

fn counted() -> bool {
    let text = prometheus().render();
    text.lines().any(|line| line.starts_with(&format!("{}{{", names::STORE_SLOW)) && !line.ends_with(" 0"))
}

contract!(what_takes_long_is_named_in_the_log_without_any_value, |case| {
    let text = logged(case, Duration::ZERO).await;
    let said: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["fields"]["statement"].is_string())
        .collect();
    for name in ["open_batch", "put_chunks", "store_orders", "accept", "batch"] {
        let one = said.iter().find(|line| line["fields"]["statement"] == name);
        let one = one.unwrap_or_else(|| panic!("{name} is not in the log: {text}"));
        assert!(one["fields"]["elapsed_ms"].is_u64() && one["fields"]["outcome"] == "ok", "{one}");
        assert_eq!(one["level"], "WARN");
    }
    for value in [DISTRICT, "K-1", "sealed 1", "INSERT INTO"] {
        assert!(!text.contains(value), "{value} is in the log: {text}");
    }
    assert!(counted(), "each is counted");
});

contract!(what_does_not_take_long_is_not_in_the_log, |case| {
    let text = logged(case, Duration::from_secs(3600)).await;
    assert!(!text.contains("slow: `"), "{text}");
});
