//! Shows a run while it goes on: a bar on a terminal, plain lines elsewhere, JSON lines when asked.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::municipal::{Output, many, say_json, still_trying, warn};
use crate::{
    client::events::{Event, Tell},
    pool::explain::time_of,
    wire::text::one_line,
};

/// Returns who listens to a run.
#[must_use]
pub(crate) fn listener(output: Output) -> Tell {
    match output {
        Output::Json => Arc::new(say_json::<Event>),
        Output::Text if stderr().is_terminal() => {
            let bar = Mutex::new(Bar { bar: ProgressBar::no_length(), phase: "" });
            Arc::new(move |event| bar.lock().unwrap_or_else(PoisonError::into_inner).show(event))
        }
        Output::Text => {
            let last = Mutex::new(Lines::default());
            Arc::new(move |event| last.lock().unwrap_or_else(PoisonError::into_inner).show(event))
        }
    }
}

/// A bar for `total` things, on a terminal and for people; otherwise one that is not seen.
pub(crate) fn bar(template: &str, total: u64, output: Output) -> ProgressBar {
    if output == Output::Json || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("each template is fixed and was tried");
    ProgressBar::new(total).with_style(style)
}

/// How long a phase has to go on before its rate is shown, and how long it will take.
const RATED_AFTER: Duration = Duration::from_secs(1);

struct Bar {
    bar: ProgressBar,
    phase: &'static str,
}

impl Bar {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Scanning { records } => {
                self.enter("reading", None);
                self.bar.set_position(*records);
            }
            Event::Uploading { durable_records, records, relays } => {
                self.enter("sending", Some(*records));
                self.bar.set_position(*durable_records);
                self.bar.set_message(relays.join(", "));
            }
            Event::Working { state, worked_records, records, flags } => {
                self.enter("working", Some(*records));
                self.bar.set_position(*worked_records);
                self.bar.set_message(one_line(&format!("{state} {}", flags.join(" "))));
            }
            Event::Opened { durable_records, records, .. } => {
                self.enter("sending", Some(*records));
                self.bar.set_position(*durable_records);
                self.bar.reset_eta();
                self.bar.println(line(event));
            }
            Event::Receipt { .. } => self.bar.finish_and_clear(),
            _ => self.bar.println(line(event)),
        }
    }

    fn enter(&mut self, phase: &'static str, records: Option<u64>) {
        if self.phase == phase {
            return;
        }
        self.phase = phase;
        self.bar.finish_and_clear();
        self.bar = records.map_or_else(ProgressBar::no_length, ProgressBar::new);
        self.bar.set_style(style(records.is_some()));
        self.bar.set_prefix(phase);
    }
}

/// How a phase is shown, of one whose end is known or not.
fn style(ends: bool) -> ProgressStyle {
    let template = match ends {
        true => "{prefix:8} [{wide_bar}] {human_pos}/{human_len} records, {rate}, {eta} left  {msg}",
        false => "{prefix:8} {spinner} {human_pos} records, {rate}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is fixed and was tried");
    // A column that stays empty harms nobody.
    let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // A rate over less than a second says nothing.
        let _ = match state.elapsed() < RATED_AFTER {
            true => write!(to, "-/s"),
            false => write!(to, "{:.0}/s", state.per_sec()),
        };
    };
    let eta = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // Exactly none is what is said as long as nothing went on yet, and almost none at first.
        let nothing = state.eta().is_zero() || state.elapsed() < RATED_AFTER;
        let unknown = nothing && state.len().is_some_and(|len| state.pos() < len);
        let _ = match unknown {
            true => write!(to, "--"),
            false => write!(to, "{:#}", HumanDuration(state.eta())),
        };
    };
    style.with_key("rate", rate).with_key("eta", eta)
}

// Plain lines: each step once, and of the long ones every tenth part.
#[derive(Default)]
struct Lines {
    phase: &'static str,
    tenth: u64,
}

