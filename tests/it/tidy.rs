//! Promise: the house stays as designed: imports go one way, files are small, what is banned is nowhere.
//!
//! Every rule is a plain function from text to findings, so that `planted` can show each of them a violation.

mod arrows;
mod bans;
mod house;
mod planted;
mod scenarios;
mod shape;
mod source;

use std::{fs, path::PathBuf, process::Command};

use source::Source;

/// One violation: where, and what to do about it.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

/// The repository's text files, as (path from its root, text). What git ignores is not looked at.
fn files() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("git is there, as the repository is");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("our paths are UTF-8");
    listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| Some((path.to_owned(), fs::read(root.join(path)).ok()?)))
        .filter_map(|(path, bytes)| Some((path, String::from_utf8(bytes).ok()?)))
        .collect()
}

/// Everything that one Rust file can be found guilty of.
fn of_source(source: &Source) -> Vec<Finding> {
    let mut found = shape::of(source);
    found.extend(bans::of(source));
    found.extend(arrows::of(source));
    found
}

/// Everything that the repository can be found guilty of.
fn of_repository(files: &[(String, String)]) -> Vec<Finding> {
    let tests = house::test_files(files);
    let mut found = house::of(files);
    found.extend(scenarios::of(files));
    for (path, text) in files.iter().filter(|(path, _)| path == "src/lib.rs") {
        found.extend(arrows::of_table(path, text));
    }
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        found.extend(of_source(&Source::new(path, text, tests.contains(path))));
    }
    found
}

#[test]
fn the_house_is_tidy() {
    let files = files();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the listing misses the crate itself");
    let mut found = of_repository(&files);
    found.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    let lines: Vec<String> =
        found.iter().map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.what)).collect();
    assert!(lines.is_empty(), "{} untidy places:\n{}", lines.len(), lines.join("\n"));
}
