//! A real issuer on a free port with a database of its own, and municipalities that call it over mTLS.

use std::{path::Path, sync::Arc, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tempfile::TempDir;
use time::OffsetDateTime;
use todoke::{
    domain::{
        batch::BatchState,
        batch_id::BatchId,
        chunk,
        digest::Digest,
        identity::Identity,
        manifest::{BatchKind, Manifest, Policy},
        merkle,
        municipality::MunicipalityCode,
        note::VerifierKey,
        record::{Field, Record},
        totals::TotalsBuilder,
    },
    issuance::Options,
    net::{
        channel::{ChannelOptions, connect},
        pki::Authority,
        tls::{ClientTls, ServerTls, TlsFiles},
    },
    runtime::{Tasks, clock::Clock},
    store::Store,
    wire::{
        fault::Fault,
        pb::{
            self, batch_service_client::BatchServiceClient, card_service_client::CardServiceClient,
            upload_chunks_request::Frame,
        },
    },
};
use tonic::{Status, transport::Channel};

use super::databases::Place;

/// Records in a chunk of the tests.
pub(crate) const CHUNK: u32 = 4;
/// How long issuer and tests wait for each other to write: longer than any test holds the other up.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(10);

/// A batch as its sender has it.
pub(crate) struct Batch {
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) roots: Vec<Digest>,
    pub(crate) leaves: Vec<Digest>,
}

/// Returns a valid record whose texts a log must never show.
pub(crate) fn record(order_id: &str, n: usize) -> Record {
    let mut record = Record::default();
    record.set(Field::OrderId, order_id);
    record.set(Field::Kind, if n.is_multiple_of(2) { "NOTIFICATION_CARD" } else { "INDIVIDUAL_NUMBER_CARD" });
    record.set(Field::HouseholdId, &format!("H-{}", n / 2));
    record.set(Field::District, if n < 6 { "白鳥一丁目" } else { "亀有二丁目" });
    record.set(Field::Name, "カナリヤ 𠮷田");
    record.set(Field::BirthDate, "1980-02-29");
    record.set(Field::Sex, "2");
    record.set(Field::Address, "カナリヤ区立石五丁目");
    record
}

/// Returns `count` valid records whose order ids begin with `prefix`.
pub(crate) fn records(prefix: &str, count: usize) -> Vec<Record> {
    (0..count).map(|n| record(&format!("{prefix}-{n}"), n)).collect()
}

/// Returns the batch id that ends with `n`.
pub(crate) fn id(n: u32) -> BatchId {
    format!("0192f0c1-2345-7abc-8def-{n:012x}").parse().expect("version 7")
}

/// Returns the batch of these records.
pub(crate) fn batch(code: MunicipalityCode, n: u32, policy: Policy, records: &[Record]) -> Batch {
    let mut totals = TotalsBuilder::default();
    let mut leaves = Vec::new();
    let mut writers = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if at % CHUNK as usize == 0 {
            writers.push(chunk::Writer::default());
        }
        let mut canonical = Vec::new();
        record.encode(&mut canonical);
        leaves.push(totals.add(record, &canonical));
        writers.last_mut().expect("one was pushed").push(&canonical);
    }
    let manifest = Manifest {
        municipality: code,
        batch_id: id(n),
        sequence: u64::from(n),
        previous_receipt: None,
        kind: BatchKind::CardOrders,
        policy,
        chunk_records: CHUNK,
        totals: totals.finish(),
        seal_by_ms: super::now_ms() + 86_400_000,
    };
    let bytes = manifest.to_text().into_bytes();
    let roots = leaves.chunks(CHUNK as usize).map(merkle::root).collect();
    let payloads = writers.into_iter().map(|mut w| w.take()).collect();
    Batch { manifest, bytes, payloads, roots, leaves }
}

/// A running issuer with everything it stands on; stopped when dropped.
pub(crate) struct Issuer {
    pub(crate) dir: TempDir,
    pub(crate) authority: Authority,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) verifier: VerifierKey,
    pub(crate) not_ready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(crate) address: std::net::SocketAddr,
    pub(super) tls: ServerTls,
    pub(crate) tasks: Tasks,
    pub(super) place: Place,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

