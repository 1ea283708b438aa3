//! `todoke relay`: carries calls from municipalities to issuers, and stops without losing one.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::watch;

use super::{
    Error,
    municipal::duration,
    process::{ProcessArgs, announce, bind, bind_any, bind_calls, check_role, flag, reload, serve_ads, time},
};
use crate::{
    config::{self, Flag, RelayConfig},
    domain::identity::Role,
    net::tls::{ClientTls, ServerTls},
    pool::{
        ads::Ads,
        disk::{ViewFile, load_view},
        evidence::UnitId,
    },
    relay,
    runtime::{Tasks, clock::Clock},
    wire::pb::UnitAttributes,
};

/// Runs one relay; calls go on to the issuers unread, as the caller that the certificate names.
///
/// SIGTERM drains it: it says NOT_SERVING and GOAWAY, serves late connections for --linger, lets calls in
/// flight finish within --drain, and ends. A second SIGTERM ends it at once.
///
/// Each flag overrides a key of the configuration file; `todoke config print --role relay` lists every key
/// with its default, and those that must be set: upstream, certificate, key and CA.
///
/// Exit codes: 0 ended in order, 1 failed, 64 bad configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:\n  todoke relay --config relay.toml\n  \
    todoke relay --name relay-1 --listen 0.0.0.0:40101 --ops-listen 127.0.0.1:40201 \\\n    \
    --upstream 10.0.0.7:40301 --upstream 10.0.0.8:40301 \\\n    \
    --cert pki/relay-1.pem --key pki/relay-1.key --ca pki/ca.pem --crl pki/crl.pem\n  \
    curl -s 127.0.0.1:40201/readyz")]
pub struct RelayArgs {
    /// What every role is told
    #[command(flatten)]
    pub process: ProcessArgs,
    /// An issuer's address; repeat it for each issuer (key relay.upstreams)
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Vec<String>,
    /// The name that the issuers' certificates carry (key server_name)
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// This relay's own name, which stands in logs (key relay.name)
    #[arg(long)]
    pub name: Option<String>,
    /// Threads that carry calls (key relay.shards)
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// Limits
    #[command(flatten)]
    pub limits: Limits,
    /// What it is in its issuers' pool
    #[command(flatten)]
    pub unit: UnitArgs,
    /// How long new connections are still served after the order to stop (key relay.linger)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub linger: Option<Duration>,
    /// How long calls in flight get after that (key relay.drain)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain: Option<Duration>,
}

/// What a relay bears, and what of it one caller may use.
#[derive(Debug, Clone, Default, Args)]
pub struct Limits {
    /// Calls of one caller in flight; one more gets TENANT_RATE_LIMIT (key relay.caller_calls_max)
    #[arg(long, value_name = "N")]
    pub caller_calls_max: Option<u32>,
    /// Calls that one caller may start in a second, on average (key relay.caller_rate)
    #[arg(long, value_name = "N")]
    pub caller_rate: Option<u32>,
    /// Calls that one caller may start at once after a pause (key relay.caller_burst)
    #[arg(long, value_name = "N")]
    pub caller_burst: Option<u32>,
    /// Calls of all callers in flight; one more is refused with LANE_FULL (key relay.calls_max)
    #[arg(long, value_name = "N")]
    pub calls_max: Option<usize>,
    /// Calls in flight over one connection to an issuer (key relay.upstream_calls_max)
    #[arg(long, value_name = "N")]
    pub upstream_calls_max: Option<u32>,
    /// Connections of all callers (key relay.connections_max)
    #[arg(long, value_name = "N")]
    pub connections_max: Option<usize>,
    /// Streams that a client may have open on one connection (key relay.streams_max)
    #[arg(long, value_name = "N")]
    pub streams_max: Option<u32>,
    /// Age at which a client is asked to connect anew, give or take a tenth (key relay.connection_age)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub connection_age: Option<Duration>,
}

