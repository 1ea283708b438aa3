//! What is called: a backend that costs next to nothing, and a real call that ends in the issuer's database.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use todoke::{net::pki::Issued, wire::pb};

use crate::{
    failure::Failure,
    generator::Target,
    imported,
    peers::{MUNICIPALITIES, Peer, Pki, SERVER_NAME},
    system,
};

/// Bytes of a request and of its answer, as in the measurements of the design.
pub(crate) const REQUEST_BYTES: usize = 303;
pub(crate) const REPLY_BYTES: usize = 186;
/// Records of the batch that the issuer is asked about.
const BATCH_RECORDS: u32 = 2_000;

/// The echo behind this address, over a connection for each municipality.
pub(crate) fn echo(pki: &Pki, address: &str) -> Result<Target, Failure> {
    Ok(Target {
        channels: pki.channels(address, MUNICIPALITIES.len())?,
        path: PathAndQuery::from_static("/loadtest.Echo/Call"),
        request: Bytes::from_static(&[b'q'; REQUEST_BYTES]),
    })
}

/// GetBatch of this batch behind this address, over one connection.
pub(crate) fn get_batch(pki: &Pki, address: &str, batch_id: &str) -> Result<Target, Failure> {
    let request = pb::GetBatchRequest { batch_id: batch_id.to_owned() };
    Ok(Target {
        channels: pki.channels(address, 1)?,
        path: PathAndQuery::from_static("/todoke.v1.BatchService/GetBatch"),
        request: request.encode_to_vec().into(),
    })
}

/// Writes `endpoints.json` of an issuer and a relay before it, for a municipality and an operator.
pub(crate) fn endpoints(folder: &Path, pki: &Pki, issuer: &Peer, relay: &Peer) -> Result<PathBuf, Failure> {
    let file = folder.join("endpoints.json");
    let client = |issued: &Issued| serde_json::json!({"cert": issued.cert, "key": issued.key});
    fs::write(
        &file,
        serde_json::to_string(&serde_json::json!({
            "server_name": SERVER_NAME,
            "ca": pki.dir.join("ca.pem"),
            "receipt_key": pki.dir.join("receipt.pub"),
            "relays": [{"id": "relay-1", "address": relay.address}],
            "issuers": [{"id": "issuer-1", "address": issuer.address}],
            "clients": {
                "municipality/131229": client(&pki.municipalities[0]),
                "operator/alice": client(&pki.operator),
            },
        }))?,
    )?;
    Ok(file)
}

/// Imports one batch and returns its id.
pub(crate) fn one_batch(todoke: &Path, folder: &Path, endpoints: &Path) -> Result<String, Failure> {
    let input = imported::sample(todoke, folder, imported::CALLERS[0], BATCH_RECORDS)?;
    let file = &input.file;
    let words = ["import", "--as", "municipality/131229", "--endpoints"].map(OsStr::new);
    system::run(todoke, &[&words[..], &[endpoints.as_os_str(), file.as_os_str()]].concat())?;
    let receipt = fs::read_to_string(file.with_extension("csv.receipt"))?;
    let id = receipt.lines().find_map(|line| line.strip_prefix("batch "));
    id.map(str::to_owned).ok_or_else(|| Failure::new("the receipt names no batch"))
}
