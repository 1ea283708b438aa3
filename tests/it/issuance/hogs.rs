//! Promise: who reads nothing, sends nonsense or wants everything is told so, and costs nobody else a thing.

use std::time::Duration;

use prost::Message as _;
use todoke::{
    domain::{batch::BatchState, chunk::PAYLOAD_BYTES_MAX, manifest::Policy},
    wire::{
        fault::{Fault, Reason},
        pb::{self, upload_chunks_request::Frame},
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::harness::{Batch, Issuer, Party, batch, fault, records, state};

fn framed(frame: Frame) -> pb::UploadChunksRequest {
    pb::UploadChunksRequest { frame: Some(frame) }
}

/// Sends chunks without ever reading an acknowledgement, until the issuer takes no more; what keeps the
/// stream open is returned.
async fn upload_unread(party: &Party, sent: &Batch) -> impl Sized + use<> {
    let epoch = party.open(sent).await.expect("opens").uploader_epoch;
    let (frames, queue) = mpsc::channel(1);
    frames.send(framed(Frame::Start(sent.start(epoch)))).await.expect("there is room");
    let acks = party.batches().upload_chunks(ReceiverStream::new(queue)).await.expect("it opens");
    // Every second chunk, so that each acknowledgement lists all of them; then all of that again and again.
    for number in (0..sent.payloads.len()).step_by(2).cycle().take(200_000) {
        match timeout(Duration::from_secs(1), frames.send(framed(Frame::Chunk(sent.chunk(number))))).await {
            Ok(taken) => taken.expect("the stream stays open"),
            Err(_) => return (frames, acks), // every window is full
        }
    }
    panic!("the issuer took everything: nobody waits for a reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_its_acknowledgements_holds_up_nobody_else() {
    let issuer = Issuer::start(|options| options.ack_chunks_max = 1).await;
    let hog = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    let _open = upload_unread(&hog, &batch(hog.code(), 1, Policy::AllOrNothing, &records("H", 2_400))).await;
    let sent = batch(other.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let imported = timeout(Duration::from_secs(20), other.import(&sent)).await.expect("at once");
    assert_eq!(state(&imported), BatchState::Accepted);
}

#[tokio::test]
async fn a_payload_that_is_too_long_is_refused_with_both_sizes() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    // One byte over the payload's limit, and a frame over the message's.
    for bytes in [PAYLOAD_BYTES_MAX + 1, 11 << 20] {
        let long = pb::Chunk { payload: vec![0; bytes].into(), ..sent.chunk(1) };
        let uploaded = ward.upload(&sent, epoch, vec![sent.chunk(0), long]).await;
        let refused = uploaded.end.expect_err("too long");
        assert_eq!(refused.reason, Reason::LimitExceeded);
        assert!(refused.message.contains("8388608"), "{refused}");
        let named = if bytes > 10 << 20 { "10485760" } else { "8388609" };
        assert!(refused.message.contains(named), "{refused}");
        assert_eq!(uploaded.acks.last().expect("what was durable is said").missing_count, 6);
    }
}

/// Sends raw frames, each as the contents of the frame's field 1, and returns how the stream ended.
async fn upload_raw(party: &Party, frames: Vec<Vec<u8>>) -> Result<(), Fault> {
    let mut grpc = tonic::client::Grpc::new(party.channel.clone());
    grpc.ready().await.expect("a connection");
    let path = http::uri::PathAndQuery::from_static("/todoke.v1.BatchService/UploadChunks");
    let codec = tonic_prost::ProstCodec::<Vec<u8>, pb::UploadChunksResponse>::default();
    let request = tonic::Request::new(tokio_stream::iter(frames));
    let mut acks = grpc.streaming(request, path, codec).await.map_err(fault)?.into_inner();
    while acks.message().await.map_err(fault)?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_frame_that_cannot_be_decoded_is_refused_by_name() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    let start = sent.start(epoch).encode_to_vec();
    upload_raw(&ward, vec![start.clone()]).await.expect("a start alone is fine");
    let garbage = vec![0xff; 3];
    for frames in [vec![garbage.clone()], vec![start, garbage]] {
        let refused = upload_raw(&ward, frames).await.expect_err("no frame");
        assert_eq!(refused.reason, Reason::FieldInvalid);
        assert_eq!(refused.violations[0].0, "frame");
    }
}

#[tokio::test]
async fn the_sixteenth_changed_chunk_ends_its_stream() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    let mut changed = sent.chunk(1);
    changed.root[0] ^= 1;
    let fifteen = ward.upload(&sent, epoch, vec![changed.clone(); 15]).await;
    fifteen.end.expect("the stream lives on");
    let sixteen = ward.upload(&sent, epoch, vec![changed; 16]).await;
    assert_eq!(sixteen.end.expect_err("enough").reason, Reason::ChunkDigestMismatch);
    assert_eq!(sixteen.acks.iter().flat_map(|ack| &ack.faults).count(), 16);
}
