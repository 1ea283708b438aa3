//! One upload stream over one relay, and the file's chunks as they are read: both end when the upload is
//! dropped.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};
use tonic::{Status, transport::Channel};

use super::{
    calls::Caller,
    frames::{Frame, upload_chunks},
    input_fault::InputFault,
    picker::Picked,
    reader::ReadOptions,
    scan::{Chunks, FileChunk, Scan},
};
use crate::{
    domain::{batch_id::BatchId, digest::Digest, ranges::Ranges},
    runtime,
    wire::{pb, text::showable},
};

/// The first frame of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamStart {
    /// The batch.
    pub batch_id: BatchId,
    /// Digest of its manifest.
    pub manifest_digest: Digest,
    /// What OpenBatch answered.
    pub uploader_epoch: u32,
}

/// What a stream has to say.
pub(crate) enum StreamEvent {
    Answer(u64, pb::UploadChunksResponse),
    /// The stream is over, and this is why.
    Ended(u64, Status),
}

/// An open stream.
pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) picked: Picked,
    pub(crate) heard_at: Instant,
    frames: Option<mpsc::Sender<Frame>>,
    task: AbortHandle,
}

impl Stream {
    /// Opens a stream over a relay that is not in `avoid` if there is one.
    pub(crate) fn open(
        id: u64,
        caller: &Caller,
        avoid: &[usize],
        start: &StreamStart,
        window: usize,
        (tasks, events): (&mut JoinSet<()>, &mpsc::Sender<StreamEvent>),
    ) -> Self {
        let now = Instant::now();
        let picked = caller.picker().pick(avoid, now);
        let (frames, queue) = mpsc::channel(window + 1);
        let sent = frames.try_send(Frame::start(start));
        debug_assert!(sent.is_ok(), "an empty channel has room for one frame");
        let channel = caller.channel(&picked);
        let task = tasks.spawn(run(id, channel, queue, events.clone()));
        Self { id, picked, heard_at: now, frames: Some(frames), task }
    }

    /// Hands a chunk over; false if the stream has ended.
    pub(crate) fn send(&self, chunk: &FileChunk) -> bool {
        let Some(frames) = &self.frames else { return false };
        frames.try_send(Frame::chunk(chunk)).is_ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Closes our half of each stream and lets the other end first, for a moment.
pub(crate) async fn close(streams: &mut [Stream], heard: &mut mpsc::Receiver<StreamEvent>) {
    let mut open = streams.len();
    streams.iter_mut().for_each(|stream| stream.frames = None);
    let all_ended = async {
        while open > 0 {
            match heard.recv().await {
                Some(StreamEvent::Ended(..)) => open -= 1,
                Some(StreamEvent::Answer(..)) => (),
                None => return,
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), all_ended).await;
}

async fn run(id: u64, channel: Channel, queue: mpsc::Receiver<Frame>, events: mpsc::Sender<StreamEvent>) {
    let answers = async {
        let mut answers = upload_chunks(channel, queue).await?;
        while let Some(answer) = answers.message().await? {
            if events.send(StreamEvent::Answer(id, answer)).await.is_err() {
                break;
            }
        }
        Ok::<(), Status>(())
    };
    let status =
        answers.await.map_err(showable).err().unwrap_or_else(|| Status::unavailable("the stream was ended"));
    let _ = events.send(StreamEvent::Ended(id, status)).await;
}

/// Chunks as they are read; dropped, it ends the reading.
pub(crate) struct ReadChunks {
    pub(crate) chunks: mpsc::Receiver<Result<FileChunk, InputFault>>,
    /// Where payloads go that are sent for good.
    pub(crate) spent: mpsc::UnboundedSender<Bytes>,
}

/// Reads the wanted chunks beside the run, as long as fewer than `held_max` are not sent for good; no thread
/// waits until there is room for another.
pub(crate) fn read_chunks(
    tasks: &mut JoinSet<()>,
    held_max: usize,
    path: &Path,
    read: &ReadOptions,
    scan: &Scan,
    wanted: Ranges,
) -> Result<ReadChunks, InputFault> {
    let mut chunks = Chunks::open(path, read, scan, wanted)?;
    let (sender, receiver) = mpsc::channel(1);
    // No more can wait in it than chunks are held.
    let (spent, mut taken_back) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        let mut held = 0;
        while let Ok(place) = sender.reserve().await {
            while held > 0 {
                let payload = match taken_back.try_recv() {
                    Ok(payload) => payload,
                    Err(_) if held < held_max => break,
                    Err(_) => match taken_back.recv().await {
                        Some(payload) => payload,
                        None => return, // nobody sends any more
                    },
                };
                chunks.take_back(payload);
                held -= 1;
            }
            let (rest, chunk) = runtime::blocking(move || {
                let chunk = chunks.next_chunk().transpose();
                (chunks, chunk)
            })
            .await;
            let Some(chunk) = chunk else { return };
            (chunks, held) = (rest, held + 1);
            let ended = chunk.is_err();
            place.send(chunk);
            if ended {
                return;
            }
        }
    });
    Ok(ReadChunks { chunks: receiver, spent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::scan::scan;

    #[tokio::test(start_paused = true)]
    async fn no_more_chunks_are_read_than_may_be_held_until_one_is_sent_for_good() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("in.csv");
        let rows: String = (0..4).map(|n| format!("K-{n},X,H,D,N,1980-01-02,2,A\n")).collect();
        let header = "order_id,kind,household_id,district,name,birth_date,sex,address\n";
        std::fs::write(&path, header.to_owned() + &rows).expect("the folder is writable");
        let options = ReadOptions::default();
        let scanned = scan(&path, &options, 1, None, &mut |_| ()).expect("a good file");
        let mut tasks = JoinSet::new();
        let wanted = Ranges::default().missing(4);
        let read = read_chunks(&mut tasks, 2, &path, &options, &scanned, wanted);
        let ReadChunks { mut chunks, spent } = read.expect("a good file");
        let mut held = Vec::new();
        for number in 0..4 {
            if held.len() == 2 {
                // Time moves only while nobody reads.
                let more = timeout(Duration::from_secs(3_600), chunks.recv()).await;
                assert!(more.is_err(), "a chunk was read with two held");
                assert!(spent.send(held.remove(0)).is_ok(), "somebody reads");
            }
            let chunk = chunks.recv().await.expect("one more").expect("unchanged");
            assert_eq!(chunk.number, number);
            held.push(chunk.payload);
        }
        assert!(spent.send(held.remove(0)).is_ok(), "it still waits for room");
        assert!(chunks.recv().await.is_none(), "the file has four");
    }
}
