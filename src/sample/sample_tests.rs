//! Promise: the same options give the same bytes, every number asked for comes out exactly, and faults
//! are where they are said to be and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{
    date::Date,
    record::{Field, Record},
    totals::DistrictTotals,
    validation,
};

fn today() -> Date {
    Date::new(2026, 1, 1).expect("a day")
}

fn options() -> Options {
    Options {
        municipality: "131229".parse().expect("Katsushika"),
        seed: 7,
        size: Size::Records(3000),
        districts: Vec::new(),
        omit: Vec::new(),
        wrong_check_digits: 0,
        duplicates: 0,
        encoding: Encoding::Utf8,
        layout: None,
    }
}

fn bytes(options: Options) -> (Vec<u8>, Vec<Fault>) {
    let mut lines = Plan::new(options).expect("the wishes fit").lines();
    let mut out = Vec::new();
    while lines.next_into(&mut out).expect("the encoding has everything") {}
    (out, lines.faults().to_vec())
}

fn text(options: Options) -> String {
    String::from_utf8(bytes(options).0).expect("UTF-8")
}

fn records(text: &str) -> Vec<Record> {
    let mut reader = ::csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let rows = reader.records().map(|row| row.expect("every row has every cell"));
    let of = |row: ::csv::StringRecord| {
        let mut record = Record::default();
        Field::ALL.into_iter().zip(row.iter()).for_each(|(field, cell)| record.set(field, cell));
        record
    };
    rows.map(of).collect()
}

fn tally(records: &[Record]) -> BTreeMap<String, DistrictTotals> {
    let mut households = BTreeSet::new();
    let mut tally = BTreeMap::<String, DistrictTotals>::new();
    for record in records {
        let of = tally.entry(record.text(Field::District).to_owned()).or_default();
        of.records += 1;
        of.households += u64::from(households.insert(record.text(Field::HouseholdId).to_owned()));
    }
    tally
}

fn told(plan: &Plan) -> BTreeMap<String, DistrictTotals> {
    plan.tally().into_iter().map(|(district, tally)| (district.to_owned(), tally)).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let first = text(options());
    assert_eq!(first, text(options()));
    assert_ne!(first, text(Options { seed: 8, ..options() }));
    // Kept here, so that no change of code or dependency changes a file that somebody refers to by its
    // flags.
    insta::assert_snapshot!("first_lines", first.lines().take(6).collect::<Vec<_>>().join("\n"));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, first.as_bytes());
    insta::assert_snapshot!("sha256", hex::encode(hash));
}

#[test]
fn every_record_is_one_that_the_issuer_accepts() {
    for municipality in ["131229", "011002", "472018"] {
        let code = municipality.parse().expect("a code");
        let all = records(&text(Options { municipality: code, size: Size::Records(20_000), ..options() }));
        assert_eq!(all.len(), 20_000);
        for record in &all {
            assert_eq!(record.check_structure(), Ok(()));
            assert_eq!(validation::check(record, today()), Ok(()), "{}", record.text(Field::OrderId));
        }
        let keys: BTreeSet<&str> = all.iter().map(|record| record.text(Field::OrderId)).collect();
        let numbers: Vec<&str> =
            all.iter().filter_map(|record| record.get(Field::IndividualNumber)).collect();
        assert_eq!(keys.len(), all.len());
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        assert!(numbers.iter().all(|number| number.starts_with("99")));
        assert!(numbers.len() < all.len(), "that no number was given is a case too");
    }
}

#[test]
fn rare_characters_needs_and_protection_come_up() {
    let all = records(&text(Options { size: Size::Records(20_000), ..options() }));
    let any = |field, needle: &str| all.iter().any(|record| record.text(field).contains(needle));
    for needle in ["\u{20bb7}", "\u{e0101}", "\u{e000}", "髙"] {
        assert!(any(Field::Name, needle), "{needle:?}");
    }
    assert!(any(Field::Accommodations, "BRAILLE") && any(Field::Protected, "1") && any(Field::Address, ","));
    assert!(any(Field::DeliveryAddress, "見本") && any(Field::SubstituteName, "吉田"));
    assert!(any(Field::GlyphProfile, "SPECIMEN"));
}

#[test]
fn numbers_of_households_and_records_come_out_exactly() {
    let count = |size| {
        let plan = Plan::new(Options { size, ..options() }).expect("the wishes fit");
        let told = (plan.households(), plan.records());
        let all = records(&text(Options { size, ..options() }));
        let households: BTreeSet<&str> = all.iter().map(|record| record.text(Field::HouseholdId)).collect();
        assert_eq!(told, (households.len() as u64, all.len() as u64));
        told
    };
    assert_eq!(count(Size::Records(1)), (1, 1));
    assert_eq!(count(Size::Records(0)), (0, 0));
    assert_eq!(count(Size::Records(3001)).1, 3001);
    let (households, records) = count(Size::Households(12_000));
    assert!(households == 12_000 && (25_500..26_500).contains(&records), "{records}");
    assert_eq!(count(Size::Both { households: 1000, records: 2167 }), (1000, 2167));
    assert_eq!(count(Size::Both { households: 10, records: 60 }), (10, 60));
}

