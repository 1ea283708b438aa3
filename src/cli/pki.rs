//! `todoke pki init|issue|revoke|crl|show`: a development CA in a folder; nothing that is there is
//! overwritten unless it is said.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject as _};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Error,
    municipal::{Output, fail_with, now_ms, say, say_event, say_result},
};
use crate::{
    domain::identity::Identity,
    net::{
        pki::{Authority, AuthorityError},
        tls::{CertificateFacts, CrlFacts, peer_identity},
    },
    runtime::exit,
};

/// Makes certificates to develop and try out with; production brings its own CA.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
                        todoke pki init --dir pki\n  \
                        todoke pki issue municipality/131229 --dir pki\n  \
                        todoke pki issue relay/relay-1 --dir pki --san relay-1.example --days 90\n  \
                        todoke pki revoke municipality/131229 --dir pki\n  \
                        todoke pki crl --dir pki --days 7\n  \
                        todoke pki show pki/131229.pem")]
pub struct PkiArgs {
    #[command(subcommand)]
    command: PkiCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum PkiCommand {
    /// Makes a CA in a folder, with the issuer's receipt key and key-encryption key
    #[command(after_help = "Example: todoke pki init --dir pki")]
    Init(InitArgs),
    /// Issues a certificate with a new key: NAME.pem and NAME.key
    #[command(after_help = "Example: todoke pki issue municipality/131229 --dir pki --days 90")]
    Issue(IssueArgs),
    /// Takes back every certificate of a party, or the one with a serial number, and writes crl.pem
    #[command(after_help = "Example: todoke pki revoke municipality/131229 --dir pki")]
    Revoke(RevokeArgs),
    /// Writes crl.pem anew, before servers refuse everybody because it is out of date
    #[command(after_help = "Example: todoke pki crl --dir pki --days 7")]
    Crl(CrlArgs),
    /// Shows whose a certificate is, its serial number and dates, and what a CRL takes back
    #[command(after_help = "Example: todoke pki show pki/131229.pem pki/crl.pem")]
    Show(ShowArgs),
}

#[derive(Debug, Clone, Args)]
struct InitArgs {
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Clone, Args)]
struct IssueArgs {
    /// Who it is for, such as municipality/131229, relay/relay-1 or operator/alice
    #[arg(value_name = "ROLE/NAME")]
    identity: Identity,
    /// For how many days it is good
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// A host name or IP address to stand in it as well; relays and issuers have todoke.internal and
    /// localhost
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,
    /// Replaces the certificate and key that are there; the old certificate stays valid until it is revoked
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Clone, Args)]
struct RevokeArgs {
    /// Whose certificates, or which one's serial number in hex
    #[arg(value_name = "ROLE/NAME|SERIAL")]
    what: String,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Clone, Args)]
