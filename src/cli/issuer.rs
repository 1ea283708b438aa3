//! `todoke issuer`: opens the database and the vault, starts the service, listens last, and stops in
//! reverse.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{
    Error,
    municipal::duration,
    process::{ProcessArgs, announce, bind, bind_any, bind_calls, check_role, flag, reload, serve_ads, time},
};
use crate::{
    config::{self, Flag, IssuerConfig},
    domain::identity::Role,
    issuance,
    net::tls::{ClientTls, ServerTls},
    pool::{
        ads::Ads,
        controller::{Controller, Parts},
        disk::Disk,
        prober::Prober,
    },
    runtime::{Tasks, clock::Clock},
    store::Store,
    vault::Vault,
};

/// Runs the issuance service.
///
/// Each flag overrides a key of the configuration file; `todoke config print --role issuer` lists every key
/// with its default, and those that must be set: database, certificate, key, CA, and the vault's two keys.
///
/// SIGTERM drains it: calls in flight get --drain to finish. A second SIGTERM ends it at once. Exit codes: 0
/// ended in order, 1 failed, 64 bad configuration, 75 try again later.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:\n  todoke issuer --config issuer.toml\n  \
                        todoke issuer --listen 127.0.0.1:40301 --ops-listen 127.0.0.1:40302 \\\n    \
                        --database sqlite:issuer.db --cert pki/issuer-1.pem --key pki/issuer-1.key \\\n    \
                        --ca pki/ca.pem --kek pki/kek.key --receipt-key pki/receipt.key")]
pub struct IssuerArgs {
    /// What every role is told
    #[command(flatten)]
    pub process: ProcessArgs,
    /// The database, for example sqlite:issuer.db or postgres://todoke@db/todoke (key store.url)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The key-encryption key: 32 bytes in hex (key vault.kek)
    #[arg(long, value_name = "FILE")]
    pub kek: Option<String>,
    /// The Ed25519 key that receipts are signed with, PKCS#8 PEM (key vault.receipt_key)
    #[arg(long, value_name = "FILE")]
    pub receipt_key: Option<String>,
    /// This issuer's own name, which stands in leases and logs (key issuance.name)
    #[arg(long)]
    pub name: Option<String>,
    /// Least time without progress that counts as stalled (key issuance.stall_after)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stall_after: Option<Duration>,
    /// How often every open batch is looked at; 30 s is the longest, as municipalities are told of a dead
    /// sweeper after a minute (key issuance.sweep_every)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub sweep_every: Option<Duration>,
    /// Longest time from seal to a final state (key issuance.stuck_after)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stuck_after: Option<Duration>,
    /// How long a worker's lease lasts without being renewed (key issuance.lease)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lease: Option<Duration>,
    /// Where to serve the pool's view by xDS without TLS, on loopback (key ads_listen)
    #[arg(long, value_name = "IP:PORT")]
    pub ads_listen: Option<SocketAddr>,
    /// How long calls in flight get at the end (key issuance.drain)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain: Option<Duration>,
}

impl IssuerArgs {
    fn own_flags(&self) -> Vec<Option<Flag>> {
        vec![
            flag("--database", "store.url", self.database.clone()),
            flag("--kek", "vault.kek", self.kek.clone()),
            flag("--receipt-key", "vault.receipt_key", self.receipt_key.clone()),
            flag("--name", "issuance.name", self.name.clone()),
            flag("--ads-listen", "ads_listen", self.ads_listen.map(|address| address.to_string())),
            time("--stall-after", "issuance.stall_after", self.stall_after),
            time("--sweep-every", "issuance.sweep_every", self.sweep_every),
            time("--stuck-after", "issuance.stuck_after", self.stuck_after),
            time("--lease", "issuance.lease", self.lease),
            time("--drain", "issuance.drain", self.drain),
        ]
    }
}

