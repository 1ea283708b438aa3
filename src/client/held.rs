//! The receipts that a municipality holds: what was acknowledged and nobody can take back, also if the issuer
//! has forgotten it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    journal::{folder_of, with_suffix},
    receipts::{self, RECEIPT_BYTES_MAX, read_limited},
};
use crate::domain::{digest::Digest, municipality::MunicipalityCode, note::VerifierKey, receipt::Receipt};

/// Most receipts of a folder that are looked at for the last one.
const FOLDER_MAX: usize = 1000;

/// A receipt that was believed.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its file.
    pub path: PathBuf,
    /// Its bytes.
    pub note: Vec<u8>,
    /// What it says.
    pub receipt: Receipt,
    /// The digest of its text.
    pub digest: Digest,
}

/// What stands beside a record file.
#[derive(Debug, Default)]
pub struct Beside {
    /// Receipts that the issuer signed, of this municipality.
    pub held: Vec<Held>,
    /// What has the name of a receipt and is none, in words.
    pub not_believed: Vec<String>,
}

/// Reads every receipt that was written for a record file: `FILE.receipt`, and `FILE.receipt.N` of earlier
/// batches under the same name.
///
/// # Errors
/// What the system says of the folder.
pub fn beside(file: &Path, key: &VerifierKey, municipality: MunicipalityCode) -> io::Result<Beside> {
    let first = with_suffix(file, ".receipt");
    let mut found = Beside::default();
    for path in entries(file)? {
        let later = path.file_name().zip(first.file_name()).is_some_and(|(name, first)| {
            let (name, first) = (name.to_string_lossy(), first.to_string_lossy());
            let rest = name.strip_prefix(&*first).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        });
        if later || path.file_name() == first.file_name() {
            match read(&path, key, municipality) {
                Ok(held) => found.held.push(held),
                Err(why) => found.not_believed.push(format!("{}: {why}", path.display())),
            }
        }
    }
    found.held.sort_by_key(|held| held.receipt.sequence);
    Ok(found)
}

/// Returns the last receipt of this municipality in the folder of a file, by sequence; of the first 1,000
/// that lie there. What is no receipt of the issuer counts for nothing.
#[must_use]
pub fn last_beside(file: &Path, key: &VerifierKey, municipality: MunicipalityCode) -> Option<(u64, Digest)> {
    let paths = entries(file).unwrap_or_default();
    let receipts = paths.iter().filter(|path| path.to_string_lossy().contains(".receipt"));
    let held = receipts.take(FOLDER_MAX).filter_map(|path| read(path, key, municipality).ok());
    held.map(|held| (held.receipt.sequence, held.digest)).max_by_key(|(sequence, _)| *sequence)
}

/// Puts the receipt of an earlier batch under the same name aside as `FILE.receipt.SEQUENCE`: it is what
/// proves that batch for ever.
///
/// # Errors
/// What the system says.
pub fn set_aside(path: &Path, except: &Receipt) -> io::Result<()> {
    let bytes = match read_limited(path, RECEIPT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let text = crate::domain::note::text_of(&bytes).ok();
    match text.and_then(|text| Receipt::parse(text).ok()) {
        Some(old) if old.batch_id != except.batch_id => {
            fs::rename(path, with_suffix(path, &format!(".{}", old.sequence)))
        }
        Some(_) | None => Ok(()),
    }
}

fn read(path: &Path, key: &VerifierKey, municipality: MunicipalityCode) -> Result<Held, String> {
    let note = read_limited(path, RECEIPT_BYTES_MAX).map_err(|error| error.to_string())?;
    let (receipt, digest) = receipts::open(&note, key).map_err(|fault| fault.to_string())?;
    if receipt.municipality != municipality {
        return Err(format!("it is a receipt of {}", receipt.municipality));
    }
    Ok(Held { path: path.to_owned(), note, receipt, digest })
}

fn entries(file: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(file))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_receipt_is_named_and_believed_by_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cards.csv");
        for name in
            ["cards.csv.receipt", "cards.csv.receipt.7", "cards.csv.receipt.part", "other.csv.receipt"]
        {
            fs::write(folder.path().join(name), "todoke receipt v1\n").expect("it is written");
        }
        let key = crate::client::issuer_double::receipt_key();
        let code = "131229".parse().expect("a municipality");
        let found = beside(&file, &key, code).expect("the folder is there");
        assert!(found.held.is_empty());
        let names: Vec<bool> = [".receipt:", ".receipt.7:"]
            .iter()
            .zip(&found.not_believed)
            .map(|(n, w)| w.contains(n))
            .collect();
        assert_eq!((names, found.not_believed.len()), (vec![true, true], 2));
        assert_eq!(last_beside(&file, &key, code), None);
    }
}
