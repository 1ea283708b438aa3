//! Promise: one stream has so many frames in work and not one more; what it sent beyond them waits, costs
//! other streams nothing, and is not lost.

use futures_util::FutureExt as _;
use todoke::{
    domain::manifest::Policy,
    wire::pb::{self, upload_chunks_request::Frame},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    databases::on_both,
    harness::{BUSY_MAX, Batch, Issuer, Party, batch, records},
};

const MAX: usize = 3;

/// A stream that stays open as long as this is held.
struct Stream {
    acks: Streaming<pb::UploadChunksResponse>,
    _frames: mpsc::Sender<pb::UploadChunksRequest>,
}

impl Stream {
    /// Sends the first `whole` chunks of a batch, and behind them one that came changed on its way: to answer
    /// that, nothing is written.
    async fn sending(party: &Party, sent: &Batch, epoch: u32, whole: usize) -> Self {
        let mut changed = sent.chunk(9);
        changed.root[0] ^= 1;
        let chunks = (0..whole).map(|number| sent.chunk(number)).chain([changed]);
        let all = std::iter::once(Frame::Start(sent.start(epoch))).chain(chunks.map(Frame::Chunk));
        let (frames, queue) = mpsc::channel(whole + 2);
        for frame in all {
            frames.try_send(pb::UploadChunksRequest { frame: Some(frame) }).expect("there is room");
        }
        let acks = party.batches().upload_chunks(ReceiverStream::new(queue)).await.expect("it opens");
        Self { acks: acks.into_inner(), _frames: frames }
    }

    /// Waits for the first answer that names the changed chunk.
    async fn told(&mut self) -> pb::UploadChunksResponse {
        let told = async {
            loop {
                let ack = self.acks.message().await.expect("it stays open").expect("it stays open");
                if !ack.faults.is_empty() {
                    return ack;
                }
            }
        };
        timeout(BUSY_MAX, told).await.expect("it is told while others wait")
    }
}

on_both!(one_stream_has_so_many_frames_in_work_and_the_next_frame_waits, async {
    let issuer = Issuer::start(|options| {
        options.frames_in_work_max = MAX;
        options.ack_chunks_max = 1;
    });
    let issuer = issuer.await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 40));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    // A whole chunk stays in work until its COMMIT, which has to wait.
    let held = issuer.hold_writes().await;
    let mut above = Stream::sending(&ward, &sent, epoch, MAX).await;
    let mut full = Vec::new();
    for _ in 0..8 {
        let mut at_limit = Stream::sending(&ward, &sent, epoch, MAX - 1).await;
        assert_eq!(at_limit.told().await.durable_chunks, [], "all {MAX} are in work at once");
        full.push(at_limit);
    }
    let early = above.acks.message().now_or_never();
    assert!(early.is_none(), "{MAX} are in work, and one more was taken up: {early:?}");
    held.close().await;
    let told = above.told().await;
    assert_ne!(told.durable_chunks, [], "one in work had to end before");
    assert_eq!(told.faults.len(), 1, "and then it was taken");
});
