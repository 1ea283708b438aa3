//! Promise: whoever stood still while another took over finds that its epoch is over, and changes nothing.

use std::time::Duration;

use todoke::{
    domain::{batch::BatchState, digest::Digest, manifest::Policy},
    store::{Acceptance, Claim, Stored, WorkKey},
    wire::{
        fault::Reason,
        pb::{self, upload_chunks_request::Frame},
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    begun::flags,
    databases::on_both,
    harness::{Issuer, Party, batch, fault, id, records, state},
};

const TEN_MINUTES_MS: i64 = 600_000;

async fn cards(ward: &Party) -> usize {
    let request = pb::ListCardsRequest { page_size: 1000, ..Default::default() };
    ward.cards().list_cards(request).await.expect("a page").into_inner().cards.len()
}

on_both!(an_uploader_that_stood_still_for_ten_minutes_is_fenced_and_nothing_is_doubled, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 12));
    let old = ward.open(&sent).await.expect("opens").uploader_epoch;
    let (frames, queue) = mpsc::channel(4);
    let say = async |frame| {
        frames.send(pb::UploadChunksRequest { frame: Some(frame) }).await.expect("the stream is open");
    };
    say(Frame::Start(sent.start(old))).await;
    say(Frame::Chunk(sent.chunk(0))).await;
    let mut acks =
        ward.batches().upload_chunks(ReceiverStream::new(queue)).await.expect("taken").into_inner();
    assert_eq!(acks.message().await.expect("an answer").expect("an acknowledgement").missing_count, 8);

    issuer.clock.advance(TEN_MINUTES_MS);
    assert_eq!(flags(&ward.get(id(1)).await.expect("the batch")), ["stalled"]);
    let opened = ward.open(&sent).await.expect("opens");
    assert_eq!((opened.uploader_epoch, opened.durable_chunks.len()), (old + 1, 1));
    ward.upload(&sent, opened.uploader_epoch, vec![sent.chunk(1)]).await.end.expect("taken");

    say(Frame::Chunk(sent.chunk(1))).await;
    let ack = acks.message().await.expect("an answer").expect("an acknowledgement");
    assert_eq!((ack.missing_count, ack.duplicates), (4, 1), "what is there is there, whoever sends it");
    say(Frame::Chunk(sent.chunk(2))).await;
    let end = loop {
        match acks.message().await {
            Ok(Some(ack)) => assert_eq!(ack.missing_count, 4),
            Ok(None) => panic!("the old epoch may not end well"),
            Err(status) => break fault(status),
        }
    };
    assert_eq!(end.reason, Reason::UploaderFenced);
    let counts = ward.get(id(1)).await.expect("the batch").counts.expect("its counts");
    assert_eq!((counts.stored, counts.missing), (8, 4), "the old one's chunk is not there");

    ward.upload(&sent, opened.uploader_epoch, vec![sent.chunk(2)]).await.end.expect("taken");
    ward.seal(&sent).await.expect("nothing is missing");
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
    assert_eq!(cards(&ward).await, 12);
});

/// Tries every change that a claim allows.
async fn refused(issuer: &Issuer, claim: &Claim) {
    let (store, now_ms) = (&issuer.store, issuer.clock.now_ms());
    assert!(!store.renew_work(claim, now_ms, 10_000).await.expect("the store answers"));
    assert!(!store.release_work(claim, now_ms, "late").await.expect("the store answers"));
    for number in 0..3 {
        let stored = store.store_orders(claim, number..number + 1, Vec::new(), Vec::new(), now_ms).await;
        assert_eq!(stored.expect("the store answers"), Stored::LeaseLost);
    }
    assert!(!store.start_reconciling(claim, now_ms).await.expect("the store answers"));
    let forged = b"another receipt";
    let (state, receipt_digest) = (BatchState::Accepted, Digest::of(forged));
    let acceptance = Acceptance { state, receipt: forged, receipt_digest, now_ms };
    assert!(!store.accept(claim, &acceptance).await.expect("the store answers"));
    assert!(!store.reject_batch(claim, "late", now_ms).await.expect("the store answers"));
}

on_both!(a_worker_that_stood_still_for_ten_minutes_has_lost_its_batch_to_another_issuer, async {
    let issuer = Issuer::start(|options| options.workers = 0).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 12));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("taken");
    ward.seal(&sent).await.expect("nothing is missing");
    let key = WorkKey { municipality: ward.code(), batch_id: id(1) };
    let claimed = issuer.store.claim_work(&key, "stopped", issuer.clock.now_ms(), 10_000).await;
    let stopped = claimed.expect("the store answers").expect("nobody else works here");

    issuer.clock.advance(TEN_MINUTES_MS);
    let missed = ward.get(id(1)).await.expect("the batch");
    assert!(flags(&missed).contains(&"stuck"), "it is missed meanwhile: {:?}", missed.flags);
    let kek = issuer.dir.path().join("pki/kek.key");
    issuer.started_with(&kek).await.expect("another issuer starts");
    let accepted = tokio::time::timeout(Duration::from_secs(30), ward.finished(id(1))).await;
    assert_eq!(state(&accepted.expect("the other goes on with it")), BatchState::Accepted);
    let before = (ward.get(id(1)).await.expect("the batch"), ward.receipt(id(1)).await.expect("its receipt"));

    refused(&issuer, &stopped).await;
    let after = (ward.get(id(1)).await.expect("the batch"), ward.receipt(id(1)).await.expect("its receipt"));
    assert_eq!(before, after);
    assert_eq!(cards(&ward).await, 12);
});
