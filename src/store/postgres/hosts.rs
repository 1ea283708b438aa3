//! Of the hosts of a database the one that can be written to is asked, and after a failover the next that
//! can.
//!
//! The driver connects to one host and takes it as it is: so the hosts are tried one by one, in the order of
//! the URL beginning with the last good one, and each is asked whether it is in recovery.

use std::{
    fmt,
    path::Path,
    str::FromStr as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgDatabaseError},
};

use super::{
    Purpose, Refusal,
    url::{Host, Url, encoded},
};
use crate::store::{Error, StoreOptions};

statements! {
    // Also where somebody made the whole server, the database or the user read-only.
    IS_WRITABLE = { postgres: "
        SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
            AS writable" };
}

/// How long a host that was found good counts as good without being asked again.
const FRESH: Duration = Duration::from_secs(1);

/// The hosts of one database.
pub(super) struct Hosts {
    all: Vec<(Host, PgConnectOptions)>,
    connect_max: Duration,
    answer_max: Duration,
    state: Mutex<State>,
    /// Of those that find a host gone, one looks for the next.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The host that is asked.
    at: usize,
    /// Since when. Connections from before are not used any more.
    since: Instant,
    /// When it was last seen to be good; `None`: it is doubted.
    seen: Option<Instant>,
}

/// Only the hosts: the options hold a password.
impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.all.iter().map(|(host, _)| &host.name).collect();
        f.debug_struct("Hosts").field("all", &names).field("state", &*self.state()).finish_non_exhaustive()
    }
}

impl Hosts {
    pub(super) fn new(url: &Url, options: &StoreOptions, purpose: Purpose) -> Result<Self, Error> {
        let of = |host: &Host| Ok((host.clone(), connect(url, host, options, purpose)?));
        let all = url.hosts.iter().map(of).collect::<Result<_, Error>>()?;
        let state = Mutex::new(State { at: 0, since: Instant::now(), seen: None });
        let (connect_max, answer_max) = (options.connect_max, options.answer_max);
        Ok(Self { all, connect_max, answer_max, state, turn: tokio::sync::Mutex::default() })
    }

    /// Longest wait for what is asked on one connection.
    pub(super) fn answer_max(&self) -> Duration {
        self.answer_max
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the host that is asked is connected to.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.all[self.state().at].1.clone()
    }

    /// Whether the host may be gone or not be the one to write to any more.
    pub(super) fn is_doubted(&self) -> bool {
        self.state().seen.is_none()
    }

    /// Lets whoever needs a connection look first which host it is.
    pub(super) fn doubt(&self) {
        self.state().seen = None;
    }

    /// Whether a connection of this age is to the host that is asked.
    pub(super) fn is_current(&self, age: Duration) -> bool {
        age <= self.state().since.elapsed()
    }

    /// Looks which host can be written to, unless that is known; returns whether it is another one than
    /// before.
    ///
    /// # Errors
    /// [`Error::Away`] with what each host said; [`Error::Refused`] if they answered and none lets us in.
    pub(super) async fn seek(&self, pool: &PgPool) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        let State { at: before, seen, .. } = *self.state();
        if seen.is_some_and(|seen| seen.elapsed() < FRESH) {
            return Ok(false);
        }
        let mut told = Vec::new();
        for step in 0..self.all.len() {
            let at = (before + step) % self.all.len();
            let (host, options) = &self.all[at];
            match self.ask(options).await {
                Ok(()) => {
                    let doubted = self.found(at, seen.is_none());
                    if doubted {
                        pool.set_connect_options(options.clone());
                    }
                    if at != before {
                        tracing::warn!("the database is written to at {} from now on", host.name);
                    }
                    return Ok(at != before);
                }
                Err(why) => told.push((host, why)),
            }
        }
        self.doubt();
        Err(none_of(&told))
    }

    /// Notes which host it is; connections from before are not used if it was doubted or is another one.
    fn found(&self, at: usize, doubted: bool) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        let renewed = doubted || state.at != at;
        *state = State { at, since: if renewed { now } else { state.since }, seen: Some(now) };
        renewed
    }

    async fn ask(&self, options: &PgConnectOptions) -> Result<(), Told> {
        let asked = async {
            let mut connection = options.connect().await?;
            let writable: bool = sqlx::query_scalar(IS_WRITABLE).fetch_one(&mut connection).await?;
            let _ = connection.close().await; // it has answered
            Ok::<_, sqlx::Error>(writable)
        };
        match tokio::time::timeout(self.connect_max, asked).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Told::Away("it cannot be written to, as a standby cannot".to_owned())),
            Ok(Err(error)) => Err(Told::of(error)),
            Err(_) => Err(Told::Away(format!("no answer in {} s", self.connect_max.as_secs_f32()))),
        }
    }

    /// A connection to the host that is asked, of nobody's pool.
    pub(super) async fn connected(&self) -> Result<PgConnection, Error> {
        let options = self.options();
        let connected = tokio::time::timeout(self.connect_max, options.connect()).await;
        Ok(connected.map_err(|_| Error::silent(self.connect_max))??)
    }
}

