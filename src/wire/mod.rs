//! The wire: generated protobuf, its way to and from the domain, and the faults and
//! deadlines that cross the hop.

pub mod convert;
pub mod fault;
mod reason;
mod redacted;
pub mod text;
pub mod timeout;

/// Everything generated from `proto/todoke/v1`.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated; the comments stand in proto/todoke/v1")]
pub mod pb {
    tonic::include_proto!("todoke.v1");
}

/// The compiled `.proto` files with their imports, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/todoke_descriptor.bin"));
