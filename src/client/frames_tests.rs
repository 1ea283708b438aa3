//! Promise: what is sent is byte for byte what the generated code writes, however it was gathered, and of a
//! large payload nothing is copied but its beginning.

use proptest::prelude::*;
use tokio_stream::StreamExt as _;

use super::*;
use crate::domain::digest::Digest;

fn start() -> StreamStart {
    StreamStart {
        batch_id: "019a0000-0000-7000-8000-000000000001".parse().expect("an id"),
        manifest_digest: Digest::of(b"manifest"),
        uploader_epoch: 3,
    }
}

fn chunk(number: u32, payload_bytes: usize) -> FileChunk {
    let payload: Vec<u8> = (0..payload_bytes).map(|at| (at % 251) as u8).collect();
    FileChunk { number, root: Digest::of(&number.to_be_bytes()), records: 1, payload: payload.into() }
}

/// What the generated code makes of the frames.
fn expected(chunks: &[FileChunk]) -> Vec<u8> {
    let StreamStart { batch_id, manifest_digest, uploader_epoch } = start();
    let (batch_id, manifest_digest) = (batch_id.to_string(), manifest_digest.0.to_vec());
    let first = Of::Start(pb::UploadStart { batch_id, manifest_digest, uploader_epoch });
    let rest = chunks.iter().map(|chunk| {
        let (chunk_number, root) = (chunk.number, chunk.root.0.to_vec());
        Of::Chunk(pb::Chunk { chunk_number, root, payload: chunk.payload.clone() })
    });
    let mut all = Vec::new();
    for frame in std::iter::once(first).chain(rest) {
        let message = pb::UploadChunksRequest { frame: Some(frame) }.encode_to_vec();
        all.push(0);
        all.put_u32(u32::try_from(message.len()).expect("short"));
        all.extend(message);
    }
    all
}

/// What is sent of frames that all wait already.
fn sent(chunks: &[FileChunk]) -> Vec<Bytes> {
    let (sender, queue) = mpsc::channel(chunks.len() + 1);
    let frames = std::iter::once(Frame::start(&start())).chain(chunks.iter().map(Frame::chunk));
    frames.for_each(|frame| assert!(sender.try_send(frame).is_ok(), "there is room"));
    drop(sender);
    let mut frames = Frames { queue, gathered: BytesMut::new(), rest: Bytes::new() };
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut parts = Vec::new();
    while let Poll::Ready(Some(part)) = Pin::new(&mut frames).poll_frame(&mut cx) {
        parts.push(part.expect("nothing fails").into_data().expect("data"));
    }
    parts
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_the_generated_code_and_no_part_is_empty(
        lengths in prop::collection::vec(
            prop_oneof![1..300usize, GATHERED - 200..GATHERED + 200, 2 * GATHERED..70_000], 0..6,
        ),
        number in any::<u32>(),
    ) {
        let numbers = (0..).map(|n| number.wrapping_add(n));
        let chunks: Vec<FileChunk> = numbers.zip(lengths).map(|(n, length)| chunk(n, length)).collect();
        let parts = sent(&chunks);
        prop_assert!(parts.iter().all(|part| !part.is_empty()));
        prop_assert_eq!(parts.concat(), expected(&chunks));
    }
}

#[test]
fn a_large_payload_is_sent_from_its_own_memory_and_small_ones_share_a_part() {
    let (small, large) = ([chunk(0, 200), chunk(1, 300)], chunk(2, 500_000));
    let parts = sent(&[small[0].clone(), small[1].clone(), large.clone()]);
    let [first, rest] = &parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(first.len(), GATHERED);
    assert!(large.payload.as_ptr_range().contains(&rest.as_ptr()), "the payload was copied");
    assert_eq!(rest.as_ptr_range().end, large.payload.as_ptr_range().end);
    drop(parts);
    assert!(large.payload.is_unique(), "what was sent is held by nobody");
}

#[tokio::test]
async fn what_has_come_is_sent_before_more_comes() {
    let (sender, queue) = mpsc::channel(2);
    let mut body = Body::new(Frames { queue, gathered: BytesMut::new(), rest: Bytes::new() });
    let mut parts = tokio_stream::iter([Frame::start(&start()), Frame::chunk(&chunk(0, 10))]);
    let mut all = Vec::new();
    while let Some(frame) = parts.next().await {
        assert!(sender.try_send(frame).is_ok(), "there is room");
        let part = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        all.extend(part.expect("one part").expect("nothing fails").into_data().expect("data"));
    }
    assert_eq!(all, expected(&[chunk(0, 10)]));
    drop(sender);
    assert!(std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none());
}
