//! What every role that stays is told alike (addresses, certificates, logs) and does alike: bind, read
//! certificates anew, serve its ops port, say where it listens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum as _};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{Error, addresses};
use crate::{
    config::{Flag, Sources, duration::show},
    domain::identity::Role,
    net::{
        tcp,
        tls::{Expiry, ServerTls, TlsError},
    },
    ops,
    pool::ads::{Ads, serve_plain},
    runtime::{self, OnDeath, Running, Tasks, clock::Clock},
    telemetry,
};

/// What every role is told; each flag overrides the key of the configuration that stands in brackets.
#[derive(Debug, Clone, Default, Args)]
pub struct ProcessArgs {
    /// The configuration file, TOML; TODOKE_* variables override it, and flags override both
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to take gRPC calls; port 0 takes a free one (key listen)
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where to serve /metrics, /livez and /readyz (key ops_listen)
    #[arg(long, value_name = "IP:PORT")]
    pub ops_listen: Option<SocketAddr>,
    /// Where to write both addresses once they are known, as JSON (key addresses_file)
    #[arg(long, value_name = "FILE")]
    pub addresses_file: Option<String>,
    /// The own certificate, then its chain, PEM (key tls.cert)
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// The certificate's key, PEM (key tls.key)
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
    /// The CA that every peer's certificate must lead to, PEM (key tls.ca)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Revoked certificates, PEM (key tls.crl)
    #[arg(long, value_name = "FILE")]
    pub crl: Option<String>,
    /// How logs look (key log.format)
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<super::LogFormat>,
    /// Ends at once when standard input does, since then the parent is gone: for `todoke dev` and `demo`
    #[arg(long, hide = true)]
    pub exit_with_parent: bool,
    /// Sets the clock of leases and decisions ahead by so many ms, or back: for `todoke demo`
    #[arg(long, hide = true, value_name = "MS", allow_hyphen_values = true, requires = "exit_with_parent")]
    pub clock_ahead: Option<i64>,
}

impl ProcessArgs {
    /// Where the role's configuration comes from, with these flags and `more`.
    pub(crate) fn sources(&self, more: Vec<Option<Flag>>) -> Sources {
        Sources::of_process(self.config.clone(), self.flags(more))
    }

    /// What time is told by; certificates are held against the machine's own clock in any case.
    pub(crate) fn clock(&self) -> Clock {
        self.clock_ahead.map_or_else(Clock::system, Clock::ahead)
    }

    pub(crate) fn flags(&self, more: Vec<Option<Flag>>) -> Vec<Flag> {
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let format = self.log_format.and_then(|format| format.to_possible_value());
        let own = [
            flag("--listen", "listen", address(self.listen)),
            flag("--ops-listen", "ops_listen", address(self.ops_listen)),
            flag("--addresses-file", "addresses_file", self.addresses_file.clone()),
            flag("--cert", "tls.cert", self.cert.clone()),
            flag("--key", "tls.key", self.key.clone()),
            flag("--ca", "tls.ca", self.ca.clone()),
            flag("--crl", "tls.crl", self.crl.clone()),
            flag("--log-format", "log.format", format.map(|format| format.get_name().to_owned())),
        ];
        own.into_iter().chain(more).flatten().collect()
    }

    /// Starts logs, and the tasks of a process with what ends them.
    ///
    /// # Errors
    /// [`Error::Telemetry`].
    pub(crate) fn begin(&self, log: &telemetry::LogOptions) -> Result<Tasks, Error> {
        telemetry::init(log)?;
        let tasks = Tasks::new();
        runtime::signals(&tasks);
        if self.exit_with_parent {
            runtime::end_with_parent(&tasks);
        }
        Ok(tasks)
    }
}

/// A flag, if it was given.
pub(crate) fn flag(name: &'static str, key: &'static str, value: Option<String>) -> Option<Flag> {
    value.map(|value| Flag { name, key, value })
}

/// The same for a time span.
pub(crate) fn time(name: &'static str, key: &'static str, value: Option<Duration>) -> Option<Flag> {
    flag(name, key, value.map(show))
}

