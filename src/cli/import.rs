//! `todoke import FILE`: exits 0 only with a receipt that was verified against the file's own totals.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    ending,
    municipal::{self, Connect, Output, fail, journal_path, new_batch_id, now_ms, policy, wait},
    nothing,
    progress::listener,
};
use crate::{
    client::{
        error::Error,
        flow::{self, RunOptions},
        plan::{NewBatch, receipt_path_for},
        reader::{ReadOptions, load_layout},
        session::Session,
        source::Encoding,
        uploader::UploadOptions,
    },
    domain::manifest::{CHUNK_RECORDS, CHUNK_RECORDS_DEFAULT, Policy},
    runtime::{self, exit},
};

/// Until when a batch should be sealed, unless told otherwise.
const SEAL_BY: Duration = Duration::from_secs(86_400);

/// Sends a record file and ends with a verified receipt, or says exactly what is missing.
///
/// Exit codes: 0 proved, 1 failed, 3 gaps left, 4 totals disagree, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke import cards.csv --endpoints dev/endpoints.json --as municipality/131229\n  \
    todoke import cards.csv --endpoints dev/endpoints.json --as municipality/131229 \\\n    \
    --control-totals tally.csv\n  \
    todoke import cards.txt --endpoints dev/endpoints.json --as municipality/131229 \\\n    \
    --layout layout.csv --encoding cp932\n\n\
    A layout has one line for each column, without holes; - is not read:\n  \
    field,start_bytes,length_bytes,align\n  order_id,1,12,\n  -,13,8,\n  name,21,40,left")]
pub struct ImportArgs {
    /// The record file, CSV with a header row
    #[arg(required_unless_present = "nothing_today")]
    pub file: Option<PathBuf>,
    /// Says that there is nothing to hand in: a batch of no records, from FILE, which is written for it
    /// [default: nothing-DATE.csv, with the date in Japan]
    #[arg(long, conflicts_with_all = ["control_totals", "layout"])]
    pub nothing_today: bool,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// A tally from another source, in the file's encoding: district,households,records; any difference ends
    /// the run before it sends
    #[arg(long, value_name = "FILE")]
    pub control_totals: Option<PathBuf>,
    /// The batch's sequence; the next one if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX.unsigned_abs()))]
    pub sequence: Option<u64>,
    /// When a new batch should be sealed at the latest, from now [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub seal_by: Option<Duration>,
}

/// What `import` and `resume` share.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// How many rejects are accepted: all-or-nothing, or accept-valid:N
    #[arg(long, value_name = "POLICY", default_value = "all-or-nothing", value_parser = policy)]
    pub policy: Policy,
    /// Records in each chunk, a power of two
    #[arg(long, value_name = "N", default_value_t = CHUNK_RECORDS_DEFAULT, value_parser = chunk_records)]
    pub chunk_records: u32,
    /// The file's encoding: utf-8 or cp932; never guessed
    #[arg(long, value_name = "NAME", default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// Reads fixed-width lines instead of CSV: a layout with field,start_bytes,length_bytes for each column
    #[arg(long, value_name = "FILE")]
    pub layout: Option<PathBuf>,
    /// Takes a last line without line break as complete: say so only after a look at it
    #[arg(long)]
    pub accept_missing_newline: bool,
    /// Where the receipt goes [default: FILE.receipt]
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Where the journal is [default: FILE.todoke-journal]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Streams at a time, over different relays
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub streams: u8,
    /// How long a relay may leave chunks unacknowledged before they go over another
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = wait)]
    pub ack_timeout: Duration,
    /// How long the run waits without anything getting on
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = wait)]
    pub patience: Duration,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Test aid: ends as if cut after so many records
    #[arg(long, value_name = "N", hide = true)]
    pub stop_after_records: Option<u64>,
    /// Ends at once when standard input does, since then the parent is gone: for `todoke demo`
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

fn chunk_records(text: &str) -> Result<u32, String> {
    let number: Option<u32> = text.parse().ok();
    number.filter(|number| number.is_power_of_two() && CHUNK_RECORDS.contains(number)).ok_or_else(|| {
        format!("must be a power of two, {} to {}", CHUNK_RECORDS.start(), CHUNK_RECORDS.end())
    })
}