/// How much longer than the drain the end may take: the last words of what is cut off.
const MARGIN: Duration = Duration::from_secs(2);
/// Longest wait for the database to be closed; some 80 MB may have to be written back.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Runs until told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: IssuerArgs) -> Result<u8, Error> {
    let config = config::load::<IssuerConfig>(&args.process.sources(args.own_flags()))?;
    let tasks = args.process.begin(&config.log)?;
    let vault = Vault::open(&config.vault.kek, &config.vault.receipt_key)?;
    let tls = ServerTls::load(&config.tls)?;
    check_role(&tls, Role::Issuer, &config.tls.cert)?;
    // Only now: a process that cannot serve makes no database.
    let store = Store::open(&config.store).await?;
    let again = tls.clone();
    reload(&tasks, tls.clone(), move || again.reload());
    let ops_listener = bind("ops_listen", config.ops_listen).await?;
    let ads_listener = bind_any("ads_listen", config.ads_listen).await?;
    let listener = bind_calls("listen", config.listen).await?;
    let (name, drain) = (config.issuance.name.clone(), config.issuance.drain);
    let (clock, closing) = (args.process.clock(), store.clone());
    let pool = pool(&config, &store, &vault, &clock, &tasks)?;
    let ads = ads_listener.zip(pool.as_ref()).map(|(listener, pool)| {
        let options = &config.issuance;
        let (relays, most) = (options.relay_name.as_str(), options.ads_streams_max);
        serve_ads(&tasks, listener, Ads::new(pool.views(), &name, relays, most, tasks.soft()))
    });
    let ads = ads.transpose()?;
    let parts = issuance::Parts { store, vault, tls, clock, pool };
    let running = issuance::start(config.issuance, listener, parts, &tasks).await;
    let running = running.map_err(|error| match error {
        issuance::Error::OtherKek(source) => Error::OtherKek { path: config.vault.kek, source },
        source @ issuance::Error::NotTheKek { .. } => Error::OtherKey { path: config.vault.kek, source },
        source @ issuance::Error::NotTheReceiptKey { .. } => {
            Error::OtherKey { path: config.vault.receipt_key, source }
        }
        other => other.into(),
    })?;
    let ops = (ops_listener, config.ops);
    announce(&tasks, &name, running, ops, ads, config.addresses_file.as_deref())?;
    tasks.soft().cancelled().await;
    let code = tasks.join(drain + MARGIN).await.exit_code();
    // The last connection writes the log back into the database, so that after an ordered stop one file is
    // all.
    if tokio::time::timeout(CLOSE_MAX, closing.close()).await.is_err() {
        tracing::warn!("the database was not closed in time: its -wal file belongs to it");
    }
    Ok(code)
}

/// What judges the relays, if they are to be judged.
fn pool(
    config: &IssuerConfig,
    store: &Store,
    vault: &Vault,
    clock: &Clock,
    tasks: &Tasks,
) -> Result<Option<Controller>, Error> {
    let options = &config.pool;
    if !options.enabled {
        return Ok(None);
    }
    let (name, relays) = (config.issuance.name.clone(), config.issuance.relay_name.as_str());
    let tls = ClientTls::load_for(&config.tls, relays, &[Role::Relay])?;
    let (signer, key) = (vault.signer(), vault.verifier_key());
    let disk = ledger_dir(config)
        .map(|folder| Disk::open(folder, options.ledger_bytes_max, &key, tasks))
        .unwrap_or_default();
    Ok(Some(Controller::new(Parts {
        options: options.clone(),
        prober: Prober::new(&format!("issuer/{name}"), tls, relays, Some(key)),
        name,
        keeper: Arc::new(store.clone()),
        sign: Arc::new(move |text| signer.sign(text)),
        clock: clock.clone(),
        disk,
        tasks: tasks.clone(),
    })))
}

/// Where the pool's ledger lies; `None` if there is to be none.
fn ledger_dir(config: &IssuerConfig) -> Option<PathBuf> {
    match &config.pool.ledger_dir {
        Some(dir) => (!dir.as_os_str().is_empty()).then(|| dir.clone()),
        None => config.store.file().ok().flatten().map(|file| PathBuf::from(format!("{file}-pool-ledger"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_lies_beside_the_database_or_where_it_is_told_to_or_nowhere() {
        let mut config = IssuerConfig::default();
        config.store.url = "sqlite:data/issuer.db".to_owned();
        assert_eq!(ledger_dir(&config), Some(PathBuf::from("data/issuer.db-pool-ledger")));
        config.store.url = "postgres://todoke@localhost/todoke".to_owned();
        assert_eq!(ledger_dir(&config), None, "a server's database has no folder here");
        config.pool.ledger_dir = Some(PathBuf::from("else"));
        assert_eq!(ledger_dir(&config), Some(PathBuf::from("else")));
        config.pool.ledger_dir = Some(PathBuf::new());
        assert_eq!(ledger_dir(&config), None);
    }

    #[test]
    fn every_flag_overrides_a_key_that_exists() {
        let flags = |args: &IssuerArgs| args.process.flags(args.own_flags());
        crate::cli::process::check_flags::<IssuerArgs>(flags, &config::keys::<IssuerConfig>());
    }
}
