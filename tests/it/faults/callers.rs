//! Promise: whoever should not call is refused at the relay and at the issuer alike, by name; nothing is
//! changed by it, and nobody learns whether another municipality's batch exists.

use std::{net::SocketAddr, path::PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use todoke::{
    domain::{abort::Statement, batch_id::BatchId, digest::Digest, manifest::Policy},
    wire::{
        fault::{Fault, Reason},
        pb::{
            self, batch_service_client::BatchServiceClient, card_service_client::CardServiceClient,
            upload_chunks_request::Frame,
        },
    },
};
use tonic::{Request, Status, transport::Channel};

use super::{
    strangers::{Ca, Says, Shown, channel, of_party, refusal},
    world::{World, counted},
};
use crate::issuance::harness::{self, Batch, batch, id, issue, records};

/// Whose batch it is.
const B: &str = "131229";
/// Who would like to see it.
const A: &str = "131237";

/// The two doors of the system.
struct Doors {
    world: World,
    relay: SocketAddr,
    pki: PathBuf,
    /// B's batch, accepted.
    sent: Batch,
}

impl Doors {
    async fn new() -> Self {
        let mut world = World::new().await;
        let (relay, _) = world.relay_at(([127, 0, 0, 1], 0).into()).await;
        for identity in [&format!("municipality/{A}"), "operator/alice", "municipality/011002"] {
            issue(&world.issuer.authority, identity);
        }
        let sent = batch(world.ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
        world.ward.import(&sent).await;
        let pki = world.issuer.dir.path().join("pki");
        Self { world, relay, pki, sent }
    }

    fn both(&self) -> [(&'static str, SocketAddr); 2] {
        [("relay", self.relay), ("issuer", self.world.issuer.address)]
    }

    /// Every row of each table, but for what the sweeper writes.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in self.world.issuer.tables().await {
            if !["heartbeat", "lease"].contains(&table.as_str()) {
                rows.extend(self.world.issuer.content(&table).await);
            }
        }
        let of = |table: &str| rows.iter().filter(|row| row.starts_with(table)).count();
        assert!(of("batch: ") > 0 && of("chunk: ") > 0 && of("receipt: ") > 0, "{rows:?}");
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_certificate_gets_a_call_through_either_door() {
    let doors = Doors::new().await;
    let (ours, unknown) = (Ca::stolen(&doors.pki), Ca::unknown());
    doors.world.issuer.revoke("municipality/011002");
    assert!(doors.world.doors[0].reload().expect("a good list"));
    let uri = format!("spiffe://todoke/municipality/{B}");
    let uris: &[&str] = &[&uri];
    let alice = "spiffe://todoke/operator/alice";
    let good = (-1, 1);
    // What is shown | what the metric says | what the other end is told
    let table: [(&str, Option<Shown>, &str, &str); 8] = [
        ("none", None, "no_certificate", "CertificateRequired"),
        ("of another CA", Some(unknown.sign(&Says { uris, days: good })), "unknown_issuer", "UnknownCA"),
        ("expired", Some(ours.sign(&Says { uris, days: (-9, -1) })), "expired", "CertificateExpired"),
        ("not yet valid", Some(ours.sign(&Says { uris, days: (1, 9) })), "not_valid_yet", "Certificate"),
        ("revoked", Some(of_party(&doors.pki, "011002")), "revoked", "CertificateRevoked"),
        ("without URI", Some(ours.sign(&Says { uris: &[], days: good })), "no_identity", "Certificate"),
        ("with two URIs", Some(ours.sign(&Says { uris: &[&uri, alice], days: good })), "no_identity", ""),
        (
            "of another realm",
            Some(ours.sign(&Says { uris: &["spiffe://x/y"], days: good })),
            "no_identity",
            "",
        ),
    ];
    let before = doors.rows().await;
    let at_relay = "todoke_relay_events_total{event=\"handshake_failed\"}";
    let failed_before = counted(at_relay);
    let mut tried = 0;
    for (what, shown, cause, told) in table {
        for (door, address) in doors.both() {
            let at_issuer = format!("todoke_connections_refused_total{{cause=\"{cause}\"}}");
            let counted_before = counted(&at_issuer);
            let refused = refusal(&doors.pki, shown.as_ref(), address).await;
            assert!(refused.contains("received fatal alert"), "{what}, {door}: {refused}");
            assert!(refused.contains(told), "{what}, {door}: {refused}");
            if door == "relay" {
                tried += 1;
                continue;
            }
            // It is counted when the connection is given up, a moment after the other end was told.
            let more = || async { (counted(&at_issuer) > counted_before).then_some(()) };
            harness::eventually(&format!("{what} is counted as {cause}"), more).await;
        }
    }
    // A relay hands its numbers on once a second.
    let all_counted = || async { (counted(at_relay) >= failed_before + tried).then_some(()) };
    harness::eventually("each is counted at the relay", all_counted).await;
    assert_eq!(doors.rows().await, before, "nothing was changed");
}

/// A party's calls through one door.
struct Caller {
    channel: Channel,
    /// What stands in the caller header, if it is sent.
    claim: Option<&'static str>,
}

impl Caller {
    fn new(doors: &Doors, name: &str, address: SocketAddr) -> Self {
        Self { channel: channel(&doors.pki, &of_party(&doors.pki, name), address), claim: None }
    }

    fn wrap<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(claim) = self.claim {
            request.metadata_mut().insert("todoke-caller", claim.parse().expect("ascii"));
        }
        request
    }

    fn batches(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.channel.clone())
    }
}

fn reason(status: &Status) -> Reason {
    Fault::from_status(status).unwrap_or_else(|| panic!("no fault of ours: {status:?}")).reason
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_calls_as_somebody_else() {
    let doors = Doors::new().await;
    let before = doors.rows().await;
    let alike = "municipality/131229";
    // Who | what it says in the header | through the relay | straight to the issuer
    let table = [
        ("alice", None, Reason::WrongRole, Reason::WrongRole),
        ("alice", Some(alike), Reason::WrongRole, Reason::IdentityForged),
        (A, Some(alike), Reason::NotFound, Reason::IdentityForged),
        (A, Some("relay/relay-0"), Reason::NotFound, Reason::IdentityForged),
        ("issuer-1", Some(alike), Reason::WrongRole, Reason::IdentityForged),
        ("relay-0", None, Reason::WrongRole, Reason::WrongRole),
        ("relay-0", Some(alike), Reason::WrongRole, Reason::NotFound),
        ("relay-0", Some("municipality/131220"), Reason::WrongRole, Reason::IdentityForged),
        ("relay-0", Some("operator/alice"), Reason::WrongRole, Reason::WrongRole),
    ];
    for (name, claim, through, straight) in table {
        for ((door, address), expected) in doors.both().into_iter().zip([through, straight]) {
            let caller = Caller { claim, ..Caller::new(&doors, name, address) };
            // An issuer believes its relays about who calls, and has no such batch of B's.
            let ask = if expected == Reason::NotFound && name == "relay-0" { id(9) } else { id(1) };
            let request = caller.wrap(pb::GetBatchRequest { batch_id: ask.to_string() });
            let refused = caller.batches().get_batch(request).await.expect_err(name);
            assert_eq!(reason(&refused), expected, "{name} as {claim:?} at the {door}: {refused:?}");
        }
    }
    assert_eq!(doors.rows().await, before, "nothing was changed");
}

type Probe = fn(&Caller, &Doors, BatchId) -> std::pin::Pin<Box<dyn Future<Output = Status> + Send>>;

/// A call on one batch whose answer is its refusal.
macro_rules! probe {
    ($client:ident, $method:ident, |$caller:ident, $doors:ident, $id:ident| $message:expr) => {
        |$caller, $doors, $id| {
            let request = $caller.wrap($message);
            let mut client = $client::new($caller.channel.clone());
            Box::pin(async move { client.$method(request).await.map(drop).expect_err(stringify!($method)) })
        }
    };
}

/// Everything that can be asked about a batch.
const PROBES: [(&str, Probe); 11] = [
    (
        "GetBatch",
        probe!(BatchServiceClient, get_batch, |c, _d, id| pb::GetBatchRequest { batch_id: id.to_string() }),
    ),
    (
        "WatchBatch",
        probe!(BatchServiceClient, watch_batch, |c, _d, id| pb::WatchBatchRequest {
            batch_id: id.to_string()
        }),
    ),
    (
        "ListGaps",
        probe!(BatchServiceClient, list_gaps, |c, _d, id| pb::ListGapsRequest {
            batch_id: id.to_string(),
            ..Default::default()
        }),
    ),
    (
        "ListDispositions",
        probe!(BatchServiceClient, list_dispositions, |c, _d, id| {
            pb::ListDispositionsRequest { batch_id: id.to_string(), ..Default::default() }
        }),
    ),
    (
        "GetReceipt",
        probe!(BatchServiceClient, get_receipt, |c, _d, id| pb::GetReceiptRequest {
            batch_id: id.to_string()
        }),
    ),
    (
        "GetInclusionProof",
        probe!(BatchServiceClient, get_inclusion_proof, |c, _d, id| {
            let record = Some(pb::get_inclusion_proof_request::Record::Index(0));
            pb::GetInclusionProofRequest { batch_id: id.to_string(), record }
        }),
    ),
    (
        "SealBatch",
        probe!(BatchServiceClient, seal_batch, |c, d, id| pb::SealBatchRequest {
            batch_id: id.to_string(),
            manifest_digest: Digest::of(&d.sent.bytes).0.to_vec(),
        }),
    ),
    (
        "UploadChunks",
        probe!(BatchServiceClient, upload_chunks, |c, d, id| {
            let start = pb::UploadStart { batch_id: id.to_string(), ..d.sent.start(1) };
            let frames = [Frame::Start(start), Frame::Chunk(d.sent.chunk(0))];
            tokio_stream::iter(frames.map(|frame| pb::UploadChunksRequest { frame: Some(frame) }))
        }),
    ),
    (
        "RepairBatch",
        probe!(BatchServiceClient, repair_batch, |c, _d, id| pb::RepairBatchRequest {
            batch_id: id.to_string(),
            request_id: "00000000-0000-7000-8000-000000000001".to_owned(),
            reason: "curiosity".to_owned(),
        }),
    ),
    (
        "AbortBatch",
        probe!(BatchServiceClient, abort_batch, |c, d, id| {
            let municipality = A.parse().expect("a code");
            let statement = Statement { municipality, batch_id: id, reason: "envy".to_owned() };
            let statement = statement.to_text().into_bytes();
            let shown = of_party(&d.pki, A);
            let (signature, certificate_chain) = (sign(&shown, &statement), chain_of(&shown));
            pb::AbortBatchRequest { statement, signature, certificate_chain }
        }),
    ),
    (
        "GetCard",
        probe!(CardServiceClient, get_card, |c, _d, id| {
            // B has an order K-3, and none of the other name of the same length.
            let order_id = if id == harness::id(1) { "K-3" } else { "K-x" };
            let key = Some(pb::get_card_request::Key::OrderId(order_id.to_owned()));
            pb::GetCardRequest { key, purpose: pb::Purpose::Counter.into(), with_history: false }
        }),
    ),
];

fn chain_of(shown: &Shown) -> Vec<Vec<u8>> {
    shown.chain.iter().map(|der| der.to_vec()).collect()
}

fn sign(shown: &Shown, message: &[u8]) -> Vec<u8> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, shown.key.secret_der());
    let random = aws_lc_rs::rand::SystemRandom::new();
    key.expect("P-256").sign(&random, message).expect("it signs").as_ref().to_vec()
}

