//! Promise: what does not belong is refused by name, and leaves nothing behind.

use todoke::{
    domain::{digest::Digest, manifest::Policy},
    wire::{fault::Reason, pb},
};

use super::{
    databases::on_both,
    harness::{Issuer, batch, fault, id, records},
};

#[tokio::test]
async fn only_a_relay_may_say_who_calls() {
    let issuer = Issuer::start(|_| {}).await;
    let mut ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    ward.open(&sent).await.expect("its own");
    ward.caller = Some("municipality/131229".to_owned());
    assert_eq!(ward.get(id(1)).await.expect_err("forged").reason, Reason::IdentityForged);

    let mut relay = issuer.party("relay/relay-1").await;
    assert_eq!(relay.get(id(1)).await.expect_err("a relay itself").reason, Reason::WrongRole);
    relay.caller = Some("municipality/131229".to_owned());
    assert_eq!(relay.get(id(1)).await.expect("believed").batch_id, id(1).to_string());
    relay.caller = Some("municipality/131220".to_owned());
    assert_eq!(relay.get(id(1)).await.expect_err("no identity").reason, Reason::IdentityForged);
    relay.caller = Some("operator/alice".to_owned());
    assert_eq!(relay.get(id(1)).await.expect_err("no municipality").reason, Reason::WrongRole);
}

#[tokio::test]
async fn a_manifest_needs_its_senders_own_signature() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    let refused =
        |request| async { ward.batches().open_batch(request).await.map_err(fault).expect_err("refused") };

    let mut request = ward.open_request(&sent);
    request.signature = ward.sign(b"other bytes");
    assert_eq!(refused(request).await.reason, Reason::SignatureInvalid);
    let mut request = ward.open_request(&sent);
    request.signature = other.sign(&sent.bytes);
    request.certificate_chain = other.chain.clone();
    assert_eq!(refused(request).await.reason, Reason::SignatureInvalid);
    let mut request = ward.open_request(&sent);
    request.certificate_chain.clear();
    assert_eq!(refused(request).await.reason, Reason::SignatureInvalid);
    let mut request = ward.open_request(&sent);
    request.chunk_roots = vec![Digest::of(b"another").0.to_vec()];
    assert_eq!(refused(request).await.reason, Reason::ManifestInvalid);
    let mut request = ward.open_request(&sent);
    request.manifest.push(b'\n');
    let invalid = refused(request).await;
    assert_eq!(invalid.reason, Reason::ManifestInvalid);
    assert!(!invalid.violations.is_empty(), "the field is named");
    assert_eq!(ward.get(id(1)).await.expect_err("nothing was left").reason, Reason::NotFound);
    issuer.clock.advance(-366 * 86_400_000);
    let early = refused(ward.open_request(&sent)).await;
    assert_eq!(early.reason, Reason::SignatureInvalid);
    assert!(early.message.contains("not valid yet: it is from "), "{}", early.message);
    assert!(!early.message.contains("our CA"), "it does lead to it: {}", early.message);
}

on_both!(an_id_and_a_sequence_stand_for_one_content_for_ever, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    let first = ward.open(&sent).await.expect("new");
    let again = ward.open(&sent).await.expect("the same");
    assert!(first.created && !again.created);
    assert!(again.uploader_epoch > first.uploader_epoch);
    let changed = batch(ward.code(), 1, Policy::AllOrNothing, &records("L", 3));
    assert_eq!(ward.open(&changed).await.expect_err("other content").reason, Reason::BatchIdReused);
    let mut doubled = batch(ward.code(), 2, Policy::AllOrNothing, &records("M", 3));
    doubled.manifest.sequence = 1;
    doubled.bytes = doubled.manifest.to_text().into_bytes();
    assert_eq!(ward.open(&doubled).await.expect_err("taken").reason, Reason::SequenceReused);
});