/// What a relay is as a unit of the pool.
#[derive(Debug, Clone, Default, Args)]
pub struct UnitArgs {
    /// Whether it is a unit of the issuers' pool, which reports and needs a lease (key relay.pool)
    #[arg(long, value_name = "BOOL")]
    pub pool: Option<bool>,
    /// The public key by which leases and views are believed, such as pki/receipt.pub (key relay.pool_key)
    #[arg(long, value_name = "FILE")]
    pub pool_key: Option<String>,
    /// Where clients reach it, if not where it listens (key relay.advertise)
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// The slot that the box stands in (key relay.slot)
    #[arg(long, value_name = "NAME")]
    pub slot: Option<String>,
    /// The box's serial number (key relay.serial)
    #[arg(long, value_name = "TEXT")]
    pub serial: Option<String>,
    /// The box's model (key relay.model)
    #[arg(long, value_name = "TEXT")]
    pub model: Option<String>,
    /// Where what it recorded is left in a file before it drains (key relay.bundle_dir)
    #[arg(long, value_name = "DIR")]
    pub bundle_dir: Option<String>,
    /// Lets operators have it play faults, as `todoke pool drill` does (key relay.drills)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub drills: Option<bool>,
    /// Where the last signed view of the pool is kept (key relay.view_file)
    #[arg(long, value_name = "FILE")]
    pub view_file: Option<String>,
    /// Where to serve the pool's view by xDS without TLS, on loopback (key relay.ads_listen)
    #[arg(long, value_name = "IP:PORT")]
    pub ads_listen: Option<SocketAddr>,
}

impl RelayArgs {
    fn own_flags(&self) -> Vec<Option<Flag>> {
        let count = |name, key, n: Option<u64>| flag(name, key, n.map(|n| n.to_string()));
        let of = |n: Option<u32>| n.map(u64::from);
        let size = |n: Option<usize>| n.map(|n| n as u64);
        let upstreams = (!self.upstream.is_empty()).then(|| self.upstream.join(","));
        let limits = &self.limits;
        vec![
            flag("--upstream", "relay.upstreams", upstreams),
            flag("--server-name", "server_name", self.server_name.clone()),
            flag("--name", "relay.name", self.name.clone()),
            count("--shards", "relay.shards", size(self.shards)),
            count("--caller-calls-max", "relay.caller_calls_max", of(limits.caller_calls_max)),
            count("--caller-rate", "relay.caller_rate", of(limits.caller_rate)),
            count("--caller-burst", "relay.caller_burst", of(limits.caller_burst)),
            count("--calls-max", "relay.calls_max", size(limits.calls_max)),
            count("--upstream-calls-max", "relay.upstream_calls_max", of(limits.upstream_calls_max)),
            count("--connections-max", "relay.connections_max", size(limits.connections_max)),
            count("--streams-max", "relay.streams_max", of(limits.streams_max)),
            flag("--pool", "relay.pool", self.unit.pool.map(|pool| pool.to_string())),
            flag("--pool-key", "relay.pool_key", self.unit.pool_key.clone()),
            flag("--advertise", "relay.advertise", self.unit.advertise.clone()),
            flag("--slot", "relay.slot", self.unit.slot.clone()),
            flag("--serial", "relay.serial", self.unit.serial.clone()),
            flag("--model", "relay.model", self.unit.model.clone()),
            flag("--bundle-dir", "relay.bundle_dir", self.unit.bundle_dir.clone()),
            flag("--drills", "relay.drills", self.unit.drills.map(|drills| drills.to_string())),
            flag("--view-file", "relay.view_file", self.unit.view_file.clone()),
            flag("--ads-listen", "relay.ads_listen", self.unit.ads_listen.map(|address| address.to_string())),
            time("--connection-age", "relay.connection_age", limits.connection_age),
            time("--linger", "relay.linger", self.linger),
            time("--drain", "relay.drain", self.drain),
        ]
    }
}

/// How much longer than linger and drain the end may take: the last words of what is cut off.
const MARGIN: Duration = Duration::from_secs(4);

