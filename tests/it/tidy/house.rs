//! What can only be seen across files: names, titles, paths and hosts that give a machine away, lost files.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, shape,
    source::{Source, line_of, words},
};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "types", "misc", "stuff"];

/// Written in two halves, so that this file does not find itself.
const GIVEAWAYS: [(&str, &str); 8] = [
    ("/work", "/"),
    ("/root", "/"),
    ("/home", "/"),
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("debian", ".org"),
];

/// What the top level may hold; dot-files beside it.
const TOP: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "deploy", "loadtest", "proto", "src", "tests"];

/// The roots of this package's crates; a file below `src/` or `tests/` is reached from one of them.
const ROOTS: [&str; 4] = ["src/lib.rs", "src/main.rs", "tests/it/main.rs", "tests/sim/main.rs"];
/// How a test starts a whole system, in two halves as well.
const SYSTEMS: [(&str, &str); 2] = [("Dev", "::start"), ("Imported", "::start")];

const NAKED: [(&str, &str); 2] = [("TO", "DO"), ("FIX", "ME")];

pub(super) fn of(files: &[(String, String)]) -> Vec<Finding> {
    let mut found = crowded(files);
    for (path, text) in files {
        let top = path.split('/').next().unwrap_or(path);
        if !TOP.contains(&top) && !top.starts_with('.') {
            found.push(Finding::at(path, 1, format!("`{top}` does not belong on the top level")));
        }
        found.extend(empty_names(path));
        found.extend(giveaways(path, text));
        found.extend(naked(path, text));
        if [".py", ".js"].iter().any(|ending| path.ends_with(ending)) {
            found.extend(shape::long_lines(path, text));
        }
        if path.ends_with(".md") {
            found.extend(titles(path, text));
        }
    }
    let reached = modules(files);
    let compiled = |path: &str| ["src/", "tests/"].iter().any(|folder| path.starts_with(folder));
    let lost = files.iter().filter(|(path, _)| compiled(path) && path.ends_with(".rs"));
    found.extend(
        lost.filter(|(path, _)| !reached.contains_key(path))
            .map(|(path, _)| Finding::at(path, 1, "no `mod` leads here: the compiler never sees this file")),
    );
    found
}

/// The files of `src/` that are compiled for tests only.
pub(super) fn test_files(files: &[(String, String)]) -> BTreeSet<String> {
    modules(files).into_iter().filter(|(_, test)| *test).map(|(path, _)| path).collect()
}

fn empty_names(path: &str) -> Option<Finding> {
    let mut names = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let empty = names.find(|name| EMPTY_NAMES.contains(name))?;
    Some(Finding::at(path, 1, format!("`{empty}` says nothing: name the file for what it does")))
}

fn giveaways(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (head, tail) in GIVEAWAYS {
        let needle = format!("{head}{tail}");
        for (at, _) in text.match_indices(&needle) {
            let line = line_of(text, at);
            let shown = text.lines().nth(line - 1).unwrap_or_default();
            // cargo itself writes where each locked crate comes from.
            let locked = path == "Cargo.lock" && shown.starts_with("source = \"registry+");
            let inside = text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c));
            let relative = inside && needle.starts_with('/');
            if !(locked || relative) {
                found.push(Finding::at(
                    path,
                    line,
                    format!("`{needle}` names a machine's path or a registry's host"),
                ));
            }
        }
    }
    found
}

/// The modules of tests that start whole systems without being told to the test runner: they would run beside
/// others.
fn crowded(files: &[(String, String)]) -> Vec<Finding> {
    let told = files.iter().find(|(path, _)| path == ".config/nextest.toml").map_or("", |(_, text)| text);
    let starts = SYSTEMS.map(|(head, tail)| format!("{head}{tail}"));
    let mut found = Vec::new();
    for (path, text) in files {
        let module = match path.strip_prefix("tests/it/") {
            Some(rest) if starts.iter().any(|start| text.contains(start)) => {
                rest.split(['/', '.']).next().unwrap_or(rest)
            }
            None if path.starts_with("loadtest/tests/") => "processes",
            _ => continue,
        };
        let stands_in_it = path.starts_with("tests/it/") || text.contains(&format!("\nmod {module} {{"));
        if !stands_in_it || !told.contains(&format!("test(/^{module}::/)")) {
            let what =
                "it starts whole systems: name its module in .config/nextest.toml, of loadtest `processes`";
            found.push(Finding::at(path, 1, what));
        }
    }
    found
}

/// Notes to oneself that nobody can follow up; `(#12)` behind one makes it a reference to an issue.
fn naked(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (head, tail) in NAKED {
        let needle = format!("{head}{tail}");
        for at in words(text, &needle) {
            let behind = &text[at + needle.len()..];
            let whole = !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if whole && !behind.starts_with("(#") {
                let what = format!("`{needle}` without an issue: do it, or write `{needle}(#number)`");
                found.push(Finding::at(path, line_of(text, at), what));
            }
        }
    }
    found
}

fn titles(path: &str, text: &str) -> Option<Finding> {
    let mut fenced = false;
    let mut count = 0;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with("# ") {
            count += 1;
        }
    }
    (count != 1).then(|| Finding::at(path, 1, format!("{count} titles (`# …`): a page has exactly one")))
}

/// Every file that a `mod` leads to from the crate's roots, and whether only tests see it.
fn modules(files: &[(String, String)]) -> BTreeMap<String, bool> {
    let texts: BTreeMap<&str, &str> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut reached = BTreeMap::new();
    let mut waiting: Vec<_> = ROOTS.map(|root| (root.to_owned(), root.starts_with("tests/"))).into();
    while let Some((path, test)) = waiting.pop() {
        let Some(text) = texts.get(path.as_str()) else { continue };
        if reached.insert(path.clone(), test).is_none() {
            let source = Source::new(&path, text, test);
            for (candidates, only_tests) in declared(&source) {
                waiting.extend(candidates.into_iter().map(|candidate| (candidate, only_tests)));
            }
        }
    }
    reached
}

/// The files that the `mod NAME;` lines of a source may mean, and whether they are for tests only.
fn declared(source: &Source) -> Vec<(Vec<String>, bool)> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let inner =
        if ["lib", "main", "mod"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    for at in words(&source.code, "mod ") {
        let rest = &source.code[at + 4..];
        let Some((name, _)) = rest.split_once(';').filter(|(name, _)| !name.contains([' ', '{', '\n']))
        else {
            continue;
        };
        let line = line_of(&source.code, at);
        let above = line.checked_sub(2).and_then(|index| source.text.lines().nth(index)).unwrap_or_default();
        let named = above.trim().strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
        let candidates = match named {
            Some(path) => vec![format!("{folder}/{path}")],
            None => vec![format!("{inner}/{name}.rs"), format!("{inner}/{name}/mod.rs")],
        };
        found.push((candidates, source.is_test(line)));
    }
    found
}
