//! Promise: each scenario runs to its end against real processes and says all its figures; their size means
//! nothing here.

mod processes {
    use std::{
        io::{BufRead as _, BufReader},
        path::Path,
        process::{Command, Stdio},
    };

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
    fn an_import_into_postgres_is_measured_beside_a_copy_of_the_same_rows() {
        let small = ["--records", "600", "--files", "2", "--cycles", "1"];
        let figures = figures(&[&["import", "--database", "postgres"][..], &small].concat());
        check(&figures, &["import", "\\copy of the same rows", "import / \\copy of the same rows"]);
        check(&figures, &["import / \\copy of the orders alone", "busy by all of these"]);
        check(&figures, &["CPU of the client", "CPU of PostgreSQL"]);
    }

    #[test]
    fn look_ups_are_measured_at_each_size_on_both_databases() {
        for database in ["sqlite", "postgres"] {
            let small = ["--rows", "300", "--rows", "12000", "--cycles", "1", "--slice", "1"];
            let figures = figures(&[&["look-ups", "--database", database][..], &small].concat());
            for kind in ["by order id", "by person", "a page of 100"] {
                check(&figures, &[&format!("{kind}, 300 orders"), &format!("{kind}, 12000 orders: p99")]);
                check(&figures, &[&format!("{kind}, 12000 / 300: p50")]);
            }
        }
    }

    #[test]
    fn small_mutations_are_measured_one_a_transaction_and_grouped() {
        let small = ["--callers", "4", "--connections", "2", "--cycles", "1", "--slice", "1"];
        let figures = figures(&[&["mutations"][..], &small].concat());
        check(&figures, &["a chunk of one record: grouped / one connection"]);
        check(&figures, &["opening a batch: all connections / one connection"]);
        check(&figures, &["a card's change: grouped / one connection"]);
        check(
            &figures,
            &["a card's change, grouped: CPU of PostgreSQL", "a whole chunk, one caller, grouped: p50"],
        );
    }

    #[test]
    fn calls_of_the_counter_are_measured_alone_and_beside_an_import_on_both_databases() {
        for database in ["sqlite", "postgres"] {
            let small = ["--records", "3000", "--rate", "50", "--terminals", "5", "--alone", "1"];
            let more = ["--cycles", "1", "--lists", "1", "--database", database];
            let figures = figures(&[&["counter"][..], &small, &more].concat());
            for when in ["alone", "beside an import and lists"] {
                check(&figures, &[&format!("{when}: p50"), &format!("{when}: HandOver: p99")]);
            }
            check(&figures, &["alone: p99.9", "the import meanwhile", "the lists meanwhile"]);
            let full = figures.iter().find(|(what, _)| what == "alone: LANE_FULL in counter_activation");
            assert_eq!(full.map(|(_, calls)| *calls), Some(0.0), "{figures:?}");
        }
    }

    #[test]
    fn activations_are_measured_beside_an_import() {
        let small = ["--records", "3000", "--rate", "30", "--terminals", "5", "--alone", "1"];
        let small = [&small[..], &["--lists", "1", "--cards", "100", "--cycles", "1"]].concat();
        let figures = figures(&[&["counter", "--visits", "activation"][..], &small].concat());
        check(&figures, &["alone: BeginActivation: p99", "beside an import and lists: AbortActivation: p99"]);
        let full = "beside an import and lists: LANE_FULL in counter_activation";
        let full = figures.iter().find(|(what, _)| what == full);
        assert_eq!(full.map(|(_, calls)| *calls), Some(0.0), "{figures:?}");
    }

    #[test]
    fn the_memory_of_each_process_is_said_at_both_sizes() {
        let figures = figures(&["memory", "--small", "300", "--large", "3000"]);
        check(&figures, &["the client, 300 records", "the client, 3000 records"]);
        check(&figures, &["the larger relay: large / small", "the issuer, 3000 records"]);
    }

