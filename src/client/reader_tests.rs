//! Promise: a good file is read exactly, and each kind of bad file is refused with its place and its remedy.

use std::{fs, path::Path};

use super::*;
use crate::client::scan::scan;

const HEADER: &str = "order_id,kind,household_id,district,name,birth_date,sex,address\n";
const ROW: &str = "K-1,NOTIFICATION_CARD,H1,白鳥,葛飾 花子,1980-01-02,2,白鳥一丁目\n";

fn read_with(bytes: &[u8], options: &ReadOptions) -> Result<Vec<Record>, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("in.csv");
    fs::write(&path, bytes).expect("the folder is writable");
    read_path(&path, options)
}

fn read_path(path: &Path, options: &ReadOptions) -> Result<Vec<Record>, String> {
    let mut reader = RecordReader::open(path, options).map_err(|fault| fault.to_string())?;
    let mut records = Vec::new();
    while let Some((record, canonical)) = reader.next_record().map_err(|fault| fault.to_string())? {
        assert_eq!(Record::decode(canonical).as_ref(), Ok(&record));
        records.push(record);
    }
    Ok(records)
}

fn read(text: &str) -> Result<Vec<Record>, String> {
    read_with(text.as_bytes(), &ReadOptions::default())
}

const CP932: ReadOptions =
    ReadOptions { encoding: Encoding::Cp932, accept_missing_newline: false, layout: None };

fn cp932(text: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
    assert!(!unmappable, "the test's own text fits CP932");
    bytes.into_owned()
}

#[test]
fn a_good_file_is_read_exactly() {
    let text =
        format!("{HEADER}{ROW}K-2,INDIVIDUAL_NUMBER_CARD,H2,亀有,\"a \"\"b\"\",\nc\",1990-02-03,1, x \r\n");
    let records = read(&text).expect("a good file");
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].get(Field::Name), Some("a \"b\",\nc"));
    assert_eq!(records[1].get(Field::Address), Some(" x "));
    assert_eq!(records[0].get(Field::Reading), None);
}

#[test]
fn a_byte_order_mark_and_another_order_of_columns_change_nothing() {
    let plain = read(&format!("{HEADER}{ROW}")).expect("a good file");
    assert_eq!(read(&format!("\u{feff}{HEADER}{ROW}")), Ok(plain.clone()));
    let turned = "address,sex,birth_date,name,district,household_id,kind,order_id\n\
                  白鳥一丁目,2,1980-01-02,葛飾 花子,白鳥,H1,NOTIFICATION_CARD,K-1\n";
    assert_eq!(read(turned), Ok(plain));
}

#[test]
fn cp932_gives_the_same_records_as_utf8_and_keeps_private_use() {
    let text = format!("{HEADER}{ROW}").replace("花子", "髙子★");
    let utf8 = read(&text.replace('★', "\u{e000}")).expect("a good file");
    // The encoder knows no private use: F040, the first of it, is put in place of the star's 819A.
    let mut bytes = cp932(&text);
    let star = bytes.windows(2).position(|two| two == [0x81, 0x9A]).expect("the star is there");
    bytes[star..star + 2].copy_from_slice(&[0xF0, 0x40]);
    assert_eq!(read_with(&bytes, &CP932), Ok(utf8));
}

#[test]
fn supplementary_planes_and_variation_sequences_are_kept() {
    let records =
        read(&format!("{HEADER}{ROW}").replace("花子", "𠮷\u{9f4b}\u{e0100}")).expect("a good file");
    assert_eq!(records[0].get(Field::Name), Some("葛飾 𠮷\u{9f4b}\u{e0100}"));
}

