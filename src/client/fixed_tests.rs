//! Promise: a fixed-width file is read exactly, counted in bytes or in characters, and a line that does not
//! fill the layout is refused with line, places, field and remedy.

use std::{fs, path::Path};

use crate::{
    client::{
        reader::{ReadOptions, RecordReader, load_layout},
        source::Encoding,
    },
    domain::{
        layout::Layout,
        record::{Field, Record},
    },
};

const BYTES: &str = "field,start_bytes,length_bytes,align\norder_id,1,6,\n-,7,2,\nkind,9,18,\n\
                     household_id,27,4,right\ndistrict,31,8,\nname,39,16,\nbirth_date,55,10,\nsex,65,1,\n\
                     address,66,20,\n";

fn options(layout: &str, encoding: Encoding) -> ReadOptions {
    let layout = Some(Layout::parse(layout).expect("a good layout"));
    ReadOptions { encoding, accept_missing_newline: false, layout }
}

fn cp932(text: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
    assert!(!unmappable, "the test's own text fits CP932");
    bytes.into_owned()
}

// A line of 85 bytes in CP932.
fn line(name: &str) -> Vec<u8> {
    let before = cp932("K-1   ZZNOTIFICATION_CARD    1白鳥    ");
    let name = cp932(name);
    let padding = vec![b' '; 16 - name.len()];
    [before, name, padding, cp932("1980-01-022白鳥一丁目１番　　　")].concat()
}

fn read(bytes: &[u8], options: &ReadOptions) -> Result<Vec<Record>, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("in.txt");
    fs::write(&path, bytes).expect("the folder is writable");
    read_path(&path, options)
}

fn read_path(path: &Path, options: &ReadOptions) -> Result<Vec<Record>, String> {
    let mut reader = RecordReader::open(path, options).map_err(|fault| fault.to_string())?;
    let mut records = Vec::new();
    while let Some((record, _)) = reader.next_record().map_err(|fault| fault.to_string())? {
        records.push(record);
    }
    Ok(records)
}

fn lines(names: &[&str], end: &str) -> Vec<u8> {
    names.iter().flat_map(|name| [line(name), end.as_bytes().to_vec()].concat()).collect()
}

#[test]
fn bytes_are_counted_in_the_encoding_of_the_file() {
    let cp932 = options(BYTES, Encoding::Cp932);
    for end in ["\n", "\r\n"] {
        let records = read(&lines(&["葛飾　花子", "髙橋 太郎"], end), &cp932).expect("a good file");
        let texts = |field| records.iter().map(|record| record.text(field)).collect::<Vec<_>>();
        assert_eq!(texts(Field::Name), ["葛飾　花子", "髙橋 太郎"], "a space inside is none of the padding");
        assert_eq!(texts(Field::OrderId), ["K-1", "K-1"]);
        assert_eq!(texts(Field::HouseholdId), ["1", "1"], "padding before what stands on the right");
        assert_eq!(texts(Field::Address), ["白鳥一丁目１番"; 2], "padding of full width");
        assert_eq!(records[0].get(Field::Reading), None);
    }
    assert_eq!(read(b"", &cp932).map(|records| records.len()), Ok(0), "no line is no record");
}

#[test]
fn characters_are_counted_as_code_points_in_either_encoding() {
    let layout = "field,start_characters,length_characters\norder_id,1,4\nkind,5,18\nhousehold_id,23,2\n\
                  district,25,3\nname,28,6\nbirth_date,34,10\nsex,44,1\naddress,45,6\n";
    let text = "K-1 NOTIFICATION_CARD H1白鳥　葛飾 花子 1980-01-022白鳥一丁目　\n";
    let utf8 = read(text.as_bytes(), &options(layout, Encoding::Utf8)).expect("a good file");
    assert_eq!(utf8[0].text(Field::Address), "白鳥一丁目");
    let marked = format!("\u{feff}{text}");
    assert_eq!(read(marked.as_bytes(), &options(layout, Encoding::Utf8)), Ok(utf8.clone()));
    assert_eq!(read(&cp932(text), &options(layout, Encoding::Cp932)), Ok(utf8));
    let fault = read(&cp932(text), &options(layout, Encoding::Utf8)).expect_err("the other encoding");
    assert!(fault.contains("line 1, characters 25 to 27 (district)"), "{fault}");
    assert!(fault.contains("--encoding cp932"), "{fault}");
    let short = text.replace("　\n", "\n");
    let fault = read(short.as_bytes(), &options(layout, Encoding::Utf8)).expect_err("too short");
    assert!(fault.contains("line 1: the line has 49 characters, the layout 50. If this"), "{fault}");
    let mut broken = cp932(text);
    broken[2] = 0xFF;
    let fault = read(&broken, &options(layout, Encoding::Cp932)).expect_err("no character");
    assert!(fault.contains("line 1, characters 1 to 4 (order_id)"), "{fault}");
}

