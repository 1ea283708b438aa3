//! `todoke verify`: checks a receipt against its file, or a proof against its receipt, without any server.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::Args;

use super::municipal::{Output, fail, say, say_result};
use crate::{
    client::{
        error::Error,
        input_fault::InputFault,
        journal,
        plan::receipt_path_for,
        proof::{self, PROOF_BYTES_MAX, Proof},
        reader::{ReadOptions, load_layout},
        receipts::{self, RECEIPT_BYTES_MAX, ReceiptFault, load_key, read_limited},
        scan::scan,
        source::Encoding,
    },
    domain::{
        chunk::PAYLOAD_BYTES_MAX,
        digest::Digest,
        manifest::{CHUNK_RECORDS_DEFAULT, CHUNKS_MAX, RECORDS_MAX},
        receipt::Receipt,
        record::RECORD_BYTES_MAX,
    },
    runtime::exit,
};

/// Records that are read together: no totals depend on it, and of any file so many are short enough.
const CHUNK_RECORDS: u32 = 256;
const _: () = assert!(CHUNK_RECORDS as usize * (RECORD_BYTES_MAX + 4) <= PAYLOAD_BYTES_MAX);
const _: () = assert!(RECORDS_MAX / CHUNK_RECORDS as u64 <= CHUNKS_MAX);

/// Checks a receipt against the file it is for, or a proof against a receipt; needs no server.
///
/// Exit codes: 0 everything fits, 4 the file's totals are not the receipt's, 1 anything else is wrong.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  todoke verify cards.csv.receipt --file cards.csv --key receipt.pub\n  \
                        todoke verify cards.csv.proof --receipt cards.csv.receipt --key receipt.pub")]
pub struct VerifyArgs {
    /// A receipt, or a proof
    pub target: PathBuf,
    /// The record file that the receipt is for
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The receipt that the proof is checked against
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// The issuer's public receipt key, receipt.pub
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The file's encoding, if there is no journal
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<Encoding>,
    /// The layout of a fixed-width file, if there is no journal
    #[arg(long, value_name = "FILE")]
    pub layout: Option<PathBuf>,
    /// Takes a last line without line break as complete
    #[arg(long)]
    pub accept_missing_newline: bool,
    /// The order_id whose record in --file the proof must be of
    #[arg(long, value_name = "ID", requires = "file")]
    pub order_id: Option<String>,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: VerifyArgs) -> Result<u8, super::Error> {
    let output = args.output;
    Ok(match crate::runtime::blocking(move || work(&args)).await {
        Ok(lines) => {
            match output {
                Output::Text => lines.iter().for_each(|line| say(line)),
                Output::Json => {
                    say_result(exit::DONE, serde_json::json!({"checked": lines}));
                }
            }
            exit::DONE
        }
        Err(error) => fail(&error, output),
    })
}

fn work(args: &VerifyArgs) -> Result<Vec<String>, Error> {
    let bytes = read(&args.target, RECEIPT_BYTES_MAX)?;
    let proof = std::str::from_utf8(&bytes).ok().filter(|_| bytes.len() as u64 <= PROOF_BYTES_MAX);
    if let Some(proof) = proof.and_then(Proof::parse) {
        return check_proof(args, &proof);
    }
    if args.receipt.is_some() || args.order_id.is_some() {
        let what = "--receipt and --order-id are for proofs, and this is none: `todoke prove` makes one";
        return Err(Error::Usage(format!("{}: {what}", args.target.display())));
    }
    let (receipt, digest) = open(args, &args.target, &bytes)?;
    let mut lines = said(&receipt, digest);
    match &args.file {
        Some(file) => {
            let scanned = scan(file, &read_options(args, file)?, CHUNK_RECORDS, None, &mut |_| ())?;
            receipts::check_totals(&receipt, &scanned.totals)?;
            lines.push(format!("every total of {} is the receipt's: OK", file.display()));
        }
        None => {
            lines.push("only the receipt itself was checked; pass --file to check the file too".to_owned());
        }
    }
    Ok(lines)
}

fn check_proof(args: &VerifyArgs, proof: &Proof) -> Result<Vec<String>, Error> {
    let path = args.receipt.as_ref().ok_or_else(|| {
        Error::Usage("this is a proof: pass the receipt it is checked against with --receipt".to_owned())
    })?;
    if args.file.is_some() && args.order_id.is_none() {
        let what = "say with --order-id whose record in --file the proof must be of".to_owned();
        return Err(Error::Usage(what));
    }
    let (receipt, digest) = open(args, path, &read(path, RECEIPT_BYTES_MAX)?)?;
    let wrong = |what: &str| Error::Conflict(format!("{}: {what}", args.target.display()));
    if proof.batch_id.is_some_and(|batch_id| batch_id != receipt.batch_id) {
        return Err(wrong(
            "the proof is of another batch than the receipt. Pass the receipt of the same batch",
        ));
    }
    if proof.records != receipt.declared.records || !proof.leads_to(receipt.declared.merkle_root) {
        return Err(wrong("the proof does not lead to the receipt's root: the record is not in this batch"));
    }
    let mut lines = said(&receipt, digest);
    lines.push(format!("record {} of {} is in the batch: OK", proof.index, proof.records));
    if let (Some(file), Some(order_id)) = (&args.file, &args.order_id) {
        let made = proof::prove(file, &read_options(args, file)?, CHUNK_RECORDS_DEFAULT, order_id, None)?;
        if made.is_none_or(|made| made.leaf != proof.leaf) {
            return Err(wrong("the record of this order_id in the file is not the one that the proof is of"));
        }
        lines.push("the proof is of the record with this order_id: OK".to_owned());
    }
    Ok(lines)
}

fn open(args: &VerifyArgs, path: &Path, note: &[u8]) -> Result<(Receipt, Digest), Error> {
    let key = load_key(&args.key).map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::FileTooLarge => Error::Input(InputFault::of_file(
            &args.key,
            "is no public receipt key",
            "Pass receipt.pub as the issuer published it: one line, NAME+KEYID+BASE64",
        )),
        _ => Error::Input(InputFault::from_io(&args.key, &error)),
    })?;
    receipts::open(note, &key).map_err(|fault: ReceiptFault| {
        let beside = receipt_path_for(path);
        let hint = if beside.is_file() {
            format!(". Pass the receipt: `todoke verify {} --file {}`", beside.display(), path.display())
        } else {
            String::new()
        };
        Error::Conflict(format!("{}: {fault}{hint}", path.display()))
    })
}

fn said(receipt: &Receipt, digest: Digest) -> Vec<String> {
    vec![
        format!(
            "receipt {digest}: municipality {}, batch {}, sequence {}, {}",
            receipt.municipality, receipt.batch_id, receipt.sequence, receipt.outcome
        ),
        "signed by the issuer's key, and its sums close: OK".to_owned(),
    ]
}

// As the batch was read, when its journal is there and nothing else was said.
fn read_options(args: &VerifyArgs, file: &Path) -> Result<ReadOptions, Error> {
    if args.encoding.is_none() && args.layout.is_none() && !args.accept_missing_newline {
        let entries = journal::Journal::peek(&journal::Journal::path_for(file))?.unwrap_or_default();
        if let Some(begun) = journal::begun(&entries)
            && begun.is_of(file)?
        {
            return Ok(begun.read_options());
        }
    }
    let encoding = args.encoding.unwrap_or_default();
    let layout = args.layout.as_deref().map(load_layout).transpose()?;
    Ok(ReadOptions { encoding, accept_missing_newline: args.accept_missing_newline, layout })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read_limited(path, limit).map_err(|error| Error::Input(InputFault::from_io(path, &error)))
}