struct CrlArgs {
    /// For how many days it holds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Clone, Args)]
struct ShowArgs {
    /// Certificates or CRLs, PEM
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Args)]
struct To {
    /// The CA's folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What a command has to say: lines for people, and the same for programs.
struct Said {
    lines: Vec<String>,
    json: Value,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub fn run(args: &PkiArgs) -> Result<u8, Error> {
    let now = now();
    let (result, output) = match &args.command {
        PkiCommand::Init(args) => (init(args, now), args.to.output),
        PkiCommand::Issue(args) => (issue(args, now), args.to.output),
        PkiCommand::Revoke(args) => (revoke(args, now), args.to.output),
        PkiCommand::Crl(args) => (crl(args, now), args.to.output),
        PkiCommand::Show(args) => return Ok(show(args, now)),
    };
    Ok(match result {
        Ok(said) if output == Output::Json => say_result(exit::DONE, said.json),
        Ok(said) => {
            said.lines.iter().for_each(|line| say(line));
            exit::DONE
        }
        Err(error) => fail(&error, output),
    })
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn fail(error: &AuthorityError, output: Output) -> u8 {
    fail_with(code_of(error), error, output)
}

fn code_of(error: &AuthorityError) -> u8 {
    match error {
        AuthorityError::NoCa { .. } => exit::CONFIG,
        AuthorityError::Unfit(_) => exit::USAGE,
        _ => exit::FAILED,
    }
}

fn init(args: &InitArgs, now: OffsetDateTime) -> Result<Said, AuthorityError> {
    let dir = &args.to.dir;
    Authority::create(dir, now)?;
    let shown = dir.display();
    let lines = vec![
        format!("{shown}: a development CA (ca.pem, ca.key, crl.pem) for 3650 days"),
        format!("{shown}: receipt.key and receipt.pub for receipts, kek.key for personal data"),
        format!("next: todoke pki issue municipality/131229 --dir {shown}"),
    ];
    Ok(Said { lines, json: json!({"dir": dir}) })
}

fn issue(args: &IssueArgs, now: OffsetDateTime) -> Result<Said, AuthorityError> {
    let authority = Authority::open(&args.to.dir, now)?;
    let issued = match args.replace {
        true => authority.replace(&args.identity, &args.san, days(args.days))?,
        false => authority.issue(&args.identity, &args.san, days(args.days))?,
    };
    let end = date(issued.not_after);
    let lines = vec![format!(
        "{}: {}, serial {}, good until {end}; its key is {}",
        issued.cert.display(),
        args.identity,
        issued.serial,
        issued.key.display()
    )];
    let json = json!({
        "identity": args.identity.to_string(),
        "serial": issued.serial, "not_after": end, "cert": issued.cert, "key": issued.key,
    });
    Ok(Said { lines, json })
}

fn revoke(args: &RevokeArgs, now: OffsetDateTime) -> Result<Said, AuthorityError> {
    let authority = Authority::open(&args.to.dir, now)?;
    let serials = match args.what.contains('/') {
        true => {
            let identity = args.what.parse::<Identity>();
            authority.revoke(&identity.map_err(|error| AuthorityError::Unfit(error.to_string()))?)?
        }
        false => authority.revoke_serial(&args.what)?,
    };
    let crl = args.to.dir.join("crl.pem");
    let mut lines: Vec<String> = serials.iter().map(|serial| format!("revoked: serial {serial}")).collect();
    lines.push(format!("{}: written; nodes take it up within seconds where --crl names it", crl.display()));
    let json = json!({"revoked": serials, "crl": crl});
    Ok(Said { lines, json })
}

fn crl(args: &CrlArgs, now: OffsetDateTime) -> Result<Said, AuthorityError> {
    let number = Authority::open(&args.to.dir, now)?.refresh_crl(days(args.days))?;
    let crl = args.to.dir.join("crl.pem");
    let end = date(now.unix_timestamp() + i64::from(args.days) * 86_400);
    let lines = vec![format!("{}: list {number}, holds until {end}", crl.display())];
    let json = json!({
        "crl": crl, "number": number, "next_update": end,
    });
    Ok(Said { lines, json })
}

/// Shows each file, and fails in the end if one could not be read.
fn show(args: &ShowArgs, now: OffsetDateTime) -> u8 {
    let mut code = exit::DONE;
    for path in &args.files {
        match (described(path, now), args.output) {
            (Ok(said), Output::Text) => said.lines.iter().for_each(|line| say(line)),
            (Ok(said), Output::Json) => say_event("file", said.json),
            (Err(error), Output::Text) => code = fail(&error, Output::Text),
            (Err(error), Output::Json) => {
                code = code_of(&error);
                say_event("file", json!({"file": path, "error": error.to_string()}));
            }
        }
    }
    if args.output == Output::Json {
        say_result(code, json!({"files": args.files}));
    }
    code
}

fn described(path: &Path, now: OffsetDateTime) -> Result<Said, AuthorityError> {
    let unfit = |what: String| AuthorityError::Unfit(format!("{}: {what}", path.display()));
    let pem = fs::read(path).map_err(|source| AuthorityError::Io { path: path.to_owned(), source })?;
    if let Ok(der) = CertificateDer::from_pem_slice(&pem) {
        let facts = CertificateFacts::read(&der).map_err(unfit)?;
        return Ok(of_certificate(path, &der, &facts, now.unix_timestamp()));
    }
    let der = CertificateRevocationListDer::from_pem_slice(&pem).map_err(|_| {
        unfit("holds neither certificate nor CRL in PEM. Pass NAME.pem, ca.pem or crl.pem".to_owned())
    })?;
    Ok(of_crl(path, &CrlFacts::read(&der).map_err(unfit)?, now.unix_timestamp()))
}

fn of_certificate(path: &Path, der: &CertificateDer<'_>, facts: &CertificateFacts, now: i64) -> Said {
    let whose = match (facts.is_ca, peer_identity(std::slice::from_ref(der))) {
        (true, _) => "a CA".to_owned(),
        (false, Ok(identity)) => identity.to_string(),
        (false, Err(error)) => format!("nobody: {error}"),
    };
    let revoked = !facts.is_ca && is_revoked(path, &facts.serial);
    let state = match () {
        () if revoked => "revoked".to_owned(),
        () if now < facts.not_before => "not valid yet".to_owned(),
        () if now > facts.not_after => "expired".to_owned(),
        () => format!("valid for {} more days", (facts.not_after - now) / 86_400),
    };
    let (serial, names) = (hex::encode(&facts.serial), facts.dns_names.join(", "));
    let (from, until) = (date(facts.not_before), date(facts.not_after));
    let mut lines = vec![
        format!("{}: {whose}", path.display()),
        format!("  serial    {serial}"),
        format!("  valid     {from} to {until} ({state})"),
    ];
    if !names.is_empty() {
        lines.push(format!("  names     {names}"));
    }
    let json = json!({
        "file": path, "kind": "certificate", "identity": whose, "serial": serial, "not_before": from,
        "not_after": until, "state": state, "names": facts.dns_names, "uris": facts.uris, "ca": facts.is_ca,
    });
    Said { lines, json }
}

/// Whether the list beside the certificate takes it back.
fn is_revoked(certificate: &Path, serial: &[u8]) -> bool {
    let list = CertificateRevocationListDer::from_pem_file(certificate.with_file_name("crl.pem")).ok();
    let facts = list.and_then(|der| CrlFacts::read(&der).ok());
    facts.is_some_and(|facts| facts.revoked.iter().any(|(revoked, _)| revoked == serial))
}

fn of_crl(path: &Path, facts: &CrlFacts, now: i64) -> Said {
    let (from, until) = (date(facts.this_update), facts.next_update.map(date));
    let state = if facts.next_update.is_some_and(|end| now <= end) { "in force" } else { "out of date" };
    let end = until.clone().unwrap_or_else(|| "no stated end".to_owned());
    let mut lines = vec![
        format!("{}: list {} of revoked certificates", path.display(), facts.number),
        format!("  holds     {from} to {end} ({state})"),
        format!("  revoked   {}", facts.revoked.len()),
    ];
    let entries = facts.revoked.iter().map(|(serial, second)| (hex::encode(serial), date(*second)));
    let entries: Vec<(String, String)> = entries.collect();
    lines.extend(entries.iter().map(|(serial, since)| format!("            {serial} since {since}")));
    let revoked: Vec<Value> =
        entries.iter().map(|(serial, since)| json!({"serial": serial, "since": since})).collect();
    let json = json!({
        "file": path, "kind": "crl", "number": facts.number, "this_update": from, "next_update": until,
        "state": state, "revoked": revoked,
    });
    Said { lines, json }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn date(second: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(second).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("second {second}"))
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
