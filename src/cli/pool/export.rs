//! `todoke pool export`: what the issuers recorded of the pool lies in one file, whole, or there is none.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tempfile::NamedTempFile;
use tonic::Code;

use super::asking::Asking;
use crate::{
    cli::municipal::{self, Output, fail, now_ms, say, say_event, say_result, warn},
    client::{calls::CallError, error::Error, issuers::Issuers},
    runtime::{blocking, exit},
    wire::{convert::timestamp, pb},
};

/// The largest part of a ledger that an issuer sends at once: whole lines, of which one has up to 8 MiB.
const PART_BYTES_MAX: usize = 16 << 20;

/// The longest wait for the next part.
const PART_WAIT_MAX: Duration = Duration::from_secs(30);

/// Fetches what every issuer recorded of the pool into one file, for `replay` and `analyse`.
///
/// Each issuer has what was decided while it decided. One that does not answer is named, and the file holds
/// what the others have. Exit codes: 0 all answered, 1 refused or failed, 75 the file is there, and an
/// issuer did not answer.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool export pool.jsonl --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool replay pool.jsonl")]
pub(super) struct ExportArgs {
    /// Where it goes; nothing may be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only what was recorded in the last so long, from the start of its file on [default: all that is kept]
    #[arg(long, value_name = "TIME", value_parser = municipal::wait)]
    last: Option<Duration>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// What came of one issuer.
enum Part {
    Bytes(u64),
    /// It keeps nothing of that time.
    Nothing(String),
    /// It did not answer.
    Missing(String),
}

pub(super) async fn run(args: &ExportArgs) -> u8 {
    match fetch(args).await {
        Ok(parts) => tell(&args.file, &parts, args.asking.output),
        Err(error) => fail(&error, args.asking.output),
    }
}

async fn fetch(args: &ExportArgs) -> Result<Vec<(String, Part)>, Error> {
    let path = args.file.clone();
    let unwritten = |source| Error::Write { path: path.clone(), source };
    if args.file.exists() {
        return Err(unwritten(io::ErrorKind::AlreadyExists.into()));
    }
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(unwritten)?;
    let from_ms = args.last.map(|last| now_ms() - i64::try_from(last.as_millis()).unwrap_or(i64::MAX / 2));
    let asked = pb::ExportLedgerRequest { from_time: from_ms.map(timestamp), to_time: None };
    let (mut parts, mut missing) = (Vec::new(), None);
    for (name, issuer) in args.asking.issuers()?.each() {
        let before = file.as_file().metadata().map_err(unwritten)?.len();
        let (back, fetched) = one(&issuer, &asked, file).await;
        file = back;
        let part = match fetched {
            Ok(bytes) => Part::Bytes(bytes),
            Err(Error::Call(error)) if error.status.code() == Code::NotFound => {
                Part::Nothing(error.status.message().to_owned())
            }
            Err(Error::Call(error)) if error.transient => {
                // Half of an issuer's part is no part.
                file.as_file().set_len(before).map_err(unwritten)?;
                let words = error.to_string();
                missing = Some(error);
                Part::Missing(words)
            }
            Err(Error::Write { source, .. }) => return Err(unwritten(source)),
            Err(other) => return Err(other),
        };
        parts.push((name, part));
    }
    if !parts.iter().any(|(_, part)| matches!(part, Part::Bytes(_))) {
        let words = "no issuer keeps a ledger of that time: leave --last out, or look at pool.ledger_dir";
        return Err(missing.map_or_else(|| Error::Conflict(words.to_owned()), Error::Call));
    }
    let to = args.file.clone();
    let kept = blocking(move || {
        file.as_file().sync_all()?;
        file.persist_noclobber(&to).map_err(|error| error.error)
    });
    kept.await.map(|_| parts).map_err(unwritten)
}

/// Adds what one issuer has to the file.
async fn one(
    issuer: &Issuers,
    asked: &pb::ExportLedgerRequest,
    mut file: NamedTempFile,
) -> (NamedTempFile, Result<u64, Error>) {
    let opened = issuer.ask("ExportLedger", asked, |pool, request| async move {
        pool.max_decoding_message_size(PART_BYTES_MAX).export_ledger(request).await
    });
    let mut stream = match opened.await {
        Ok(stream) => stream,
        Err(error) => return (file, Err(error.into())),
    };
    let mut bytes = 0;
    loop {
        let late = || tonic::Status::deadline_exceeded("the next part did not come in time");
        let next = tokio::time::timeout(PART_WAIT_MAX, stream.message()).await;
        let part = match next.unwrap_or_else(|_| Err(late())) {
            Ok(Some(part)) => part.lines,
            Ok(None) => return (file, Ok(bytes)),
            Err(status) => return (file, Err(broken(status).into())),
        };
        bytes += part.len() as u64;
        let (back, written) = blocking(move || {
            let written = file.write_all(&part);
            (file, written)
        })
        .await;
        file = back;
        if let Err(source) = written {
            return (file, Err(Error::Write { path: PathBuf::new(), source }));
        }
    }
}

/// A stream that ended before its end.
fn broken(status: tonic::Status) -> CallError {
    CallError { method: "ExportLedger", status: Box::new(status), fault: None, attempts: 1, transient: true }
}

fn tell(file: &Path, parts: &[(String, Part)], output: Output) -> u8 {
    let missing = parts.iter().any(|(_, part)| matches!(part, Part::Missing(_)));
    let code = if missing { exit::TRY_AGAIN } else { exit::DONE };
    let mut total = 0;
    for (issuer, part) in parts {
        let (bytes, why) = match part {
            Part::Bytes(bytes) => (*bytes, None),
            Part::Nothing(why) | Part::Missing(why) => (0, Some(why)),
        };
        total += bytes;
        match (output, why) {
            (Output::Json, _) => say_event("part", json!({"issuer": issuer, "bytes": bytes, "why": why})),
            (Output::Text, None) => say(&format!("{issuer}: {bytes} bytes")),
            (Output::Text, Some(why)) => warn(&format!("{issuer}: nothing: {why}")),
        }
    }
    if output == Output::Json {
        let outcome = if missing { "incomplete" } else { "exported" };
        return say_result(code, json!({"outcome": outcome, "file": file, "bytes": total}));
    }
    let shown = file.display();
    say(&format!("{shown}: {total} bytes, for `todoke pool replay {shown}`"));
    if missing {
        warn("an issuer did not answer, and what it decided is not in the file: export again later");
    }
    code
}
