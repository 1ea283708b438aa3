//! `todoke report verify-store | replay`: the first reads all that is stored, holds it against what was
//! signed, and names what is damaged; with `--repair` puts right what has a second copy.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{
    Error,
    municipal::{Output, many, now_ms, say, say_event, say_result, warn},
    progress::bar,
    replay::{self, ReplayArgs},
};
use crate::{
    client::receipts::load_key,
    domain::{batch_id::BatchId, municipality::MunicipalityCode, note::VerifierKey},
    issuance::{
        self,
        audit::{Audited, Auditor, Finding, Told},
    },
    net::tls::Roots,
    runtime::exit,
    store::{Store, StoreOptions},
    vault::Vault,
};

/// Looks at what the issuer has stored; no server is asked.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  todoke report verify-store --database sqlite:issuer.db --ca pki/ca.pem \\
    --kek pki/kek.key --receipt-key pki/receipt.key")]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ReportCommand {
    /// Holds every batch, chunk, order and receipt in the database against what was signed
    VerifyStore(Box<VerifyArgs>),
    /// Reads the history of every envelope, application, card and lot again, and says what stands otherwise
    Replay(ReplayArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  todoke report verify-store --database sqlite:issuer.db --ca pki/ca.pem \\
    --kek pki/kek.key --receipt-key pki/receipt.key
  todoke report verify-store … --municipality 131229 --output json
  todoke report verify-store … --repair    # with the issuer stopped

Without --repair nothing is written, and an issuer may run beside it.
Exit codes: 0 everything is whole (or was put right), 4 something is damaged and was named,
1 it could not be looked at, or there is no such batch, 64 a key or a CA is wrong, 75 try again.")]
struct VerifyArgs {
    /// The database, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    database: String,
    /// The key-encryption key: 32 bytes in hex
    #[arg(long, value_name = "FILE")]
    kek: PathBuf,
    /// The Ed25519 key that receipts are signed with, PKCS#8 PEM
    #[arg(long, value_name = "FILE")]
    receipt_key: PathBuf,
    /// A former receipt.pub, whose receipts are good as well; may be given several times
    #[arg(long, value_name = "FILE")]
    receipt_pub: Vec<PathBuf>,
    /// The CA that the senders' certificates lead to, PEM; it may hold former ones too
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Only the batches of this municipality
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Only this batch
    #[arg(long, value_name = "ID")]
    batch: Option<BatchId>,
    /// Makes damaged orders, chunks and receipts of accepted batches again from what is whole, and sets aside
    /// chunks that only their sender still has; damaged bytes are kept in the table quarantine
    #[arg(long)]
    repair: bool,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl ReportArgs {
    pub(super) fn output(&self) -> Output {
        match &self.command {
            ReportCommand::VerifyStore(args) => args.output,
            ReportCommand::Replay(args) => args.output,
        }
    }
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// What kept it from looking.
pub async fn run(args: ReportArgs) -> Result<u8, Error> {
    match args.command {
        ReportCommand::VerifyStore(args) => verify(*args).await,
        ReportCommand::Replay(args) => replay::run(args).await,
    }
}

async fn verify(args: VerifyArgs) -> Result<u8, Error> {
    let vault = Vault::open(&args.kek, &args.receipt_key)?;
    let roots = Roots::load(&args.ca)?;
    let receipt_keys = args.receipt_pub.iter().map(|path| public(path)).collect::<Result<Vec<_>, _>>()?;
    let options = StoreOptions { url: args.database.clone(), ..StoreOptions::default() };
    let store = match args.repair {
        true => Store::open_existing(&options).await,
        false => Store::open_to_read(&options).await,
    };
    let store = store
        .map_err(|error| Error::held(error, "stop it to repair, or leave --repair away to look only"))?;
    let vault = issuance::matched(&store, vault).await.map_err(|error| match error {
        issuance::Error::OtherKek(source) => Error::OtherKek { path: args.kek.clone(), source },
        other => other.into(),
    })?;
    let auditor = Auditor {
        store,
        vault,
        roots,
        receipt_keys,
        municipality: args.municipality,
        batch: args.batch,
        repair: args.repair,
        now_ms: now_ms(),
    };
    let output = args.output;
    let bar = bar("reading [{wide_bar}] {human_pos}/{human_len} chunks, {eta} left", 0, output);
    let mut tell = |told: Told<'_>| match told {
        Told::Progress { chunks, of } => {
            bar.set_length(of);
            bar.set_position(chunks);
        }
        Told::Found(finding) => bar.suspend(|| show(finding, output)),
    };
    let audited = auditor.run(&mut tell).await;
    bar.finish_and_clear();
    auditor.store.close().await;
    let audited = audited?;
    if audited.batches == 0 && (args.municipality.is_some() || args.batch.is_some()) {
        return Err(Error::NoBatch { municipality: args.municipality, batch: args.batch });
    }
    let code = ended(&audited, output);
    if audited.unopened > 0 && audited.unopened == audited.receipts {
        warn(&format!(
            "no receipt opens with {}: is it this issuer's key? If the key was changed, name the receipt.pub \
             of before with --receipt-pub; no receipt is signed again by another key than its own",
            args.receipt_key.display()
        ));
    }
    Ok(code)
}

pub(super) fn public(path: &Path) -> Result<VerifierKey, Error> {
    load_key(path).map_err(|source| Error::ReceiptPub { path: path.to_owned(), source })
}

fn show(finding: &Finding, output: Output) {
    if output == Output::Json {
        return say_event("finding", finding);
    }
    let Finding { table, municipality, batch_id, what, repair, .. } = finding;
    let chunk = finding.chunk.map(|number| format!(" chunk {number}")).unwrap_or_default();
    let record = finding.record.map(|index| format!(" record {index}")).unwrap_or_default();
    let (word, next) = if finding.repaired {
        ("REPAIRED", String::new())
    } else {
        ("DAMAGE", format!(". Repair: {repair}"))
    };
    say(&format!("{word} {table} {municipality} {batch_id}{chunk}{record}: {what}{next}"));
}

fn ended(audited: &Audited, output: Output) -> u8 {
    let code = if audited.findings == audited.repaired { exit::DONE } else { exit::TOTALS };
    if output == Output::Json {
        return say_result(code, audited);
    }
    let Audited { batches, chunks, records, findings, repaired, .. } = audited;
    let found = match (findings, repaired) {
        (0, _) => "everything is whole: OK".to_owned(),
        (found, repaired) if found == repaired => {
            format!("{}, all put right: run it once more", many(*found, "finding"))
        }
        (found, repaired) => format!("{}, {repaired} put right", many(*found, "finding")),
    };
    let read = (many(*batches, "batch"), many(*chunks, "chunk"), many(*records, "record"));
    say(&format!("{}, {} and {} were read; {found}", read.0, read.1, read.2));
    code
}
