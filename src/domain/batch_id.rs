//! A batch id is a UUID of version 7, which its sender made, and one batch has one text for it.

use std::{fmt, str::FromStr};

use uuid::{Uuid, Variant};

/// A UUID of version 7 (RFC 9562); in text 36 lower-case characters with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(Uuid);

/// The value is no batch id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a batch id is a UUID of version 7 in 36 lower-case characters with hyphens: make one for each batch"
)]
pub struct BadBatchId;

impl BatchId {
    /// Returns the batch id that this UUID is.
    ///
    /// # Errors
    /// [`BadBatchId`] for any other version or variant.
    pub fn new(uuid: Uuid) -> Result<Self, BadBatchId> {
        match (uuid.get_version_num(), uuid.get_variant()) {
            (7, Variant::RFC4122) => Ok(Self(uuid)),
            _ => Err(BadBatchId),
        }
    }

    /// The UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for BatchId {
    type Err = BadBatchId;

    fn from_str(text: &str) -> Result<Self, BadBatchId> {
        // The parser of the crate takes braces, URNs and capitals too: one id must have one text.
        let id = Self::new(Uuid::try_parse(text).map_err(|_| BadBatchId)?)?;
        if id.to_string() == text { Ok(id) } else { Err(BadBatchId) }
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_has_one_text() {
        let text = "0192f0c1-2345-7abc-8def-0123456789ab";
        let id: BatchId = text.parse().expect("version 7");
        assert_eq!(id.to_string(), text);
        let upper = text.to_uppercase();
        let urn = format!("urn:uuid:{text}");
        let braces = format!("{{{text}}}");
        let bare = text.replace('-', "");
        let version_4 = text.replace("-7abc", "-4abc");
        let variant = text.replace("-8def", "-cdef");
        for bad in ["", "1", &upper, &urn, &braces, &bare, &version_4, &variant] {
            assert_eq!(bad.parse::<BatchId>(), Err(BadBatchId), "{bad}");
        }
    }
}
