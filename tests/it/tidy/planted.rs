//! Promise: each rule sees the violation it is there for, and lets its look-alike pass.

use super::{
    Finding, arrows, bans, house, scenarios, shape,
    source::{Source, words},
};

fn source(path: &str, text: &str) -> Source {
    Source::new(path, text, false)
}

/// The lines at which something was found.
fn lines(found: &[Finding]) -> Vec<usize> {
    let mut lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    lines.sort_unstable();
    lines
}

fn pages(files: &[(&str, &str)]) -> Vec<Finding> {
    let files: Vec<(String, String)> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    house::of(&files)
}

#[test]
fn only_code_counts_as_code() {
    let text = "let a = \"tokio::spawn(\"; // tokio::spawn(\n\
                /* tokio::spawn( /* { */ */ let b = r#\"{ \"x\" tokio::spawn(\"#;\n\
                let c = '{'; let d: &'static str = \"\\\"{\"; let e = '\\'';\n";
    let seen = source("src/relay/x.rs", text);
    assert!(!seen.code.contains("tokio") && !seen.code.contains('{'), "{}", seen.code);
    assert_eq!(seen.code.chars().count(), text.chars().count());
    assert_eq!(seen.code.lines().count(), text.lines().count());
}

#[test]
fn an_import_against_the_arrows_is_found() {
    let text = "//! Some promise stands here.\n\
                use crate::{domain::batch_id::BatchId, store::Store};\nuse crate::wire::pb;\n";
    assert_eq!(
        lines(&arrows::of(&source("src/client/x.rs", text))),
        [2],
        "store only: domain and wire are allowed"
    );
    assert_eq!(lines(&arrows::of(&source("src/issuance/x.rs", text))), [0_usize; 0]);
    assert_eq!(lines(&arrows::of(&source("src/sample/x.rs", text))), [2, 3]);
    assert_eq!(lines(&arrows::of(&source("src/cli/x.rs", text))), [0_usize; 0]);
    let nested = "use crate::{\n    domain::{a, store},\n    relay,\n};\n";
    assert_eq!(lines(&arrows::of(&source("src/client/x.rs", nested))), [3], "a module of a room is no room");
    let inline = "fn f() {\n    crate::store::open();\n}\n";
    assert_eq!(lines(&arrows::of(&source("src/client/x.rs", inline))), [2]);
}

#[test]
fn an_import_round_the_back_is_found() {
    let text = "use super::super::store::Store;\n";
    assert_eq!(lines(&arrows::of(&source("src/client/x.rs", text))), [1]);
    assert_eq!(
        lines(&arrows::of(&source("src/client/deep/x.rs", text))),
        [0_usize; 0],
        "that is client/store.rs"
    );
    let test = "#[cfg(test)]\nmod tests {\n    use super::super::store::Double;\n}\n";
    assert_eq!(
        lines(&arrows::of(&source("src/client/x.rs", test))),
        [0_usize; 0],
        "that is client/store.rs too"
    );
}

#[test]
fn a_new_room_and_a_foreign_crate_are_found() {
    assert_eq!(arrows::of(&source("src/kitchen/x.rs", "")).len(), 1);
    assert_eq!(arrows::of(&source("src/lib.rs", "pub mod kitchen;\n")).len(), 0);
    let text = "use tokio::time;\nuse sqlx::Row;\nuse tonic::Status;\n";
    assert_eq!(lines(&arrows::of(&source("src/domain/x.rs", text))), [1, 2, 3]);
    assert_eq!(lines(&arrows::of(&source("src/store/x.rs", text))), [3]);
}

#[test]
fn a_table_that_is_not_what_holds_is_found() {
    let lib = include_str!("../../../src/lib.rs");
    let found = |from: &str, to: &str| {
        assert!(lib.contains(from), "{from}");
        arrows::of_table("src/lib.rs", &lib.replace(from, to)).len()
    };
    assert_eq!(found("May import", "May import"), 0);
    assert_eq!(found("| domain, vault, pool, runtime,", "| domain, pool, runtime,"), 1);
    assert_eq!(found("| everything |", "| nothing |"), 1);
    assert_eq!(found("//! | [`ops`]", "//! | [`kitchen`]"), 2, "one is missing, one is strange");
}

#[test]
fn a_long_file_function_or_line_is_found() {
    let promise = "//! Some promise stands here.\n";
    let at_the_limit = format!("{promise}{}", "\n".repeat(398));
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &at_the_limit))), [0_usize; 0]);
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &format!("{at_the_limit}\n")))), [400]);
    let function = |body: usize| {
        format!(
            "{promise}trait T {{ fn none(a: [u8; 2]); }}\nfn long(a: [u8; 3]) {{\n{}}}\n",
            "    a();\n".repeat(body)
        )
    };
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &function(57)))), [0_usize; 0]);
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &function(58)))), [3]);
    let wide = |count: usize| format!("{promise}// {}\n", "届".repeat(count));
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &wide(107)))), [0_usize; 0]);
    assert_eq!(lines(&shape::of(&source("src/client/x.rs", &wide(108)))), [2]);
    assert_eq!(lines(&pages(&[("tests/x.py", &wide(108)), ("tests/x.sh", &wide(108))])), [2]);
}

