//! The receipts of the issuer in memory, and what may be wrong with them.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::Kept;
use crate::domain::{
    batch::{BatchState, Counts},
    chunk,
    digest::Digest,
    manifest::Manifest,
    merkle,
    note::{self, VerifierKey},
    receipt::Receipt,
    record::Record,
    totals::TotalsBuilder,
};

const NAME: &str = "todoke.test/issuer";

/// What somebody between issuer and client, or a broken issuer, may do to a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Forgery {
    /// Another key signs in the issuer's name.
    Key,
    /// The issuer itself signs for a file with one more byte.
    Totals,
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed")
}

fn public() -> [u8; 32] {
    pair().public_key().as_ref().try_into().expect("32 bytes")
}

/// The key that the issuer signs receipts with.
pub(in crate::client) fn receipt_key() -> VerifierKey {
    VerifierKey::new(NAME, public()).expect("legal")
}

pub(super) fn sign(kept: &Kept, manifest: &Manifest, forgery: Option<Forgery>) -> Vec<u8> {
    let mut totals = TotalsBuilder::default();
    for payload in kept.chunks.values() {
        for canonical in chunk::Reader::new(payload) {
            let canonical = canonical.expect("it was checked when it came");
            totals.add(&Record::decode(canonical).expect("canonical"), canonical);
        }
    }
    let mut receipt = Receipt {
        municipality: manifest.municipality,
        batch_id: manifest.batch_id,
        sequence: manifest.sequence,
        attempt: 1,
        outcome: BatchState::Accepted,
        manifest: Digest::of(&kept.manifest),
        previous_receipt: manifest.previous_receipt,
        declared: manifest.totals.clone(),
        computed: totals.finish(),
        counts: Counts { accepted: manifest.totals.records, ..Counts::default() },
        codes: BTreeMap::new(),
        reject_root: merkle::root(&[]),
        committed_ms: 1_790_000_000_000,
    };
    if forgery == Some(Forgery::Totals) {
        receipt.declared.bytes += 1;
        receipt.computed.bytes += 1;
    }
    let text = receipt.to_text();
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("a seed");
    signed(&text, &if forgery == Some(Forgery::Key) { stranger } else { pair() })
}

/// A text that is signed by the key that [`receipt_key`] belongs to.
pub(in crate::client) fn signed_text(text: &str) -> Vec<u8> {
    signed(text, &pair())
}

fn signed(text: &str, pair: &Ed25519KeyPair) -> Vec<u8> {
    let signature: [u8; 64] = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
    note::assemble(text, NAME, &public(), &signature)
}
