//! What must not be written, where it may be all the same, and what to write instead.

use super::{
    Finding,
    source::{Source, line_of, words},
};

/// Where a banned call may stand all the same.
type Exception = fn(&Source) -> bool;

/// A call that is banned outside tests: its text, where it may stand, what to do instead.
pub(super) const CALLS: [(&str, Exception, &str); 17] = [
    (".unwrap()", nowhere, "say why it cannot fail: `expect(\"…\")`"),
    ("println!", at_the_edge, "only cli/ speaks to people; log it with tracing"),
    ("eprintln!", at_the_edge, "only cli/ speaks to people; log it with tracing"),
    ("print!", at_the_edge, "only cli/ speaks to people; log it with tracing"),
    ("eprint!", at_the_edge, "only cli/ speaks to people; log it with tracing"),
    ("dbg!", nowhere, "log it with tracing, or take it out"),
    ("todo!", nowhere, "build it, or leave it out and say so"),
    ("unimplemented!", nowhere, "build it, or leave it out and say so"),
    ("tokio::spawn(", in_runtime, "use `runtime::Tasks`: a name, a token, a meaning of its death"),
    ("task::spawn(", in_runtime, "use `runtime::Tasks`: a name, a token, a meaning of its death"),
    ("SystemTime::now", near_the_clock, "pass the clock"),
    ("now_utc(", near_the_clock, "pass the clock"),
    ("now_local(", near_the_clock, "pass the clock"),
    ("Uuid::now_v7", at_the_edge, "ids come from the caller"),
    ("Uuid::new_v4", at_the_edge, "ids come from the caller"),
    ("env::var", in_config, "configuration is read in config/ only"),
    ("process::exit", nowhere, "return an exit code, so that everything is dropped and flushed"),
];

/// How many lines above a call an `#[expect(clippy::disallowed_methods, reason = …)]` for it may stand.
const EXPECT_LINES: usize = 6;

fn nowhere(_: &Source) -> bool {
    false
}

fn at_the_edge(source: &Source) -> bool {
    source.room() == Some("cli") || source.path.starts_with("loadtest/") || source.path == "proto/build.rs"
}

fn in_runtime(source: &Source) -> bool {
    source.room() == Some("runtime")
}

fn near_the_clock(source: &Source) -> bool {
    at_the_edge(source) || source.path == "src/runtime/clock.rs"
}

fn in_config(source: &Source) -> bool {
    source.room() == Some("config") || source.path == "proto/build.rs"
}

pub(super) fn of(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let code = &source.code;
    for (needle, allowed, instead) in CALLS {
        for line in words(code, needle).map(|at| line_of(code, at)) {
            if !source.is_test(line) && !allowed(source) && !is_expected(source, line) {
                found.push(Finding::at(&source.path, line, format!("no `{needle}` here: {instead}")));
            }
        }
    }
    for needle in ["#[allow(", "#![allow("] {
        found.extend(code.match_indices(needle).map(|(at, _)| {
            let what = "use `#[expect(lint, reason = \"…\")]`: it tells when it is no longer needed";
            Finding::at(&source.path, line_of(code, at), what)
        }));
    }
    found.extend(code.match_indices("#[ignore").map(|(at, _)| {
        Finding::at(&source.path, line_of(code, at), "no ignored tests: mend it, or take it out and say so")
    }));
    found
}

/// Whether the lines above say, with a reason, that a disallowed method is meant.
fn is_expected(source: &Source, line: usize) -> bool {
    let above: Vec<&str> =
        source.code.lines().take(line).skip(line.saturating_sub(EXPECT_LINES + 1)).collect();
    let above = above.join("\n");
    above.contains("#[expect(") && above.contains("clippy::disallowed_methods") && above.contains("reason")
}