/// Listens for the operator at the address that stands below `key`.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { key, address, source })
}

/// The same, if an address is there.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn bind_any(
    key: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, Error> {
    match address {
        Some(address) => bind(key, address).await.map(Some),
        None => Ok(None),
    }
}

/// The same for calls.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn bind_calls(key: &'static str, address: SocketAddr) -> Result<tcp::TcpListener, Error> {
    tcp::TcpListener::bind(address).await.map_err(|source| Error::Listen { key, address, source })
}

/// Refuses to serve with the certificate of another role, which nobody would talk to.
///
/// # Errors
/// [`Error::Role`].
pub(crate) fn check_role(tls: &ServerTls, role: Role, cert: &Path) -> Result<(), Error> {
    let whose = match tls.identity() {
        Ok(identity) if identity.role() == role => return Ok(()),
        Ok(identity) => format!("this is the certificate of {identity}"),
        Err(error) => error.to_string(),
    };
    Err(Error::Role { path: cert.to_owned(), whose, role })
}

/// Longest time between two looks at certificates and CRL.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// Reads certificate, key, CA and CRL anew now and then, and at once on SIGHUP, so that neither renewal nor
/// revocation needs a restart; what cannot be read leaves the old ones in force. Says in time what is
/// about to end.
pub(crate) fn reload(
    tasks: &Tasks,
    tls: ServerTls,
    again: impl Fn() -> Result<bool, TlsError> + Send + 'static,
) {
    let stop = tasks.soft();
    // The handler stands when this returns, so that no SIGHUP ends the process.
    let mut hangup = signal(SignalKind::hangup()).ok();
    tasks.spawn("tls-reload", OnDeath::Shutdown, async move {
        let clock = Clock::system();
        let mut notice = Notice::default();
        loop {
            notice.look(tls.expiry(), &tls.ended(), clock.now_ms() / 1000);
            let hung_up = async {
                match &mut hangup {
                    Some(signals) => drop(signals.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELOAD_EVERY) => (),
                () = hung_up => tracing::info!("SIGHUP: looking at certificate, CA and CRL"),
            }
            match again() {
                Ok(true) => tracing::info!("the certificate, the CA or the CRL was read anew"),
                Ok(false) => {}
                Err(error) if tls.ended().is_empty() => {
                    tracing::error!(%error, "{error}; the old certificate and CRL stay in force");
                }
                Err(error) => tracing::error!(%error, "{error}; {}", tls.ended().join("; ")),
            }
        }
    });
}

/// What ends within this time is spoken of, in seconds.
const NOTICE: i64 = 7 * 86_400;
/// How often, in seconds.
const NOTICE_EVERY: i64 = 3_600;

/// Speaks of what is about to end, and again once it has: then nobody gets in.
#[derive(Default)]
struct Notice {
    said: Option<(Expiry, usize, i64)>,
}

impl Notice {
    fn look(&mut self, expiry: Expiry, ended: &[String], now: i64) {
        let said_lately = |(of, ended_then, at): &(Expiry, usize, i64)| {
            *of == expiry && *ended_then == ended.len() && now - at < NOTICE_EVERY
        };
        if self.said.as_ref().is_some_and(said_lately) {
            return;
        }
        for words in ended {
            tracing::error!("{words}");
        }
        for (part, left) in soon(expiry, now) {
            tracing::warn!(part, left_s = left, "{part} ends in {left} s, and then nobody gets in: renew it");
        }
        self.said = Some((expiry, ended.len(), now));
    }
}

/// What ends within [`NOTICE`] of `now`, with the seconds that are left.
fn soon(expiry: Expiry, now: i64) -> Vec<(&'static str, i64)> {
    let parts =
        [("the own certificate", Some(expiry.own)), ("the CA", Some(expiry.ca)), ("the CRL", expiry.crl)];
    let left = parts.into_iter().filter_map(|(part, until)| Some((part, until? - now)));
    left.filter(|(_, left)| (0..=NOTICE).contains(left)).collect()
}

/// Serves the ops port of a role that runs, which answers to the last, so that a drain can be watched, and
/// says where both listen.
///
/// # Errors
/// [`Error::Runtime`] if the system does not know the listener, [`Error::Write`].
pub(crate) fn announce(
    tasks: &Tasks,
    name: &str,
    running: Running,
    (listener, limits): (TcpListener, ops::Limits),
    ads: Option<SocketAddr>,
    file: Option<&Path>,
) -> Result<(), Error> {
    let address = running.address;
    let state = ops::State { metrics: telemetry::prometheus(), ready: running.not_ready };
    let ops = serve_ops(tasks, listener, state, limits, running.ended)?;
    tracing::info!(%address, %ops, "{name} listens at {address}");
    let Some(file) = file else { return Ok(()) };
    addresses::write(file, address, ops, ads).map_err(|source| Error::Write { path: file.to_owned(), source })
}

/// Serves the pool's view by xDS on loopback, and returns where.
///
/// # Errors
/// [`Error::Runtime`] if the system does not know the listener.
pub(crate) fn serve_ads(tasks: &Tasks, listener: TcpListener, ads: Ads) -> Result<SocketAddr, Error> {
    let address = listener.local_addr().map_err(Error::Runtime)?;
    tracing::info!(%address, "xDS is served at {address}");
    let serving = serve_plain(ads, listener, tasks.soft());
    tasks.spawn("ads", OnDeath::Shutdown, async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the xDS server ended");
        }
    });
    Ok(address)
}