#[test]
fn a_file_without_a_promise_is_found() {
    for text in ["", "use std::fs;\n", "// A comment is not enough.\n", "//! Errors.\n"] {
        assert_eq!(lines(&shape::of(&source("src/client/x.rs", text))), [1], "{text:?}");
    }
}

#[test]
fn every_banned_call_is_found_outside_tests_only() {
    let calls = [
        "x.unwrap()",
        "println!(\"x\")",
        "eprintln!(\"x\")",
        "print!(\"x\")",
        "eprint!(\"x\")",
        "dbg!(x)",
        "todo!()",
        "unimplemented!()",
        "tokio::spawn(x)",
        "tokio::task::spawn(x)",
        "SystemTime::now()",
        "OffsetDateTime::now_utc()",
        "OffsetDateTime::now_local()",
        "Uuid::now_v7()",
        "Uuid::new_v4()",
        "std::env::var(\"X\")",
        "std::process::exit(1)",
    ];
    for (needle, ..) in bans::CALLS {
        let alone = |call: &&str| words(call, needle).next().is_some();
        assert!(calls.iter().any(alone), "`{needle}` is not planted");
    }
    for call in calls {
        let text =
            format!("fn f() {{\n    {call};\n}}\n#[cfg(test)]\nmod tests {{\n    fn f() {{ {call}; }}\n}}\n");
        assert_eq!(lines(&bans::of(&source("src/relay/x.rs", &text))), [2], "{call}");
        assert_eq!(lines(&bans::of(&source("tests/it/x.rs", &text))), [0_usize; 0], "{call}");
    }
    for passes in
        ["x.unwrap_or(1)", "tokio::task::spawn_blocking(f)", "my_println!(x)", "tasks.spawn(\"x\", f)"]
    {
        assert_eq!(
            lines(&bans::of(&source("src/relay/x.rs", &format!("{passes};\n")))),
            [0_usize; 0],
            "{passes}"
        );
    }
}

#[test]
fn a_banned_call_may_stand_where_the_design_puts_it() {
    let found = |path: &str, call: &str| bans::of(&source(path, &format!("{call};\n"))).len();
    assert_eq!(found("src/cli/x.rs", "println!(\"x\")"), 0);
    assert_eq!(found("src/cli/x.rs", "x.unwrap()"), 1);
    assert_eq!(found("src/runtime/clock.rs", "SystemTime::now()"), 0);
    assert_eq!(found("src/runtime/tasks.rs", "SystemTime::now()"), 1);
    assert_eq!(found("src/runtime/tasks.rs", "tokio::spawn(f)"), 0);
    assert_eq!(found("src/config/load.rs", "env::var(\"X\")"), 0);
    assert_eq!(found("src/cli/x.rs", "env::var(\"X\")"), 1);
    let reason =
        "#[expect(clippy::disallowed_methods, reason = \"it outlives the call\")]\ntokio::spawn(f);\n";
    assert_eq!(bans::of(&source("src/issuance/x.rs", reason)).len(), 0);
    let none = "#[expect(clippy::disallowed_methods)]\ntokio::spawn(f);\n";
    assert_eq!(bans::of(&source("src/issuance/x.rs", none)).len(), 1);
}

#[test]
fn an_allowance_and_an_ignored_test_are_found_in_tests_too() {
    let text = "#![allow(dead_code)]\n#[cfg(test)]\nmod tests {\n\
                    #[allow(unused)]\n#[ignore]\n    fn f() {}\n}\n";
    assert_eq!(lines(&bans::of(&source("src/relay/x.rs", text))), [1, 4, 5]);
}

#[test]
fn names_titles_notes_hosts_and_paths_are_found() {
    for path in ["src/utils.rs", "src/relay/helpers/x.py", "tests/common/mod.py", "deploy/misc"] {
        assert!(pages(&[(path, "")]).iter().any(|finding| finding.what.contains("says nothing")), "{path}");
    }
    assert_eq!(pages(&[("deploy/utility.py", "")]).len(), 0);
    assert_eq!(pages(&[("proto/a.md", "# One\n```\n# no title\n```\n## Part\n")]).len(), 0);
    assert_eq!(lines(&pages(&[("proto/a.md", "# One\n\n# Two\n"), ("proto/b.md", "none\n")])), [1, 1]);
    assert_eq!(pages(&[("docs/a.md", "# One\n"), (".ci/run", "")]).len(), 1);
    let note = ["TO", "DO"].concat();
    let text = format!("x\n# {note}: later\n# {note}(#12): later\n# {note}KE\n");
    assert_eq!(lines(&pages(&[("tests/a.py", &text)])), [2]);
    let text =
        [["/ro", "ot/x"].concat(), ["a/wo", "rk/x"].concat(), ["index.crates", ".io"].concat()].join("\n");
    assert_eq!(lines(&pages(&[("tests/a.py", &text)])), [1, 3], "a/work/ is a relative path");
}

