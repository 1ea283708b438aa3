//! What the municipal commands share: who calls, over what, how it is shown, and the only place where they
//! take time and randomness from the machine.

use std::{
    fmt,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    client::{
        calls::CallOptions,
        endpoints::Endpoints,
        error::{Error, may_be_written_later},
        events::{Event, Tell},
        journal::JournalError,
        outcome::Outcome,
        party::Party,
        receipts::ReceiptFault,
        session::Session,
    },
    config::duration::SPAN_MAX,
    domain::{batch_id::BatchId, manifest::Policy},
    runtime::exit,
    wire::text::{json_line, one_line},
};

/// Reads `250ms`, `90s`, `15m`, `24h` or `7d`.
pub use crate::config::duration::parse as duration;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the system is, and who calls.
#[derive(Debug, Clone, Args)]
pub struct Connect {
    /// The file that says where the system is, as `todoke dev` writes it
    #[arg(long, value_name = "FILE", default_value = "endpoints.json")]
    pub endpoints: PathBuf,
    /// Whose certificate is used, such as municipality/131229
    #[arg(long = "as", value_name = "ROLE/NAME")]
    pub caller: String,
}

impl Connect {
    /// Reads everything the session needs; nothing is sent yet. Each call is tried for as long as `patience`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn session(&self, patience: Duration, tell: Tell) -> Result<Session, Error> {
        let options = waiting_for(patience);
        let endpoints = Endpoints::load(&self.endpoints)?;
        Session::connect(&endpoints, &self.caller, options, seed(), tell)
    }

    /// The same for a caller of any role.
    fn party(&self, patience: Duration, tell: Tell) -> Result<Party, Error> {
        let endpoints = Endpoints::load(&self.endpoints)?;
        Party::connect(&endpoints, &self.caller, waiting_for(patience), seed(), tell)
    }

    /// The same as [`Connect::session`], for whoever shows nothing on the way.
    ///
    /// # Errors
    /// [`Error`].
    pub fn quiet_session(&self) -> Result<Session, Error> {
        self.session(CallOptions::default().deadline, Arc::new(|_| ()))
    }

    /// The same for a caller of any role.
    ///
    /// # Errors
    /// [`Error`].
    pub fn quiet_party(&self, patience: Duration) -> Result<Party, Error> {
        self.party(patience, Arc::new(|_| ()))
    }
}

// A call ends when patience does, and not before.
fn waiting_for(patience: Duration) -> CallOptions {
    CallOptions { deadline: patience.min(SPAN_MAX), ..CallOptions::default() }
}

/// The same for a command that only asks, with how long it waits for an answer.
#[derive(Debug, Clone, Args)]
pub struct Asking {
    #[command(flatten)]
    connect: Connect,
    /// How long each answer is waited for
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait)]
    patience: Duration,
}

impl Asking {
    /// Reads everything the session needs; nothing is sent yet. People hear of an answer that takes long.
    ///
    /// # Errors
    /// [`Error`].
    pub fn session(&self, output: Output) -> Result<Session, Error> {
        self.connect.session(self.patience, waits(output))
    }

    /// The same for a caller of any role.
    ///
    /// # Errors
    /// [`Error`].
    pub fn party(&self, output: Output) -> Result<Party, Error> {
        self.connect.party(self.patience, waits(output))
    }
}

/// Tells people, on standard error, that an answer is waited for.
pub(crate) fn waits(output: Output) -> Tell {
    Arc::new(move |event| match event {
        Event::Waiting { why } if output == Output::Text => warn(&still_trying(why)),
        Event::ViewIgnored { why } if output == Output::Text => warn(&format!("not gone by: {why}")),
        _ => (),
    })
}

/// Says that an answer is waited for.
#[must_use]
pub(crate) fn still_trying(why: &str) -> String {
    format!("still trying: {why}")
}

/// Returns a new batch id, ordered by the time it was made.
///
/// # Panics
/// Never: the id is made as version 7.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "ids are made in cli/ and passed down")]
pub fn new_batch_id() -> BatchId {
    BatchId::new(uuid::Uuid::now_v7()).expect("it was made as version 7")
}

/// Returns the present time in ms since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    crate::runtime::clock::Clock::system().now_ms()
}

/// Randomness for waits and choices; never for secrets.
pub(crate) fn seed() -> u64 {
    let (_, low) = new_batch_id().uuid().as_u64_pair();
    low
}

/// Parses a batch id.
///
/// # Errors
/// Where ids are found.
pub fn batch_id(text: &str) -> Result<BatchId, String> {
    text.parse()
        .map_err(|_| "is no batch id: `todoke status --as ROLE/NAME` lists those there are".to_owned())
}

/// Reads a time span that must be more than none.
///
/// # Errors
/// What is accepted.
pub fn wait(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|span| if span.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(span) })
}