fn serve_ops(
    tasks: &Tasks,
    listener: TcpListener,
    state: ops::State,
    limits: ops::Limits,
    stop: CancellationToken,
) -> Result<SocketAddr, Error> {
    let address = listener.local_addr().map_err(Error::Runtime)?;
    let serving = ops::serve(listener, state, limits, stop);
    tasks.spawn("ops", OnDeath::Shutdown, async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the ops server ended");
        }
    });
    Ok(address)
}

/// Holds every flag of a role to the key that it says it overrides.
#[cfg(test)]
pub(crate) fn check_flags<A: Args>(flags: fn(&A) -> Vec<Flag>, known: &[String]) {
    #[derive(clap::Parser)]
    struct Only<A: Args> {
        #[command(flatten)]
        args: A,
    }
    let command = <Only<A> as clap::CommandFactory>::command();
    let no_key = ["config", "exit_with_parent", "clock_ahead"];
    let overrides = |arg: &&clap::Arg| !no_key.contains(&arg.get_id().as_str());
    let mut words = vec!["todoke".to_owned()];
    for arg in command.get_arguments().filter(overrides) {
        let kind = arg.get_value_names().map(|names| names[0].as_str()).unwrap_or_default();
        let value = match kind {
            "IP:PORT" => "127.0.0.1:1",
            "TIME" => "90s",
            "BOOL" => "true",
            "FORMAT" => "pretty",
            "N" => "7",
            _ => "x",
        };
        words.extend([format!("--{}", arg.get_long().expect("no positional")), value.to_owned()]);
    }
    let given = flags(&<Only<A> as clap::Parser>::parse_from(&words).args);
    assert_eq!(given.len(), (words.len() - 1) / 2, "a flag is not handed on");
    for flag in given {
        assert!(known.iter().any(|key| key == flag.key), "{} overrides {}, no key", flag.name, flag.key);
        let own = command.get_arguments().find(|arg| arg.get_long() == Some(&flag.name[2..]));
        let help = own.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        assert!(help.ends_with(&format!("(key {})", flag.key)), "{} does not say its key", flag.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_within_a_week_is_spoken_of_at_the_limit_and_not_a_second_earlier() {
        let expiry = Expiry { own: 100 + NOTICE + 1, ca: 100 + 10 * NOTICE, crl: Some(100 + NOTICE) };
        assert_eq!(soon(expiry, 100), [("the CRL", NOTICE)]);
        assert_eq!(soon(expiry, 101).len(), 2);
        assert_eq!(soon(Expiry { crl: None, ..expiry }, 100), []);
        assert_eq!(soon(Expiry { crl: Some(99), ..expiry }, 100), [], "it has ended: that is said otherwise");
    }
}
