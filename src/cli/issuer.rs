//! `todoke issuer`: opens the database and the vault, starts the service, listens last, and stops in
//! reverse.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum as _};
use tokio::net::TcpListener;

use super::{Error, addresses, municipal::duration};
use crate::{
    config::{self, Flag, IssuerConfig, Sources, duration::show},
    issuance,
    net::tls::ServerTls,
    ops,
    runtime::{self, OnDeath, Tasks, clock::Clock},
    store::Store,
    telemetry,
    vault::Vault,
};

/// Runs the issuance service.
///
/// Each flag overrides a key of the configuration file, which `todoke config print --role issuer` lists.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  todoke issuer --config issuer.toml\n  \
                        todoke issuer --listen 127.0.0.1:40301 --ops-listen 127.0.0.1:40302 \
                        --database sqlite:issuer.db --cert pki/issuer-1.pem --key pki/issuer-1.key \
                        --ca pki/ca.pem --kek pki/kek.key --receipt-key pki/receipt.key")]
pub struct IssuerArgs {
    /// The configuration file, TOML; TODOKE_* variables override it, and flags override both
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to take gRPC calls; port 0 takes a free one [listen]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where to serve /metrics, /livez and /readyz [ops_listen]
    #[arg(long, value_name = "ADDR")]
    pub ops_listen: Option<SocketAddr>,
    /// The database, for example sqlite:issuer.db [store.url]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The server's certificate chain, PEM [tls.cert]
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// The certificate's key, PEM [tls.key]
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
    /// The CA that every peer's certificate must lead to, PEM [tls.ca]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Revoked certificates, PEM [tls.crl]
    #[arg(long, value_name = "FILE")]
    pub crl: Option<String>,
    /// The key-encryption key: 32 bytes in hex [vault.kek]
    #[arg(long, value_name = "FILE")]
    pub kek: Option<String>,
    /// The Ed25519 key that receipts are signed with, PKCS#8 PEM [vault.receipt_key]
    #[arg(long, value_name = "FILE")]
    pub receipt_key: Option<String>,
    /// This issuer's own name, which stands in leases and logs [issuance.name]
    #[arg(long)]
    pub name: Option<String>,
    /// Least time without progress that counts as stalled [issuance.stall_after]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stall_after: Option<Duration>,
    /// How often every open batch is looked at [issuance.sweep_every]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub sweep_every: Option<Duration>,
    /// Longest time from seal to a final state [issuance.stuck_after]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stuck_after: Option<Duration>,
    /// How long a worker's lease lasts without being renewed [issuance.lease]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lease: Option<Duration>,
    /// How long calls in flight get at the end [issuance.drain]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain: Option<Duration>,
    /// How logs look [log.format]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<super::LogFormat>,
    /// Where to write the addresses once they are known, as JSON [addresses_file]
    #[arg(long, value_name = "FILE")]
    pub addresses_file: Option<String>,
    /// Ends at once when standard input does, since then the parent is gone: for `todoke dev` and `demo`.
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
}

impl IssuerArgs {
    fn flags(&self) -> Vec<Flag> {
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let time = |time: Option<Duration>| time.map(show);
        let format = self.log_format.and_then(|format| format.to_possible_value());
        let flags = [
            ("--listen", "listen", address(self.listen)),
            ("--ops-listen", "ops_listen", address(self.ops_listen)),
            ("--database", "store.url", self.database.clone()),
            ("--cert", "tls.cert", self.cert.clone()),
            ("--key", "tls.key", self.key.clone()),
            ("--ca", "tls.ca", self.ca.clone()),
            ("--crl", "tls.crl", self.crl.clone()),
            ("--kek", "vault.kek", self.kek.clone()),
            ("--receipt-key", "vault.receipt_key", self.receipt_key.clone()),
            ("--name", "issuance.name", self.name.clone()),
            ("--stall-after", "issuance.stall_after", time(self.stall_after)),
            ("--sweep-every", "issuance.sweep_every", time(self.sweep_every)),
            ("--stuck-after", "issuance.stuck_after", time(self.stuck_after)),
            ("--lease", "issuance.lease", time(self.lease)),
            ("--drain", "issuance.drain", time(self.drain)),
            ("--log-format", "log.format", format.map(|format| format.get_name().to_owned())),
            ("--addresses-file", "addresses_file", self.addresses_file.clone()),
        ];
        let given = |(name, key, value): (_, _, Option<String>)| Some(Flag { name, key, value: value? });
        flags.into_iter().filter_map(given).collect()
    }
}

