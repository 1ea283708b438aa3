//! Promise: a manifest has one text, and a text that is not exactly that, or that breaks a limit, is refused
//! by line and field.

use proptest::prelude::*;

use super::*;
use crate::domain::merkle;

fn manifest() -> Manifest {
    Manifest {
        municipality: "131229".parse().expect("right"),
        batch_id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7"),
        sequence: 7,
        previous_receipt: Some(Digest::of(b"before")),
        kind: BatchKind::CardOrders,
        policy: Policy::AcceptValid { max_rejects: 3 },
        chunk_records: 4,
        totals: Totals {
            records: 10,
            bytes: 1234,
            households: 5,
            kinds: BTreeMap::from([
                ("INDIVIDUAL_NUMBER_CARD".to_owned(), 4),
                ("NOTIFICATION_CARD".to_owned(), 6),
            ]),
            districts: BTreeMap::from([
                ("亀有 二丁目".to_owned(), DistrictTotals { households: 2, records: 3 }),
                ("白鳥".to_owned(), DistrictTotals { households: 3, records: 7 }),
            ]),
            hash_total: 0xabc,
            merkle_root: Digest::of(b"root"),
        },
        seal_by_ms: 1_790_000_000_000,
    }
}

fn empty() -> Manifest {
    let totals = Totals {
        records: 0,
        bytes: 0,
        households: 0,
        kinds: BTreeMap::new(),
        districts: BTreeMap::new(),
        hash_total: 0,
        merkle_root: merkle::root(&[]),
    };
    Manifest { totals, previous_receipt: None, policy: Policy::AllOrNothing, ..manifest() }
}

fn refused(text: &str) -> TextFault {
    Manifest::parse(text.as_bytes()).expect_err(text)
}

#[test]
fn a_manifest_comes_back_from_its_text() {
    for manifest in [manifest(), empty()] {
        assert_eq!(Manifest::parse(manifest.to_text().as_bytes()), Ok(manifest));
    }
}

#[test]
fn the_grid_covers_every_record_once() {
    let mut manifest = manifest();
    for (records, chunk_records) in [(0, 4), (1, 4), (4, 4), (5, 4), (10, 4), (10, 1), (RECORDS_MAX, 256)] {
        manifest.totals.records = records;
        manifest.chunk_records = chunk_records;
        let count = manifest.chunk_count();
        let sum: u64 = (0..count).map(|number| u64::from(manifest.chunk_len(number))).sum();
        assert_eq!(sum, records);
        assert!((0..count).all(|number| manifest.chunk_len(number) > 0));
        assert_eq!(manifest.chunk_len(count), 0);
        assert_eq!(manifest.chunk_len(u32::MAX), 0);
    }
}

#[test]
fn every_line_is_needed_in_its_place_and_none_may_be_added() {
    let text = manifest().to_text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        refused(&without.concat());
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        refused(&doubled.concat());
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            refused(&swapped.concat());
        }
        let mut added = lines.clone();
        added.insert(at + 1, "note hello\n");
        refused(&added.concat());
    }
    for bad in
        [text.trim_end(), &format!("{text}\n"), &text.replace('\n', "\r\n"), &format!("\u{feff}{text}")]
    {
        refused(bad);
    }
}

