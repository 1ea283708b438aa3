//! A frame that cannot be taken is refused by name; only a sender that is gone is told nothing.

use tonic::{Code, Status};

use crate::{
    domain::chunk::PAYLOAD_BYTES_MAX,
    wire::{
        fault::{Fault, Reason},
        pb::{self, upload_chunks_request::Frame},
    },
};

/// Says what is wrong with a frame that could not be read; `None` if the sender or its relay is gone, so that
/// there is nobody to tell.
pub(crate) fn unreadable(status: &Status, message_bytes_max: usize) -> Option<Fault> {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            let words = format!(
                "a frame is longer than {message_bytes_max} bytes; a chunk's payload may have \
                 {PAYLOAD_BYTES_MAX} (8 MiB): make batches with fewer records a chunk"
            );
            Some(Fault::new(Reason::LimitExceeded, words))
        }
        Code::Internal | Code::InvalidArgument => {
            let words = "a frame cannot be decoded: send UploadChunksRequest as its .proto file has it";
            Some(Fault::new(Reason::FieldInvalid, words).violation("frame", "start or chunk"))
        }
        _ => None,
    }
}

/// Returns the start that the first frame must be.
pub(crate) fn start_of(frame: Option<pb::UploadChunksRequest>) -> Result<pb::UploadStart, Fault> {
    match frame.and_then(|frame| frame.frame) {
        Some(Frame::Start(start)) => Ok(start),
        _ => {
            Err(Fault::new(Reason::FieldInvalid, "the first frame must be start").violation("frame", "start"))
        }
    }
}

/// Returns the chunk that each later frame must be.
pub(crate) fn chunk_of(frame: pb::UploadChunksRequest) -> Result<pb::Chunk, Fault> {
    match frame.frame {
        Some(Frame::Chunk(chunk)) => Ok(chunk),
        _ => Err(Fault::new(Reason::FieldInvalid, "after the first frame every frame must be a chunk")
            .violation("frame", "chunk")),
    }
}

/// Refuses a chunk whose payload is too long.
pub(crate) fn check_size(chunk: &pb::Chunk) -> Result<(), Fault> {
    let (number, bytes) = (chunk.chunk_number, chunk.payload.len());
    if bytes <= PAYLOAD_BYTES_MAX {
        return Ok(());
    }
    let words = format!(
        "chunk {number}: its payload has {bytes} bytes and may have {PAYLOAD_BYTES_MAX} (8 MiB): make \
         batches with fewer records a chunk"
    );
    Err(Fault::new(Reason::LimitExceeded, words).with("chunk_number", number.to_string()))
}