/// Longest time between two looks at certificates and CRL.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// Runs until told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: IssuerArgs) -> Result<u8, Error> {
    let sources = Sources::of_process(args.config.clone(), args.flags());
    let config = config::load::<IssuerConfig>(&sources)?.config;
    telemetry::init(&config.log)?;
    let tasks = Tasks::new();
    runtime::signals(&tasks);
    if args.exit_with_parent {
        runtime::end_with_parent(&tasks);
    }
    let clock = Clock::system();
    let vault = Vault::open(&config.vault.kek, &config.vault.receipt_key)?;
    let store = Store::open(&config.store).await?;
    let tls = ServerTls::load(&config.tls)?;
    reload(&tasks, tls.clone());
    let ops_listener = bind("ops_listen", config.ops_listen).await?;
    let listener = bind("listen", config.listen).await?;
    let ops_address = local(&ops_listener)?;
    let (name, drain) = (config.issuance.name.clone(), config.issuance.drain);
    let running = issuance::start(config.issuance, listener, store, vault, tls, clock, &tasks).await?;
    let state = ops::State { metrics: telemetry::prometheus(), ready: running.not_ready };
    let serving = ops::serve_within(ops_listener, state, config.ops, tasks.soft());
    tasks.spawn("ops", OnDeath::Shutdown, async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the ops server ended");
        }
    });
    tracing::info!(address = %running.address, ops = %ops_address,
        "{name} listens at {}", running.address);
    if let Some(file) = &config.addresses_file {
        let write = |source| Error::Write { path: file.clone(), source };
        addresses::write(file, running.address, ops_address).map_err(write)?;
    }
    tasks.soft().cancelled().await;
    Ok(tasks.join(drain).await.exit_code())
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

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { key, address, source })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(Error::Runtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[derive(Debug, clap::Parser)]
    struct Words {
        #[command(flatten)]
        issuer: IssuerArgs,
    }

    #[test]
    fn every_flag_overrides_a_key_that_exists() {
        let command = <Words as clap::CommandFactory>::command();
        let mut words = vec!["todoke".to_owned()];
        let overrides = |arg: &&clap::Arg| !["config", "exit_with_parent"].contains(&arg.get_id().as_str());
        for arg in command.get_arguments().filter(overrides) {
            let kind = arg.get_value_names().map(|names| names[0].as_str()).unwrap_or_default();
            let value = match kind {
                "ADDR" => "127.0.0.1:1",
                "TIME" => "90s",
                "FORMAT" => "pretty",
                _ => "x",
            };
            words.extend([format!("--{}", arg.get_long().expect("no positional")), value.to_owned()]);
        }
        let given = <Words as clap::Parser>::parse_from(&words).issuer.flags();
        assert_eq!(given.len(), (words.len() - 1) / 2, "a flag is not handed on");
        let known = keys::<IssuerConfig>();
        for flag in given {
            assert!(known.iter().any(|key| key == flag.key), "{} overrides {}, no key", flag.name, flag.key);
            let own = command.get_arguments().find(|arg| arg.get_long() == Some(&flag.name[2..]));
            let help = own.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
            assert!(help.ends_with(&format!("[{}]", flag.key)), "{} does not say its key", flag.name);
        }
    }
}
