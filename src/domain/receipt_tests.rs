//! Promise: a receipt has one text, and one that contradicts itself says in what.

use proptest::prelude::*;

use super::*;

fn totals() -> Totals {
    Totals {
        records: 10,
        bytes: 1234,
        households: 5,
        kinds: BTreeMap::from([("NOTIFICATION_CARD".to_owned(), 10)]),
        districts: BTreeMap::from([
            ("亀有 二丁目".to_owned(), DistrictTotals { households: 2, records: 3 }),
            ("白鳥".to_owned(), DistrictTotals { households: 3, records: 7 }),
        ]),
        hash_total: 0xabc,
        merkle_root: Digest::of(b"root"),
    }
}

fn receipt() -> Receipt {
    Receipt {
        municipality: "131229".parse().expect("right"),
        batch_id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7"),
        sequence: 7,
        attempt: 1,
        outcome: BatchState::AcceptedWithRejects,
        manifest: Digest::of(b"manifest"),
        previous_receipt: None,
        declared: totals(),
        computed: totals(),
        counts: Counts { accepted: 6, rejected: 2, duplicate: 1, quarantined: 1, ..Counts::default() },
        codes: BTreeMap::from([("SEX_INVALID".to_owned(), 1), ("KIND_UNKNOWN".to_owned(), 2)]),
        reject_root: Digest::of(b"rejects"),
        committed_ms: 1_790_000_000_123,
    }
}

#[test]
fn a_receipt_comes_back_and_shows_both_sides() {
    let mut other = receipt();
    assert_eq!(Receipt::parse(&other.to_text()), Ok(other.clone()));
    other.computed.districts.remove("白鳥");
    other.declared.kinds.insert("OTHER".to_owned(), 1);
    other.computed.records = 3;
    let text = other.to_text();
    for line in ["\nrecords 10 3\n", "\nkind 1 - OTHER\n", "\ndistrict 3 7 - - 白鳥\n", "\naccepted 6\n"] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert_eq!(Receipt::parse(&text), Ok(other));
}

#[test]
fn a_receipt_without_contradiction_has_no_faults() {
    assert_eq!(receipt().faults(), Vec::<String>::new());
    let clean = Receipt {
        outcome: BatchState::Accepted,
        counts: Counts { accepted: 10, ..Counts::default() },
        codes: BTreeMap::new(),
        reject_root: merkle::root(&[]),
        ..receipt()
    };
    assert_eq!(clean.faults(), Vec::<String>::new());
}

#[test]
fn every_contradiction_is_named() {
    let faults = |change: fn(&mut Receipt)| {
        let mut receipt = receipt();
        change(&mut receipt);
        receipt.faults().join("; ")
    };
    type Change = fn(&mut Receipt);
    let cases: [(Change, &str); 14] = [
        (|r| r.computed.records = 9, "records: declared 10, computed 9"),
        (|r| r.computed.hash_total = 1, "hash-total"),
        (|r| r.computed.merkle_root = Digest::of(b"x"), "merkle-root"),
        (|r| r.computed.districts.clear(), "district 白鳥: declared 3 households, 7 records"),
        (|r| (r.declared.households, r.computed.households) = (6, 6), "do not add up to 6 households"),
        (|r| r.counts.accepted = 7, "counts do not add up"),
        (|r| r.counts.accepted = u64::MAX, "counts do not add up"),
        (|r| (r.counts.accepted, r.counts.missing) = (5, 1), "missing"),
        (|r| (r.counts.accepted, r.counts.stored) = (5, 1), "worked off"),
        (|r| r.outcome = BatchState::Accepted, "outcome"),
        (|r| r.outcome = BatchState::Discrepant, "outcome"),
        (|r| r.codes.extend([("MORE".to_owned(), 2)]), "codes"),
        (|r| r.codes.clear(), "codes"),
        (|r| r.reject_root = merkle::root(&[]), "reject root"),
    ];
    for (change, needle) in cases {
        assert!(faults(change).contains(needle), "{needle}: {}", faults(change));
    }
    assert!(faults(|r| r.attempt = 0).contains("attempt"));
    assert!(
        faults(|r| r.codes.extend([("ORDER_ID_DUPLICATE".to_owned(), 1)])).is_empty(),
        "a duplicate's code"
    );
}