impl Issuer {
    /// Starts an issuer with these options.
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let authority =
            Authority::create(&dir.path().join("pki"), OffsetDateTime::now_utc()).expect("an authority");
        issue(&authority, "issuer/issuer-1");
        Self::start_with(dir, authority, Clock::fixed(super::now_ms()), change, |_, _| None).await
    }

    /// Starts one with an accepted batch of the ward, and returns both.
    pub(crate) async fn with_batch(records: &[Record]) -> (Self, Party) {
        let issuer = Self::start(|_| {}).await;
        let ward = issuer.party("municipality/131229").await;
        ward.import(&batch(ward.code(), 1, Policy::AllOrNothing, records)).await;
        (issuer, ward)
    }

    /// Revokes a party's certificates; the issuer knows it when this returns.
    pub(crate) fn revoke(&self, identity: &str) {
        self.authority.revoke(&identity.parse().expect("legal")).expect("it was issued");
        assert!(self.tls.reload().expect("a good list"));
    }

    /// Returns a party with a fresh certificate and a connection.
    pub(crate) async fn party(&self, identity: &str) -> Party {
        issue(&self.authority, identity);
        self.party_again(identity)
    }

    /// Returns a party that has its certificate already, with a connection.
    pub(crate) fn party_again(&self, identity: &str) -> Party {
        Party::at(&self.dir.path().join("pki"), identity, &self.address.to_string())
    }
}

impl Party {
    /// Returns the party whose certificate is in `pki`, with a connection to `address`.
    pub(crate) fn at(pki: &Path, identity: &str, address: &str) -> Self {
        let (_, name) = identity.split_once('/').expect("ROLE/NAME");
        let tls = ClientTls::load(&files(pki, name), "todoke.internal").expect("a client certificate");
        let channel =
            connect(address, &tls, "todoke.internal", ChannelOptions::default()).expect("a channel");
        let chain = pem_ders(&pki.join(format!("{name}.pem")));
        let key = PrivateKeyDer::from_pem_file(pki.join(format!("{name}.key"))).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_der()).expect("P-256");
        Self { channel, chain, key, code: name.parse().ok(), caller: None }
    }
}

pub(crate) fn issue(authority: &Authority, identity: &str) {
    let identity: Identity = identity.parse().expect("legal");
    authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
}

pub(crate) fn files(pki: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        cert: pki.join(format!("{name}.pem")),
        key: pki.join(format!("{name}.key")),
        ca: pki.join("ca.pem"),
        crl: Some(pki.join("crl.pem")),
    }
}

fn pem_ders(path: &Path) -> Vec<Vec<u8>> {
    let all = CertificateDer::pem_file_iter(path).expect("a PEM file");
    all.map(|c| c.expect("a certificate").to_vec()).collect()
}

/// A party with a certificate and a connection to the issuer.
pub(crate) struct Party {
    pub(crate) channel: Channel,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: EcdsaKeyPair,
    code: Option<MunicipalityCode>,
    /// What stands in the caller header, if it is sent.
    pub(crate) caller: Option<String>,
}

/// Where an upload ended.
pub(crate) struct Uploaded {
    pub(crate) acks: Vec<pb::UploadChunksResponse>,
    pub(crate) end: Result<(), Fault>,
}

impl Party {
    pub(crate) fn code(&self) -> MunicipalityCode {
        self.code.expect("a municipality")
    }

