//! Promise: no metric or label is used without a name in names.rs, and none stands there in vain.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// Returns the sources outside names.rs, without line comments.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "the sources are being read");
    found
}

fn read(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs")
            && !path.ends_with("telemetry/names.rs")
            && !path.ends_with("telemetry/names_tests.rs")
        {
            let text = fs::read_to_string(&path).expect("a source is text");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push((path.display().to_string(), code.collect::<Vec<_>>().join("\n")));
        }
    }
}

/// Returns the constants of names.rs with their values.
fn constants() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry/names.rs"));
    let text = text.expect("names.rs is there");
    let lines = text.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches("pub const ");
        let (name, rest) = line.split_once(" = \"").map(|(n, rest)| (n.trim_end_matches(": &str"), rest))?;
        let constant = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        constant.then(|| (name.to_owned(), rest.split('"').next().unwrap_or_default().to_owned()))
    });
    lines.collect()
}

fn mentions(code: &str, constant: &str) -> bool {
    let needle = format!("names::{constant}");
    code.match_indices(&needle).any(|(at, _)| {
        let next = code[at + needle.len()..].chars().next().unwrap_or(' ');
        !(next.is_ascii_alphanumeric() || next == '_')
    })
}

#[test]
fn every_constant_is_used() {
    let sources = sources();
    let constants = constants();
    assert!(constants.len() > ALL.len(), "metrics and labels were found");
    for (constant, _) in constants {
        let used = sources.iter().any(|(_, code)| mentions(code, &constant));
        assert!(used, "names::{constant} is used nowhere: use it or take it away");
    }
}

/// Returns the arguments of each call of a metrics macro in `code`.
fn calls(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for kind in ["counter!(", "gauge!(", "histogram!("] {
        for (at, _) in code.match_indices(kind) {
            let arguments = &code[at + kind.len()..];
            let mut depth = 1;
            let end = arguments.find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            found.push(&arguments[..end.unwrap_or(arguments.len())]);
        }
    }
    found
}

/// Whether the metric or a label of this call has its name in place.
fn named_in_place(arguments: &str) -> bool {
    arguments.trim_start().starts_with('"') || arguments.contains("\" =>") || arguments.contains("\"=>")
}

#[test]
fn no_metric_and_no_label_has_its_name_elsewhere() {
    let mut seen = 0;
    for (path, code) in sources() {
        for arguments in calls(&code) {
            seen += 1;
            assert!(!named_in_place(arguments), "{path}: give it a name in names.rs: {arguments}");
        }
    }
    assert!(seen > 10, "the calls are being found");
    for bad in [
        "counter!(\"a_total\")",
        "metrics::histogram!(\n    \"x\")",
        "gauge!(names::A, \"flag\" => f(x).y())",
    ] {
        assert!(calls(bad).into_iter().any(named_in_place), "{bad}");
    }
    assert!(!calls("gauge!(names::STREAMS).set(1)").into_iter().any(named_in_place));
}

#[test]
fn names_are_unique_snake_case_with_unit_and_description() {
    let mut seen = BTreeSet::new();
    for metric in ALL {
        let name = metric.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert!(name.starts_with("todoke_") || name.starts_with("process_"), "{name}");
        assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}: only counters end so");
        assert!(metric.help.trim().ends_with('.') && metric.help.len() > 15, "{name}: {}", metric.help);
        assert!(!metric.help.contains("  ") && !metric.help.contains('\n'), "{name}: {:?}", metric.help);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(!buckets.is_empty() && buckets.is_sorted(), "{name}: {buckets:?}");
            let units =
                ["_seconds", "_bytes", "_count", "_ratio", "_chunks", "_changes", "_records", "_calls"];
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}: which unit is it in?");
        }
        for label in metric.labels {
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}: {label}");
        }
    }
}

#[test]
fn labels_are_used_by_some_metric() {
    let listed: BTreeSet<&str> = ALL.iter().flat_map(|metric| metric.labels.iter().copied()).collect();
    let values: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    for (constant, value) in constants() {
        let known = values.contains(value.as_str()) || listed.contains(value.as_str());
        assert!(known, "{constant}: no metric has the label {value}");
    }
}