impl RunArgs {
    /// The run's options for `file`.
    ///
    /// # Errors
    /// [`Error::Input`] for a layout that cannot be used.
    pub fn options(&self, file: &std::path::Path) -> Result<RunOptions, Error> {
        Ok(RunOptions {
            read: ReadOptions {
                encoding: self.encoding,
                accept_missing_newline: self.accept_missing_newline,
                layout: self.layout.as_deref().map(load_layout).transpose()?,
            },
            chunk_records: self.chunk_records,
            control_totals: None,
            journal: journal_path(file, self.journal.as_ref()),
            receipt: self.receipt.clone().unwrap_or_else(|| receipt_path_for(file)),
            new: None,
            policy: self.policy,
            upload: UploadOptions {
                streams: usize::from(self.streams),
                ack_time_out: self.ack_timeout,
                no_progress: self.patience,
                stop_after_records: self.stop_after_records,
                ..UploadOptions::default()
            },
            nothing: false,
            gap_rounds: 3,
            no_progress: self.patience,
        })
    }
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ImportArgs) -> Result<u8, super::Error> {
    let file = match (args.nothing_today, args.file) {
        (true, file) => nothing::write(file, now_ms()),
        (false, file) => Ok(file.expect("clap asks for it")),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => return Ok(fail(&error, args.run.output)),
    };
    let mut options = match args.run.options(&file) {
        Ok(options) => options,
        Err(error) => return Ok(fail(&error, args.run.output)),
    };
    options.control_totals.clone_from(&args.control_totals);
    options.nothing = args.nothing_today;
    let seal_by = args.seal_by.unwrap_or(SEAL_BY);
    let seal_by_ms = i64::try_from(seal_by.as_millis()).unwrap_or(i64::MAX);
    options.new = Some(NewBatch {
        batch_id: new_batch_id(),
        sequence: args.sequence,
        policy: args.run.policy,
        seal_by_ms: now_ms().saturating_add(seal_by_ms),
        seal_by_told: args.seal_by.is_some(),
    });
    Ok(drive(&args.connect, &file, &options, &args.run).await)
}

/// Drives a run to its end or to the user's interruption, and returns the exit code. What comes after the
/// receipt is written ends only the list of what was not accepted.
pub(crate) async fn drive(
    connect: &Connect,
    file: &std::path::Path,
    options: &RunOptions,
    told: &RunArgs,
) -> u8 {
    let output = told.output;
    let session = match begin(connect, options, output) {
        Ok(session) => session,
        Err(error) => return fail(&error, output),
    };
    let ended = {
        let mut run = Box::pin(flow::import(&session, file, options));
        let first = tokio::select! {
            biased;
            ended = &mut run => Some(ended),
            () = interrupted(told.exit_with_parent) => None,
        };
        match first {
            Some(ended) => ended,
            None if session.interruption.is_too_late() => run.await,
            None => {
                let file = file.display();
                let words =
                    format!("interrupted; nothing acknowledged is lost. Next: `todoke resume {file}`");
                return municipal::interrupted(exit::TRY_AGAIN, &words, output);
            }
        }
    };
    // What a signal says from here on changes nothing of what was done.
    session.end().await;
    match ended {
        Ok(outcome) => ending::show(&outcome, file, output),
        Err(error) => fail(&error, output),
    }
}

// Checks before hours of work what would be wrong after them.
fn begin(connect: &Connect, options: &RunOptions, output: Output) -> Result<Session, Error> {
    let folder = options.receipt.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let (receipt, folder) = (options.receipt.display(), folder.display());
        return Err(Error::Usage(format!(
            "--receipt {receipt}: there is no folder {folder}. Make it, or name another file"
        )));
    }
    connect.session(options.no_progress, listener(output))
}

// Ends at the first SIGINT or SIGTERM, or with the parent if that is asked for; never, if the system gives
// no signals.
async fn interrupted(with_parent: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => (),
        () = wait(SignalKind::terminate()) => (),
        () = runtime::parent_gone(), if with_parent => (),
    }
}
