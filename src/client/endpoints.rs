//! Where the system is and who we are in it: after `load` returns, every path in it is absolute and was
//! looked at.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The largest `endpoints.json` that is read, in bytes.
pub const ENDPOINTS_BYTES_MAX: u64 = 1 << 20;

/// One relay or issuer of `endpoints.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Its name, such as `relay-1`.
    pub id: String,
    /// `host:port` of its gRPC port.
    pub address: String,
    /// `host:port` of its ops port, when it has one.
    #[serde(default)]
    pub ops: Option<String>,
    /// Its process, when `todoke dev` started it.
    #[serde(default)]
    pub pid: Option<u32>,
}

/// A caller's certificate chain and key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, own first, then its chain.
    pub cert: PathBuf,
    /// The private key, PKCS#8.
    pub key: PathBuf,
}

/// What `endpoints.json` says, with every path made absolute against the folder of the file.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The name that the servers' certificates carry.
    pub server_name: String,
    /// The CA that signed them.
    pub ca: PathBuf,
    /// The issuer's public receipt key.
    pub receipt_key: PathBuf,
    /// The relays that calls may go over; never empty.
    pub relays: Vec<Node>,
    /// The issuers, for operators.
    pub issuers: Vec<Node>,
    clients: BTreeMap<String, RawClient>,
    folder: PathBuf,
    file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
struct RawClient {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with server_name, ca, receipt_key, relays and clients")]
struct Raw {
    server_name: String,
    ca: PathBuf,
    receipt_key: PathBuf,
    relays: Vec<Node>,
    #[serde(default)]
    issuers: Vec<Node>,
    #[serde(default)]
    clients: BTreeMap<String, RawClient>,
}

/// Why the system cannot be found; each text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// The file cannot be read.
    #[error(
        "{}: {source}. Start a system with `todoke dev --dir DIR`, then pass --endpoints DIR/endpoints.json",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than [`ENDPOINTS_BYTES_MAX`].
    #[error("{}: larger than 1 MiB, so it is no endpoints file; pass the one of `todoke dev`", .0.display())]
    TooLarge(PathBuf),
    /// The file is not what it should be.
    #[error("{}: {what}. Compare it with the example in deploy/README.md", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        what: String,
    },
    /// The file has no certificate for this caller.
    #[error(
        "{}: no certificate for {caller}; it has {known}. Make one with `todoke pki issue {caller}`, add it \
         to \"clients\", or pass another --as", path.display()
    )]
    UnknownClient {
        /// The file.
        path: PathBuf,
        /// Who was asked for.
        caller: String,
        /// Who is there.
        known: String,
    },
}

impl Endpoints {
    /// Reads `endpoints.json`.
    ///
    /// # Errors
    /// [`EndpointsError`]; an empty list of relays is malformed, as nothing could be reached.
    pub fn load(path: &Path) -> Result<Self, EndpointsError> {
        let unreadable = |source| EndpointsError::Unreadable { path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > ENDPOINTS_BYTES_MAX {
            return Err(EndpointsError::TooLarge(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, path, &folder)
    }

    fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, EndpointsError> {
        let malformed = |what: String| EndpointsError::Malformed { path: path.to_owned(), what };
        let raw: Raw = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if raw.relays.is_empty() {
            return Err(malformed("\"relays\" is empty, so nothing can be reached".to_owned()));
        }
        if let Some(node) = raw.relays.iter().find(|node| !looks_like_address(&node.address)) {
            return Err(malformed(format!("the address of {} is not host:port", node.id)));
        }
        Ok(Self {
            server_name: raw.server_name,
            ca: folder.join(raw.ca),
            receipt_key: folder.join(raw.receipt_key),
            relays: raw.relays,
            issuers: raw.issuers,
            clients: raw.clients,
            folder: folder.to_owned(),
            file: path.to_owned(),
        })
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the certificate files of a caller such as `municipality/131229`.
    ///
    /// # Errors
    /// [`EndpointsError::UnknownClient`], also when the entry is there but empty.
    pub fn client(&self, caller: &str) -> Result<ClientFiles, EndpointsError> {
        if let Some(RawClient { cert: Some(cert), key: Some(key) }) = self.clients.get(caller) {
            return Ok(ClientFiles { cert: self.folder.join(cert), key: self.folder.join(key) });
        }
        let known: Vec<&str> = self
            .clients
            .iter()
            .filter(|(_, files)| files.cert.is_some() && files.key.is_some())
            .map(|(name, _)| name.as_str())
            .take(20)
            .collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(EndpointsError::UnknownClient { path: self.file.clone(), caller: caller.to_owned(), known })
    }
}

fn looks_like_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"server_name": "todoke.internal", "ca": "pki/ca.pem",
        "receipt_key": "/k/receipt.pub",
        "relays": [{"id": "relay-1", "address": "127.0.0.1:40101", "ops": "127.0.0.1:40201", "pid": 4711}],
        "issuers": [{"id": "issuer-1", "address": "127.0.0.1:40301"}], "ads": "127.0.0.1:40401",
        "clients": {"municipality/131229": {"cert": "pki/131229.pem", "key": "pki/131229.key"},
        "operator/alice": {}}}"#;

    fn parse(text: &str) -> Result<Endpoints, EndpointsError> {
        Endpoints::parse(text, Path::new("/sys/endpoints.json"), Path::new("/sys"))
    }

    #[test]
    fn paths_are_relative_to_the_file_unless_absolute() {
        let endpoints = parse(EXAMPLE).expect("the example of the design");
        assert_eq!(endpoints.ca, Path::new("/sys/pki/ca.pem"));
        assert_eq!(endpoints.receipt_key, Path::new("/k/receipt.pub"));
        let files = endpoints.client("municipality/131229").expect("it is listed");
        assert_eq!(files.key, Path::new("/sys/pki/131229.key"));
    }

    #[test]
    fn a_caller_without_files_is_told_who_has_some() {
        let endpoints = parse(EXAMPLE).expect("the example of the design");
        let text = endpoints.client("operator/alice").expect_err("its entry is empty").to_string();
        assert!(text.contains("it has municipality/131229"), "{text}");
        assert!(text.contains("todoke pki issue operator/alice"), "{text}");
    }

    #[test]
    fn a_file_has_up_to_one_mebibyte_and_not_one_byte_more() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("endpoints.json");
        let of = |bytes: u64| EXAMPLE.to_owned() + &" ".repeat(bytes as usize - EXAMPLE.len());
        fs::write(&file, of(ENDPOINTS_BYTES_MAX + 1)).expect("the folder is writable");
        assert!(matches!(Endpoints::load(&file), Err(EndpointsError::TooLarge(_))));
        fs::write(&file, of(ENDPOINTS_BYTES_MAX)).expect("the folder is writable");
        assert_eq!(Endpoints::load(&file).expect("at the limit").relays.len(), 1);
    }

    #[test]
    fn no_relay_and_no_port_are_malformed() {
        let none = EXAMPLE.replace(
            r#"[{"id": "relay-1", "address": "127.0.0.1:40101", "ops": "127.0.0.1:40201", "pid": 4711}]"#,
            "[]",
        );
        assert!(parse(&none).expect_err("no relay").to_string().contains("relays"));
        let portless = EXAMPLE.replace("127.0.0.1:40101", "127.0.0.1");
        assert!(parse(&portless).expect_err("no port").to_string().contains("relay-1"));
    }
}
