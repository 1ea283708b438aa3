//! `todoke rejects FILE`: every record of a batch that became no order, as CSV, for whoever has to mend them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    municipal::{self, Asking, Output, fail, many, say_event, say_result, warn},
    status::batch_of,
};
use crate::{
    client::{
        error::Error,
        journal::{sync_folder, with_suffix},
        plan::receipt_path_for,
        receipts::{self, RECEIPT_BYTES_MAX, read_limited},
        rejects::{Pages, kind_name},
        session::Session,
    },
    domain::{batch_id::BatchId, receipt::Receipt},
    runtime::exit,
    wire::{fault::Reason, pb, text::one_line},
};

const COLUMNS: [&str; 6] = ["index", "order_id", "disposition", "code", "field", "duplicate_of"];

/// Lists all records of a batch that were not accepted, as CSV; without --out to standard output.
///
/// Columns: index (from 0), order_id, disposition, code, field, duplicate_of (BATCH:INDEX).
/// The list is held against the batch's receipt: FILE.receipt, or the issuer's.
/// Exit codes: 0 all are listed, 1 failed, 75 try again later: it is not the list that the receipt proves.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke rejects cards.csv --endpoints dev/endpoints.json --as municipality/131229\n  \
    todoke rejects --batch ID --out rejects.csv --endpoints dev/endpoints.json \\\n    \
    --as municipality/131229")]
pub struct RejectsArgs {
    /// A record file whose journal names the batch
    #[arg(required_unless_present = "batch")]
    pub file: Option<PathBuf>,
    /// A batch by its id
    #[arg(long, value_name = "ID", conflicts_with = "file", value_parser = municipal::batch_id)]
    pub batch: Option<BatchId>,
    /// Where the journal is [default: FILE.todoke-journal]
    #[arg(long, value_name = "FILE", requires = "file")]
    pub journal: Option<PathBuf>,
    /// Where the list goes; a file of this name is replaced, once the list is whole
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: Asking,
    /// How results are shown: json gives each record as an event too, unless --out takes the list
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: RejectsArgs) -> Result<u8, super::Error> {
    Ok(match work(&args).await {
        Ok(None) => exit::DONE,
        Ok(Some((records, proved))) if args.output == Output::Json => {
            say_result(exit::DONE, json!({"records": records, "proved": proved, "out": args.out}))
        }
        Ok(Some((records, proved))) => {
            let to = args.out.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
            let all = if proved { "" } else { ". No receipt proves that these are all" };
            warn(&format!("{} not accepted{to}{all}", many(records, "record")));
            exit::DONE
        }
        Err(error) => fail(&error, args.output),
    })
}

// How many records are listed, and whether a receipt proves that these are all; none if nobody wanted to read
// them all.
async fn work(args: &RejectsArgs) -> Result<Option<(u64, bool)>, Error> {
    let batch_id = match (&args.file, args.batch) {
        (Some(file), _) => batch_of(file, args.journal.as_ref())?,
        (None, batch) => batch.expect("clap asks for it"),
    };
    let session = args.connect.session(args.output)?;
    session.over(async |session| list(session, args, batch_id).await).await
}

async fn list(
    session: &Session,
    args: &RejectsArgs,
    batch_id: BatchId,
) -> Result<Option<(u64, bool)>, Error> {
    let receipt = receipt_of(session, args.file.as_deref(), batch_id).await?;
    let pages = Pages::new(session, batch_id, receipt.as_ref());
    let written = match &args.out {
        Some(path) => write_whole(pages, path).await,
        None if args.output == Output::Json => tell(pages).await,
        None => write(pages, io::stdout(), Path::new(STDOUT)).await,
    };
    match written {
        Ok(records) => Ok(Some((records, receipt.is_some()))),
        // Whoever read it has seen enough.
        Err(Error::Write { source, .. })
            if args.out.is_none() && source.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

// The receipt that lies beside the file, or the issuer's; `None` if there is none to believe.
async fn receipt_of(
    session: &Session,
    file: Option<&Path>,
    batch_id: BatchId,
) -> Result<Option<Receipt>, Error> {
    let here = file.and_then(|file| read_limited(&receipt_path_for(file), RECEIPT_BYTES_MAX).ok());
    let here = here.and_then(|note| receipts::open_of(batch_id, &note, &session.receipt_key).ok());
    if let Some((receipt, _)) = here {
        return Ok(Some(receipt));
    }
    match session.receipt(batch_id).await {
        Ok((receipt, _)) => Ok(Some(receipt)),
        Err(Error::Call(error)) if error.is(Reason::ReceiptNotReady) => Ok(None),
        Err(Error::Receipt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write_whole(pages: Pages<'_>, path: &Path) -> Result<u64, Error> {
    // Whoever finds the file finds all of it.
    let part = with_suffix(path, ".part");
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let written = async {
        let file = File::create(&part).map_err(failed)?;
        let records = write(pages, &file, path).await?;
        file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
        Ok(records)
    };
    let written = written.await;
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

// Tells each record as a JSON line.
async fn tell(mut pages: Pages<'_>) -> Result<u64, Error> {
    let mut records = 0;
    while let Some(page) = pages.next().await? {
        for disposition in &page {
            let named = COLUMNS.iter().copied().zip(columns(disposition));
            say_event("record", named.collect::<BTreeMap<_, _>>());
        }
        records += page.len() as u64;
    }
    Ok(records)
}

/// What a failure to write there is called after.
const STDOUT: &str = "standard output";

async fn write(mut pages: Pages<'_>, to: impl Write, path: &Path) -> Result<u64, Error> {
    let failed = |source: io::Error| Error::Write { path: path.to_owned(), source };
    // Into a file they go as they are; a terminal does what it is told.
    let shown = path == Path::new(STDOUT) && io::stdout().is_terminal();
    let mut csv = csv::Writer::from_writer(BufWriter::new(to));
    csv.write_record(COLUMNS).map_err(|error| failed(source(error)))?;
    let mut records = 0;
    while let Some(page) = pages.next().await? {
        for disposition in &page {
            let columns = columns(disposition).map(|cell| if shown { one_line(&cell) } else { cell });
            csv.write_record(columns).map_err(|error| failed(source(error)))?;
        }
        records += page.len() as u64;
    }
    csv.flush().map_err(failed)?;
    Ok(records)
}

// What the system said, where it said something.
fn source(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn columns(disposition: &pb::Disposition) -> [String; 6] {
    let of = &disposition.duplicate_of_batch_id;
    [
        disposition.index.to_string(),
        disposition.order_id.clone(),
        kind_name(disposition),
        disposition.code.clone(),
        disposition.field.clone(),
        if of.is_empty() { String::new() } else { format!("{of}:{}", disposition.duplicate_of_index) },
    ]
}
