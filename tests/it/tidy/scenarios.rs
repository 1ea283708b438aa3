//! The table of the pool's scenarios names tests that are there: whoever renames one mends the table, too.

use super::Finding;

/// Where the table stands, and under which heading.
const PAGE: &str = "tests/README.md";
const HEADING: &str = "## The thirteen scenarios of the pool";
/// How many there are.
const COUNT: usize = 13;
/// Where tests are.
const ROOTS: [&str; 3] = ["src/", "tests/it/", "tests/sim/"];

pub(super) fn of(files: &[(String, String)]) -> Vec<Finding> {
    let page = files.iter().find(|(path, _)| path == PAGE).map_or("", |(_, text)| text);
    let begins = page.lines().position(|line| line == HEADING);
    let Some(begins) = begins else {
        return vec![Finding::at(PAGE, 1, format!("the section `{HEADING}` is not there"))];
    };
    let section = page.lines().enumerate().skip(begins + 1).take_while(|(_, line)| !line.starts_with("## "));
    let (mut found, mut rows) = (Vec::new(), 0);
    for (at, line) in section {
        let is_next = line.starts_with(&format!("| {} |", rows + 1));
        rows += usize::from(is_next);
        let names = line.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect::<Vec<_>>();
        if is_next && names.is_empty() {
            found.push(Finding::at(PAGE, at + 1, format!("scenario {rows} names no test")));
        }
        let lost = names.into_iter().filter(|name| !is_there(files, name));
        found.extend(lost.map(|name| Finding::at(PAGE, at + 1, format!("there is no test `{name}`"))));
    }
    if rows != COUNT {
        found.push(Finding::at(PAGE, begins + 1, format!("{rows} scenarios in order, and not {COUNT}")));
    }
    found
}

/// Whether a module of this path has a test of this name.
fn is_there(files: &[(String, String)], name: &str) -> bool {
    let Some((module, test)) = name.rsplit_once("::") else { return false };
    let module = module.strip_suffix("::tests").unwrap_or(module).replace("::", "/");
    files.iter().any(|(path, text)| {
        let is_it = |root: &str| {
            let inside = path.strip_prefix(root).and_then(|inside| inside.strip_suffix(".rs"));
            inside.is_some_and(|inside| inside.strip_suffix("/mod").unwrap_or(inside) == module)
        };
        ROOTS.iter().any(|root| is_it(root)) && has_test(text, test)
    })
}

/// Whether there is a function of this name that runs as a test: one with the attribute above it.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| line.trim_start_matches("async ").starts_with(&format!("fn {name}()"));
    let above = |at: usize| {
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"))
    };
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    (0..lines.len()).any(|at| is_it(lines[at]) && above(at).any(is_test))
}