#[test]
fn each_fault_names_its_line_and_field() {
    let text = manifest().to_text();
    let cases = [
        ("municipality 131229", "municipality 131220", 2, "municipality"),
        ("-7abc-", "-4abc-", 3, "batch"),
        ("sequence 7", "sequence 0", 4, "sequence"),
        ("sequence 7", "sequence 07", 4, "sequence"),
        ("sequence 7", "sequence +7", 4, "sequence"),
        ("sequence 7", "sequence 9223372036854775808", 4, "sequence"),
        ("sequence 7", "sequence 99999999999999999999", 4, "sequence"),
        ("batch-kind CARD_ORDERS", "batch-kind OTHERS", 6, "batch-kind"),
        ("ACCEPT_VALID 3", "ACCEPT_VALID", 7, "policy"),
        ("ACCEPT_VALID 3", "ACCEPT_VALID 10000001", 7, "policy"),
        ("ACCEPT_VALID 3", "IGNORE", 7, "policy"),
        ("chunk-records 4", "chunk-records 3", 8, "chunk-records"),
        ("chunk-records 4", "chunk-records 131072", 8, "chunk-records"),
        ("chunk-records 4", "chunk-records 0", 8, "chunk-records"),
        ("000Z", "000+09:00", 9, "seal-by"),
        ("records 10\n", "records 10000001\n", 10, "records"),
        ("records 10\n", "records 9000000\n", 10, "records"),
        ("records 10\n", "records 11\n", 10, "records"),
        ("households 5", "households 6", 12, "households"),
        ("kind 4", "kind 5", 12, "households"),
        ("kind 4 ", "kind 4  ", 13, "kind"),
        ("kind 4 INDIVIDUAL", "kind 4 individual", 13, "kind"),
        ("NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD", 14, "kind"),
        ("district 2 3 亀有", "district 2 亀有", 15, "district"),
        ("district 2 3 亀有 二丁目", "district 2 3 白鳥", 16, "district"),
        ("district 2 3 亀有 二丁目", "district 2 3 \u{85}", 15, "district"),
        ("0abc", "0ABC", 17, "hash-total"),
        ("hash-total ", "hash-total 0", 17, "hash-total"),
        ("merkle-root ", "merkle-root x", 18, "merkle-root"),
    ];
    for (from, to, line, field) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let fault = refused(&changed);
        assert_eq!((fault.line, fault.field.as_str()), (line, field), "{to}: {fault}");
    }
}

#[test]
fn what_does_not_add_up_is_no_manifest() {
    let changed = |change: fn(&mut Totals)| {
        let mut manifest = manifest();
        change(&mut manifest.totals);
        refused(&manifest.to_text())
    };
    let district = |totals: &mut Totals| totals.districts.get_mut("白鳥").expect("there").households = 8;
    assert!(changed(district).problem.contains("households"));
    assert!(changed(|totals| totals.kinds.clear()).problem.contains("kinds"));
    let mut lying = empty();
    lying.totals.hash_total = 1;
    assert!(refused(&lying.to_text()).problem.contains("empty root"));
    lying.totals.hash_total = 0;
    lying.totals.bytes = 1;
    assert!(refused(&lying.to_text()).problem.contains("0 bytes"));
}

