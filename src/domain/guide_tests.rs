//! Promise: the test vectors in proto/README.md are what this code computes, so that another language can be
//! checked against either.

use std::{collections::BTreeMap, fmt::Write as _};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::{
    abort::Statement,
    batch::{BatchState, Counts},
    chunk,
    digest::Digest,
    disposition::{Disposition, DispositionKind},
    manifest::{BatchKind, Manifest, Policy},
    merkle,
    note::{self, VerifierKey},
    receipt::Receipt,
    record::{Field, Record},
    totals::TotalsBuilder,
};

const GUIDE: &str = include_str!("../../proto/README.md");
const BEGIN: &str = "<!-- vectors: computed by domain::guide_tests -->\n";
const END: &str = "<!-- /vectors -->";

fn records() -> Vec<Record> {
    let rows = [
        ("K-1", "NOTIFICATION_CARD", "H1", "白鳥", "葛飾 花子", "1980-02-29", "2"),
        ("K-2", "NOTIFICATION_CARD", "H1", "白鳥", "𠮷田", "1979-12-01", "1"),
        ("K-3", "INDIVIDUAL_NUMBER_CARD", "H2", "亀有", "斉\u{e0100}藤", "1980-02-31", "9"),
    ];
    let record = |(order_id, kind, household, district, name, birth, sex)| {
        let mut record = Record::default();
        for (field, text) in [
            (Field::OrderId, order_id),
            (Field::Kind, kind),
            (Field::HouseholdId, household),
            (Field::District, district),
            (Field::Name, name),
            (Field::BirthDate, birth),
            (Field::Sex, sex),
            (Field::Address, "葛飾区"),
        ] {
            record.set(field, text);
        }
        record
    };
    rows.map(record).into()
}

