//! Promise: each scenario runs to its end against real processes and says all its figures; their size means
//! nothing here.

mod processes {
    use std::process::{Command, Stdio};

    use serde_json::Value;

    /// Runs a scenario with the todoke program of the same build; returns its lines by name.
    fn figures(arguments: &[&str]) -> Vec<(String, f64)> {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(arguments)
            .args(["--output", "json"])
            .stdin(Stdio::null())
            .output()
            .expect("it was built for this test");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "loadtest {arguments:?}: {stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let lines = report["lines"].as_array().expect("a list of lines");
        let line = |line: &Value| {
            let what = line["what"].as_str().expect("each line says what it is").to_owned();
            (what, line["median"].as_f64().expect("each line has a median"))
        };
        lines.iter().map(line).collect()
    }

    fn check(figures: &[(String, f64)], names: &[&str]) {
        for name in names {
            let found = figures.iter().find(|(what, _)| what == name);
            let (_, median) = found.unwrap_or_else(|| panic!("{name} is missing in {figures:?}"));
            assert!(*median > 0.0, "{name} is {median}");
        }
    }

    #[test]
    fn an_import_is_measured_beside_a_bulk_insert() {
        let figures = figures(&["import", "--records", "3000", "--cycles", "1"]);
        check(&figures, &["import", "bulk insert", "import / bulk insert", "CPU of the client"]);
        check(&figures, &["peak memory of the client", "peak memory of the issuer"]);
    }

    #[test]
    fn the_memory_of_each_process_is_said_at_both_sizes() {
        let figures = figures(&["memory", "--small", "300", "--large", "3000"]);
        check(&figures, &["the client, 300 records", "the client, 3000 records"]);
        check(&figures, &["the larger relay: large / small", "the issuer, 3000 records"]);
    }

    #[test]
    fn calls_are_measured_direct_and_through_the_relay() {
        let load =
            ["--callers", "16", "--rate", "200", "--issuer-rate", "50", "--cycles", "1", "--slice", "1"];
        let figures = figures(&[&["calls", "--without-haproxy"][..], &load].concat());
        check(&figures, &["echo direct: closed loop", "echo through the relay: CPU a call, closed"]);
        check(&figures, &["echo through the relay: open loop p99.9", "relay / direct: calls"]);
        check(&figures, &["GetBatch direct: open loop p50", "GetBatch through the relay: closed loop"]);
    }
}
