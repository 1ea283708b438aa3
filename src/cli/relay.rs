//! `todoke relay`: carries calls from municipalities to issuers, and stops without losing one.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use tokio::net::TcpListener;

use super::{Error, addresses};
use crate::{
    config::duration,
    domain::identity::Role,
    net::tls::{ClientTls, ServerTls, TlsFiles},
    ops,
    relay::{self, Options},
    runtime::{self, OnDeath, Tasks},
    telemetry,
};

/// Runs one relay; calls go on to the issuers unread, as the caller that the certificate names.
///
/// SIGTERM drains it: it says NOT_SERVING and GOAWAY, serves late connections for --linger, lets calls in
/// flight finish within --drain, and ends. A second SIGTERM ends it at once.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke relay --name relay-1 --listen 0.0.0.0:40101 --ops-listen 127.0.0.1:40201 \
    --upstream 10.0.0.7:40301 --upstream 10.0.0.8:40301 \
    --cert pki/relay-1.pem --key pki/relay-1.key --ca pki/ca.pem --crl pki/crl.pem\n  \
    curl -s 127.0.0.1:40201/readyz")]
pub struct RelayArgs {
    /// Where to take calls; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where to serve /metrics, /livez and /readyz
    #[arg(long, value_name = "ADDR")]
    pub ops_listen: SocketAddr,
    /// An issuer's address; repeat it for each issuer
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub upstream: Vec<String>,
    /// The relay's certificate chain, PEM, for clients and issuers alike
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The CA that every peer's certificate must lead to, PEM
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Revoked certificates, PEM
    #[arg(long, value_name = "FILE")]
    pub crl: Option<PathBuf>,
    /// The name that the issuers' certificates carry
    #[arg(long, value_name = "NAME", default_value = "todoke.internal")]
    pub server_name: String,
    /// This relay's own name; it stands in logs
    #[arg(long, default_value = "relay-1")]
    pub name: String,
    /// Threads that carry calls [default: one a core]
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// Limits
    #[command(flatten)]
    pub limits: Limits,
    /// How long new connections are still served after the order to stop
    #[arg(long, value_parser = duration::parse, default_value = "1s")]
    pub linger: Duration,
    /// How long calls in flight get after that
    #[arg(long, value_parser = duration::parse, default_value = "10s")]
    pub drain: Duration,
    /// How logs look
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: super::LogFormat,
    /// Where to write the addresses once they are known, as JSON
    #[arg(long, value_name = "FILE")]
    pub addresses_file: Option<PathBuf>,
    /// End when standard input does, as the child of `todoke dev`
    #[arg(long)]
    pub exit_with_parent: bool,
}

/// What a relay bears, and what of it one caller may use.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Calls of one caller in flight; one more is refused with TENANT_RATE_LIMIT
    #[arg(long, value_name = "N", default_value_t = Options::default().caller_calls_max)]
    pub caller_calls_max: u32,
    /// Calls that one caller may start in a second, on average
    #[arg(long, value_name = "N", default_value_t = Options::default().caller_rate)]
    pub caller_rate: u32,
    /// Calls that one caller may start at once after a pause
    #[arg(long, value_name = "N", default_value_t = Options::default().caller_burst)]
    pub caller_burst: u32,
    /// Calls of all callers in flight; one more is refused with LANE_FULL
    #[arg(long, value_name = "N", default_value_t = Options::default().calls_max)]
    pub calls_max: usize,
    /// Calls in flight over one connection to an issuer
    #[arg(long, value_name = "N", default_value_t = Options::default().upstream_calls_max)]
    pub upstream_calls_max: u32,
    /// Connections of all callers
    #[arg(long, value_name = "N", default_value_t = Options::default().connections_max)]
    pub connections_max: usize,
    /// Streams that a client may have open on one connection
    #[arg(long, value_name = "N", default_value_t = Options::default().streams_max)]
    pub streams_max: u32,
    /// Age at which a client is asked to connect anew, give or take a tenth
    #[arg(long, value_parser = duration::parse, default_value = "5m")]
    pub connection_age: Duration,
}

