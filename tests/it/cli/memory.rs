//! Promise: a process gives memory back that was free for 10 ms, unless the environment says otherwise.

use super::todoke;

/// What mimalloc last said of its wait.
fn purge_delay(told: Option<&str>) -> String {
    let mut command = todoke(&["--version"]);
    command.env("MIMALLOC_VERBOSE", "1").env_remove("MIMALLOC_PURGE_DELAY");
    if let Some(told) = told {
        command.env("MIMALLOC_PURGE_DELAY", told);
    }
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().rfind(|line| line.contains("purge_delay")).expect("it says its options");
    line.trim().to_owned()
}

#[test]
fn free_memory_is_kept_for_10_ms_unless_told_otherwise() {
    assert_eq!(purge_delay(None), "option 'purge_delay': 10");
    assert_eq!(purge_delay(Some("500")), "option 'purge_delay': 500");
}
