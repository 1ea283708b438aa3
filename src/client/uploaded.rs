//! How an upload came out; the chunks that were acknowledged are durable in any case.

use std::collections::BTreeMap;

use tonic::Status;

use super::{calls::CallError, input_fault::InputFault};
use crate::{domain::ranges::Ranges, wire::fault::Fault};

/// How an upload ended well, or as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// Every chunk is durable, or the batch is sealed already; so say the relays, each of its chunks.
    Complete(BTreeMap<usize, Ranges>),
    /// Stopped by `stop_after_records`.
    Cut,
}

/// Why an upload ended otherwise.
#[derive(Debug)]
pub enum UploadError {
    /// The file is not what it was.
    Input(InputFault),
    /// The issuer refused for a reason that sending again cannot mend.
    Refused(Fault),
    /// No relay serves us: each refuses our certificate, or is not believed to be one.
    NotServed(CallError),
    /// Nothing more became durable for too long.
    GaveUp(Status),
}
