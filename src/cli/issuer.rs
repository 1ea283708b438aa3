//! `todoke issuer`: opens the database and the vault, starts the service, listens last, and stops in reverse.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::net::TcpListener;

use crate::{
    issuance,
    net::tls::{ServerTls, TlsFiles},
    ops,
    runtime::{self, OnDeath, Tasks, clock::Clock},
    store::{Store, StoreOptions},
    telemetry,
    vault::Vault,
};

use super::Error;

/// Runs the issuance service.
///
/// Example: todoke issuer --listen 127.0.0.1:40301 --ops-listen 127.0.0.1:40302 --database sqlite:issuer.db
/// --cert pki/issuer-1.pem --key pki/issuer-1.key --ca pki/ca.pem --kek pki/kek.key
/// --receipt-key pki/receipt.key
#[derive(Debug, Args)]
pub struct IssuerArgs {
    /// Where to take gRPC calls; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where to serve /metrics, /livez and /readyz.
    #[arg(long, value_name = "ADDR")]
    pub ops_listen: SocketAddr,
    /// The database, for example sqlite:issuer.db.
    #[arg(long, value_name = "URL")]
    pub database: String,
    /// The server's certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The CA that every peer's certificate must lead to, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Revoked certificates, PEM.
    #[arg(long, value_name = "FILE")]
    pub crl: Option<PathBuf>,
    /// The key-encryption key: 32 bytes in hex.
    #[arg(long, value_name = "FILE")]
    pub kek: PathBuf,
    /// The Ed25519 key that receipts are signed with, PKCS#8 PEM.
    #[arg(long, value_name = "FILE")]
    pub receipt_key: PathBuf,
    /// This issuer's own name; it stands in leases and logs.
    #[arg(long, default_value = "issuer-1")]
    pub name: String,
    /// Least time without progress that counts as stalled.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub stall_after: Duration,
    /// How often every open batch is looked at.
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub sweep_every: Duration,
    /// Longest time from seal to a final state.
    #[arg(long, value_parser = duration, default_value = "5m")]
    pub stuck_after: Duration,
    /// How long a worker's lease lasts without being renewed.
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub lease: Duration,
    /// How long calls in flight get at the end.
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub drain: Duration,
    /// How logs look.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: super::LogFormat,
    /// Where to write the addresses once they are known, as JSON.
    #[arg(long, value_name = "FILE")]
    pub addresses_file: Option<PathBuf>,
    /// Ends at once when standard input does, since then the parent is gone: for `todoke dev` and `demo`.
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

/// Reads `250ms`, `60s`, `5m` or `24h`.
///
/// # Errors
/// Words that say what is needed.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let needed = || format!("'{text}' is no duration: write 250ms, 60s, 5m or 24h");
    let n: u64 = text[..split].parse().map_err(|_| needed())?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(n)),
        "s" => Ok(Duration::from_secs(n)),
        "m" => Ok(Duration::from_secs(n * 60)),
        "h" => Ok(Duration::from_secs(n * 3600)),
        _ => Err(needed()),
    }
}

/// Longest time between two looks at certificates and CRL.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// Runs until told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: IssuerArgs) -> Result<u8, Error> {
    telemetry::init(&telemetry::LogOptions { format: args.log_format, ..Default::default() })?;
    let tasks = Tasks::new();
    runtime::signals(&tasks);
    if args.exit_with_parent {
        runtime::end_with_parent(&tasks);
    }
    let clock = Clock::system();
    let vault = Vault::open(&args.kek, &args.receipt_key)?;
    let store = Store::open(&StoreOptions { url: args.database.clone(), ..StoreOptions::default() }).await?;
    let files = TlsFiles {
        cert: args.cert.clone(),
        key: args.key.clone(),
        ca: args.ca.clone(),
        crl: args.crl.clone(),
    };
    let tls = ServerTls::load(&files)?;
    reload(&tasks, tls.clone());
    let ops_listener = TcpListener::bind(args.ops_listen).await?;
    let ops_address = ops_listener.local_addr()?;
    let listener = TcpListener::bind(args.listen).await?;
    let running = issuance::start(options(&args), listener, store, vault, tls, clock, &tasks).await?;
    let state = ops::State { metrics: telemetry::prometheus(), ready: running.not_ready };
    let serving = ops::serve(ops_listener, state, tasks.soft());
    tasks.spawn("ops", OnDeath::Shutdown, async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the ops server ended");
        }
    });
    tracing::info!(address = %running.address, ops = %ops_address,
        "{} listens at {}", args.name, running.address);
    if let Some(file) = &args.addresses_file {
        write_addresses(file, running.address, ops_address)?;
    }
    tasks.soft().cancelled().await;
    Ok(tasks.join(args.drain).await.exit_code())
}

fn options(args: &IssuerArgs) -> issuance::Options {
    issuance::Options {
        name: args.name.clone(),
        stall_after: args.stall_after,
        sweep_every: args.sweep_every,
        stuck_after: args.stuck_after,
        lease: args.lease,
        drain: args.drain,
        ..issuance::Options::default()
    }
}

/// Reads certificate, key, CA and CRL anew now and then, so that neither renewal nor revocation needs a
/// restart; what cannot be read leaves the old ones in force.
fn reload(tasks: &Tasks, tls: ServerTls) {
    let stop = tasks.soft();
    tasks.spawn("tls-reload", OnDeath::Shutdown, async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            if let Err(error) = tls.reload() {
                tracing::error!(%error, "certificate or CRL cannot be read; the old ones stay in force");
            }
        }
    });
}

/// Writes where the issuer listens, at once and whole: to another name first, then renamed.
fn write_addresses(file: &Path, address: SocketAddr, ops: SocketAddr) -> std::io::Result<()> {
    let json = serde_json::json!({
        "address": address.to_string(),
        "ops": ops.to_string(),
        "pid": std::process::id(),
    });
    let unfinished = file.with_extension("tmp");
    std::fs::write(&unfinished, json.to_string())?;
    std::fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_its_unit_only() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "5", "m", "5x", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