/// All that a refusal says, with the one thing that differs by right taken out.
fn said(status: &Status, id: BatchId) -> String {
    let details = String::from_utf8_lossy(status.details()).replace(&id.to_string(), "ID");
    let message = status.message().replace(&id.to_string(), "ID");
    let mut headers = status.metadata().clone().into_headers();
    headers.remove("date");
    format!("{:?} {message} {details} {headers:?}", status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_about_anothers_batch_is_answered_as_if_there_were_none() {
    let doors = Doors::new().await;
    let before = doors.rows().await;
    for (door, address) in doors.both() {
        let a = Caller::new(&doors, A, address);
        for (method, probe) in PROBES {
            let (hidden, absent) = (probe(&a, &doors, id(1)).await, probe(&a, &doors, id(9)).await);
            assert_eq!(reason(&hidden), Reason::NotFound, "{method} at the {door}");
            assert_eq!(said(&hidden, id(1)), said(&absent, id(9)), "{method} at the {door}");
        }
        let list = pb::ListBatchesRequest::default();
        let list = a.batches().list_batches(list).await.expect("its own").into_inner();
        assert_eq!((list.batches.len(), list.last_sequence, list.sequence_holes.len()), (0, 0, 0));
        for batch_id in [id(1).to_string(), id(9).to_string(), String::new()] {
            let cards = pb::ListCardsRequest { batch_id, ..Default::default() };
            let cards = CardServiceClient::new(a.channel.clone()).list_cards(cards).await;
            assert_eq!(cards.expect("its own").into_inner(), pb::ListCardsResponse::default(), "{door}");
        }
    }
    assert_eq!(doors.rows().await, before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_opens_nothing_unless_its_own_sender_signed_it() {
    let doors = Doors::new().await;
    let (ours, unknown) = (Ca::stolen(&doors.pki), Ca::unknown());
    let uri = format!("spiffe://todoke/municipality/{B}");
    let (uris, good): (&[&str], _) = (&[&uri], (-1, 1));
    doors.world.issuer.revoke("municipality/011002");
    let [open, next] = [2, 3]
        .map(|n| batch(doors.world.ward.code(), n, Policy::AllOrNothing, &records(&format!("M{n}"), 5)));
    let epoch = doors.world.ward.open(&open).await.expect("its own signature opens it").uploader_epoch;
    let before = doors.rows().await;
    // Whose key signed it, with the chain that goes with it
    let table = [
        ("another municipality of our CA", of_party(&doors.pki, A)),
        ("a revoked one", of_party(&doors.pki, "011002")),
        ("a relay", of_party(&doors.pki, "relay-0")),
        ("the same name by another CA", unknown.sign(&Says { uris, days: good })),
        ("an expired certificate", ours.sign(&Says { uris, days: (-9, -1) })),
        ("a certificate of tomorrow", ours.sign(&Says { uris, days: (1, 9) })),
        ("a certificate without identity", ours.sign(&Says { uris: &[], days: good })),
        (
            "one with two identities",
            ours.sign(&Says { uris: &[&uri, "spiffe://todoke/operator/x"], days: good }),
        ),
    ];
    let b = of_party(&doors.pki, B);
    for (door, address) in doors.both() {
        let caller = Caller::new(&doors, B, address);
        // Neither a new batch nor one that is open already, whose uploader it would fence.
        let refused = async |signer: &Shown, certificate_chain: Vec<Vec<u8>>, what: &str| {
            for sent in [&next, &open] {
                let chunk_roots = sent.roots.iter().map(|root| root.0.to_vec()).collect();
                let (manifest, signature) = (sent.bytes.clone(), sign(signer, &sent.bytes));
                let certificate_chain = certificate_chain.clone();
                let request = pb::OpenBatchRequest { manifest, signature, certificate_chain, chunk_roots };
                let refused = caller.batches().open_batch(request).await.expect_err(what);
                assert_eq!(reason(&refused), Reason::SignatureInvalid, "{what} at the {door}: {refused:?}");
            }
        };
        for (what, shown) in &table {
            refused(shown, chain_of(shown), what).await;
            refused(shown, chain_of(&b), "its key under B's certificate").await;
        }
        let stale = &table[4].1;
        refused(stale, [chain_of(stale), chain_of(&b)].concat(), "an expired one above a good one").await;
        refused(&b, Vec::new(), "no chain").await;
    }
    assert_eq!(doors.rows().await, before, "nothing was changed");
    let chunks = doors.world.ward.upload(&open, epoch, open.chunks()).await;
    chunks.end.expect("B's own uploader was not fenced");
    doors.world.ward.open(&next).await.expect("its own signature opens it");
}
