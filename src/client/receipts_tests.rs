//! Promise: a receipt is believed only if signed, closed in itself, and equal to the file in every total.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use crate::domain::{
    batch::{BatchState, Counts},
    record::{Field, Record},
    totals::TotalsBuilder,
};

fn totals(name_of_second: &str) -> Totals {
    let mut builder = TotalsBuilder::default();
    for (order_id, name) in [("K-1", "甲"), ("K-2", name_of_second)] {
        let mut record = Record::default();
        record.set(Field::OrderId, order_id);
        record.set(Field::Kind, "NOTIFICATION_CARD");
        record.set(Field::HouseholdId, "H1");
        record.set(Field::District, "白鳥");
        record.set(Field::Name, name);
        let mut canonical = Vec::new();
        record.encode(&mut canonical);
        builder.add(&record, &canonical);
    }
    builder.finish()
}

fn receipt(declared: Totals, accepted: u64) -> Receipt {
    Receipt {
        municipality: "131229".parse().expect("right"),
        batch_id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7"),
        sequence: 1,
        attempt: 1,
        outcome: BatchState::Accepted,
        manifest: Digest::of(b"manifest"),
        previous_receipt: None,
        computed: declared.clone(),
        declared,
        counts: Counts { accepted, ..Counts::default() },
        codes: std::collections::BTreeMap::new(),
        reject_root: Digest::of(b""),
        committed_ms: 1_790_000_000_000,
    }
}

fn signed(text: &str) -> (Vec<u8>, VerifierKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
    let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
    let signature: [u8; 64] = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
    let key = VerifierKey::new("todoke.test/issuer", public).expect("legal");
    (note::assemble(text, "todoke.test/issuer", &public, &signature), key)
}

#[test]
fn a_good_receipt_is_believed() {
    let (note, key) = signed(&receipt(totals("乙"), 2).to_text());
    let (opened, _) = open(&note, &key).expect("signed and closed");
    assert_eq!(check_totals(&opened, &totals("乙")), Ok(()));
}

#[test]
fn one_changed_record_is_refused_and_the_totals_that_differ_are_named() {
    let (note, key) = signed(&receipt(totals("乙"), 2).to_text());
    let (opened, _) = open(&note, &key).expect("signed and closed");
    let fault = check_totals(&opened, &totals("丙")).expect_err("one name differs").to_string();
    assert!(fault.contains("merkle-root"), "{fault}");
    assert!(!fault.contains("hash-total"), "the order ids are the same: {fault}");
}

#[test]
fn a_receipt_whose_sums_do_not_close_is_refused_although_signed() {
    let (note, key) = signed(&receipt(totals("乙"), 1).to_text());
    assert!(matches!(open(&note, &key), Err(ReceiptFault::Contradiction(_))));
}

#[test]
fn a_forged_receipt_is_refused() {
    let (note, key) = signed(&receipt(totals("乙"), 2).to_text());
    let forged = String::from_utf8(note).expect("text").replace("accepted 2", "accepted 3");
    assert_eq!(open(forged.as_bytes(), &key), Err(ReceiptFault::Signature(NoteError::BadSignature)));
}

#[test]
fn a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.csv.receipt");
    write_whole(&path, b"old").expect("writable");
    write_whole(&path, b"new").expect("writable");
    assert_eq!(fs::read(&path).expect("there"), b"new");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
}

#[test]
fn a_file_is_read_up_to_its_limit_and_not_one_byte_above() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("file");
    fs::write(&path, vec![b'x'; 64]).expect("writable");
    assert_eq!(read_limited(&path, 64).expect("at the limit").len(), 64);
    assert_eq!(read_limited(&path, 63).expect_err("one above").kind(), io::ErrorKind::FileTooLarge);
}
