//! `todoke sample`: writes a record file of made-up people, the same one for the same flags, and says on
//! standard error which faults it has.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Error,
    municipal::{Output, say_result, warn},
};
use crate::{
    client::reader::load_layout,
    domain::municipality::MunicipalityCode,
    runtime::exit,
    sample::{Encoding, Fault, Options, Plan, Size, Unwritable},
};

/// Writes a record file of people who do not exist, for tests and demonstrations.
///
/// The same flags give the same bytes, on any machine and at any time. Individual numbers begin with 99.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
                        todoke sample --municipality 131229 --records 5000 --out cards.csv\n  \
                        todoke sample --municipality 131229 --wrong-check-digit 3 --out faulty.csv\n  \
                        todoke sample --municipality 131229 --households 12000 --district 白鳥=5000 \\\n    \
                        --omit-district 白鳥 --control-totals tally.csv --out faulty-extract.csv")]
pub struct SampleArgs {
    /// The municipality's code of six digits
    #[arg(long, value_name = "CODE")]
    pub municipality: MunicipalityCode,
    /// How many records [default: 5000, or about 2.2 for each household]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    pub records: Option<u64>,
    /// How many households of one to six people [default: about one for 2.2 records]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    pub households: Option<u64>,
    /// Everything that is drawn comes from it
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// A district with exactly so many households, such as 白鳥=5000; all others are spread over the rest
    #[arg(long, value_name = "NAME=N", value_parser = district)]
    pub district: Vec<(String, u64)>,
    /// Leaves a district out of the file, as a faulty extract does; the control totals still have it
    #[arg(long, value_name = "NAME")]
    pub omit_district: Vec<String>,
    /// So many records get a wrong check digit in their individual number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub wrong_check_digit: u64,
    /// So many records stand there twice: the file has so many lines more
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub duplicate: u64,
    /// Writes fixed-width lines instead of CSV, as this layout says: field,start_bytes,length_bytes; see
    /// `import --help`
    #[arg(long, value_name = "FILE")]
    pub layout: Option<PathBuf>,
    /// The file's encoding: utf-8, utf-8-bom or cp932
    #[arg(long, value_name = "NAME", default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// Where the file goes, which must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Writes over the files that are there already
    #[arg(long)]
    pub force: bool,
    /// Writes the tally of the complete extract there, in the same encoding, for `import --control-totals`
    #[arg(long, value_name = "FILE")]
    pub control_totals: Option<PathBuf>,
    /// How the summary is shown, with --out
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn district(text: &str) -> Result<(String, u64), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, count) = parts.ok_or("must be NAME=N, such as 白鳥=5000")?;
    let count = count.parse().map_err(|_| format!("{count:?} is no number of households"))?;
    Ok((name.to_owned(), count))
}

impl SampleArgs {
    fn options(&self) -> Result<Options, Error> {
        let layout = self.layout.as_deref().map(load_layout).transpose();
        let layout = layout.map_err(|fault| Error::Usage(fault.to_string()))?;
        let size = match (self.records, self.households) {
            (None, None) => Size::Records(5000),
            (Some(records), None) => Size::Records(records),
            (None, Some(households)) => Size::Households(households),
            (Some(records), Some(households)) => Size::Both { households, records },
        };
        Ok(Options {
            municipality: self.municipality,
            seed: self.seed,
            size,
            districts: self.district.clone(),
            omit: self.omit_district.clone(),
            wrong_check_digits: self.wrong_check_digit,
            duplicates: self.duplicate,
            encoding: self.encoding,
            layout,
        })
    }
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// Wishes that exclude each other, and files that cannot be written.
pub fn run(args: &SampleArgs) -> Result<u8, Error> {
    let plan = Plan::new(args.options()?).map_err(|error| Error::Usage(error.to_string()))?;
    if args.out.is_some() && args.out == args.control_totals {
        let what = "--out and --control-totals name the same file: name two";
        return Err(Error::Usage(what.to_owned()));
    }
    let there = |path: &&PathBuf| !args.force && path.is_file();
    if let Some(path) = args.out.iter().chain(&args.control_totals).find(there) {
        let what = "is there already, and stays as it is: name another file, or pass --force";
        return Err(Error::Usage(format!("{} {what}", path.display())));
    }
    if let Some(path) = &args.control_totals {
        let totals = plan.control_totals().map_err(|error| Error::Usage(error.to_string()))?;
        std::fs::write(path, totals).map_err(|source| unwritten(path, source))?;
    }
    let Some(path) = &args.out else {
        return match write_lines(&plan, &mut io::stdout().lock()) {
            Ok(faults) => {
                list(&faults);
                Ok(exit::DONE)
            }
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit::DONE),
            Err(source) => Err(unwritten(Path::new("standard output"), source)),
        };
    };
    let written = create(path).and_then(|mut file| write_lines(&plan, &mut file));
    let faults = written.map_err(|source| unwritten(path, source))?;
    list(&faults);
    summary(&plan, path, &faults, args.output);
    Ok(exit::DONE)
}

/// What kept a file from being written: what encoding or layout cannot hold is no fault of the disk.
fn unwritten(path: &Path, source: io::Error) -> Error {
    match source.downcast::<Unwritable>() {
        Ok(why) => Error::Usage(why.to_string()),
        Err(source) => Error::Write { path: path.to_owned(), source },
    }
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    File::create(path).map(|file| BufWriter::with_capacity(1 << 18, file))
}

fn write_lines(plan: &Plan, out: &mut impl Write) -> io::Result<Vec<Fault>> {
    const BLOCK: usize = 1 << 18;
    let mut lines = plan.lines();
    let mut block = Vec::with_capacity(BLOCK + 4096);
    while lines.next_into(&mut block).map_err(io::Error::other)? {
        if block.len() >= BLOCK {
            out.write_all(&block)?;
            block.clear();
        }
    }
    out.write_all(&block)?;
    out.flush()?;
    Ok(lines.faults().to_vec())
}

fn list(faults: &[Fault]) {
    for fault in faults {
        warn(&format!("line {}: order {}: {}", fault.line, fault.order_id, fault.what));
    }
}

fn summary(plan: &Plan, path: &Path, faults: &[Fault], output: Output) {
    let (households, records) = (plan.households(), plan.records());
    match output {
        Output::Text => warn(&format!(
            "{}: {records} records of {households} households, {} planted faults",
            path.display(),
            faults.len()
        )),
        Output::Json => {
            let faults: Vec<serde_json::Value> = faults
                .iter()
                .map(|Fault { line, order_id, what }| {
                    serde_json::json!({"line": line, "order_id": order_id, "what": what})
                })
                .collect();
            let value = serde_json::json!({
                "file": path, "records": records, "households": households, "faults": faults,
            });
            say_result(exit::DONE, value);
        }
    }
}
