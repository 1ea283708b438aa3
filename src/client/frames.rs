//! The frames of an upload on their way: what a relay reads is what the API says, and the records of a large
//! chunk but the first are sent from the memory that holds them, without a copy.
//!
//! The generated client writes each message into memory of its own before it is sent. Of a chunk that was one
//! more copy in each of the places where it can wait: half a dozen at a time, which an import of few chunks
//! has not.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame as HttpFrame};
use prost::{Message as _, encode_length_delimiter, length_delimiter_len};
use tokio::sync::mpsc;
use tonic::{
    Status, Streaming,
    body::Body,
    codegen::Service,
    transport::{Channel, Error},
};

use super::{scan::FileChunk, streams::StreamStart};
use crate::wire::pb::{self, batch_service_client::BatchServiceClient, upload_chunks_request::Frame as Of};

/// As long as a frame of HTTP/2 is, unless its receiver allows more. So much of a chunk goes with what stands
/// before it, so that small chunks share a frame, and a large one has none that is nearly empty.
const GATHERED: usize = 16 << 10;
/// What stands before the field `chunk` of a frame, and before the field `payload` of a chunk: the number of
/// the field, and that bytes with their length follow.
const CHUNK_KEY: u8 = 2 << 3 | 2;
const PAYLOAD_KEY: u8 = 3 << 3 | 2;

/// A message of the stream: all that comes before its payload, and the payload.
pub(crate) struct Frame {
    head: Vec<u8>,
    payload: Bytes,
}

impl Frame {
    /// The first frame of a stream.
    pub(crate) fn start(start: &StreamStart) -> Self {
        let start = pb::UploadStart {
            batch_id: start.batch_id.to_string(),
            manifest_digest: start.manifest_digest.0.to_vec(),
            uploader_epoch: start.uploader_epoch,
        };
        let message = pb::UploadChunksRequest { frame: Some(Of::Start(start)) };
        let mut head = prefix(message.encoded_len());
        message.encode(&mut head).expect("a vector grows");
        Self { head, payload: Bytes::new() }
    }

    /// A chunk, whose payload is shared with whoever holds it.
    pub(crate) fn chunk(chunk: &FileChunk) -> Self {
        let payload = chunk.payload.clone();
        let fields = pb::Chunk {
            chunk_number: chunk.number,
            root: chunk.root.0.to_vec(),
            payload: Bytes::new(), // and so it is left out
        };
        let behind = 1 + length_delimiter_len(payload.len()) + payload.len();
        let length = fields.encoded_len() + behind;
        let mut head = prefix(1 + length_delimiter_len(length) + length);
        head.put_u8(CHUNK_KEY);
        encode_length_delimiter(length, &mut head).expect("a vector grows");
        fields.encode(&mut head).expect("a vector grows");
        head.put_u8(PAYLOAD_KEY);
        encode_length_delimiter(payload.len(), &mut head).expect("a vector grows");
        Self { head, payload }
    }
}

// What gRPC has before each message: that it is not compressed, and how long it is.
fn prefix(message_bytes: usize) -> Vec<u8> {
    let mut head = vec![0];
    head.put_u32(u32::try_from(message_bytes).expect("a payload is at most PAYLOAD_BYTES_MAX long"));
    head
}

/// Begins an upload over a relay, of the frames that come out of `queue`, and returns its answers.
///
/// # Errors
/// What the relay or the issuer refused it with.
pub(crate) async fn upload_chunks(
    channel: Channel,
    queue: mpsc::Receiver<Frame>,
) -> Result<Streaming<pb::UploadChunksResponse>, Status> {
    let frames = Frames { queue, gathered: BytesMut::new(), rest: Bytes::new() };
    let mut client = BatchServiceClient::new(Sending { channel, frames: Some(frames) });
    // The call is the generated one in all but its frames, of which it has none.
    Ok(client.upload_chunks(tokio_stream::empty()).await?.into_inner())
}

/// A channel whose call has our frames.
struct Sending {
    channel: Channel,
    frames: Option<Frames>,
}

impl Service<http::Request<Body>> for Sending {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::poll_ready(&mut self.channel, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.channel.call(request.map(|none| self.frames.take().map_or(none, Body::new)))
    }
}

/// The bytes of all frames.
struct Frames {
    queue: mpsc::Receiver<Frame>,
    /// What comes next: heads, and payloads as far as they are short.
    gathered: BytesMut,
    /// What comes behind it of the last payload.
    rest: Bytes,
}

impl Frames {
    fn add(&mut self, frame: Frame) {
        self.rest = frame.payload;
        let room = GATHERED.saturating_sub(self.gathered.len() + frame.head.len()).min(self.rest.len());
        self.gathered.reserve(frame.head.len() + room);
        self.gathered.put_slice(&frame.head);
        self.gathered.put(self.rest.split_to(room));
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Status>>> {
        let bytes = loop {
            if self.gathered.len() >= GATHERED {
                break self.gathered.split().freeze();
            }
            if !self.rest.is_empty() {
                break mem::take(&mut self.rest);
            }
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(frame)) => self.add(frame),
                Poll::Pending if self.gathered.is_empty() => return Poll::Pending,
                Poll::Ready(None) if self.gathered.is_empty() => return Poll::Ready(None),
                Poll::Pending | Poll::Ready(None) => break self.gathered.split().freeze(),
            }
        };
        Poll::Ready(Some(Ok(HttpFrame::data(bytes))))
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
