//! A key is read from a file that only its owner should touch; whatever is wrong with it is said with its
//! path and never with its content.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{Error, envelope::KEY_BYTES};

/// Most bytes of a key file; a PEM key has some 120.
const FILE_BYTES_MAX: usize = 16 * 1024;
/// The rights that nobody but the owner should have.
const OTHERS: u32 = 0o077;

/// Reads a key-encryption key.
pub(super) fn kek(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
    let wrong = |what| Error::Kek { path: path.to_owned(), what };
    let bytes = read(path)?;
    let hex = bytes.trim_ascii();
    if hex.len() != 2 * KEY_BYTES {
        return Err(wrong("it does not hold 64 hexadecimal digits"));
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    // The error would quote a character of the key.
    hex::decode_to_slice(hex, &mut *key)
        .map_err(|_| wrong("it holds something else than hexadecimal digits"))?;
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(wrong("it is one byte over and over, which anybody can guess"));
    }
    Ok(key)
}

/// Reads a key that can sign receipts.
pub(super) fn receipt_key(path: &Path) -> Result<Ed25519KeyPair, Error> {
    let wrong = |what| Error::ReceiptKey { path: path.to_owned(), what };
    let bytes = read(path)?;
    let der =
        PrivatePkcs8KeyDer::from_pem_slice(&bytes).map_err(|_| wrong("it holds no PKCS#8 key in PEM"))?;
    let der = Zeroizing::new(der.secret_pkcs8_der().to_vec());
    Ed25519KeyPair::from_pkcs8(&der).map_err(|_| wrong("its key is not for Ed25519"))
}

/// Reads a small file into memory that is wiped.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        tracing::warn!(file = %path.display(), 
            "key file {} has mode {mode:o}: others than its owner may touch it; chmod 600 it, and make a new \
            key if others had access", path.display());
    }
    // One byte more than allowed: what does not fit is noticed, and the buffer never grows and leaves copies.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a key")));
    }
    Ok(bytes)
}
