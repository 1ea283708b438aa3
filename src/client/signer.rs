//! Signs manifests and abort statements with the key of the sender's own certificate, so that no relay can.

use std::{fs::File, io, path::PathBuf};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::endpoints::ClientFiles;

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Signer {
    pair: EcdsaKeyPair,
    chain: Vec<Vec<u8>>,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// A file cannot be read.
    #[error("{}: {source}. Check its path in endpoints.json, and that this user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate file is no PEM chain.
    #[error("{}: {what}. Pass a PEM file with the certificate first and its chain behind it", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The key file is no key that can sign.
    #[error("{}: {what}. Needed is an ECDSA P-256 key in PKCS#8 PEM: `todoke pki issue`", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of the key.
        what: String,
    },
}

impl Signer {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn load(files: &ClientFiles) -> Result<Self, SignerError> {
        let certificate = |what: String| SignerError::Certificate { path: files.cert.clone(), what };
        let key = |what: String| SignerError::Key { path: files.key.clone(), what };
        for path in [&files.cert, &files.key] {
            File::open(path).map_err(|source| SignerError::Unreadable { path: path.clone(), source })?;
        }
        let chain: Vec<Vec<u8>> = CertificateDer::pem_file_iter(&files.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| certificate(error.to_string()))?
            .into_iter()
            .map(|der| der.to_vec())
            .collect();
        if chain.is_empty() {
            return Err(certificate("holds no certificate".to_owned()));
        }
        let PrivateKeyDer::Pkcs8(der) =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| key(error.to_string()))?
        else {
            return Err(key("is not PKCS#8".to_owned()));
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der())
            .map_err(|_| key("is no ECDSA P-256 key".to_owned()))?;
        Ok(Self { pair, chain })
    }

    /// Returns an ASN.1 signature over `message`.
    ///
    /// # Panics
    /// Never: the key was checked when it was read.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        // aws-lc draws the nonce itself and takes the argument for the sake of the interface.
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature.expect("a P-256 key that was parsed can sign").as_ref().to_vec()
    }

    /// The certificate chain in DER, own first.
    #[must_use]
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }
}
