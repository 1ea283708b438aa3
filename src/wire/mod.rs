//! The wire: generated protobuf, its way to and from the domain, and the faults and
//! deadlines that cross the hop.

use std::{collections::BTreeMap, sync::LazyLock};

use prost::Message;
use prost_types::FileDescriptorSet;

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

/// What of a method is a stream of messages, and not one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// Its request.
    pub request: bool,
    /// Its answer.
    pub answer: bool,
}

/// What streams of the method of a path such as `/todoke.v1.BatchService/UploadChunks`; of one that is none
/// of ours, nothing.
#[must_use]
pub fn streams(path: &str) -> Streams {
    METHODS.get(path).copied().unwrap_or_default()
}

/// The paths of all methods of ours.
pub fn paths() -> impl Iterator<Item = &'static str> {
    METHODS.keys().map(String::as_str)
}

static METHODS: LazyLock<BTreeMap<String, Streams>> = LazyLock::new(methods);

fn methods() -> BTreeMap<String, Streams> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build made them");
    let mut methods = BTreeMap::new();
    for file in files.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let (request, answer) = (method.client_streaming(), method.server_streaming());
                methods.insert(path, Streams { request, answer });
            }
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_of_each_method_what_streams() {
        let of = |method| {
            let Streams { request, answer } = streams(&format!("/todoke.v1.{method}"));
            (request, answer)
        };
        assert_eq!(of("BatchService/UploadChunks"), (true, true));
        assert_eq!(of("PoolService/WatchView"), (false, true));
        assert_eq!(of("BatchService/GetBatch"), (false, false));
        assert_eq!(of("BatchService/None"), (false, false));
    }
}