#[test]
fn a_district_has_as_many_households_as_asked_for_and_a_faulty_extract_lacks_just_them() {
    let whole = Options {
        size: Size::Households(2400),
        districts: vec![("白鳥".to_owned(), 1000), ("新しい町".to_owned(), 3)],
        ..options()
    };
    let faulty = Options { omit: vec!["白鳥".to_owned()], ..whole.clone() };
    let (all, rest) = (records(&text(whole.clone())), records(&text(faulty.clone())));
    let counted = tally(&all);
    assert_eq!((counted["白鳥"].households, counted["新しい町"].households), (1000, 3));
    let without: Vec<Record> =
        all.iter().filter(|record| record.text(Field::District) != "白鳥").cloned().collect();
    assert_eq!(rest, without);
    let (whole, faulty) = (Plan::new(whole).expect("fits"), Plan::new(faulty).expect("fits"));
    assert_eq!(told(&whole), counted);
    assert_eq!(told(&faulty), counted, "the tally is of the complete extract");
    assert_eq!(faulty.households(), 1400);
}

#[test]
fn faults_are_where_they_are_said_to_be_and_nowhere_else() {
    let wanted = Options { wrong_check_digits: 3, duplicates: 2, ..options() };
    let clean = records(&text(options()));
    let (bytes, faults) = bytes(wanted);
    let spoilt = records(std::str::from_utf8(&bytes).expect("UTF-8"));
    assert_eq!(spoilt.len(), clean.len() + 2);
    assert_eq!(faults.len(), 5);
    let mut seen = BTreeSet::new();
    for (line, record) in (2..).zip(&spoilt) {
        let fault = faults.iter().find(|fault| fault.line == line);
        let again = !seen.insert(record.text(Field::OrderId).to_owned());
        let wrong = validation::check(record, today()).is_err();
        assert_eq!(fault.is_some(), again || wrong, "line {line}");
        if let Some(fault) = fault {
            assert_eq!(fault.order_id, record.text(Field::OrderId));
            assert_eq!(fault.what.contains("again"), again);
            assert_eq!(fault.what.contains("check digit"), wrong);
        }
    }
}

#[test]
fn every_encoding_says_the_same_but_for_characters_it_lacks() {
    let with = |encoding| bytes(Options { encoding, ..options() }).0;
    let (plain, marked, cp932) = (with(Encoding::Utf8), with(Encoding::Utf8Bom), with(Encoding::Cp932));
    assert_eq!(marked, ["\u{feff}".as_bytes(), &plain].concat());
    let (decoded, _, wrong) = encoding_rs::SHIFT_JIS.decode(&cp932);
    assert!(!wrong);
    let (ours, theirs) = (records(std::str::from_utf8(&plain).expect("UTF-8")), records(&decoded));
    assert_eq!((ours.len(), theirs.len()), (3000, 3000));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let unicode_only =
            ours.get(Field::SubstituteName).is_some() && ours.text(Field::Name) != theirs.text(Field::Name);
        assert!(unicode_only || ours == theirs, "{}", ours.text(Field::OrderId));
    }
    assert!(decoded.contains('\u{e000}') && !decoded.contains('\u{20bb7}'));
}

#[test]
fn wishes_that_exclude_each_other_are_refused_with_a_remedy() {
    let refused = |options| Plan::new(options).expect_err("they do not fit").to_string();
    let size = Size::Both { households: 10, records: 61 };
    assert!(refused(Options { size, ..options() }).contains("one to six"));
    let districts = vec![("白鳥".to_owned(), 5000)];
    assert!(refused(Options { districts, ..options() }).contains("5000 households"));
    let districts = vec![("白鳥".to_owned(), 1), ("白鳥".to_owned(), 2)];
    assert!(refused(Options { districts, ..options() }).contains("twice"));
    assert!(refused(Options { omit: vec!["白馬".to_owned()], ..options() }).contains("白馬"));
    assert!(refused(Options { duplicates: 3001, ..options() }).contains("3001 faults"));
    let districts = vec![("\u{20bb7}町".to_owned(), 1)];
    assert!(refused(Options { districts, encoding: Encoding::Cp932, ..options() }).contains("U+20BB7"));
    let all = super::places::districts(options().municipality);
    let districts: Vec<(String, u64)> = all.iter().map(|name| ((*name).to_owned(), 1)).collect();
    assert!(refused(Options { districts, ..options() }).contains("30 households"));
}