/// Parses `all-or-nothing` or `accept-valid:N`.
///
/// # Errors
/// What is accepted.
pub fn policy(text: &str) -> Result<Policy, String> {
    if text == "all-or-nothing" {
        return Ok(Policy::AllOrNothing);
    }
    let number = text.strip_prefix("accept-valid:").and_then(|number| number.parse().ok());
    number
        .map(|max_rejects| Policy::AcceptValid { max_rejects })
        .ok_or_else(|| "must be all-or-nothing, or accept-valid:N with the most rejects to accept".to_owned())
}

/// A number with its noun: `1 record`, `2 records`, `2 batches`.
#[must_use]
pub fn many(number: u64, noun: &str) -> String {
    let end = match (number, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{end}")
}

/// Writes one line to standard output, whatever stands in it; a reader that has gone is no error.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", one_line(line));
}

/// Writes each line of a text of our own.
pub fn say_lines(text: &str) {
    text.split('\n').for_each(say);
}

/// Writes each line of a text of our own to standard error.
pub fn warn(text: &str) {
    let mut out = io::stderr().lock();
    for line in text.split('\n') {
        let _ = writeln!(out, "{}", one_line(line));
    }
}

/// Writes one JSON object as a line.
pub fn say_json<T: Serialize>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => drop(writeln!(io::stdout().lock(), "{}", json_line(&text))),
        Err(error) => warn(&format!("the result cannot be written as JSON: {error}")),
    }
}

/// Writes an event as a JSON line: its name beside what else there is to say, which must be an object.
pub fn say_event(event: &str, value: impl Serialize) {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    value["event"] = event.into();
    say_json(&value);
}

/// The same for the last line, which programs go by, and returns the exit code that stands in it.
pub fn say_result(code: u8, value: impl Serialize) -> u8 {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    value["exit_code"] = code.into();
    say_event("result", value);
    code
}

/// Shows an error and returns its exit code.
#[must_use]
pub fn fail(error: &Error, output: Output) -> u8 {
    fail_with(error_code(error), error, output)
}

/// The same with a code that is known already.
pub fn fail_with(code: u8, error: &dyn fmt::Display, output: Output) -> u8 {
    if output == Output::Json {
        return say_result(code, serde_json::json!({"outcome": "failed", "error": error.to_string()}));
    }
    warn(&format!("error: {error}"));
    code
}

/// Says that a run was interrupted, and returns its exit code.
pub fn interrupted(code: u8, words: &str, output: Output) -> u8 {
    if output == Output::Json {
        return say_result(code, serde_json::json!({"outcome": "interrupted", "error": words}));
    }
    warn(words);
    code
}

/// The exit code that says an error to a script.
#[must_use]
pub fn error_code(error: &Error) -> u8 {
    match error {
        Error::Endpoints(_) | Error::Signer(_) | Error::Setup(_) => exit::CONFIG,
        Error::Usage(_) => exit::USAGE,
        Error::Call(error) if error.transient => exit::TRY_AGAIN,
        Error::Journal(JournalError::Io { source, .. }) if may_be_written_later(source) => exit::TRY_AGAIN,
        Error::Write { source, .. } if !may_be_written_later(source) => exit::FAILED,
        Error::Unconfirmed(_) | Error::Journal(JournalError::Held(_)) | Error::Write { .. } => {
            exit::TRY_AGAIN
        }
        Error::Receipt(ReceiptFault::Totals(_)) => exit::TOTALS,
        Error::Input(_) | Error::Journal(_) | Error::Call(_) | Error::Receipt(_) | Error::Conflict(_) => {
            exit::FAILED
        }
        Error::OtherKey { .. } => exit::FAILED,
    }
}

/// The exit code that says an outcome to a script.
#[must_use]
pub fn outcome_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Receipted { .. } => exit::DONE,
        Outcome::Gaps { .. } => exit::GAPS,
        Outcome::TotalsDiffer { .. } => exit::TOTALS,
        Outcome::TryAgain { .. } => exit::TRY_AGAIN,
        Outcome::Refused { .. } | Outcome::NotAccepted { .. } => exit::FAILED,
    }
}

/// The journal of a file, unless told otherwise.
#[must_use]
pub fn journal_path(file: &Path, told: Option<&PathBuf>) -> PathBuf {
    told.cloned().unwrap_or_else(|| crate::client::journal::Journal::path_for(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_of_a_run_is_tried_for_as_long_as_its_patience() {
        assert_eq!(waiting_for(Duration::from_secs(120)).deadline, Duration::from_secs(120));
        assert_eq!(waiting_for(Duration::MAX).deadline, SPAN_MAX);
    }

    #[test]
    fn policies_are_parsed_or_explained() {
        assert_eq!(policy("accept-valid:3"), Ok(Policy::AcceptValid { max_rejects: 3 }));
        assert_eq!(policy("all-or-nothing"), Ok(Policy::AllOrNothing));
        for bad in ["", "some", "accept-valid", "accept-valid:", "accept-valid:-1", "accept-valid:three"] {
            let words = policy(bad).expect_err(bad);
            assert!(words.contains("all-or-nothing, or accept-valid:N"), "{bad}: {words}");
        }
    }
}