fn canonical(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

fn csv(records: &[Record]) -> String {
    let there = || Field::ALL.into_iter().filter(|field| field.is_required());
    let header: Vec<&str> = there().map(Field::as_str).collect();
    let rows =
        records.iter().map(|record| there().map(|field| record.text(field)).collect::<Vec<_>>().join(","));
    std::iter::once(header.join(",")).chain(rows).map(|row| row + "\n").collect()
}

/// One field a line: length, bytes and name.
fn record_in_hex(record: &Record) -> String {
    let mut out = String::new();
    for field in Field::ALL {
        let bytes = record.text(field).as_bytes();
        let length = record.get(field).map_or(u32::MAX, |_| u32::try_from(bytes.len()).expect("short"));
        let line = format!("{length:08x} {}", hex::encode(bytes));
        let _ = writeln!(out, "{line:55} {}", field.as_str());
    }
    out
}

fn manifest(records: &[Record]) -> Manifest {
    let mut totals = TotalsBuilder::default();
    for record in records {
        totals.add(record, &canonical(record));
    }
    Manifest {
        municipality: "131229".parse().expect("right"),
        batch_id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7"),
        sequence: 1,
        previous_receipt: None,
        kind: BatchKind::CardOrders,
        policy: Policy::AcceptValid { max_rejects: 1 },
        chunk_records: 2,
        totals: totals.finish(),
        seal_by_ms: 1_795_000_000_000,
    }
}

fn reject() -> Disposition {
    Disposition {
        index: 2,
        order_id: "K-3".to_owned(),
        kind: DispositionKind::Rejected,
        code: Some("BIRTH_DATE_INVALID".to_owned()),
        field: Some("birth_date".to_owned()),
        duplicate_of: None,
    }
}

fn receipt(manifest: &Manifest) -> Receipt {
    Receipt {
        municipality: manifest.municipality,
        batch_id: manifest.batch_id,
        sequence: manifest.sequence,
        attempt: 1,
        outcome: BatchState::AcceptedWithRejects,
        manifest: Digest::of(manifest.to_text().as_bytes()),
        previous_receipt: None,
        declared: manifest.totals.clone(),
        computed: manifest.totals.clone(),
        counts: Counts { accepted: 2, rejected: 1, ..Counts::default() },
        codes: BTreeMap::from([("BIRTH_DATE_INVALID".to_owned(), 1)]),
        reject_root: merkle::root(&[reject().leaf()]),
        committed_ms: 1_790_000_000_123,
    }
}

fn hashes(records: &[Record]) -> String {
    let mut out = "```text\n".to_owned();
    let leaves: Vec<Digest> = records.iter().map(|record| merkle::leaf_hash(&canonical(record))).collect();
    for (index, leaf) in leaves.iter().enumerate() {
        let _ = writeln!(out, "leaf {index}        {leaf}");
    }
    for (number, chunk) in leaves.chunks(2).enumerate() {
        let _ = writeln!(out, "chunk root {number}  {}", merkle::root(chunk));
    }
    let _ = writeln!(out, "batch root    {}", merkle::root(&leaves));
    for record in records {
        let order_id = record.text(Field::OrderId);
        let digest = Digest::of(order_id.as_bytes()).to_string();
        let _ = writeln!(out, "order id {order_id}  {}…", &digest[..32]);
    }
    out.push_str("```\n");
    out
}

fn vectors() -> String {
    let records = records();
    let (manifest, pair) =
        (manifest(&records), Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed"));
    let receipt = receipt(&manifest);
    assert_eq!(receipt.faults(), Vec::<String>::new());
    let (manifest_text, receipt_text) = (manifest.to_text(), receipt.to_text());
    let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
    let key = VerifierKey::new("todoke.test/issuer", public).expect("legal");
    let signature = pair.sign(receipt_text.as_bytes()).as_ref().try_into().expect("64 bytes");
    let note = note::assemble(&receipt_text, key.name(), &public, &signature);
    assert_eq!(note::open(&note, &key), Ok(receipt_text.as_str()));
    let mut writer = chunk::Writer::default();
    records[..2].iter().for_each(|record| writer.push(&canonical(record)));
    let statement = Statement {
        municipality: manifest.municipality,
        batch_id: manifest.batch_id,
        reason: "wrong extract".to_owned(),
    };
    let digest = |text: &str| Digest::of(text.as_bytes());
    format!(
        "```csv\n{}```\n\nRecord 0, one field a line ({} bytes):\n\n```text\n{}```\n\n\
         Leaves, roots, and the first 16 bytes of each order id's digest, whose sum is the hash \
         total:\n\n{}\n\
         The payload of chunk 0 has {} bytes and the SHA-256 `{}`.\n\n\
         The manifest, whose digest is `{}`:\n\n```text\n{manifest_text}```\n\n\
         The receipt as a signed note. Its digest is `{}`, the issuer's public key `{key}` \
         (the Ed25519 seed \
         is 32 times `07`):\n\n```text\n{}```\n\n\
         The reject list has one line, `{}` with TAB for `→`, and the leaf `{}`.\n\n\
         A statement that gives the batch up, of which the digest is `{}`:\n\n```text\n{}```\n",
        csv(&records),
        canonical(&records[0]).len(),
        record_in_hex(&records[0]),
        hashes(&records),
        writer.bytes(),
        Digest::of(&writer.take()),
        digest(&manifest_text),
        digest(&receipt_text),
        String::from_utf8(note).expect("text"),
        "2→K-3→REJECTED→BIRTH_DATE_INVALID→birth_date→-→-",
        reject().leaf(),
        digest(&statement.to_text()),
        statement.to_text(),
    )
}

#[test]
fn the_guides_vectors_are_computed_by_this_code() {
    let written = GUIDE.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(text, _)| text);
    let computed = vectors();
    assert_eq!(written, Some(computed.as_str()), "put this between the marks:\n{computed}");
}

#[test]
fn the_guide_names_every_line_of_the_texts() {
    let records = records();
    let manifest = manifest(&records);
    for text in [manifest.to_text(), receipt(&manifest).to_text()] {
        for line in text.lines().skip(1) {
            let key = line.split_once(' ').expect("a key and a value").0;
            assert!(GUIDE.contains(&format!("`{key} ")), "{key} is not explained");
        }
    }
}
