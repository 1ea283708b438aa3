//! A URL of PostgreSQL is understood whole or refused, and no word of a refusal repeats what may be a secret.
//!
//! `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE[?name=value&…]`, with libpq's names: `host`,
//! `port`, `user`, `password`, `dbname`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`,
//! `target_session_attrs`. A host that begins with `/` is the folder of a Unix socket.

use std::{net::IpAddr, path::PathBuf};

use sqlx::postgres::PgSslMode;

const PORT: u16 = 5432;

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the folder of a socket.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether what is sent to it leaves this machine.
    fn is_remote(&self) -> bool {
        let loopback = self.name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.is_socket() && !loopback && self.name != "localhost"
    }
}

/// A database and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: String,
    pub(super) tls: Tls,
}

/// How the connection is sealed; all as libpq has it, but for what would only seem to protect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: Option<Mode>,
    pub(super) root: Option<String>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// The modes that do what their name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

impl Url {
    /// Reads what stands after `postgres://`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = head.split_once('/').unwrap_or((head, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (user, None),
        };
        let mut url = Self {
            hosts: hosts_of(hosts)?,
            user: decoded(user)?,
            password,
            database: decoded(database)?,
            tls: Tls::default(),
        };
        let mut ports = String::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("a parameter has no '='")?;
            url.set(name, decoded(value)?, &mut ports)?;
        }
        url.spread(&ports)?;
        url.checked()
    }

    fn set(&mut self, name: &str, value: String, ports: &mut String) -> Result<(), String> {
        match name {
            "host" => {
                let port = self.hosts.first().map_or(PORT, |host| host.port);
                let host = |name: &str| Host { name: bare(name).to_owned(), port };
                self.hosts = value.split(',').map(host).collect();
            }
            "port" => *ports = value,
            "user" => self.user = value,
            "password" => self.password = Some(value),
            "dbname" => self.database = value,
            "sslmode" => self.tls.mode = Some(mode(&value)?),
            "sslrootcert" => self.tls.root = Some(value),
            "sslcert" => self.tls.cert = Some(value.into()),
            "sslkey" => self.tls.key = Some(value.into()),
            // It is so in any case.
            "target_session_attrs" if value == "read-write" || value == "primary" => {}
            "target_session_attrs" => return Err("target_session_attrs can only be read-write".to_owned()),
            "connect_timeout" => return Err("connect_timeout is the key store.connect_max".to_owned()),
            "application_name" => return Err("application_name is todoke's own".to_owned()),
            _ if name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                return Err(format!("it knows no parameter {name}"));
            }
            _ => return Err("it has a parameter that is none".to_owned()),
        }
        Ok(())
    }

    /// One port is everybody's; several are those of the hosts in turn.
    fn spread(&mut self, ports: &str) -> Result<(), String> {
        if ports.is_empty() {
            return Ok(());
        }
        let ports: Vec<u16> = ports.split(',').map(port).collect::<Result<_, _>>()?;
        if ports.len() != 1 && ports.len() != self.hosts.len() {
            return Err("it has another number of ports than of hosts".to_owned());
        }
        for (host, port) in self.hosts.iter_mut().zip(ports.into_iter().cycle()) {
            host.port = port;
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        let Tls { mode, root, cert, key } = &self.tls;
        if self.hosts.is_empty() || self.hosts.iter().any(|host| host.name.is_empty()) {
            return Err("it names no host".to_owned());
        }
        if self.user.is_empty() {
            return Err("it names no user".to_owned());
        }
        if self.database.is_empty() || self.database.contains('/') {
            return Err("it names no database".to_owned());
        }
        if cert.is_some() != key.is_some() {
            return Err("sslcert and sslkey go together".to_owned());
        }
        let verified = matches!(mode, Some(Mode::VerifyFull)) || mode.is_none() && self.is_remote();
        if verified && root.is_none() {
            let why = "name the CA of its server with sslrootcert=FILE, as sslmode is verify-full where \
                       none is given";
            return Err(why.to_owned());
        }
        Ok(self)
    }

    fn is_remote(&self) -> bool {
        self.hosts.iter().any(Host::is_remote)
    }

    /// How a connection to this host is sealed.
    pub(super) fn mode(&self, host: &Host) -> PgSslMode {
        match self.tls.mode {
            _ if host.is_socket() => PgSslMode::Disable,
            Some(Mode::Disable) => PgSslMode::Disable,
            Some(Mode::Require) => PgSslMode::Require,
            Some(Mode::VerifyFull) => PgSslMode::VerifyFull,
            None if self.is_remote() => PgSslMode::VerifyFull,
            None | Some(Mode::Prefer) => PgSslMode::Prefer,
        }
    }

    /// The database and where it is, without whoever asks and how.
    pub(in crate::store) fn shown(&self) -> String {
        let hosts: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        format!("{} at {}", self.database, hosts.join(","))
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "disable" => Ok(Mode::Disable),
        "prefer" => Ok(Mode::Prefer),
        "require" => Ok(Mode::Require),
        "verify-full" => Ok(Mode::VerifyFull),
        "verify-ca" => {
            Err("sslmode=verify-ca would take a certificate of any public authority for any host: \
                            take verify-full"
                .to_owned())
        }
        _ => Err("sslmode is one of disable, prefer, require and verify-full".to_owned()),
    }
}

