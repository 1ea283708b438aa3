//! Promise: a replay says that all is the same or names the first that differs, and an analysis counts what
//! there was.

use super::*;
use crate::pool::ledger::{Line, fixture};

fn written(dir: &Path, name: &str, lines: &[Line]) -> PathBuf {
    let path = dir.join(name);
    let text: String = lines.iter().map(Line::text).collect();
    std::fs::write(&path, text).expect("it is written");
    path
}

#[test]
fn a_folder_is_run_again_and_a_changed_decision_is_named_with_its_file_and_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut lines = fixture::lines(300);
    written(dir.path(), "ledger-00000000001-00.jsonl", &lines);
    let second = written(dir.path(), "ledger-00000000002-00.jsonl", &lines);
    let found = replayed(dir.path()).expect("it is read");
    assert_eq!((found.files, found.seconds), (2, 600));
    assert!(found.difference.is_none() && found.same > 16, "{found:?}");
    assert_eq!(tell(&found, Output::Json), exit::DONE);

    let at = lines.iter().rposition(|line| matches!(line, Line::Decision(_))).expect("there are some");
    if let Line::Decision(decision) = &mut lines[at] {
        decision.reason.push('!');
    }
    written(dir.path(), "ledger-00000000002-00.jsonl", &lines);
    let found = replayed(dir.path()).expect("it is read");
    let (path, difference) = found.difference.as_ref().expect("it differs");
    assert_eq!((path, difference.line), (&second, at + 1));
    assert_eq!(tell(&found, Output::Text), exit::FAILED);
}

#[test]
fn what_is_no_ledger_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let words = |path: &Path| replayed(path).expect_err("it is none").to_string();
    assert!(words(dir.path()).contains("pool.ledger_dir"), "{}", words(dir.path()));
    assert!(words(&dir.path().join("none")).contains("Pass a ledger's file"));
    let file = dir.path().join("ledger-1-00.jsonl");
    std::fs::write(&file, "{\"second\":{\"second\":1}}\n").expect("it is written");
    assert!(words(&file).contains("line 1: a ledger begins with a start line"), "{}", words(&file));
}

#[test]
fn an_analysis_shows_which_unit_was_worse_than_its_peers() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = written(dir.path(), "ledger-00000000001-00.jsonl", &fixture::lines(300));
    let (analysis, differ) = analysed(&path).expect("it is read");
    assert_eq!(differ, 0);
    assert!((295..=300).contains(&analysis.seconds), "{}", analysis.seconds);
    let of = |name: &str| &analysis.units[&name.parse().expect("a name")];
    let (well, sick) = (of("relay-1"), of("relay-2"));
    assert_eq!((well.evictions, sick.evictions), (0, 1));
    assert!(sick.soft_steps >= 1 && sick.s_max > 20.0, "{sick:?}");
    assert_eq!((well.traffic.bad, well.soft_steps), (0, 0));
    assert!(sick.traffic.percent() > 1.0 && sick.d[&10].max > 0.5, "{sick:?}");
    assert!(well.d[&10].quantile(0.999) <= 0.0, "{:?}", well.d);
    let text = lines_of(&analysis, differ).join("\n");
    assert!(text.contains("relay-2") && text.contains("verdicts: NONE"), "{text}");
    assert_eq!(as_json(&analysis, 0)["units"]["relay-2"]["evictions"], 1);
}
