//! Promise: a sender that waits for an acknowledgement before it sends more does not wait for a time to pass.

use std::time::Duration;

use todoke::{
    domain::manifest::Policy,
    wire::pb::{self, upload_chunks_request::Frame},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    databases::on_both,
    harness::{BUSY_MAX, Issuer, batch, records},
};

on_both!(a_chunk_is_acknowledged_as_soon_as_no_other_of_its_stream_is_in_work, async {
    let issuer = Issuer::start(|options| options.ack_every = Duration::from_secs(3600)).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 12));
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    let (frames, queue) = mpsc::channel(4);
    let say = async |frame| {
        frames.send(pb::UploadChunksRequest { frame: Some(frame) }).await.expect("the stream is open");
    };
    say(Frame::Start(sent.start(epoch))).await;
    let mut acks =
        ward.batches().upload_chunks(ReceiverStream::new(queue)).await.expect("taken").into_inner();
    for (number, missing) in [(0, 8), (1, 4), (2, 0)] {
        say(Frame::Chunk(sent.chunk(number))).await;
        let ack = timeout(BUSY_MAX, acks.message()).await.expect("it comes while the stream is open");
        assert_eq!(ack.expect("an answer").expect("an acknowledgement").missing_count, missing);
    }
});