fn hosts_of(list: &str) -> Result<Vec<Host>, String> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    list.split(',').map(host).collect()
}

/// `name`, `name:port`, `[address]:port`; the folder of a socket with its slashes as %2F.
fn host(text: &str) -> Result<Host, String> {
    let after = text.rfind(']').map_or(0, |end| end + 1);
    let (name, port) = match text[after..].split_once(':') {
        Some((rest, number)) => (&text[..after + rest.len()], port(number)?),
        None => (text, PORT),
    };
    Ok(Host { name: bare(&decoded(name)?).to_owned(), port })
}

/// An address without its brackets.
fn bare(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "it has a port that is no number".to_owned())
}

/// Returns the text with its `%XX` resolved.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let byte = after.get(..2).and_then(|digits| hex::decode(digits).ok());
        bytes.extend(byte.ok_or("a % in it is not followed by two hexadecimal digits: write it as %25")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Returns the text with everything that could mean something in a URL as `%XX`.
pub(super) fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(rest: &str) -> Url {
        Url::parse(rest).unwrap_or_else(|why| panic!("{rest}: {why}"))
    }

    fn hosts(rest: &str) -> Vec<(String, u16)> {
        url(rest).hosts.into_iter().map(|host| (host.name, host.port)).collect()
    }

    #[test]
    fn every_host_has_its_port_and_a_folder_is_a_socket() {
        let of = |all: &[(&str, u16)]| all.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect::<Vec<_>>();
        assert_eq!(hosts("u@localhost/d"), of(&[("localhost", 5432)]));
        let list = "u@a:6432,[fd00::1]:7,b/d?sslmode=require";
        assert_eq!(hosts(list), of(&[("a", 6432), ("fd00::1", 7), ("b", 5432)]));
        assert_eq!(hosts("u@%2Frun%2Fpg:9/d"), of(&[("/run/pg", 9)]));
        assert_eq!(hosts("u@/d?host=/one,/two&port=1,2"), of(&[("/one", 1), ("/two", 2)]));
        assert_eq!(hosts("u@/d?port=7&host=/one,/two"), of(&[("/one", 7), ("/two", 7)]));
        let whole = url("to%40doke:p%3Aw%2F@[::1]/na%20me");
        let parts = (whole.user.as_str(), whole.password.as_deref(), whole.database.as_str());
        assert_eq!(parts, ("to@doke", Some("p:w/"), "na me"));
        assert_eq!(decoded(&encoded("ä/@:%")).as_deref(), Ok("ä/@:%"));
    }

    #[test]
    fn what_leaves_the_machine_is_verified_unless_somebody_says_otherwise() {
        let mode = |rest: &str| {
            let url = url(rest);
            let host = url.hosts[0].clone();
            url.mode(&host)
        };
        assert!(matches!(mode("u@db.internal/d?sslrootcert=ca.pem"), PgSslMode::VerifyFull));
        assert!(matches!(mode("u@db.internal/d?sslmode=disable"), PgSslMode::Disable));
        assert!(matches!(mode("u@127.0.0.1/d"), PgSslMode::Prefer));
        assert!(matches!(mode("u@%2Frun/d"), PgSslMode::Disable));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason_and_without_the_secret() {
        for (rest, why) in [
            ("u:secret@/d", "names no host"),
            ("u:secret@a,/d", "names no host"),
            (":secret@localhost/d", "names no user"),
            ("u:secret@localhost", "names no database"),
            ("u:secret@localhost/d/e", "names no database"),
            ("u:secret@localhost:0/d", "no number"),
            ("u:se%cret@localhost/d", "write it as %25"),
            ("u:secret@localhost/d?sslmode=verify-ca", "take verify-full"),
            ("u:secret@localhost/d?sslmode=allow", "one of disable"),
            ("u:secret@localhost/d?sslcert=a", "go together"),
            ("u:secret@db.internal/d", "sslrootcert=FILE"),
            ("u:secret@localhost/d?sslmode=verify-full", "sslrootcert=FILE"),
            ("u:secret@localhost/d?gssencmode=x", "no parameter gssencmode"),
            ("u:secret@localhost/d?Secret=x", "a parameter that is none"),
            ("u:secret@localhost/d?secret", "no '='"),
            ("u:secret@a,b/d?port=1,2,3&sslmode=disable", "another number of ports"),
            ("u:secret@localhost/d?target_session_attrs=any", "read-write"),
        ] {
            let error = Url::parse(rest).err().unwrap_or_else(|| panic!("{rest} is taken"));
            assert!(error.contains(why) && !error.contains("secret") && !error.contains("cret@"), "{error}");
        }
    }
}