#[test]
fn each_bad_line_is_refused_with_its_places_and_its_remedy() {
    let good = lines(&["葛飾　花子"], "\n");
    let with = |more: &[u8]| [&good[..], more].concat();
    let changed = |at: usize, byte: u8| {
        let mut bytes = with(&good);
        bytes[good.len() + at] = byte;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("cut in a line", with(&good[..40]), &["line 2: the file does not end", "--accept-missing-newline"]),
        ("short", with(b"K-2\n"), &["line 2: the line has 3 bytes, the layout 85", "all its padding"]),
        (
            "long",
            with(&[&line("花子")[..], b"x\n"].concat()),
            &["line 2: the line is longer than the 85 bytes of the layout"],
        ),
        ("no line ends", with(&line("花子").repeat(3)), &["line 2: the line is longer than the 85 bytes"]),
        ("empty line", with(b"\n"), &["line 2: the line is empty", "Take it out"]),
        ("lone return", changed(50, b'\r'), &["line 2: a carriage return stands alone", "CR LF"]),
        (
            "shifted by one",
            changed(53, 0x94),
            &["line 2, bytes 39 to 54 (name): these bytes are no whole characters of CP932", "layout"],
        ),
        ("nul", changed(53, 0), &["line 2, bytes 39 to 54 (name): holds a NUL"]),
        ("no order id", changed(0, b' '), &["line 2, bytes 1 to 6 (order_id): must be printable ASCII"]),
        ("utf-16", b"\xff\xfeK\0".to_vec(), &["UTF-16"]),
        ("utf-8", "\u{feff}K-1".into(), &["line 1: the file does not end"]),
    ];
    for (name, bytes, needles) in cases {
        let fault = read(&bytes, &options(BYTES, Encoding::Cp932)).expect_err(name);
        for needle in needles {
            assert!(fault.contains(needle), "{name}: {fault:?} lacks {needle:?}");
        }
        assert!(!fault.contains("葛飾") && !fault.contains("1980"), "{name}: content in {fault:?}");
    }
    let blank = [b"      ", &good[6..]].concat();
    let fault = read(&blank, &options(BYTES, Encoding::Cp932)).expect_err("no order id");
    assert!(fault.contains("line 1, bytes 1 to 6 (order_id): is missing"), "{fault}");
}

#[test]
fn a_missing_last_line_break_is_taken_only_when_the_line_is_whole_and_a_person_says_so() {
    let accepting = ReadOptions { accept_missing_newline: true, ..options(BYTES, Encoding::Cp932) };
    assert_eq!(read(&line("花子"), &accepting).map(|records| records.len()), Ok(1));
    let fault = read(&line("花子")[..84], &accepting).expect_err("one byte is missing");
    assert!(fault.contains("84 bytes, the layout 85"), "{fault}");
}

#[test]
fn a_bad_layout_file_is_named_with_line_and_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("layout.csv");
    fs::write(&path, BYTES.replace("sex,65", "gender,65")).expect("the folder is writable");
    let fault = load_layout(&path).expect_err("an unknown field").to_string();
    assert!(fault.contains("layout.csv, line 9, column 1: the field \"gender\" is unknown"), "{fault}");
    assert!(load_layout(folder.path()).expect_err("a folder").to_string().contains("is a folder"));
}