#[test]
fn the_limits_hold_at_their_numbers() {
    let districts = |count: usize, length: usize| {
        let mut manifest = manifest();
        let one = DistrictTotals { households: 1, records: 1 };
        let name = |n: usize| format!("{n:0length$}");
        manifest.totals.districts = (0..count).map(|n| (name(n), one)).collect();
        manifest.totals.records = count as u64;
        manifest.totals.households = count as u64;
        manifest.totals.kinds = BTreeMap::from([("NOTIFICATION_CARD".to_owned(), count as u64)]);
        Manifest::parse(manifest.to_text().as_bytes())
    };
    assert!(districts(DISTRICTS_MAX, 80).is_ok());
    let fault = districts(DISTRICTS_MAX + 1, 80).expect_err("one too many");
    assert!(fault.problem.contains("DISTRICTS_MAX"), "{fault}");
    let fault = districts(DISTRICTS_MAX, 100).expect_err("over 1 MiB");
    assert!(fault.problem.contains("1048576 bytes"), "{fault}");
    assert!(districts(1, DISTRICT_BYTES_MAX).is_ok());
    assert!(districts(1, DISTRICT_BYTES_MAX + 1).is_err());
    let kinds = |count: usize| {
        let mut manifest = manifest();
        manifest.totals.kinds = (0..count - 1).map(|n| (format!("K{n:02}"), 0)).collect();
        manifest.totals.kinds.insert("NOTIFICATION_CARD".to_owned(), 10);
        refused(&manifest.to_text()).problem
    };
    assert!(kinds(KINDS_MAX).contains("without records"));
    assert!(kinds(KINDS_MAX + 1).contains("KINDS_MAX"));
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let district = ("[^\\pC]{1,20}", 1u64..50, 0u64..50);
    let kind = ("[A-Z_0-9]{1,32}", 1u64..1000);
    (
        prop::collection::vec(district, 0..12),
        prop::collection::vec(kind, 0..3),
        (any::<u128>(), any::<[u8; 32]>(), any::<Option<[u8; 32]>>()),
        (1..=i64::MAX.unsigned_abs(), 0u32..10, 0u64..RECORDS_MAX, 0..=super::super::date::LAST_MS),
    )
        .prop_map(
            |(districts, kinds, (hash_total, root, previous), (sequence, bits, max_rejects, seal_by_ms))| {
                let districts: BTreeMap<String, DistrictTotals> = districts
                    .into_iter()
                    .map(|(name, households, more)| {
                        (name, DistrictTotals { households, records: households + more })
                    })
                    .collect();
                let records: u64 = districts.values().map(|d| d.records).sum();
                let mut left = records;
                let mut kinds: BTreeMap<String, u64> = kinds
                    .into_iter()
                    .filter_map(|(name, wanted)| {
                        let some = wanted.min(left);
                        left -= some;
                        (some > 0 && name != "REST").then_some((name, some))
                    })
                    .collect();
                let rest = records - kinds.values().sum::<u64>();
                if rest > 0 {
                    kinds.insert("REST".to_owned(), rest);
                }
                let totals = match records {
                    0 => empty().totals,
                    _ => Totals {
                        records,
                        bytes: records * 99,
                        households: districts.values().map(|d| d.households).sum(),
                        kinds,
                        districts,
                        hash_total,
                        merkle_root: Digest(root),
                    },
                };
                Manifest {
                    sequence,
                    previous_receipt: previous.map(Digest),
                    policy: if bits % 2 == 0 {
                        Policy::AllOrNothing
                    } else {
                        Policy::AcceptValid { max_rejects }
                    },
                    chunk_records: 1 << bits,
                    totals,
                    seal_by_ms,
                    ..manifest()
                }
            },
        )
}

proptest! {
    #[test]
    fn every_manifest_comes_back(manifest in any_manifest()) {
        prop_assert_eq!(Manifest::parse(manifest.to_text().as_bytes()), Ok(manifest));
    }

    #[test]
    fn what_is_parsed_is_its_own_text_and_nothing_makes_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        at: prop::sample::Index,
        cut: prop::sample::Index,
    ) {
        prop_assert!(Manifest::parse(&bytes).is_err());
        let mut text = manifest().to_text().into_bytes();
        let begin = at.index(text.len());
        let end = (begin + cut.index(bytes.len() + 1)).min(text.len());
        text.splice(begin..end, bytes);
        if let Ok(manifest) = Manifest::parse(&text) {
            prop_assert_eq!(manifest.to_text().into_bytes(), text);
        }
    }
}

#[test]
fn records_chunks_and_rejects_are_taken_up_to_their_limits() {
    let with = |records: u64, chunk_records: u32, max_rejects: u64| {
        let mut manifest = manifest();
        manifest.chunk_records = chunk_records;
        manifest.policy = Policy::AcceptValid { max_rejects };
        manifest.totals.records = records;
        let one = DistrictTotals { households: 5, records };
        manifest.totals.kinds = BTreeMap::from([("NOTIFICATION_CARD".to_owned(), records)]);
        manifest.totals.districts = BTreeMap::from([("白鳥".to_owned(), one)]);
        manifest.totals.bytes = records * 64;
        Manifest::parse(manifest.to_text().as_bytes()).map(drop)
    };
    assert_eq!(with(RECORDS_MAX, 4096, RECORDS_MAX), Ok(()));
    let above = with(RECORDS_MAX + 1, 4096, 0).expect_err("one record above");
    assert!(above.problem.contains("RECORDS_MAX"), "{above}");
    let above = with(RECORDS_MAX, 4096, RECORDS_MAX + 1).expect_err("one reject above");
    assert!(above.problem.contains("RECORDS_MAX"), "{above}");
    assert_eq!(with(CHUNKS_MAX * 4, 4, 0), Ok(()));
    let above = with(CHUNKS_MAX * 4 + 1, 4, 0).expect_err("one chunk above");
    assert!(above.problem.contains("CHUNKS_MAX"), "{above}");
}
