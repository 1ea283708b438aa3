//! Promise: every point at which a process can be made to die stands in the code once, and a test makes it.

use std::{fs, path::Path};

use todoke::crash::Point;

use super::super::system::Folder;

/// The text of every file below a folder of the repository.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the repository") {
            let path = entry.expect("its entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}

#[test]
fn every_point_stands_in_the_code_once_and_has_a_test() {
    let (code, tests) = (texts("src"), texts("tests/it"));
    for (point, name) in Point::ALL {
        let call = format!("crash::point(Point::{point:?})");
        let calls: usize = code.iter().map(|(_, text)| text.matches(&call).count()).sum();
        assert_eq!(calls, 1, "{call}");
        let quoted = [':', '=', '"'].map(|end| format!("\"{name}{end}"));
        let tested = tests.iter().any(|(_, text)| quoted.iter().any(|quoted| text.contains(quoted)));
        assert!(tested, "no test has a process die at {name}");
    }
}

#[tokio::test]
async fn a_point_that_is_misspelt_is_an_error_at_the_start_of_any_command() {
    let folder = Folder::new();
    let mut command = folder.command(&["sample", "--municipality", "131229", "--out", "cards.csv"]);
    command.env("TEST_TODOKE_CRASH_AT", "chunk-stroed").env("TEST_TODOKE_CRASH_ONCE", "once");
    let output = command.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("`chunk-stroed` is none of households-spilled, "), "{said}");
    assert!(!folder.path("cards.csv").exists());
}