/// What kept a host from being taken.
enum Told {
    /// It may pass.
    Away(String),
    /// It does not let us in.
    Out { words: String, code: String },
    /// It is not spoken to without TLS that can be believed.
    Tls(String),
}

impl Told {
    fn of(error: sqlx::Error) -> Self {
        if is_of_tls(&error) {
            return Told::Tls(error.to_string());
        }
        let code = error.as_database_error().and_then(|error| {
            error.try_downcast_ref::<PgDatabaseError>().map(|refused| refused.code().to_owned())
        });
        match (Error::from(error), code) {
            (Error::Database(source), Some(code)) => Told::Out { words: source.to_string(), code },
            (Error::Database(source), None) => Told::Away(source.to_string()),
            (Error::Away(words), _) => Told::Away(words),
            (other, _) => Told::Away(other.to_string()),
        }
    }
}

/// Whether a certificate, a key or the want of TLS is what is wrong, which no waiting mends.
fn is_of_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => true,
        sqlx::Error::Io(error) => {
            let Some(source) = error.get_ref() else { return false };
            source.is::<rustls::Error>()
        }
        _ => false,
    }
}

/// The server's code for a database that it does not have.
const NO_DATABASE: &str = "3D000";

/// What to say if no host can be taken: of each what it said itself.
fn none_of(told: &[(&Host, Told)]) -> Error {
    let words = |(host, told): &(&Host, Told)| match told {
        Told::Away(words) | Told::Out { words, .. } | Told::Tls(words) => format!("{}: {words}", host.name),
    };
    let words = told.iter().map(words).collect::<Vec<_>>().join("; ");
    // What all hosts say alike does not pass by itself.
    let all = |is_so: fn(&Told) -> bool| told.iter().all(|(_, told)| is_so(told));
    if all(|told| matches!(told, Told::Out { code, .. } if code == NO_DATABASE)) {
        let hosts: Vec<_> = told.iter().map(|(host, _)| host.name.as_str()).collect();
        return Refusal::NoDatabase { hosts: hosts.join(", ") }.into();
    }
    if all(|told| matches!(told, Told::Out { .. })) {
        return Refusal::Login { words }.into();
    }
    if all(|told| matches!(told, Told::Tls(_))) {
        return Refusal::Tls { words }.into();
    }
    Error::Away(words)
}

/// Tells the driver how to connect. What `PGHOST` and its like say does not count, as the URL says it all; a
/// password that is not in the URL comes from `PGPASSWORD` or the password file, as libpq has it.
fn connect(
    url: &Url,
    host: &Host,
    options: &StoreOptions,
    purpose: Purpose,
) -> Result<PgConnectOptions, Error> {
    // As libpq has it: the public authorities, which the driver knows in any case.
    let root = url.tls.root.as_deref().filter(|root| *root != "system").map(Path::new);
    for (name, file) in
        [("sslrootcert", root), ("sslcert", url.tls.cert.as_deref()), ("sslkey", url.tls.key.as_deref())]
    {
        readable(name, file)?;
    }
    let place = format!(
        "postgres://{}@{}:{}/{}",
        encoded(&url.user),
        encoded(&host.name),
        host.port,
        encoded(&url.database)
    );
    let known = PgConnectOptions::from_str(&place).map_err(|error| Error::Url(error.to_string()))?;
    let known = if host.is_socket() { known.socket(&host.name) } else { known.host(&host.name) };
    let mut known = known
        .ssl_mode(url.mode(host))
        .application_name(purpose.session())
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging() // durations are in the metrics
        .options(settings(options));
    if let Some(password) = &url.password {
        known = known.password(password);
    }
    if let Some(root) = root {
        known = known.ssl_root_cert(root);
    }
    if let (Some(cert), Some(key)) = (&url.tls.cert, &url.tls.key) {
        known = known.ssl_client_cert(cert).ssl_client_key(key);
    }
    Ok(known)
}

/// Prepared statements that a connection keeps: more than there are.
const STATEMENTS: usize = 256;

/// The least time that a transaction may do nothing, which a busy machine needs at times.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// What a session is set to. `statement_timeout` does not reach COMMIT.
fn settings(options: &StoreOptions) -> [(&'static str, String); 3] {
    let ms = |time: Duration| time.as_millis().max(1).to_string();
    [
        ("statement_timeout", ms(options.statement_max)),
        ("lock_timeout", ms(options.lock_max)),
        // A process that hangs in the middle of a transaction keeps its rows from nobody for longer than they
        // try to get them.
        ("idle_in_transaction_session_timeout", ms((2 * options.lock_max).max(IDLE_MIN))),
    ]
}

fn readable(name: &'static str, file: Option<&Path>) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    std::fs::File::open(path).map_err(|source| Refusal::File { name, path: path.to_owned(), source })?;
    Ok(())
}
