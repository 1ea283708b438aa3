//! Inclusion proofs as files: what `todoke prove` writes, anyone can check against the receipt alone.

use std::{fmt::Write as _, path::Path};

use super::{
    input_fault::InputFault,
    reader::{ReadOptions, RecordReader},
};
use crate::domain::{batch_id::BatchId, digest::Digest, merkle, record::Field};

const TITLE: &str = "todoke inclusion proof v1";

/// The longest proof file that is read, in bytes.
pub const PROOF_BYTES_MAX: u64 = 64 * 1024;

/// Shows that a record with this hash is number `index` of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The batch, when known.
    pub batch_id: Option<BatchId>,
    /// The record's index in the batch, from 0.
    pub index: u64,
    /// How many records the batch has.
    pub records: u64,
    /// RFC 6962 leaf hash of the record's canonical bytes.
    pub leaf: Digest,
    /// RFC 6962 audit path, from the leaf upwards.
    pub path: Vec<Digest>,
}

impl Proof {
    /// The text of the proof file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let batch = self.batch_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let mut out = format!(
            "{TITLE}\nbatch {batch}\nindex {}\nrecords {}\nleaf {}\n",
            self.index, self.records, self.leaf
        );
        for hash in &self.path {
            let _ = writeln!(out, "path {hash}");
        }
        out
    }

    /// Reads the text of a proof file; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned);
        let batch = value("batch")?;
        let batch_id = if batch == "-" { None } else { Some(batch.parse().ok()?) };
        let index = value("index")?.parse().ok()?;
        let records = value("records")?.parse().ok()?;
        let leaf = value("leaf")?.parse().ok()?;
        let path =
            lines.map(|line| line.strip_prefix("path ")?.parse().ok()).collect::<Option<Vec<Digest>>>()?;
        let proof = Self { batch_id, index, records, leaf, path };
        (proof.path.len() <= 64 && proof.to_text() == text).then_some(proof)
    }

    /// Whether the proof leads to `root`.
    #[must_use]
    pub fn leads_to(&self, root: Digest) -> bool {
        merkle::verify(self.leaf, self.index, self.records, &self.path, root)
    }
}

/// Makes the proof of the record with this order id from the file alone, in one pass and with the memory of a
/// chunk or two; `None` if the file has no such record.
///
/// # Errors
/// [`InputFault`] for anything wrong with the file.
pub fn prove(
    file: &Path,
    options: &ReadOptions,
    chunk_records: u32,
    order_id: &str,
    batch_id: Option<BatchId>,
) -> Result<Option<Proof>, InputFault> {
    let mut reader = RecordReader::open(file, options)?;
    let mut roots = Vec::new();
    let mut leaves: Vec<Digest> = Vec::with_capacity(chunk_records as usize);
    let mut found: Option<(u64, Digest)> = None;
    let mut found_leaves = Vec::new();
    let mut records = 0u64;
    let mut close = |leaves: &mut Vec<Digest>, found: Option<(u64, Digest)>| {
        if found.is_some_and(|(index, _)| index / u64::from(chunk_records) == roots.len() as u64) {
            found_leaves.clone_from(leaves);
        }
        roots.push(merkle::root(leaves));
        leaves.clear();
    };
    while let Some((record, canonical)) = reader.next_record()? {
        if leaves.len() == chunk_records as usize {
            close(&mut leaves, found);
        }
        let leaf = merkle::leaf_hash(canonical);
        if found.is_none() && record.get(Field::OrderId) == Some(order_id) {
            found = Some((records, leaf));
        }
        leaves.push(leaf);
        records += 1;
    }
    if !leaves.is_empty() {
        close(&mut leaves, found);
    }
    Ok(found.map(|(index, leaf)| {
        let within = usize::try_from(index % u64::from(chunk_records)).expect("a chunk fits in memory");
        let chunk = usize::try_from(index / u64::from(chunk_records)).expect("roots fit in memory");
        let mut path = merkle::path(&found_leaves, within);
        path.extend(merkle::path(&roots, chunk));
        Proof { batch_id, index, records, leaf, path }
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::client::scan::scan;

    #[test]
    fn every_record_of_a_ragged_file_is_proved_and_no_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("in.csv");
        let mut text = "order_id,kind,household_id,district,name,birth_date,sex,address\n".to_owned();
        for n in 0..37 {
            let _ = writeln!(text, "K-{n},X,H,D,N,1980-01-02,2,A");
        }
        fs::write(&path, text).expect("the folder is writable");
        let root = scan(&path, &ReadOptions::default(), 8, None, &mut |_| ())
            .expect("a good file")
            .totals
            .merkle_root;
        for n in 0..37 {
            let proof = prove(&path, &ReadOptions::default(), 8, &format!("K-{n}"), None);
            let proof = proof.expect("a good file").expect("it is there");
            assert!(proof.leads_to(root), "record {n}");
            assert_eq!(Proof::parse(&proof.to_text()), Some(proof.clone()));
            let moved = Proof { index: (n + 1) % 37, ..proof };
            assert!(!moved.leads_to(root), "record {n} is not number {}", moved.index);
        }
        assert_eq!(prove(&path, &ReadOptions::default(), 8, "K-99", None), Ok(None));
    }
}
