//! Promise: personal data of a scenario with everything that goes wrong, logged at the finest level, is
//! nowhere in clear: in no log, metric, output, journal, receipt, proof, bundle of a relay, database file or
//! configuration, in none of the forms that bytes are written in. The input file has it, and the answer to
//! GetCard with a purpose.

mod forms;
mod memory;
mod scenario;

use std::path::{Path, PathBuf};

use forms::Net;
use scenario::Scenario;
use todoke::{
    runtime::blocking,
    store::throwaway::{Care, Throwaway},
};

/// Everything below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// What is found in the files of a folder, but for the input files.
fn leaks(net: &Net, folder: &Path, inputs: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder).iter().filter(|path| !inputs.contains(path)) {
        let bytes = std::fs::read(path).expect("it is ours");
        found.extend(net.found_in(&path.display().to_string(), &bytes));
    }
    found
}

#[tokio::test]
async fn personal_data_is_nowhere_in_clear_whatever_goes_wrong() {
    nothing_is_in_clear(scenario::play(None).await, &Net::default());
}

/// The server logs every statement, without what was bound, as deploy/README.md has it.
const LOGS_ALL: &str = "log_min_duration_statement = 0\nlog_parameter_max_length = 0\n";

#[tokio::test]
async fn personal_data_is_nowhere_in_clear_on_a_server_nor_in_its_log() {
    let server = blocking(|| Throwaway::start_with(Care::Durable, LOGS_ALL)).await.expect("it starts");
    server.create("todoke").await.expect("it is made");
    let net = Net::default();
    nothing_is_in_clear(scenario::play(Some(&server.url("todoke"))).await, &net);
    let log = std::fs::read_to_string(server.folder().join("log")).expect("it logs");
    assert!(log.contains("INSERT INTO card_order"), "every statement is in it: {log}");
    let (mut found, mut bytes) = (Vec::new(), 0);
    for path in files(server.folder()).iter().filter(|path| path.is_file()) {
        let Ok(content) = std::fs::read(path) else { continue }; // it was removed meanwhile
        bytes += content.len();
        found.extend(net.found_in(&path.display().to_string(), &content));
    }
    assert!(found.is_empty() && bytes > 10_000_000, "personal data in clear:\n{}", found.join("\n"));
}

fn nothing_is_in_clear(scenario: Scenario, net: &Net) {
    for input in &scenario.inputs {
        let bytes = std::fs::read(input).expect("it is ours");
        let found = net.found_in("input", &bytes);
        let caught = |text: &&str| found.iter().any(|one| one.contains(&format!(": {text} as ")));
        let missed: Vec<&str> = forms::TEXTS.into_iter().filter(|text| !caught(text)).collect();
        let clean = missed == [forms::WRONG_NUMBER]; // a file without rejects
        assert!(missed.is_empty() || clean, "the net misses {missed:?} in {}: {found:?}", input.display());
    }
    for (name, shown) in &scenario.with_purpose {
        assert!(!net.found_in(name, shown.as_bytes()).is_empty(), "{name} shows personal data: {shown}");
    }
    let mut found = leaks(net, scenario.folder.path("").as_path(), &scenario.inputs);
    for (name, shown) in &scenario.outputs {
        found.extend(net.found_in(name, shown.as_bytes()));
    }
    found.extend(scenario.while_running);
    assert!(found.is_empty(), "personal data in clear:\n{}", found.join("\n"));
    for (id, words) in
        [("issuer-1", "announced"), ("relay-1", "h2::proto::streams"), ("relay-2", "h2::proto::streams")]
    {
        let log = scenario.folder.read(&format!("dev/logs/{id}.log"));
        let log = String::from_utf8_lossy(&log);
        assert!(log.contains("\"level\":\"TRACE\"") && log.contains(words), "{id} logged everything");
        assert_eq!(log.contains("slow: `store_orders` took"), id == "issuer-1");
    }
}

#[test]
fn the_net_finds_each_form_in_the_middle_of_other_bytes() {
    let net = Net::default();
    for (form, bytes) in forms::all() {
        for before in 0..3 {
            let mut planted = vec![b'x'; 1000 + before];
            planted.extend_from_slice(&bytes);
            planted.extend_from_slice(&[b'y'; 1000]);
            assert!(!net.found_in("planted", &planted).is_empty(), "{form}");
        }
    }
    use base64::Engine as _;
    for text in forms::TEXTS {
        for before in 0..3 {
            let whole = [&b"xyz"[..before], text.as_bytes(), b"and more"].concat();
            let encoded = base64::engine::general_purpose::STANDARD.encode(whole);
            assert!(
                !net.found_in("planted", encoded.as_bytes()).is_empty(),
                "base64 of {text} after {before}"
            );
        }
    }
    assert!(net.found_in("none", "葛飾 花子 1980-01-02 白鳥一丁目".as_bytes()).is_empty());
}
