//! Promise: a replay says that all is the same or names the first that differs, and an analysis counts what
//! there was.

use super::*;
use crate::pool::ledger::{Line, fixture};

fn written(dir: &Path, name: &str, lines: &[Line]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, fixture::written(lines)).expect("it is written");
    path
}

#[test]
fn a_folder_is_run_again_and_a_changed_decision_is_named_with_its_file_and_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut lines = fixture::lines(300);
    written(dir.path(), "ledger-00000000001-00.jsonl", &lines);
    let second = written(dir.path(), "ledger-00000000002-00.jsonl", &lines);
    let found = replayed(dir.path()).expect("it is read");
    assert_eq!((found.files, found.steps), (2, 600));
    assert!(found.difference.is_none() && found.same > 16, "{found:?}");
    assert_eq!(tell(&found, Output::Json), exit::DONE);

    let at = lines.iter().rposition(|line| matches!(line, Line::Decision(_))).expect("there are some");
    if let Line::Decision(decision) = &mut lines[at] {
        decision.reason.push('!');
    }
    written(dir.path(), "ledger-00000000002-00.jsonl", &lines);
    let found = replayed(dir.path()).expect("it is read");
    let (path, difference) = found.difference.as_ref().expect("it differs");
    assert_eq!((path, difference.line), (&second, fixture::number(&lines, at)));
    assert_eq!(tell(&found, Output::Text), exit::FAILED);
}

#[test]
fn a_ledger_that_was_damaged_is_refused_and_one_that_was_cut_is_read_up_to_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines = fixture::lines(30);
    let path = written(dir.path(), "ledger-00000000001-00.jsonl", &lines);
    let right = std::fs::read_to_string(&path).expect("it is there");
    let whole = replayed(&path).expect("it is read");
    assert!(whole.cut.is_empty(), "{whole:?}");

    std::fs::write(&path, &right[..right.len() - 3]).expect("it is written");
    let found = replayed(&path).expect("the rest is read");
    let (last, to) = found.cut.first().map(|(path, line)| (path.clone(), *line)).expect("it was cut");
    assert_eq!((last, found.steps), (path.clone(), whole.steps - 1));
    assert!(to < right.lines().count() && found.difference.is_none(), "{found:?}");
    assert_eq!(tell(&found, Output::Text), exit::DONE);

    std::fs::write(&path, right.replacen("\"n\":10,", "\"n\":11,", 1)).expect("it is written");
    let words = replayed(&path).expect_err("no decision hangs on it").to_string();
    let from = right.lines().position(|line| line.contains("\"n\":10,")).expect("a bucket") + 1;
    assert!(words.contains(&format!("lines {from} to ")), "{words}");
    assert!(words.contains("`todoke pool export`") && words.contains("head -n"), "{words}");
}

#[test]
fn what_is_no_ledger_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let words = |path: &Path| replayed(path).expect_err("it is none").to_string();
    assert!(words(dir.path()).contains("pool.ledger_dir"), "{}", words(dir.path()));
    assert!(words(&dir.path().join("none")).contains("Pass a ledger's file"));
    let begun = written(dir.path(), "begun", &fixture::lines(0));
    assert!(words(&begun).contains("not one whole second"), "{}", words(&begun));
    let file = dir.path().join("ledger-1-00.jsonl");
    std::fs::write(&file, "{\"second\":{\"second\":1}}\n").expect("it is written");
    assert!(words(&file).contains("line 1: a ledger begins with a start line"), "{}", words(&file));
}

#[test]
fn an_analysis_shows_which_unit_was_worse_than_its_peers() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = written(dir.path(), "ledger-00000000001-00.jsonl", &fixture::lines(300));
    let (analysis, left) = analysed(&path).expect("it is read");
    assert_eq!(left, Left::default());
    assert!((295..=300).contains(&analysis.seconds), "{}", analysis.seconds);
    let of = |name: &str| &analysis.units[&name.parse().expect("a name")];
    let (well, sick) = (of("relay-1"), of("relay-2"));
    assert_eq!((well.evictions, sick.evictions), (0, 1));
    assert!(sick.soft_steps >= 1 && sick.s_max > 20.0, "{sick:?}");
    assert_eq!((well.traffic.bad, well.soft_steps), (0, 0));
    assert!(sick.traffic.percent() > 1.0 && sick.d[&10].max > 0.5, "{sick:?}");
    assert!(well.d[&10].quantile(0.999) <= 0.0, "{:?}", well.d);
    let text = lines_of(&analysis, left).join("\n");
    assert!(text.contains("relay-2") && text.contains("verdicts: NONE"), "{text}");
    assert_eq!(as_json(&analysis, left)["units"]["relay-2"]["evictions"], 1);
}
