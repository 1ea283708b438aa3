//! What a relay between the issuer in memory and the client says by itself, each lie at its one place.

use tonic::Status;

use crate::wire::{
    fault::{Fault, Reason},
    pb,
};

/// What somebody says instead of what the issuer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Lie {
    /// Every batch is in this state.
    State(pb::BatchState),
    /// The municipality's last batch has this sequence.
    LastSequence(u64),
    /// No batch was ever opened.
    NoBatches,
    /// There is always one more page of batches.
    EndlessBatches,
    /// Every chunk is durable; none goes on to the issuer.
    Acknowledges,
    /// No seal finds what was declared.
    Differs,
    /// One bit of each receipt is another.
    FlipsReceipt,
    /// Nobody is there any more who seals or knows what is missing.
    Away,
}

pub(super) fn of_batch(lie: Option<Lie>, batch: &mut pb::Batch) {
    if let Some(Lie::State(state)) = lie {
        batch.state = state.into();
    }
}

pub(super) fn of_list(lie: Option<Lie>, list: &mut pb::ListBatchesResponse) {
    match lie {
        Some(Lie::LastSequence(sequence)) => list.last_sequence = sequence,
        Some(Lie::NoBatches) => list.batches.clear(),
        Some(Lie::EndlessBatches) => "more".clone_into(&mut list.next_page_token),
        _ => {}
    }
}

pub(super) fn of_chunk(lie: Option<Lie>, number: u32) -> Option<pb::UploadChunksResponse> {
    let durable_chunks = vec![pb::ChunkRange { first: number, last: number }];
    (lie == Some(Lie::Acknowledges))
        .then(|| pb::UploadChunksResponse { durable_chunks, ..Default::default() })
}

pub(super) fn of_seal(lie: Option<Lie>) -> Result<(), Status> {
    match lie {
        Some(Lie::Differs) => Err(Fault::new(Reason::ControlTotalMismatch, "it does not add up").into()),
        Some(Lie::Away) => Err(Status::unavailable("nobody is there")),
        _ => Ok(()),
    }
}

pub(super) fn of_gaps(lie: Option<Lie>) -> Result<(), Status> {
    if lie == Some(Lie::Away) { Err(Status::unavailable("nobody is there")) } else { Ok(()) }
}

pub(super) fn of_receipt(lie: Option<Lie>, receipt: &mut [u8]) {
    if lie == Some(Lie::FlipsReceipt) {
        receipt[40] ^= 1;
    }
}
