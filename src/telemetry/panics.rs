//! A panic is a log line like any other, and shows where it happened but no data.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
};

/// Logs every panic of the process from now on, in place of the standard message.
pub(super) fn log_them() {
    panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let words = words(info);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(location, thread, %backtrace, "panic at {location}: {words}");
    } else {
        tracing::error!(location, thread, "panic at {location}: {words}");
    }
}

/// Returns what was said, if it is a fixed text of the program.
///
/// A text that was put together may quote whatever the program held: slicing a name in the middle of a
/// character prints the whole name, `expect` on an `Err` prints the error. The place says which line it was.
fn words(info: &PanicHookInfo<'_>) -> &'static str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or("see the line for what it expects")
}

#[cfg(test)]
mod tests {
    use super::super::{LogOptions, logs::tests::logged};

    /// Runs each job with our hook and puts the old one back: other tests of the process rely on it.
    fn logged_panics(jobs: &[fn()]) -> String {
        let before = std::panic::take_hook();
        super::log_them();
        let text = logged(&LogOptions::default(), || {
            for job in jobs {
                assert!(std::panic::catch_unwind(job).is_err());
            }
        });
        std::panic::set_hook(before);
        text
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_never_with_data() {
        let text = logged_panics(&[
            || panic!("a fixed text"),
            || drop(std::hint::black_box("カナリヤ")[1..].to_owned()),
            || std::hint::black_box(Err::<(), _>("canary-1234")).expect("it cannot fail"),
            || panic!("made of {}", std::hint::black_box("canary-1234")),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines.iter().all(|line| line.contains("panics.rs:") && line.contains("ERROR")), "{text}");
        assert!(lines[0].contains("a fixed text"), "{text}");
        assert!(!text.contains("canary") && !text.contains("カナ"), "{text}");
    }
}