#[test]
fn a_module_that_starts_a_system_and_is_not_told_to_the_runner_is_found() {
    let starts = ["fn f() { De", "v::start(); }"].concat();
    let crowded = |filter: &str, path: &str, text: &str| {
        let found = pages(&[(".config/nextest.toml", filter), (path, text)]);
        found.iter().filter(|finding| finding.what.contains("starts whole systems")).count()
    };
    let filter = "filter = 'test(/^dev::/) | test(/^processes::/)'";
    assert_eq!(crowded(filter, "tests/it/dev.rs", &starts), 0);
    assert_eq!(crowded(filter, "tests/it/dev/x.rs", &starts), 0);
    assert_eq!(crowded(filter, "tests/it/device.rs", &starts), 1);
    let imported = ["fn f() { Impor", "ted::start_with(); }"].concat();
    assert_eq!(crowded(filter, "tests/it/device.rs", &imported), 1);
    assert_eq!(crowded(filter, "tests/it/cli/x.rs", "fn f() {}"), 0);
    assert_eq!(crowded(filter, "loadtest/tests/x.rs", "\nmod processes {\n}\n"), 0);
    assert_eq!(crowded(filter, "loadtest/tests/x.rs", ""), 1);
    assert_eq!(crowded("", "loadtest/tests/x.rs", "\nmod processes {\n}\n"), 1);
}

#[test]
fn a_file_that_no_module_leads_to_is_found() {
    let files = [
        ("src/lib.rs", "pub mod a;\n#[cfg(test)]\nmod double;\n"),
        ("src/a/mod.rs", "mod b;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n"),
        ("src/a/b.rs", "mod c { }\n"),
        ("src/a/b/c.rs", ""),
        ("src/a/b_tests.rs", ""),
        ("src/double.rs", ""),
        ("src/lost.rs", ""),
        ("tests/it/main.rs", "mod crash;\nmod dev;\n"),
        ("tests/it/crash/mod.rs", "mod power;\n"),
        ("tests/it/crash/power.rs", ""),
        ("tests/it/dev.rs", ""),
        ("tests/it/crash/lost.rs", ""),
        ("tests/lost.rs", ""),
    ];
    let found = pages(&files);
    let lost: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(lost, ["src/a/b/c.rs", "src/lost.rs", "tests/it/crash/lost.rs", "tests/lost.rs"]);
    let owned: Vec<(String, String)> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let tests = house::test_files(&owned);
    assert!(
        tests.contains("src/double.rs")
            && tests.contains("src/a/b_tests.rs")
            && !tests.contains("src/a/b.rs")
    );
}

#[test]
fn a_scenario_without_a_test_that_is_there_is_found() {
    let row = |at: usize, names: &str| format!("| {at} | it holds | {names} |\n");
    let heading = "# Tests\n## The thirteen scenarios of the pool\n";
    let of = |table: String| {
        let page = format!("{heading}{table}## Rules\n`pool::of_another_section::is_not_looked_at`\n");
        let code = "#[test]\nfn it_holds() {}\n#[expect(dead_code)]\nfn it_helps() {}\n\
                    #[tokio::test(start_paused = true)]\n// So.\nasync fn it_waits() {}\n";
        let files = [("tests/README.md", page.as_str()), ("tests/it/pool/all.rs", code)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        scenarios::of(&files).into_iter().map(|finding| (finding.line, finding.what)).collect::<Vec<_>>()
    };
    let right = |at| row(at, "`pool::all::it_holds`, `pool::all::it_waits`, `todoke demo`");
    assert_eq!(of((1..=13).map(right).collect()), []);
    let short = of((1..=12).map(right).collect());
    assert_eq!(short, [(2, "12 scenarios in order, and not 13".to_owned())]);
    let others = ["`pool::all::it_held`", "`pool::some::it_holds`", "`todoke demo`", "`pool::all::it_helps`"];
    let wrong = |at| if at <= 4 { row(at, others[at - 1]) } else { right(at) };
    let found: Vec<usize> = of((1..=13).map(wrong).collect()).into_iter().map(|(line, _)| line).collect();
    assert_eq!(found, [3, 4, 5, 6]);
    assert_eq!(scenarios::of(&[]).len(), 1, "a page without the section");
}
