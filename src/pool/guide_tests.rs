//! Promise: the test vectors of the pool in proto/README.md are what this code computes, so that another
//! language can be checked against either.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::{
    evidence::Latencies,
    notes::{Lease, Member, View},
    prober::signed_text,
};
use crate::domain::note::{self, VerifierKey};

const GUIDE: &str = include_str!("../../proto/README.md");
const BEGIN: &str = "<!-- pool vectors: computed by pool::guide_tests -->\n";
const END: &str = "<!-- /pool vectors -->";

fn view() -> View {
    let member = |unit: &str, address: &str, share_percent, generation| Member {
        unit: unit.parse().expect("a name"),
        address: address.to_owned(),
        share_percent,
        generation,
    };
    View {
        version: 7,
        epoch: 3,
        made_ms: 1_790_000_000_123,
        members: vec![
            member("relay-1", "10.0.0.11:40101", 100, 1),
            member("relay-2", "10.0.0.12:40101", 0, 4),
            member("relay-3", "10.0.0.13:40101", 5, 2),
        ],
    }
}

fn lease() -> Lease {
    let unit = "relay-1".parse().expect("a name");
    Lease { unit, generation: 1, epoch: 3, from_ms: 1_790_000_000_123, until_ms: 1_790_000_015_123 }
}

/// A text as a note of the guide's issuer.
fn signed(text: &str) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
    let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
    let key = VerifierKey::new("todoke.test/issuer", public).expect("legal");
    let signature = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
    let note = note::assemble(text, key.name(), &public, &signature);
    assert_eq!(note::open(&note, &key), Ok(text));
    String::from_utf8(note).expect("text")
}

fn vectors() -> String {
    let notes = [
        ("A view", signed(&view().text())),
        ("A lease", signed(&lease().text())),
        ("The answer to a probe with the nonce `00ff10`", signed(&signed_text(&[0x00, 0xff, 0x10]))),
    ];
    notes.map(|(what, note)| format!("{what}:\n\n```text\n{note}```\n")).join("\n")
}

#[test]
fn the_guides_vectors_of_the_pool_are_computed_by_this_code() {
    let written = GUIDE.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(text, _)| text);
    let computed = vectors();
    assert_eq!(written, Some(computed.as_str()), "put this between the marks:\n{computed}");
}

#[test]
fn the_guide_names_every_line_of_the_texts() {
    for text in [view().text(), lease().text()] {
        for line in text.lines().skip(1) {
            let key = line.split_once(' ').expect("a key and a value").0;
            assert!(GUIDE.contains(&format!("`{key} ")), "{key} is not explained");
        }
    }
    let places = format!("{} places", Latencies::PLACES);
    assert!(GUIDE.contains(&places), "how long a histogram is");
}
