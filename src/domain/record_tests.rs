//! Promise: a record has one encoding, comes back exactly, and no bytes are taken for one that is none.

use proptest::prelude::*;

use super::*;

fn valid() -> Record {
    let mut record = Record::default();
    record.set(Field::OrderId, "K-1");
    record.set(Field::Kind, "NOTIFICATION_CARD");
    record.set(Field::HouseholdId, "H-1");
    record.set(Field::District, "白鳥一丁目");
    record
}

proptest! {
    #[test]
    fn a_record_comes_back_exactly(texts in prop::collection::vec(any::<String>(), FIELDS)) {
        let mut record = Record::default();
        for (field, text) in Field::ALL.into_iter().zip(&texts) {
            record.set(field, text);
        }
        let mut canonical = Vec::new();
        record.encode(&mut canonical);
        let read = Record::decode(&canonical).expect("just encoded");
        prop_assert_eq!(&read, &record);
        for (field, text) in Field::ALL.into_iter().zip(&texts) {
            prop_assert_eq!(read.text(field), text);
            prop_assert_eq!(read.get(field).is_some(), !text.is_empty());
        }
        let mut again = Vec::new();
        read.encode(&mut again);
        prop_assert_eq!(again, canonical);
    }

    #[test]
    fn bytes_that_decode_are_canonical_and_none_make_it_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = Record::decode(&bytes);
        bytes.clear();
        valid().encode(&mut bytes);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(record) = Record::decode(&bytes) {
            let mut again = Vec::new();
            record.encode(&mut again);
            prop_assert_eq!(again, bytes);
            let _ = record.check_structure();
        }
    }
}

/// One field as somebody might write it: mostly well, sometimes absent, empty, cut or no text.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let framed = |length: u32, bytes: &[u8]| [length.to_be_bytes().as_slice(), bytes].concat();
    let whole = move |bytes: &[u8]| framed(u32::try_from(bytes.len()).expect("short"), bytes);
    prop_oneof![
        40 => "\\PC{1,9}".prop_map(move |text| whole(text.as_bytes())),
        40 => Just(ABSENT.to_be_bytes().to_vec()),
        1 => Just(vec![0; 4]),
        1 => prop::collection::vec(any::<u8>(), 1..6).prop_map(move |bytes| whole(&bytes)),
        1 => (0u32..12, "[a-z]{0,9}").prop_map(move |(length, text)| framed(length, text.as_bytes())),
        1 => (any::<u32>(), "[a-z]{0,9}").prop_map(move |(length, text)| framed(length, text.as_bytes())),
    ]
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_decodes_is_the_one_encoding_of_its_record(
        frames in prop_oneof![
            9 => prop::collection::vec(any_frame(), FIELDS),
            1 => prop::collection::vec(any_frame(), FIELDS - 1..FIELDS + 2),
        ],
    ) {
        let bytes = frames.concat();
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(&encoded(&record), &bytes);
            // By the definition, word for word: the length and the text of each field, or FF FF FF FF.
            let mut defined = Vec::new();
            for field in Field::ALL {
                let text = record.text(field);
                let length = if text.is_empty() { ABSENT } else { u32::try_from(text.len()).expect("short") };
                defined.extend_from_slice(&length.to_be_bytes());
                defined.extend_from_slice(text.as_bytes());
            }
            prop_assert_eq!(defined, bytes);
        }
    }

    #[test]
    fn a_record_changed_on_the_way_is_another_record_or_none(
        texts in prop::collection::vec("\\PC{0,9}", FIELDS),
        at: prop::sample::Index,
        cut in 0usize..5,
        put in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xFF)], 0..5),
    ) {
        let mut record = Record::default();
        Field::ALL.into_iter().zip(&texts).for_each(|(field, text)| record.set(field, text));
        let bytes = encoded(&record);
        let mut changed = bytes.clone();
        let begin = at.index(changed.len());
        let end = (begin + cut).min(changed.len());
        changed.splice(begin..end, put);
        match Record::decode(&changed) {
            Ok(other) => {
                prop_assert_eq!(other == record, changed == bytes);
                prop_assert_eq!(encoded(&other), changed);
            }
            Err(fault) => prop_assert!(changed != bytes, "{fault}"),
        }
    }
}

#[test]
fn a_field_that_is_set_again_has_its_last_text_and_the_same_encoding() {
    let mut twice = valid();
    twice.set(Field::District, "亀有");
    twice.set(Field::Name, "x");
    twice.set(Field::Name, "");
    let mut once = Record::default();
    for (field, text) in [
        (Field::District, "亀有"),
        (Field::HouseholdId, "H-1"),
        (Field::Kind, "NOTIFICATION_CARD"),
        (Field::OrderId, "K-1"),
    ] {
        once.set(field, text);
    }
    assert_eq!(twice, once);
    assert_ne!(twice, valid());
    assert_eq!(encoded(&twice), encoded(&once));
}