/// Longest time between two looks at certificates and CRL.
const RELOAD_EVERY: Duration = Duration::from_secs(10);
/// How much longer than linger and drain the end may take: the last words of what is cut off.
const MARGIN: Duration = Duration::from_secs(4);

/// Runs until told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: RelayArgs) -> Result<u8, Error> {
    let log = telemetry::LogOptions { format: args.log_format, ..Default::default() };
    telemetry::init(&log)?;
    let tasks = Tasks::new();
    runtime::signals(&tasks);
    if args.exit_with_parent {
        runtime::end_with_parent(&tasks);
    }
    let files = TlsFiles {
        cert: args.cert.clone(),
        key: args.key.clone(),
        ca: args.ca.clone(),
        crl: args.crl.clone(),
    };
    let tls = ServerTls::load(&files)?;
    let upstream_tls = ClientTls::load_for(&files, &args.server_name, &[Role::Issuer])?;
    reload(&tasks, tls.clone(), upstream_tls.clone());
    let ops_listener = bind("--ops-listen", args.ops_listen).await?;
    let ops_address = ops_listener.local_addr().map_err(Error::Runtime)?;
    let listener = bind("--listen", args.listen).await?;
    let running = relay::start(options(&args), listener, tls, upstream_tls, &tasks)?;
    let state = ops::State { metrics: telemetry::prometheus(), ready: running.not_ready };
    // It answers to the last, so that a drain can be watched.
    let serving = ops::serve(ops_listener, state, running.ended);
    tasks.spawn("ops", OnDeath::Shutdown, async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the ops server ended");
        }
    });
    tracing::info!(address = %running.address, ops = %ops_address,
        "{} listens at {}", args.name, running.address);
    if let Some(file) = &args.addresses_file {
        addresses::write(file, running.address, ops_address)
            .map_err(|source| Error::Write { path: file.clone(), source })?;
    }
    Ok(tasks.join(args.linger + args.drain + MARGIN).await.exit_code())
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { key, address, source })
}

fn options(args: &RelayArgs) -> Options {
    let defaults = Options::default();
    let limits = &args.limits;
    Options {
        name: args.name.clone(),
        upstreams: args.upstream.clone(),
        shards: args.shards.unwrap_or(defaults.shards),
        caller_calls_max: limits.caller_calls_max,
        caller_rate: limits.caller_rate,
        caller_burst: limits.caller_burst,
        calls_max: limits.calls_max,
        upstream_calls_max: limits.upstream_calls_max,
        connections_max: limits.connections_max,
        streams_max: limits.streams_max,
        connection_age: limits.connection_age,
        linger: args.linger,
        drain: args.drain,
        ..defaults
    }
}

/// Reads certificate, key, CA and CRL anew now and then, so that neither renewal nor revocation needs a
/// restart; what cannot be read leaves the old ones in force.
fn reload(tasks: &Tasks, tls: ServerTls, upstream_tls: ClientTls) {
    let stop = tasks.soft();
    tasks.spawn("tls-reload", OnDeath::Shutdown, async move {
        let pause = || stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY));
        while pause().await.is_some() {
            for reloaded in [tls.reload(), upstream_tls.reload()] {
                if let Err(error) = reloaded {
                    tracing::error!(%error, "{error}; the old certificate and CRL stay in force");
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: RelayArgs,
    }

    fn parse(more: &[&str]) -> Result<RelayArgs, clap::Error> {
        let least = [
            "relay",
            "--listen",
            "127.0.0.1:0",
            "--ops-listen",
            "127.0.0.1:0",
            "--cert",
            "c",
            "--key",
            "k",
            "--ca",
            "a",
        ];
        Only::try_parse_from(least.iter().chain(more)).map(|only| only.args)
    }

    #[test]
    fn the_least_flags_give_the_documented_defaults() {
        let options = options(&parse(&["--upstream", "h:1", "--upstream", "h:2"]).expect("enough"));
        let defaults = Options { upstreams: vec!["h:1".into(), "h:2".into()], ..Options::default() };
        assert_eq!(format!("{options:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn without_an_issuer_there_is_nothing_to_do() {
        assert!(parse(&[]).is_err());
    }
}