#[test]
fn every_line_is_needed_in_its_place_and_none_may_be_added() {
    let text = receipt().to_text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        // Kinds, districts and codes may be fewer: whether they add up is asked of the whole.
        let listed = ["kind ", "district ", "code "].iter().any(|key| lines[at].starts_with(key));
        let mut changed = lines.clone();
        changed.remove(at);
        assert_eq!(Receipt::parse(&changed.concat()).is_ok(), listed, "without {}", lines[at]);
        changed.insert(at, lines[at]);
        changed.insert(at, lines[at]);
        assert!(Receipt::parse(&changed.concat()).is_err(), "{} twice", lines[at]);
    }
    assert!(Receipt::parse(&format!("{text}\n")).is_err());
    assert!(Receipt::parse(text.trim_end()).is_err());
    assert_eq!(
        Receipt::parse(&text.replace("attempt 1", "attempt 4294967296")).expect_err("too large").line,
        5
    );
}

#[test]
fn the_largest_manifest_has_a_receipt() {
    let name = |n: usize| format!("{n:080}");
    let one = DistrictTotals { households: 100, records: 1000 };
    let mut large = receipt();
    large.declared.districts = (0..10_000).map(|n| (name(n), one)).collect();
    large.computed.districts = large.declared.districts.clone();
    let text = large.to_text();
    assert_eq!(Receipt::parse(&text), Ok(large));
    assert!(Receipt::parse(&text.repeat(3)).expect_err("too long").problem.contains("longer"));
}

proptest! {
    #[test]
    fn every_receipt_comes_back(
        numbers in prop::array::uniform12(any::<u64>()),
        names in prop::collection::btree_map("[^\\pC]{1,12}", any::<(bool, bool, u64)>(), 0..6),
        roots in any::<([u8; 32], u128, Option<[u8; 32]>)>(),
        committed_ms in 0..=super::super::date::LAST_MS,
    ) {
        let mut receipt = receipt();
        let [a, b, c, d, e, f, g, h, i, j, k, l] = numbers;
        (receipt.sequence, receipt.declared.records, receipt.computed.records) = (a, b, c);
        (receipt.declared.bytes, receipt.computed.bytes, receipt.declared.households) = (d, e, f);
        receipt.counts = Counts {
            missing: g, stored: h, accepted: i, rejected: j, duplicate: k, quarantined: l,
        };
        (receipt.declared.hash_total, receipt.previous_receipt) = (roots.1, roots.2.map(Digest));
        (receipt.reject_root, receipt.committed_ms) = (Digest(roots.0), committed_ms);
        for (name, (left, right, number)) in names {
            let district = DistrictTotals { households: number, records: number.wrapping_mul(3) };
            if left {
                receipt.declared.districts.insert(name.clone(), district);
            }
            if right {
                receipt.computed.districts.insert(name.clone(), district);
            }
        }
        prop_assert_eq!(Receipt::parse(&receipt.to_text()), Ok(receipt.clone()));
        let _ = receipt.faults();
    }

    #[test]
    fn what_is_parsed_is_its_own_text_and_nothing_makes_it_panic(text in ".{0,30}", at: prop::sample::Index) {
        prop_assert!(Receipt::parse(&text).is_err());
        let mut whole: Vec<char> = receipt().to_text().chars().collect();
        let begin = at.index(whole.len());
        let end = (begin + text.len() / 2).min(whole.len());
        whole.splice(begin..end, text.chars());
        let whole: String = whole.into_iter().collect();
        if let Ok(receipt) = Receipt::parse(&whole) {
            prop_assert_eq!(receipt.to_text(), whole);
        }
    }
}