#[test]
fn a_cut_a_tail_an_empty_field_and_a_giant_are_no_records() {
    let mut bytes = Vec::new();
    valid().encode(&mut bytes);
    for length in 0..bytes.len() {
        assert!(Record::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    let tail = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Record::decode(&tail).expect_err("a tail").field, "record");
    let empty = [[0; 4].as_slice(), &[0xFF; 4 * (FIELDS - 1)]].concat();
    assert_eq!(Record::decode(&empty).expect_err("length 0").field, "order_id");
    let mut giant = valid();
    for field in [Field::Name, Field::Address, Field::Reading, Field::DeliveryAddress] {
        giant.set(field, &"x".repeat(FIELD_BYTES_MAX));
    }
    assert_eq!(giant.check_structure(), Ok(()));
    bytes.clear();
    giant.encode(&mut bytes);
    assert_eq!(Record::decode(&bytes).expect_err("too long").field, "record");
}

#[test]
fn structure_is_what_totals_and_lists_stand_on() {
    assert_eq!(valid().check_structure(), Ok(()));
    let long = |length: usize| "x".repeat(length);
    let cases = [
        (Field::OrderId, String::new(), "missing"),
        (Field::OrderId, "受1".to_owned(), "ASCII"),
        (Field::OrderId, "a\tb".to_owned(), "ASCII"),
        (Field::OrderId, " a".to_owned(), "ASCII"),
        (Field::OrderId, long(65), "too long"),
        (Field::Kind, String::new(), "missing"),
        (Field::Kind, "card".to_owned(), "capitals"),
        (Field::Kind, "X".repeat(33), "too long"),
        (Field::HouseholdId, String::new(), "missing"),
        (Field::HouseholdId, "a\nb".to_owned(), "control"),
        (Field::District, String::new(), "missing"),
        (Field::District, "白\u{85}鳥".to_owned(), "control"),
        (Field::District, long(201), "too long"),
        (Field::Name, "a\0b".to_owned(), "NUL"),
        (Field::Address, long(4097), "4,096"),
    ];
    for (field, text, needle) in cases {
        let mut record = valid();
        record.set(field, &text);
        let fault = record.check_structure().expect_err(needle);
        assert_eq!(fault.field, field.as_str());
        assert!(fault.to_string().contains(needle), "{fault}");
    }
    let mut edge = valid();
    edge.set(Field::OrderId, &long(64));
    edge.set(Field::District, &long(200));
    edge.set(Field::Name, "two\nlines");
    assert_eq!(edge.check_structure(), Ok(()));
}

#[test]
fn a_records_debug_form_shows_nothing_of_a_person() {
    let mut record = valid();
    record.set(Field::Name, "葛飾 花子");
    let shown = format!("{record:?}");
    assert!(shown.contains("name") && !shown.contains("葛飾") && !shown.contains("白鳥"), "{shown}");
}

#[test]
fn a_column_is_known_by_its_name_and_by_no_other() {
    for (at, field) in Field::ALL.into_iter().enumerate() {
        assert_eq!(Field::from_name(field.as_str()), Some(field));
        assert_eq!(field as usize, at, "the order of the list is the canonical one");
    }
    assert_eq!(Field::from_name("gender"), None);
    assert_eq!(Field::ALL.into_iter().filter(|field| field.is_required()).count(), 8);
}

#[test]
fn a_record_and_a_kind_are_taken_at_their_limits() {
    let mut edge = valid();
    edge.set(Field::Kind, &"X".repeat(KIND_BYTES_MAX));
    assert_eq!(edge.check_structure(), Ok(()));
    let filled = |bytes: usize| {
        let mut record = valid();
        for field in [Field::Name, Field::Address, Field::DeliveryAddress, Field::GlyphProfile] {
            record.set(field, &"x".repeat(FIELD_BYTES_MAX));
        }
        let mut canonical = Vec::new();
        record.encode(&mut canonical);
        let over = canonical.len() - bytes;
        record.set(Field::GlyphProfile, &"x".repeat(FIELD_BYTES_MAX - over));
        canonical.clear();
        record.encode(&mut canonical);
        assert_eq!(canonical.len(), bytes);
        Record::decode(&canonical).map(drop)
    };
    assert_eq!(filled(RECORD_BYTES_MAX), Ok(()));
    assert_eq!(filled(RECORD_BYTES_MAX + 1).expect_err("one above").field, "record");
}