/// Runs until told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: RelayArgs) -> Result<u8, Error> {
    let mut config = config::load::<RelayConfig>(&args.process.sources(args.own_flags()))?;
    let tasks = args.process.begin(&config.log)?;
    let tls = ServerTls::load(&config.tls)?;
    check_role(&tls, Role::Relay, &config.tls.cert)?;
    if config.relay.name.is_empty() {
        config.relay.name = tls.identity().map(|own| own.name().to_owned()).unwrap_or_default();
    }
    let upstream_tls = ClientTls::load_for(&config.tls, &config.server_name, &[Role::Issuer])?;
    let probe_tls = ClientTls::load_for(&config.tls, &config.server_name, &[Role::Relay])?;
    let (own, upstream, probe) = (tls.clone(), upstream_tls.clone(), probe_tls.clone());
    reload(&tasks, tls.clone(), move || {
        let (own, upstream, probe) = (own.reload(), upstream.reload(), probe.reload());
        Ok(own? | upstream? | probe?)
    });
    let ops_listener = bind("ops_listen", config.ops_listen).await?;
    let ads_listener = bind_any("relay.ads_listen", config.relay.ads_listen).await?;
    let listener = bind_calls("listen", config.listen).await?;
    let listens = listener.local_addr().map_err(Error::Runtime)?;
    let membership = membership(&config, &tls, probe_tls, (listens, args.process.clock()), &tasks)?;
    let ads = ads_listener.zip(membership.as_ref()).map(|(listener, membership)| {
        let (name, relays) = (config.relay.name.as_str(), config.server_name.as_str());
        let (views, most) = (membership.views.subscribe(), config.relay.ads_streams_max);
        serve_ads(&tasks, listener, Ads::new(views, name, relays, most, tasks.soft()))
    });
    let ads = ads.transpose()?;
    let (name, end) = (config.relay.name.clone(), config.relay.linger + config.relay.drain + MARGIN);
    let running = relay::start(config.relay, listener, tls, upstream_tls, membership, &tasks)?;
    let ops = (ops_listener, config.ops);
    announce(&tasks, &name, running, ops, ads, config.addresses_file.as_deref())?;
    Ok(tasks.join(end).await.exit_code())
}

/// What the relay is in its issuers' pool; `None` if it is to be in none.
fn membership(
    config: &RelayConfig,
    tls: &ServerTls,
    probe_tls: ClientTls,
    (listens, clock): (SocketAddr, Clock),
    tasks: &Tasks,
) -> Result<Option<relay::Membership>, Error> {
    let options = &config.relay;
    // Whose certificate it is was looked at already.
    let unit = tls.identity().ok().as_ref().and_then(UnitId::of);
    let (true, Some(unit)) = (options.pool, unit) else { return Ok(None) };
    let key = options.pool_key.as_deref().map(super::report::public).transpose()?;
    let attributes = UnitAttributes {
        address: options.advertise.clone().unwrap_or_else(|| listens.to_string()),
        slot: options.slot.clone().unwrap_or_else(|| options.name.clone()),
        serial: options.serial.clone(),
        model: options.model.clone(),
        image: options.image.clone(),
        others: HashMap::new(),
    };
    let incarnation = u64::try_from(clock.now_ms()).unwrap_or_default();
    let last = options.view_file.as_deref().and_then(|file| load_view(file, key.as_ref()));
    let views = watch::Sender::new(last.map(|(view, _)| Arc::new(view)));
    let view_file = options.view_file.clone().map(|file| ViewFile::keep(file, tasks));
    let unit_of =
        relay::Membership { unit, attributes, key, probe_tls, clock, incarnation, views, view_file };
    Ok(Some(unit_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_overrides_a_key_that_exists() {
        let flags = |args: &RelayArgs| args.process.flags(args.own_flags());
        crate::cli::process::check_flags::<RelayArgs>(flags, &config::keys::<RelayConfig>());
    }
}