    #[test]
    fn a_sick_unit_is_seen_by_its_callers() {
        let small = ["--fault", "hang", "--rate", "40", "--well", "1", "--sick", "3"];
        let figures = figures(&[&["sick-unit"][..], &small].concat());
        check(&figures, &["hang: p99.9", "hang: longest", "hang: sent to the unit"]);
        check(&figures, &["hang: sent twice"]); // what hung, and was answered elsewhere
        let failed = figures.iter().find(|(what, _)| what == "hang: failed");
        assert_eq!(failed.map(|(_, calls)| *calls), Some(0.0), "another unit answers: {figures:?}");
    }

    #[test]
    fn a_pool_in_which_all_is_well_loses_nobody_and_says_what_its_probes_cost() {
        let small = ["--seconds", "10", "--rate", "20", "--records", "500", "--relays", "2"];
        let figures = figures(&[&["well"][..], &small, &["--cycles", "2", "--slice", "2"]].concat());
        check(&figures, &["calls", "imports with a verified receipt", "a relay, idle, probed"]);
        check(&figures, &["a relay under load", "the issuer under load"]);
        for name in ["evicted", "calls that failed"] {
            let found = figures.iter().find(|(what, _)| what == name);
            assert_eq!(found.map(|(_, count)| *count), Some(0.0), "{name}: {figures:?}");
        }
    }

    #[test]
    fn an_interrupted_run_leaves_neither_processes_nor_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["calls", "--without-haproxy", "--callers", "16", "--rate", "200", "--slice", "1"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built for this test");
        let mut lines = BufReader::new(run.stderr.take().expect("it was asked for")).lines();
        let first = lines.next().expect("a line").expect("UTF-8");
        assert!(first.starts_with("cycle 1 of 11"), "{first}");
        let relays = children(run.id());
        assert_eq!(relays.len(), 1, "the relay before the backend");
        let asked = Command::new("sh").args(["-c", "kill -TERM $0", &run.id().to_string()]).status();
        assert!(asked.expect("a shell").success());
        assert_eq!(run.wait().expect("it ends").code(), Some(1));
        let rest: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
        assert_eq!(rest.last().map(String::as_str), Some("error: interrupted"), "{rest:?}");
        assert!(!Path::new(&format!("/proc/{}", relays[0])).exists(), "the relay is gone");
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
    }

    /// The processes that one has started: the fourth field of each one's `stat` says who.
    fn children(parent: u32) -> Vec<u32> {
        let pids = std::fs::read_dir("/proc").expect("it is there").filter_map(|entry| {
            entry.expect("an entry").file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        });
        let is_ours = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let behind_the_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            behind_the_name.split(' ').nth(1) == Some(parent.to_string().as_str())
        };
        pids.filter(is_ours).collect()
    }

    #[test]
    fn a_relay_that_is_judged_is_measured_beside_one_that_is_not() {
        let load =
            ["--callers", "16", "--rate", "200", "--issuer-rate", "50", "--cycles", "1", "--slice", "1"];
        let figures = figures(&[&["judgement", "--idle", "2"][..], &load].concat());
        for backend in ["echo", "GetBatch"] {
            for what in ["calls", "CPU a call, closed", "CPU a call, open", "p50, open", "p99, open"] {
                check(&figures, &[&format!("{backend}, judged / not judged: {what}")]);
            }
        }
        check(&figures, &["echo, not judged: closed loop", "GetBatch, not judged: closed loop"]);
        for name in ["echo, judged: the relay, idle", "echo, not judged: the relay, idle"] {
            assert!(figures.iter().any(|(what, _)| what == name), "{name}: {figures:?}");
        }
    }

    #[test]
    fn calls_are_measured_direct_and_through_the_relay() {
        let load =
            ["--callers", "16", "--rate", "200", "--issuer-rate", "50", "--cycles", "1", "--slice", "1"];
        let todoke = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("todoke");
        let other = ["--other", todoke.to_str().expect("UTF-8"), "--database", "postgres"];
        let figures = figures(&[&["calls", "--without-haproxy"][..], &other, &load].concat());
        check(&figures, &["echo direct: closed loop", "echo through the relay: CPU a call, closed"]);
        check(&figures, &["echo through the other relay: closed loop", "relay / the other relay: calls"]);
        check(&figures, &["echo through the relay: open loop p99.9", "relay / direct: calls"]);
        check(&figures, &["GetBatch direct: open loop p50", "GetBatch through the relay: closed loop"]);
    }
}
