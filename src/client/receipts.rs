//! Believes a receipt only when the issuer's key signed it, its own sums close, and every total in it is the
//! file's own.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use super::journal::{sync_folder, with_suffix};
use crate::domain::{
    batch_id::BatchId,
    digest::Digest,
    manifest::Manifest,
    note::{self, NoteError, VerifierKey},
    receipt::Receipt,
    text::TextFault,
    totals::{Difference, Totals},
};

/// The largest receipt that is read, in bytes.
pub const RECEIPT_BYTES_MAX: u64 = 2 << 20;

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// Not signed by the issuer.
    #[error("{0}")]
    Signature(#[from] NoteError),
    /// Signed, and yet no receipt.
    #[error("the signed text is no receipt: {0}")]
    Text(TextFault),
    /// The receipt's own sums do not close.
    #[error("the receipt contradicts itself: {}. Report it to the operator of the issuer", .0.join("; "))]
    Contradiction(Vec<String>),
    /// It is for another batch than the one that was sent.
    #[error(
        "the receipt is for another {0} than the one that was sent. Report it to the operator of the issuer"
    )]
    OtherBatch(&'static str),
    /// Totals of the file are not those of the receipt.
    #[error(
        "the file is not what the receipt is for:{}\nVerify the file as it was imported: this is another, or \
         somebody changed it", list(.0)
    )]
    Totals(Vec<Difference>),
}

fn list(differences: &[Difference]) -> String {
    let one = |d: &Difference| {
        format!("\n  {}: the receipt has {}, the file has {}", d.which, d.declared, d.computed)
    };
    differences.iter().map(one).collect()
}

/// Reads the issuer's public key, one line `NAME+KEYID+BASE64`.
///
/// # Errors
/// The system's error, or [`io::ErrorKind::InvalidData`] with what is needed.
pub fn load_key(path: &Path) -> io::Result<VerifierKey> {
    let text = String::from_utf8_lossy(&read_limited(path, 4096)?).into_owned();
    text.trim()
        .parse()
        .map_err(|error: NoteError| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Reads a small file whole.
///
/// # Errors
/// The system's error, or [`io::ErrorKind::FileTooLarge`] above `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is too large for what it should be",
        ));
    }
    Ok(bytes)
}

/// Checks signature and inner sums of a receipt and returns it with the digest of its text.
///
/// # Errors
/// [`ReceiptFault`].
pub fn open(note: &[u8], key: &VerifierKey) -> Result<(Receipt, Digest), ReceiptFault> {
    let text = note::open(note, key)?;
    let receipt = Receipt::parse(text).map_err(ReceiptFault::Text)?;
    let faults = receipt.faults();
    if !faults.is_empty() {
        return Err(ReceiptFault::Contradiction(faults));
    }
    Ok((receipt, Digest::of(text.as_bytes())))
}

/// The same, for a receipt that must be of this batch.
///
/// # Errors
/// [`ReceiptFault`].
pub fn open_of(batch_id: BatchId, note: &[u8], key: &VerifierKey) -> Result<(Receipt, Digest), ReceiptFault> {
    let (receipt, digest) = open(note, key)?;
    if receipt.batch_id == batch_id { Ok((receipt, digest)) } else { Err(ReceiptFault::OtherBatch("batch")) }
}

/// Checks that the receipt's totals are those of a file.
///
/// # Errors
/// [`ReceiptFault::Totals`] with each one that differs.
pub fn check_totals(receipt: &Receipt, file: &Totals) -> Result<(), ReceiptFault> {
    let mut differences = receipt.declared.differences(file);
    for difference in receipt.computed.differences(file) {
        if !differences.contains(&difference) {
            differences.push(difference);
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(ReceiptFault::Totals(differences)) }
}

/// Checks that the receipt is for exactly this manifest.
///
/// # Errors
/// [`ReceiptFault::OtherBatch`].
pub fn check_manifest(receipt: &Receipt, manifest: &Manifest) -> Result<(), ReceiptFault> {
    let digest = Digest::of(manifest.to_text().as_bytes());
    let pairs = [
        ("municipality", receipt.municipality == manifest.municipality),
        ("batch", receipt.batch_id == manifest.batch_id),
        ("sequence", receipt.sequence == manifest.sequence),
        ("manifest", receipt.manifest == digest),
        ("previous receipt", receipt.previous_receipt == manifest.previous_receipt),
    ];
    match pairs.iter().find(|(_, same)| !same) {
        Some((which, _)) => Err(ReceiptFault::OtherBatch(which)),
        None => Ok(()),
    }
}

/// Checks that [`write_whole`] could write here, and leaves nothing behind.
///
/// # Errors
/// The system's error.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let temporary = with_suffix(path, ".part");
    File::create(&temporary)?;
    fs::remove_file(&temporary)
}

/// Writes a file under a temporary name, makes it durable, and puts it in place in one step.
///
/// # Errors
/// The system's error; the old file, if any, is then untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, ".part");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
mod tests;