    pub(crate) fn batches(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    pub(crate) fn cards(&self) -> CardServiceClient<Channel> {
        CardServiceClient::new(self.channel.clone())
    }

    /// Wraps a message into a request with the caller header, if this party sends one.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(caller) = &self.caller {
            request.metadata_mut().insert("todoke-caller", caller.parse().expect("ascii"));
        }
        request
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.key.sign(&random, message).expect("it signs").as_ref().to_vec()
    }

    pub(crate) fn open_request(&self, batch: &Batch) -> pb::OpenBatchRequest {
        pb::OpenBatchRequest {
            manifest: batch.bytes.clone(),
            signature: self.sign(&batch.bytes),
            certificate_chain: self.chain.clone(),
            chunk_roots: batch.roots.iter().map(|root| root.0.to_vec()).collect(),
        }
    }

    pub(crate) async fn open(&self, batch: &Batch) -> Result<pb::OpenBatchResponse, Fault> {
        let request = self.request(self.open_request(batch));
        self.batches().open_batch(request).await.map(tonic::Response::into_inner).map_err(fault)
    }

    /// Sends these frames after a start with `epoch`, and reads until the stream ends.
    pub(crate) async fn upload(&self, batch: &Batch, epoch: u32, chunks: Vec<pb::Chunk>) -> Uploaded {
        let frames =
            std::iter::once(Frame::Start(batch.start(epoch))).chain(chunks.into_iter().map(Frame::Chunk));
        let frames: Vec<_> = frames.map(|frame| pb::UploadChunksRequest { frame: Some(frame) }).collect();
        let mut acks = Vec::new();
        let stream = match self.batches().upload_chunks(self.request(tokio_stream::iter(frames))).await {
            Ok(response) => response,
            Err(status) => return Uploaded { acks, end: Err(fault(status)) },
        };
        let mut stream = stream.into_inner();
        loop {
            match stream.message().await {
                Ok(Some(ack)) => acks.push(ack),
                Ok(None) => return Uploaded { acks, end: Ok(()) },
                Err(status) => return Uploaded { acks, end: Err(fault(status)) },
            }
        }
    }

    pub(crate) async fn seal(&self, batch: &Batch) -> Result<pb::Batch, Fault> {
        let request = pb::SealBatchRequest {
            batch_id: batch.manifest.batch_id.to_string(),
            manifest_digest: Digest::of(&batch.bytes).0.to_vec(),
        };
        let sealed = self.batches().seal_batch(self.request(request)).await.map_err(fault)?;
        Ok(sealed.into_inner().batch.expect("a batch"))
    }

    pub(crate) async fn get(&self, id: BatchId) -> Result<pb::Batch, Fault> {
        let request = self.request(pb::GetBatchRequest { batch_id: id.to_string() });
        let got = self.batches().get_batch(request).await.map_err(fault)?;
        Ok(got.into_inner().batch.expect("a batch"))
    }

    pub(crate) async fn receipt(&self, id: BatchId) -> Result<Vec<u8>, Fault> {
        let request = self.request(pb::GetReceiptRequest { batch_id: id.to_string() });
        self.batches().get_receipt(request).await.map(|r| r.into_inner().receipt).map_err(fault)
    }

    /// Watches a batch until it is final.
    pub(crate) async fn finished(&self, id: BatchId) -> pb::Batch {
        let mut request = self.request(pb::WatchBatchRequest { batch_id: id.to_string() });
        request.set_timeout(Duration::from_secs(30));
        let mut events = self.batches().watch_batch(request).await.expect("it watches").into_inner();
        let mut last = None;
        while let Some(event) = events.message().await.expect("it reaches its end in time") {
            last = event.batch;
        }
        last.expect("the batch comes at once")
    }

    /// Opens, sends and seals a batch, and returns how it ended.
    pub(crate) async fn import(&self, batch: &Batch) -> pb::Batch {
        let opened = self.open(batch).await.expect("it opens");
        let uploaded = self.upload(batch, opened.uploader_epoch, batch.chunks()).await;
        uploaded.end.expect("all is taken");
        self.seal(batch).await.expect("nothing is missing");
        self.finished(batch.manifest.batch_id).await
    }
}

impl Batch {
    /// The first frame of an upload.
    pub(crate) fn start(&self, epoch: u32) -> pb::UploadStart {
        pb::UploadStart {
            batch_id: self.manifest.batch_id.to_string(),
            manifest_digest: Digest::of(&self.bytes).0.to_vec(),
            uploader_epoch: epoch,
        }
    }

    pub(crate) fn chunk(&self, number: usize) -> pb::Chunk {
        pb::Chunk {
            chunk_number: u32::try_from(number).expect("small"),
            root: self.roots[number].0.to_vec(),
            payload: self.payloads[number].clone().into(),
        }
    }

    pub(crate) fn chunks(&self) -> Vec<pb::Chunk> {
        (0..self.payloads.len()).map(|number| self.chunk(number)).collect()
    }
}

/// Returns the fault that a status carries.
#[expect(clippy::needless_pass_by_value, reason = "it takes what expect_err gives")]
pub(crate) fn fault(status: Status) -> Fault {
    Fault::from_status(&status).unwrap_or_else(|| panic!("no fault of ours: {status:?}"))
}

/// The name of a batch's state.
pub(crate) fn state(batch: &pb::Batch) -> BatchState {
    let name = batch.state().as_str_name();
    name.trim_start_matches("BATCH_STATE_").parse().expect("a state")
}

/// Waits until `condition` gives something; fails after ten seconds.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, condition: impl Fn() -> F) -> T {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::time::Instant::now() < until {
        if let Some(value) = condition().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}
