//! `todoke prove FILE --order-id ID`: writes a proof that one record is in a batch, from the file alone or by
//! the issuer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::municipal::{Connect, Output, fail, journal_path, say, say_result, wait, waits};
use crate::{
    client::{
        error::Error,
        input_fault::InputFault,
        journal::{self, with_suffix},
        plan::{self, receipt_path_for},
        proof::{self, Proof},
        reader::{ReadOptions, load_layout},
        receipts::write_whole,
        source::Encoding,
    },
    domain::manifest::CHUNK_RECORDS_DEFAULT,
    runtime::exit,
};

/// Proves that one record is in a file's batch.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke prove cards.csv --order-id K-17\n  \
                        todoke verify cards.csv.proof --receipt cards.csv.receipt --key receipt.pub")]
pub struct ProveArgs {
    /// The record file
    pub file: PathBuf,
    /// The record's order_id
    #[arg(long, value_name = "ID")]
    pub order_id: String,
    /// Asks the issuer for the proof instead of making it from the file
    #[arg(long, requires = "caller")]
    pub from_server: bool,
    /// The file that says where the system is
    #[arg(long, value_name = "FILE", default_value = "endpoints.json")]
    pub endpoints: PathBuf,
    /// Whose certificate is used with --from-server, such as municipality/131229
    #[arg(long = "as", value_name = "ROLE/NAME")]
    pub caller: Option<String>,
    /// How long the answer is waited for with --from-server
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait, requires = "from_server")]
    pub patience: Duration,
    /// The file's encoding, if there is no journal
    #[arg(long, value_name = "NAME", default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// The layout of a fixed-width file, if there is no journal
    #[arg(long, value_name = "FILE")]
    pub layout: Option<PathBuf>,
    /// Where the proof goes [default: FILE.proof]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ProveArgs) -> Result<u8, super::Error> {
    let out = args.out.clone().unwrap_or_else(|| with_suffix(&args.file, ".proof"));
    let made = if args.from_server { ask(&args).await } else { make(&args) };
    let written = made.and_then(|proof| {
        let write = |source| Error::Write { path: out.clone(), source };
        write_whole(&out, proof.to_text().as_bytes()).map_err(write).map(|()| proof)
    });
    Ok(match written {
        Ok(proof) => show(&proof, &args.file, &out, args.output),
        Err(error) => fail(&error, args.output),
    })
}

async fn ask(args: &ProveArgs) -> Result<Proof, Error> {
    let here = journal::Journal::peek(&journal_path(&args.file, None))?.unwrap_or_default();
    let begun = journal::begun(&here).ok_or_else(|| {
        Error::Usage(format!(
            "{file}: no batch was begun with this file here. Check the name, leave out --from-server to make \
             the proof from the file, or have its batch found again with `todoke resume {file}`",
            file = args.file.display()
        ))
    })?;
    let batch_id = plan::manifest_of(begun)?.batch_id;
    let caller = args.caller.clone().unwrap_or_default();
    let connect = Connect { endpoints: args.endpoints.clone(), caller };
    let session = connect.session(args.patience, waits(args.output))?;
    session.over(async |session| session.prove(batch_id, &args.order_id).await).await
}

fn make(args: &ProveArgs) -> Result<Proof, Error> {
    let entries = journal::Journal::peek(&journal_path(&args.file, None))?.unwrap_or_default();
    let begun = match journal::begun(&entries) {
        Some(begun) if begun.is_of(&args.file)? => Some(begun),
        _ => None,
    };
    let manifest = begun.map(plan::manifest_of).transpose()?;
    let read = match begun {
        Some(begun) => begun.read_options(),
        None => {
            let layout = args.layout.as_deref().map(load_layout).transpose()?;
            ReadOptions { encoding: args.encoding, layout, ..ReadOptions::default() }
        }
    };
    // Any power of two gives the same path: the chunks are only how the work is cut up.
    let proof = proof::prove(
        &args.file,
        &read,
        CHUNK_RECORDS_DEFAULT,
        &args.order_id,
        manifest.map(|manifest| manifest.batch_id),
    )?;
    proof.ok_or_else(|| {
        let what = "has no record with this order_id";
        InputFault::of_file(&args.file, what, "Check the order_id and the file").into()
    })
}

fn show(proof: &Proof, file: &Path, out: &Path, output: Output) -> u8 {
    if output == Output::Json {
        let value = serde_json::json!({"proof": out, "index": proof.index, "records": proof.records});
        return say_result(exit::DONE, value);
    }
    say(&format!(
        "record {} of {}: proof written to {}. Next: `todoke verify {} --receipt {} --key receipt.pub`",
        proof.index,
        proof.records,
        out.display(),
        out.display(),
        receipt_path_for(file).display()
    ));
    exit::DONE
}
