//! Runs todoke's own commands as real processes, hears what they say line by line, and ends them all when
//! it is dropped.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

use super::trouble::Trouble;
use crate::cli::{dev::how, municipal::Output};

/// How long one command may take; each takes seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// How many lines of a command go into its log too; a list of cards has as many as there are cards.
const COPIED_LINES: usize = 2_000;

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    // A sender ends when this does, so none outlives the demo.
    _input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    deadline: Instant,
    limit: Duration,
    command: String,
    log: PathBuf,
    copy: File,
    /// What it has said so far.
    pub(crate) events: Vec<Value>,
}

/// A command that has ended.
pub(crate) struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// Everything it said.
    pub(crate) events: Vec<Value>,
    how: String,
    command: String,
    log: PathBuf,
}

impl Running {
    /// Starts `todoke ARGS --output OUTPUT` in `folder`; what it says goes into the log too.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        args: &[&str],
        output: Output,
        log: PathBuf,
    ) -> Result<Self, Trouble> {
        let output = if output == Output::Json { "json" } else { "text" };
        let command = format!("todoke {}", args.first().copied().unwrap_or_default());
        let start = || {
            let mut copy = File::create(&log)?;
            writeln!(copy, "# todoke {} --output {output}", args.join(" "))?;
            let waits = matches!(args.first(), Some(&("import" | "resume")));
            let mut child = Command::new(program)
                .args(args)
                .args(["--output", output])
                .args(waits.then_some("--exit-with-parent"))
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(copy.try_clone()?)
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            let stdout = child.stdout.take().expect("it was asked for");
            let input = child.stdin.take().expect("it was asked for");
            Ok::<_, std::io::Error>((child, input, BufReader::new(stdout).lines(), copy))
        };
        let (child, input, lines, copy) =
            start().map_err(|source| Trouble::Command { command: command.clone(), source })?;
        let (limit, deadline) = (LIMIT, Instant::now() + LIMIT);
        Ok(Self { child, _input: input, lines, deadline, limit, command, log, copy, events: Vec::new() })
    }

    /// Gives it so long from now on.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, deadline: Instant::now() + limit, ..self }
    }

    // The next line, or none at the end; a line that is no JSON is kept as text.
    async fn next(&mut self) -> Result<Option<&Value>, Trouble> {
        let overdue = || Trouble::TooLong {
            what: format!("`{}` to get on; see {}", self.command, self.log.display()),
            seconds: self.limit.as_secs(),
        };
        let line = timeout_at(self.deadline, self.lines.next_line()).await.map_err(|_| overdue())?;
        let line = line.map_err(|source| Trouble::Command { command: self.command.clone(), source })?;
        let Some(line) = line else { return Ok(None) };
        if self.events.len() < COPIED_LINES {
            let _ = writeln!(self.copy, "{line}");
        }
        self.events.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        Ok(self.events.last())
    }

    /// Reads on until an event of this name for which `is_it` holds, and returns it.
    ///
    /// # Errors
    /// [`Trouble::EndedEarly`], [`Trouble::TooLong`].
    pub(crate) async fn until(
        &mut self,
        event: &str,
        what: &str,
        mut is_it: impl FnMut(&Value) -> bool,
    ) -> Result<Value, Trouble> {
        while let Some(value) = self.next().await? {
            if value["event"] == event && is_it(value) {
                return Ok(value.clone());
            }
        }
        let status = self.child.wait().await;
        let how = status.map_or_else(|error| error.to_string(), how);
        let (command, log) = (self.command.clone(), self.log.clone());
        Err(Trouble::EndedEarly { command, how, what: what.to_owned(), log })
    }

    /// The last event of this name so far.
    ///
    /// # Errors
    /// [`Trouble::Unsaid`].
    pub(crate) fn said(&self, event: &str) -> Result<&Value, Trouble> {
        said(&self.events, event, &self.command, &self.log)
    }

    /// Reads it to its end.
    ///
    /// # Errors
    /// [`Trouble::TooLong`]; it is killed then.
    pub(crate) async fn end(mut self) -> Result<Ended, Trouble> {
        while self.next().await?.is_some() {}
        let status = self.child.wait().await;
        let status = status.map_err(|source| Trouble::Command { command: self.command.clone(), source })?;
        Ok(Ended {
            code: status.code().unwrap_or(-1),
            events: self.events,
            how: how(status),
            command: self.command,
            log: self.log,
        })
    }

    /// Kills it with SIGKILL and says how it ended.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) async fn kill(mut self) -> Result<Ended, Trouble> {
        let failed = |source| Trouble::Command { command: self.command.clone(), source };
        self.child.start_kill().map_err(failed)?;
        self.end().await
    }
}

impl Ended {
    /// Itself, if it ended with this code.
    ///
    /// # Errors
    /// [`Trouble::Code`].
    pub(crate) fn with_code(self, expected: i32) -> Result<Self, Trouble> {
        if self.code == expected {
            return Ok(self);
        }
        Err(Trouble::Code { command: self.command, how: self.how, expected, log: self.log })
    }

    /// How it ended, in words.
    pub(crate) fn how(&self) -> &str {
        &self.how
    }

    /// The last event of this name.
    ///
    /// # Errors
    /// [`Trouble::Unsaid`].
    pub(crate) fn said(&self, event: &str) -> Result<&Value, Trouble> {
        said(&self.events, event, &self.command, &self.log)
    }
}

fn said<'a>(events: &'a [Value], event: &str, command: &str, log: &Path) -> Result<&'a Value, Trouble> {
    events.iter().rev().find(|value| value["event"] == event).ok_or_else(|| Trouble::Unsaid {
        command: command.to_owned(),
        what: format!("\"{event}\""),
        log: log.to_owned(),
    })
}