on_both!(a_changed_chunk_is_asked_for_again_and_the_stream_lives_on, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let opened = ward.open(&sent).await.expect("opens");
    for at in [0, 3, 40, 150] {
        let mut flipped = sent.chunk(1);
        let mut payload = flipped.payload.to_vec();
        payload[at] ^= 0x10;
        flipped.payload = payload.into();
        let uploaded = ward.upload(&sent, opened.uploader_epoch, vec![flipped, sent.chunk(0)]).await;
        uploaded.end.expect("the stream lives on");
        let faults: Vec<_> = uploaded.acks.iter().flat_map(|ack| &ack.faults).collect();
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].chunk_number, faults[0].reason.as_str()), (1, "CHUNK_DIGEST_MISMATCH"));
        assert_eq!(uploaded.acks.last().expect("one").missing_count, 6);
    }
});

on_both!(other_content_for_a_chunk_is_a_conflict_that_is_remembered, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let other = batch(ward.code(), 1, Policy::AllOrNothing, &records("X", 10));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    let conflict = ward.upload(&sent, epoch, vec![other.chunk(1)]).await.end.expect_err("other content");
    assert_eq!(conflict.reason, Reason::ChunkContentConflict);
    let seen = ward.get(id(1)).await.expect("the batch");
    assert!(seen.flags.iter().any(|flag| flag.name == "conflict"), "{:?}", seen.flags);
});

on_both!(the_order_of_checks_is_duplicate_then_sealed_then_fenced, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let old = ward.open(&sent).await.expect("opens").uploader_epoch;
    ward.upload(&sent, old, vec![sent.chunk(0)]).await.end.expect("taken");
    let new = ward.open(&sent).await.expect("opens again").uploader_epoch;
    let again = ward.upload(&sent, old, vec![sent.chunk(0)]).await;
    again.end.expect("a duplicate is fine from anybody");
    assert_eq!(again.acks.last().expect("one").duplicates, 1);
    let fenced = ward.upload(&sent, old, vec![sent.chunk(1)]).await.end.expect_err("fenced");
    assert_eq!(fenced.reason, Reason::UploaderFenced);
    let outside = pb::Chunk { chunk_number: 3, ..sent.chunk(1) };
    let outside = ward.upload(&sent, new, vec![outside]).await.end.expect_err("outside");
    assert_eq!(outside.reason, Reason::ChunkOutsideManifest);
    ward.upload(&sent, new, sent.chunks()).await.end.expect("taken");
    ward.seal(&sent).await.expect("whole");
    ward.upload(&sent, old, vec![sent.chunk(1)]).await.end.expect("a duplicate, even after the seal");
});

#[tokio::test]
async fn foreign_tokens_ids_and_sizes_are_refused() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let list =
        |page_size, page_token: &str| pb::ListBatchesRequest { page_size, page_token: page_token.to_owned() };
    let token = ward.batches().list_batches(list(0, "AAAA")).await.map_err(fault).expect_err("foreign");
    assert_eq!(token.reason, Reason::PageTokenInvalid);
    let size = ward.batches().list_batches(list(501, "")).await.map_err(fault).expect_err("too large");
    assert_eq!(size.reason, Reason::FieldInvalid);
    let request = pb::GetBatchRequest { batch_id: "1".to_owned() };
    let bad = ward.batches().get_batch(request).await.map_err(fault).expect_err("no id");
    assert_eq!(bad.reason, Reason::FieldInvalid);
}

#[tokio::test]
async fn an_idle_uploader_keeps_nobody_waiting() {
    let issuer = Issuer::start(|options| options.frames_in_work_total_max = 1).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    let start = pb::upload_chunks_request::Frame::Start(sent.start(epoch));
    let start = pb::UploadChunksRequest { frame: Some(start) };
    let idle = tokio_stream::StreamExt::chain(tokio_stream::iter([start]), tokio_stream::pending());
    let _idle = ward.batches().upload_chunks(idle).await.expect("it stays open");
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("taken");
}
