//! A value that crosses into or out of a column is the same on both sides, or an error; never a number that
//! wrapped.

use sqlx::types::Uuid;

use crate::domain::{
    batch::BatchState, batch_id::BatchId, chunk, digest::Digest, municipality::MunicipalityCode,
};

use super::Error;

/// Returns a number as the databases have it.
pub(super) fn int(value: u64, what: &'static str) -> Result<i64, Error> {
    i64::try_from(value).map_err(|_| Error::Corrupt(what))
}

/// Returns a number to compare a column with; above all of its values if the databases have no such number.
pub(super) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Returns a number that a column holds.
pub(super) fn uint(value: i64, what: &'static str) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::Corrupt(what))
}

/// Returns a small number that a column holds.
pub(super) fn small(value: i64, what: &'static str) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Corrupt(what))
}

/// Returns a digest that a column holds.
pub(super) fn digest(bytes: &[u8], what: &'static str) -> Result<Digest, Error> {
    Digest::from_slice(bytes).ok_or(Error::Corrupt(what))
}

/// Returns a municipality that a column holds.
pub(super) fn municipality(text: &str) -> Result<MunicipalityCode, Error> {
    text.parse().map_err(|_| Error::Corrupt("municipality_code"))
}

/// Returns a batch id that a column holds.
pub(super) fn batch_id(uuid: Uuid) -> Result<BatchId, Error> {
    BatchId::new(uuid).map_err(|_| Error::Corrupt("batch_id"))
}

/// Returns a state that a column holds.
pub(super) fn state(text: &str) -> Result<BatchState, Error> {
    text.parse().map_err(|_| Error::Corrupt("state"))
}

/// Returns digests one after the other as one value.
pub(super) fn join_digests(digests: &[Digest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| *digest.as_bytes()).collect()
}

/// Returns the digests that stand one after the other in a value.
pub(super) fn split_digests(bytes: &[u8], what: &'static str) -> Result<Vec<Digest>, Error> {
    bytes.chunks(32).map(|one| digest(one, what)).collect()
}

/// Returns byte strings as one value, framed as the records of a chunk are.
pub(super) fn join_strings(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = chunk::Writer::default();
    strings.iter().for_each(|one| writer.push(one));
    writer.take()
}

/// Returns the byte strings that [`join_strings`] wrote.
pub(super) fn split_strings(bytes: &[u8], what: &'static str) -> Result<Vec<Vec<u8>>, Error> {
    let strings = chunk::Reader::new(bytes).map(|one| one.map(<[u8]>::to_vec));
    strings.collect::<Result<_, _>>().map_err(|_| Error::Corrupt(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_as_they_went_and_torn_ones_are_refused() {
        let chain = vec![b"one".to_vec(), Vec::new(), vec![0xff; 300]];
        let joined = join_strings(&chain);
        assert_eq!(split_strings(&joined, "chain").expect("whole"), chain);
        assert!(split_strings(&joined[..joined.len() - 1], "chain").is_err());
        let roots = vec![Digest::of(b"a"), Digest::of(b"b")];
        let joined = join_digests(&roots);
        assert_eq!(split_digests(&joined, "roots").expect("whole"), roots);
        assert!(split_digests(&joined[..40], "roots").is_err());
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error() {
        assert!(int(u64::MAX, "n").is_err() && uint(-1, "n").is_err() && small(1 << 32, "n").is_err());
        assert_eq!(int(7, "n").expect("fits"), 7);
        assert_eq!((bound(7), bound(u64::MAX)), (7, i64::MAX));
    }
}
