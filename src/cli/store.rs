//! `todoke store copy|compare`: moves an issuer from a file to a server's database, with the totals of both
//! sides held against each other.

use clap::{Args, Subcommand};

use super::{
    Error,
    municipal::{Output, many, say, say_event, say_result},
    progress::bar,
};
use crate::{
    runtime::exit,
    store::{self, Progress, StoreOptions, TableTotals, TellProgress, Total},
};

/// Copies a database from SQLite to PostgreSQL, or compares two.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  todoke store copy --from sqlite:issuer.db --to postgres://todoke@localhost/todoke
  todoke store compare --from sqlite:issuer.db --to postgres://todoke@localhost/todoke

Exit codes: 0 both sides are the same, 4 they are not, and the tables are named (a copy was not
kept), 1 refused, or failed and nothing was kept, 2 wrong usage, 64 bad URL, 75 try again later.")]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum StoreCommand {
    /// Copies all of a file into a server's database that is empty, and reads it back
    Copy(CopyArgs),
    /// Holds all of a file against a server's database; nothing is changed
    Compare(CompareArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example: todoke store copy --from sqlite:issuer.db --to postgres://todoke@localhost/todoke

The issuer of the file must be stopped; the file is not changed. The other database must be empty,
or have the tables that `todoke migrate` makes and nothing in them, and no issuer. It is all one
transaction: it may be killed at any moment and leaves nothing, and an issuer that is started
meanwhile is refused.")]
struct CopyArgs {
    #[command(flatten)]
    sides: Sides,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example: todoke store compare --from sqlite:issuer.db --to postgres://todoke@localhost/todoke

Of each table it shows how many rows both sides have, and the SHA-256 of what PostgreSQL's
COPY (SELECT … ORDER BY primary key) TO STDOUT (FORMAT binary) gives. No issuer may run on either
side.")]
struct CompareArgs {
    #[command(flatten)]
    sides: Sides,
}

#[derive(Debug, Clone, Args)]
struct Sides {
    /// The file, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    from: String,
    /// The server's database, for example postgres://todoke@localhost/todoke
    #[arg(long, value_name = "URL")]
    to: String,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Sides {
    /// The options of both sides.
    fn options(&self) -> Result<[StoreOptions; 2], Error> {
        let of = |url: &String| StoreOptions { url: url.clone(), ..StoreOptions::default() };
        let [from, to] = [of(&self.from), of(&self.to)];
        let is_file = |options: &StoreOptions| {
            options.file().map(|file| file.is_some()).map_err(|words| Error::Store(store::Error::Url(words)))
        };
        if !is_file(&from)? {
            let words =
                "--from: only a file is copied, sqlite:FILE; PostgreSQL's own tools copy its databases";
            return Err(Error::Usage(words.to_owned()));
        }
        if is_file(&to)? {
            let words = "--to: it is postgres://USER@HOST/DATABASE; a file is copied as it stands in \
                         deploy/README.md, Backup";
            return Err(Error::Usage(words.to_owned()));
        }
        Ok([from, to])
    }
}

impl StoreArgs {
    pub(super) fn output(&self) -> Output {
        match &self.command {
            StoreCommand::Copy(CopyArgs { sides }) | StoreCommand::Compare(CompareArgs { sides }) => {
                sides.output
            }
        }
    }
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// What kept it from being done.
pub async fn run(args: StoreArgs) -> Result<u8, Error> {
    let held = |error| Error::held(error, "stop it first, and see to it that nobody starts it meanwhile");
    match args.command {
        StoreCommand::Copy(CopyArgs { sides }) => {
            let [from, to] = sides.options()?;
            let totals =
                shown("copying", sides.output, async |tell| store::copy(&from, &to, tell).await).await;
            let totals = totals.map_err(held)?;
            let code = show(&totals, sides.output);
            if sides.output == Output::Text {
                say(if code == exit::DONE { COPIED } else { NOT_KEPT });
            }
            Ok(code)
        }
        StoreCommand::Compare(CompareArgs { sides }) => {
            let [from, to] = sides.options()?;
            let totals =
                shown("comparing", sides.output, async |tell| store::compare(&from, &to, tell).await).await;
            Ok(show(&totals.map_err(held)?, sides.output))
        }
    }
}

const COPIED: &str = "Next: `todoke report verify-store` on the database, and start the issuer with it. Set \
                      the file aside, so that nobody starts an issuer with it any more";
const NOT_KEPT: &str = "Nothing was kept in the database. Next: look at what is in the way there (triggers, \
                        rules), and whether `todoke report verify-store` finds the file whole";

/// Shows a bar while something is done.
async fn shown<T>(word: &str, output: Output, work: impl AsyncFnOnce(TellProgress<'_>) -> T) -> T {
    let template = "{msg} [{wide_bar}] {human_pos}/{human_len} rows, {eta} left";
    let bar = bar(template, 0, output).with_message(word.to_owned());
    let mut tell = |Progress { rows, of }| {
        bar.set_length(of);
        bar.set_position(rows);
    };
    let done = work(&mut tell).await;
    bar.finish_and_clear();
    done
}

fn show(totals: &[TableTotals], output: Output) -> u8 {
    let other: Vec<&str> = totals.iter().filter(|one| !one.is_same()).map(|one| one.table).collect();
    let code = if other.is_empty() { exit::DONE } else { exit::TOTALS };
    let rows: u64 = totals.iter().map(|one| one.from.rows).sum();
    if output == Output::Json {
        for one in totals {
            let side =
                |total: Total| serde_json::json!({"rows": total.rows, "digest": total.digest.to_string()});
            let value = serde_json::json!({
                "table": one.table, "from": side(one.from), "to": side(one.to), "same": one.is_same(),
            });
            say_event("table", value);
        }
        let value = serde_json::json!({"tables": totals.len(), "rows": rows, "different": other});
        return say_result(code, value);
    }
    for one in totals {
        let side = |total: Total| format!("{:>9} rows {:.16}", total.rows, total.digest.to_string());
        match one.is_same() {
            true => say(&format!("{:16} {}  same", one.table, side(one.from))),
            false => {
                let (from, to) = (side(one.from), side(one.to));
                say(&format!("{:16} {from}  DIFFERENT: {}", one.table, to.trim_start()));
            }
        }
    }
    let (tables, rows) = (many(totals.len() as u64, "table"), many(rows, "row"));
    match other.is_empty() {
        true => say(&format!("{rows} in {tables} are the same on both sides: OK")),
        false => say(&format!("TOTALS DIFFER: {} of {tables}: {}", other.len(), other.join(", "))),
    }
    code
}