#[test]
fn each_bad_file_is_refused_with_place_and_remedy() {
    let long = format!("{HEADER}{}", ROW.replace("花子", &"花".repeat(1400)));
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("empty", String::new(), &["is empty", "header row"]),
        ("no header", ROW.to_owned(), &["line 1", "no header row"]),
        (
            "unknown",
            HEADER.replace("sex", "gender"),
            &["line 1, column 7", "\"gender\" is unknown", "Known are"],
        ),
        ("missing", HEADER.replace(",sex", ""), &["line 1", "lacks sex"]),
        ("doubled", HEADER.replace("sex", "name"), &["column 7 (name)", "twice"]),
        ("cut in a cell", format!("{HEADER}{ROW}K-2,NOTIF"), &["line 3", "line break", "--accept-missing"]),
        ("cut at the end", format!("{HEADER}{}", ROW.trim_end()), &["line 2", "line break"]),
        ("cut in quotes", format!("{HEADER}{ROW}K-2,X,\"H"), &["line 3, column 3", "line 3 opened", "cut"]),
        ("too few", format!("{HEADER}K-1,X\n"), &["line 2", "2 cells, the header 8"]),
        ("too many", format!("{HEADER}{}", ROW.replace('\n', ",\n")), &["line 2", "9 cells"]),
        ("blank line", format!("{HEADER}{ROW}\n"), &["line 3", "line is empty"]),
        ("nul", format!("{HEADER}{}", ROW.replace("H1", "H\0")), &["line 2, column 3 (household_id)", "NUL"]),
        ("long cell", long, &["line 2, column 5 (name)", "4,096 bytes"]),
        ("stray quote", format!("{HEADER}K\"1,"), &["line 2, column 1 (order_id)", "double quote stands"]),
        ("after quote", format!("{HEADER}\"K\"1,"), &["line 2, column 1", "follows a closing"]),
        ("lone return", format!("{HEADER}K\r1,"), &["line 2, column 1", "carriage return"]),
        (
            "no order id",
            format!("{HEADER}{}", ROW.replace("K-1", "")),
            &["line 2, column 1 (order_id)", "missing"],
        ),
        ("order id", format!("{HEADER}{}", ROW.replace("K-1", "受1")), &["column 1 (order_id)", "ASCII"]),
    ];
    for (name, text, needles) in cases {
        let fault = read(&text).expect_err(name);
        for needle in needles {
            assert!(fault.contains(needle), "{name}: {fault:?} lacks {needle:?}");
        }
        assert!(!fault.contains("葛飾"), "{name}: a cell's content is in {fault:?}");
    }
}

#[test]
fn an_encoding_is_never_guessed() {
    let shift_jis = cp932(&format!("{HEADER}{ROW}"));
    let fault = read_with(&shift_jis, &ReadOptions::default()).expect_err("not UTF-8");
    assert!(fault.contains("line 2, column 4 (district)") && fault.contains("--encoding cp932"), "{fault}");
    let mut broken = cp932(&format!("{HEADER}{ROW}K-2,"));
    broken.extend_from_slice(b"\xff,x\n");
    let fault = read_with(&broken, &CP932).expect_err("0xFF stands for nothing");
    assert!(fault.contains("line 3, column 2 (kind)") && fault.contains("CP932"), "{fault}");
    let fault = read_with(b"\xff\xfeo\0", &ReadOptions::default()).expect_err("UTF-16");
    assert!(fault.contains("UTF-16"), "{fault}");
    let halves = [HEADER.as_bytes(), b"K-1,\xe3\x81,\x82,", ROW.as_bytes()].concat();
    let fault = read_with(&halves, &ReadOptions::default()).expect_err("a character across a comma");
    assert!(fault.contains("UTF-8"), "{fault}");
}

#[test]
fn a_missing_last_line_break_is_taken_only_when_a_person_says_so() {
    let text = format!("{HEADER}{}", ROW.trim_end());
    let accepting = ReadOptions { accept_missing_newline: true, ..ReadOptions::default() };
    assert_eq!(read_with(text.as_bytes(), &accepting).map(|records| records.len()), Ok(1));
    let cut = format!("{HEADER}K-1,NOTIF");
    assert!(read_with(cut.as_bytes(), &accepting).expect_err("too few cells").contains("2 cells"));
}

#[test]
fn folders_and_absent_files_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fault = read_path(folder.path(), &ReadOptions::default()).expect_err("a folder");
    assert!(fault.contains("is a folder"), "{fault}");
    let absent = folder.path().join("absent.csv");
    let fault = read_path(&absent, &ReadOptions::default()).expect_err("absent");
    assert!(fault.contains("Check the name"), "{fault}");
    if Path::new("/dev/null").exists() {
        let fault = read_path(Path::new("/dev/null"), &ReadOptions::default()).expect_err("a device");
        assert!(fault.contains("not a regular file"), "{fault}");
    }
}

#[test]
fn the_totals_do_not_depend_on_how_the_file_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let totals = |name: &str, bytes: &[u8], options: &ReadOptions, chunk_records: u32| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the folder is writable");
        scan(&path, options, chunk_records, None, &mut |_| ()).expect("a good file")
    };
    let rows: String = (0..100).map(|n| ROW.replace("K-1", &format!("K-{n}"))).collect();
    let text = format!("{HEADER}{rows}");
    let plain = totals("a", text.as_bytes(), &ReadOptions::default(), 16);
    let other = totals("b", &cp932(&text.replace('\n', "\r\n")), &CP932, 64);
    assert_eq!(plain.totals, other.totals);
    assert_eq!(plain.chunk_roots.len(), 7);
    assert_eq!(crate::domain::merkle::root(&other.chunk_roots), plain.totals.merkle_root);
    assert_ne!(plain.fingerprint, other.fingerprint);
}
