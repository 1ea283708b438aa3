//! Promise: who reads nothing, sends nonsense or wants everything is told so, and costs nobody else a thing.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
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

use super::{
    databases::on_both,
    harness::{Batch, Issuer, Party, batch, eventually, fault, id, records, state},
};

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
    let mut refused = 0;
    // Every second chunk, so that each acknowledgement lists all of them; then all of that again and again.
    for number in (0..sent.payloads.len()).step_by(2).cycle().take(200_000) {
        match timeout(Duration::from_secs(1), frames.send(framed(Frame::Chunk(sent.chunk(number))))).await {
            Ok(taken) => {
                taken.expect("the stream stays open");
                refused = 0;
            }
            Err(_) if refused == 2 => return (frames, acks), // every window is full
            Err(_) => {
                // Or else the machine was busy: then this is no faster, and the next chunk is taken.
                party.get(sent.manifest.batch_id).await.expect("the batch");
                refused += 1;
            }
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

/// Opens a stream that stays open until it is dropped.
async fn idle_stream(party: &Party, sent: &Batch, epoch: u32) -> Result<impl Sized + use<>, Fault> {
    let (frames, queue) = mpsc::channel(1);
    frames.send(framed(Frame::Start(sent.start(epoch)))).await.expect("there is room");
    let acks = party.batches().upload_chunks(ReceiverStream::new(queue)).await.map_err(fault)?;
    Ok((frames, acks))
}

fn over_the_limit(refused: &Fault) {
    assert_eq!(refused.reason, Reason::TenantRateLimit);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn one_municipality_has_its_share_of_streams_and_others_have_theirs() {
    let issuer = Issuer::start(|options| {
        options.streams_max = 3;
        options.caller_streams_max = 2;
    });
    let issuer = issuer.await;
    let hog = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    let sent = batch(hog.code(), 1, Policy::AllOrNothing, &records("H", 10));
    let epoch = hog.open(&sent).await.expect("opens").uploader_epoch;
    let first = idle_stream(&hog, &sent, epoch).await.expect("one");
    let _second = idle_stream(&hog, &sent, epoch).await.expect("two");
    over_the_limit(&idle_stream(&hog, &sent, epoch).await.err().expect("its limit is two"));
    let others = batch(other.code(), 1, Policy::AllOrNothing, &records("K", 10));
    assert_eq!(state(&other.import(&others).await), BatchState::Accepted);
    drop(first);
    let again = || async { idle_stream(&hog, &sent, epoch).await.ok() };
    eventually("the place of a stream that ended", again).await;
}

#[tokio::test]
async fn one_municipality_has_its_share_of_watchers_and_others_have_theirs() {
    let issuer = Issuer::start(|options| {
        options.watchers_max = 3;
        options.caller_watchers_max = 2;
    });
    let issuer = issuer.await;
    let hog = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    hog.open(&batch(hog.code(), 1, Policy::AllOrNothing, &records("H", 10))).await.expect("opens");
    let watch = || async {
        let request = hog.request(pb::WatchBatchRequest { batch_id: id(1).to_string() });
        hog.batches().watch_batch(request).await.map_err(fault)
    };
    let first = watch().await.expect("one");
    let _second = watch().await.expect("two");
    over_the_limit(&watch().await.expect_err("its limit is two"));
    let others = batch(other.code(), 1, Policy::AllOrNothing, &records("K", 10));
    assert_eq!(state(&other.import(&others).await), BatchState::Accepted);
    drop(first);
    eventually("the place of a watcher that went", || async { watch().await.ok() }).await;
}

on_both!(one_municipality_seals_one_batch_at_once, async {
    let issuer = Issuer::start(|_| {}).await;
    let hog = issuer.party("municipality/131229").await;
    let sent = batch(hog.code(), 1, Policy::AllOrNothing, &records("H", 10));
    let epoch = hog.open(&sent).await.expect("opens").uploader_epoch;
    hog.upload(&sent, epoch, sent.chunks()).await.end.expect("taken");
    // A seal ends with a write, so that whoever has the turn keeps it until writes are let through.
    let held = issuer.hold_writes().await;
    let mut seals: FuturesUnordered<_> = (0..8).map(|_| hog.seal(&sent)).collect();
    for _ in 0..7 {
        let refused = seals.next().await.expect("eight were sent");
        over_the_limit(&refused.expect_err("only one has the turn"));
    }
    held.close().await;
    seals.next().await.expect("eight were sent").expect("the one that had the turn");
    let next = batch(hog.code(), 2, Policy::AllOrNothing, &records("K", 10));
    assert_eq!(state(&hog.import(&next).await), BatchState::Accepted, "the turn is free again");
});

/// Two municipalities seal while one turn is all there is, and the one that has it keeps it; returns what the
/// other is told.
async fn refused_a_turn(change: impl FnOnce(&mut todoke::issuance::Options)) -> Fault {
    let issuer = Issuer::start(|options| {
        options.seals_max = 1;
        change(options);
    });
    let issuer = issuer.await;
    let parties = [issuer.party("municipality/131229").await, issuer.party("municipality/011002").await];
    let of = |party: &Party| batch(party.code(), 1, Policy::AllOrNothing, &records("S", 10));
    let sent = [of(&parties[0]), of(&parties[1])];
    for (party, sent) in parties.iter().zip(&sent) {
        let epoch = party.open(sent).await.expect("opens").uploader_epoch;
        party.upload(sent, epoch, sent.chunks()).await.end.expect("taken");
    }
    let held = issuer.hold_writes().await;
    let seal = async |n: usize| (n, parties[n].seal(&sent[n]).await);
    let mut seals: FuturesUnordered<_> = [seal(0), seal(1)].into_iter().collect();
    let (late, refused) = seals.next().await.expect("two were sent");
    let refused = refused.expect_err("the other has the turn");
    held.close().await;
    seals.next().await.expect("two were sent").1.expect("the one that had the turn");
    parties[late].seal(&sent[late]).await.expect("the turn is free again");
    refused
}

on_both!(so_many_seals_run_at_once_and_who_waits_too_long_for_a_turn_is_told, async {
    let wait = Duration::from_millis(300);
    let refused = refused_a_turn(|options| options.seal_wait = wait).await;
    assert_eq!((refused.reason, refused.retry_after), (Reason::LaneFull, Some(wait)), "{refused}");
    // A call that names no deadline has the one of the option.
    let refused = refused_a_turn(|options| options.call_deadline = wait).await;
    assert_eq!(refused.reason, Reason::DeadlineExceeded, "{refused}");
});

on_both!(one_municipality_has_its_share_of_open_batches_and_others_have_theirs, async {
    let issuer = Issuer::start(|options| options.caller_open_batches_max = 2).await;
    let hog = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    let of = |party: &Party, n| batch(party.code(), n, Policy::AllOrNothing, &records(&format!("K{n}"), 3));
    let [first, second, third] = [1, 2, 3].map(|n| of(&hog, n));
    hog.open(&first).await.expect("one");
    hog.open(&second).await.expect("two");
    let refused = hog.open(&third).await.expect_err("its limit is two");
    assert_eq!(refused.reason, Reason::TooManyOpenBatches);
    assert!(refused.message.contains("2 batches open"), "{refused}");
    hog.open(&second).await.expect("the same one again takes no place");
    other.open(&of(&other, 1)).await.expect("another has its own places");
    assert_eq!(state(&hog.import(&first).await), BatchState::Accepted);
    hog.open(&third).await.expect("the first one's place is free");
});

on_both!(a_seal_by_too_far_away_is_refused_by_name, async {
    let issuer = Issuer::start(|options| options.seal_by_max = Duration::from_secs(3_600)).await;
    let ward = issuer.party("municipality/131229").await;
    let now_ms = issuer.clock.now_ms();
    let mut sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    for (away_ms, taken) in [(3_600_001, false), (3_600_000, true)] {
        sent.manifest.seal_by_ms = now_ms + away_ms;
        sent.bytes = sent.manifest.to_text().into_bytes();
        match ward.open(&sent).await {
            Ok(_) => assert!(taken),
            Err(refused) => {
                assert!(!taken, "{refused}");
                assert_eq!(refused.reason, Reason::ManifestInvalid);
                assert_eq!(refused.violations[0].0, "manifest.seal-by");
            }
        }
    }
});

on_both!(a_sequence_too_far_above_the_last_one_is_refused_by_name_and_uses_none_up, async {
    let issuer = Issuer::start(|options| options.sequence_ahead_max = 3).await;
    let ward = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    let of = |party: &Party, n| batch(party.code(), n, Policy::AllOrNothing, &records(&format!("K{n}"), 3));
    for (n, taken, last) in [(4, false, 0), (3, true, 0), (7, false, 3), (6, true, 3), (1, true, 6)] {
        match ward.open(&of(&ward, n)).await {
            Ok(_) => assert!(taken, "{n} after {last}"),
            Err(refused) => {
                assert!(!taken, "{n} after {last}: {refused}");
                assert_eq!(refused.reason, Reason::ManifestInvalid);
                assert_eq!(refused.violations[0].0, "manifest.sequence");
                assert_eq!(
                    (refused.get("last"), refused.get("limit")),
                    (Some(&*last.to_string()), Some("3"))
                );
                assert_eq!(ward.get(id(n)).await.expect_err("nothing was left").reason, Reason::NotFound);
            }
        }
    }
    assert!(other.open(&of(&other, 4)).await.is_err(), "another's sequence is no help");
    other.open(&of(&other, 3)).await.expect("another has its own");
});
