//! `todoke migrate`: brings a database's schema up to date as its owner, says where it stands, or prints the
//! SQL for whoever runs it by hand.

use clap::{Args, ValueEnum};

use super::{
    Error,
    municipal::{Output, say, say_event, say_lines, say_result},
};
use crate::{
    runtime::exit,
    store::{self, Schema, Step, Store, StoreOptions},
};

/// Brings the schema of a database up to date, or says where it stands.
///
/// An issuer does this when it starts. Where its role may not change tables, the owner does it before with
/// this command; steps that running issuers can live with are taken beside them, others only when none is
/// connected. A file of SQLite must be there, and its issuer stopped.
///
/// Exit codes: 0 up to date now, 1 it is not, or failed, 2 wrong usage, 64 bad URL, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
                        todoke migrate --database postgres://owner@localhost/todoke\n  \
                        todoke migrate --check --database sqlite:issuer.db\n  \
                        todoke migrate --print --database postgres://owner@localhost/todoke\n  \
                        todoke migrate --print --all --database postgres://owner@localhost/todoke\n  \
                        todoke migrate --print --distributed citus > citus.sql")]
pub struct MigrateArgs {
    /// The database, for example sqlite:issuer.db or postgres://owner@db/todoke
    #[arg(long, value_name = "URL", required_unless_present = "distributed")]
    database: Option<String>,
    /// Changes nothing, and says which schema the database and this program have
    #[arg(long, conflicts_with = "print")]
    check: bool,
    /// Changes nothing, and prints the SQL of the steps that the database has not taken
    #[arg(long)]
    print: bool,
    /// With --print: all steps, for the kind of database that the URL names, which is not looked at
    #[arg(long, requires = "print")]
    all: bool,
    /// With --print: what makes a cluster of this kind spread the tables by municipality, run after all steps
    #[arg(
        long,
        value_name = "ENGINE",
        value_enum,
        requires = "print",
        conflicts_with_all = ["all", "database"]
    )]
    distributed: Option<Engine>,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// A distributed engine that speaks PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The extension of PostgreSQL
    Citus,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// What the store says.
pub async fn run(args: MigrateArgs) -> Result<u8, Error> {
    if let Some(Engine::Citus) = args.distributed {
        return Ok(print_citus(args.output));
    }
    let url = args.database.clone().unwrap_or_default();
    let options = StoreOptions { url, ..StoreOptions::default() };
    if args.print {
        let after = if args.all { 0 } else { looked_at(&options).await?.found };
        return Ok(print(&store::steps(&options, after)?, args.output));
    }
    if args.check {
        return Ok(check(looked_at(&options).await?, args.output));
    }
    let before = Store::migrate(&options).await.map_err(held)?;
    Ok(done(before, &store::steps(&options, before.found)?, args.output))
}

async fn looked_at(options: &StoreOptions) -> Result<Schema, Error> {
    Ok(Store::schema(options).await?)
}

fn held(error: store::Error) -> Error {
    Error::held(error, "stop it first; when it starts, it brings its database up to date by itself")
}

fn print_citus(output: Output) -> u8 {
    let all = store::citus();
    if output == Output::Json {
        for sql in &all {
            say_event("statement", serde_json::json!({"sql": sql}));
        }
        return say_result(exit::DONE, serde_json::json!({"statements": all.len()}));
    }
    say("-- Once, on the coordinator, as the owner of the tables and where CREATE EXTENSION citus was run;");
    say("-- after `todoke migrate` has made the tables, and before the first issuer starts.");
    for sql in &all {
        say(&format!("{sql};"));
    }
    exit::DONE
}

fn print(steps: &[Step], output: Output) -> u8 {
    for step in steps {
        let Step { version, name, usable_from, sql } = step;
        match output {
            Output::Json => {
                let value = serde_json::json!({
                    "version": version, "name": name, "usable_from": usable_from, "sql": sql,
                });
                say_event("step", value);
            }
            Output::Text => {
                say(&format!("-- {version} {name}: for programs of schema {usable_from} and newer"));
                say_lines(&format!("BEGIN;\n{sql}COMMIT;\n"));
            }
        }
    }
    match output {
        Output::Json => say_result(exit::DONE, serde_json::json!({"steps": steps.len()})),
        Output::Text => exit::DONE,
    }
}

fn check(schema: Schema, output: Output) -> u8 {
    let Schema { found, known } = schema;
    let code = if schema.is_up_to_date() { exit::DONE } else { exit::FAILED };
    if output == Output::Json {
        let value = serde_json::json!({"found": found, "known": known, "up_to_date": schema.is_up_to_date()});
        return say_result(code, value);
    }
    let what = match found.cmp(&known) {
        std::cmp::Ordering::Less => "run `todoke migrate`",
        std::cmp::Ordering::Equal => "it is up to date",
        std::cmp::Ordering::Greater => "a newer program made it, and this one can go on with it",
    };
    say(&format!("the database has schema {found}, this program knows {known}: {what}"));
    code
}

fn done(before: Schema, steps: &[Step], output: Output) -> u8 {
    let Schema { found, known } = before;
    if output == Output::Json {
        for Step { version, name, usable_from, .. } in steps {
            say_event(
                "step",
                serde_json::json!({"version": version, "name": name, "usable_from": usable_from}),
            );
        }
        return say_result(
            exit::DONE,
            serde_json::json!({"found": found, "known": known, "steps": steps.len()}),
        );
    }
    for step in steps {
        say(&format!("step {}: {}", step.version, step.name));
    }
    match steps {
        [] => say(&format!(
            "the database has schema {found}, this program knows {known}: nothing was to be done"
        )),
        _ => say(&format!("the database was brought from schema {found} to {known}")),
    }
    exit::DONE
}