impl Lines {
    fn show(&mut self, event: &Event) {
        let (phase, tenth) = match event {
            Event::Scanning { .. } => return,
            Event::Uploading { durable_records, records, .. } => {
                ("sending", durable_records * 10 / (*records).max(1))
            }
            Event::Working { worked_records, records, .. } => {
                ("working", worked_records * 10 / (*records).max(1))
            }
            _ => ("", 0),
        };
        if phase.is_empty() || phase != self.phase || tenth > self.tenth {
            warn(&line(event));
        }
        (self.phase, self.tenth) = (phase, tenth);
    }
}

/// An event as a line: some of its words came from a relay.
fn line(event: &Event) -> String {
    one_line(&words(event))
}

fn words(event: &Event) -> String {
    match event {
        Event::Scanning { records } => format!("reading: {}", many(*records, "record")),
        Event::Scanned { records, households, districts } => {
            let [records, households] = [many(*records, "record"), many(*households, "household")];
            format!("read: {records} of {households} in {}", many(*districts as u64, "district"))
        }
        Event::Journalled { batch_id, sequence } => {
            format!("batch {batch_id}, sequence {sequence}: in the journal")
        }
        Event::SealByKept { batch_id, seal_by_ms } => {
            let until = u64::try_from(seal_by_ms / 1000).map(time_of).unwrap_or_default();
            format!(
                "--seal-by does not apply: this file is batch {batch_id} already, to be sealed by {until}"
            )
        }
        Event::NumberTaken { sequence, lost: true } => format!(
            "the issuer has nothing of the batch that was begun with this file, and its number {sequence} \
             belongs to another: a new batch gets the next number"
        ),
        Event::NumberTaken { sequence, lost: false } => {
            format!("another batch was faster and has number {sequence}: this one gets the next")
        }
        Event::Opened { created: true, records, .. } => {
            format!("opened: {} to send", many(*records, "record"))
        }
        Event::Opened { durable_records, records, .. } => {
            format!("opened again: {durable_records} of {} durable already", many(*records, "record"))
        }
        Event::Uploading { durable_records, records, relays } => {
            format!(
                "sending: {durable_records} of {} durable, over {}",
                many(*records, "record"),
                relays.join(", ")
            )
        }
        Event::RelayLeft { relay, why } => format!("left {relay}: {why}"),
        Event::Sealing { round: 0 } => "sealing".to_owned(),
        Event::Sealing { round } => format!("sealing again, round {round}"),
        Event::Working { state, worked_records, records, flags } => {
            let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(", ")) };
            format!("{state}: {worked_records} of {} worked off{flags}", many(*records, "record"))
        }
        Event::Waiting { why } => still_trying(why),
        Event::ViewIgnored { why } => format!("not gone by: {why}"),
        Event::Receipt { path, digest } => format!("receipt {digest} verified and written to {path}"),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that keeps what it is sent.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().expect("no panic").push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_is_told_that_no_time_is_left_before_anything_is_done() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let bar = ProgressBar::with_draw_target(Some(1_000), target).with_style(style(true));
        bar.tick();
        let shown = screen.0.lock().expect("no panic").clone();
        assert!(shown.contains("0/1,000 records, -/s, -- left"), "{shown}");
    }

    #[test]
    fn what_is_left_is_said_of_a_phase_that_has_gone_on_for_a_second_and_of_none_before() {
        let shown = |elapsed: Duration| {
            let screen = Screen::default();
            let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
            let bar = ProgressBar::with_draw_target(Some(1_000), target).with_style(style(true));
            let bar = bar.with_elapsed(elapsed);
            bar.set_position(256); // the first acknowledgement
            bar.force_draw();
            screen.0.lock().expect("no panic").clone()
        };
        let early = shown(Duration::ZERO);
        assert!(early.contains("256/1,000 records, -/s, -- left"), "{early}");
        assert!(!early.contains("0s left"), "{early}");
        let later = shown(Duration::from_secs(10));
        assert!(later.contains("256/1,000 records") && !later.contains("-- left"), "{later}");
    }
}
