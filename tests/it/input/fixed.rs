//! Promise: a fixed-width file with a layout comes to the same receipt as the CSV file of the same
//! records, and one that does not fit its layout is refused with line, places, field and remedy.

use super::{HEADER, Town, assert_says, row};

/// Wide enough for everything that `todoke sample` makes.
const LAYOUT: &str = "field,start_bytes,length_bytes,align\norder_id,1,16,\nkind,17,24,\n\
                      household_id,41,16,\ndistrict,57,60,\nname,117,60,\nsubstitute_name,177,60,\n\
                      reading,237,80,\nreading_source,317,10,\nbirth_date,327,10,\nsex,337,1,\n\
                      address,338,160,\ndelivery_address,498,160,\n\
                      individual_number,658,12,right\nprotected,670,1,\n\
                      accommodations,671,60,\nglyph_profile,731,40,\n-,771,4,\n";
const FIXED: [&str; 4] = ["--layout", "layout.csv", "--encoding", "cp932"];

async fn sample(town: &Town, file: &str, more: &[&str]) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.args(["sample", "--municipality", "131229", "--records", "60", "--out", file]).args(more);
    let said = town.said(command).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
}

#[tokio::test]
async fn a_fixed_width_file_comes_to_the_receipt_of_its_records() {
    let town = Town::start().await;
    town.write("layout.csv", LAYOUT);
    sample(&town, "cards.txt", &FIXED).await;
    let bytes = town.folder.read("cards.txt");
    assert_eq!(bytes.len(), 60 * 775, "60 lines of 774 bytes, counted in CP932");
    // Cut while it is sent, so that resume must know the layout by its journal.
    let cut = ["import", "cards.txt", "--chunk-records", "8", "--stop-after-records", "16"];
    let said = town.run(&[&cut[..], &FIXED].concat()).await;
    assert_says("cut", &said, 75, &["todoke resume cards.txt"]);
    town.receipted(&["resume", "cards.txt"]).await;
    // The same records as CSV, in another encoding, are the same batch.
    sample(&town, "cards.csv", &[]).await;
    let said = town.receipted(&["import", "cards.csv", "--chunk-records", "8"]).await;
    assert!(said.stdout.contains("DONE before"), "{}", said.all());
    assert_eq!(town.folder.read("cards.txt.receipt"), town.folder.read("cards.csv.receipt"));
    // Elsewhere, without the journal, verify and prove are told the layout.
    town.remove("cards.txt.todoke-journal");
    let key = town.path("dev/pki/receipt.pub").display().to_string();
    let verify = ["verify", "cards.txt.receipt", "--file", "cards.txt", "--key", &key];
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.args(verify).args(FIXED);
    let said = town.said(command).await;
    assert_says("verify", &said, 0, &["every total of cards.txt is the receipt's"]);
    let (first, rest) = bytes.split_first_chunk::<16>().expect("a line");
    let order_id = String::from_utf8_lossy(first).trim_end().to_owned();
    assert!(!rest.is_empty());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.args(["prove", "cards.txt", "--order-id", &order_id]).args(FIXED);
    assert_says("prove", &town.said(command).await, 0, &["record 0 of 60"]);
    town.stop().await;
}

/// What of its own stands in each column, and on which side the spaces are.
const PADDED: &str = "field,start_bytes,length_bytes,align\norder_id,1,9,\nkind,10,24,\n\
                      household_id,34,9,\ndistrict,43,11,\nname,54,21,\nbirth_date,75,12,\nsex,87,4,\n\
                      address,91,21,\nindividual_number,112,17,right\n";

#[tokio::test]
async fn spaces_of_both_widths_around_a_text_are_no_part_of_it() {
    let town = Town::start().await;
    town.write("layout.csv", PADDED);
    let row = row("P-1").replace("白鳥一丁目,", "白鳥一丁目,123456789018");
    let lengths = [9, 24, 9, 11, 21, 12, 4, 21, 17];
    let mut line = Vec::new();
    for (text, length) in row.trim_end().split(',').zip(lengths) {
        let (text, _, _) = encoding_rs::SHIFT_JIS.encode(text);
        let room = length - text.len();
        let (narrow, wide) = (room % 2, room / 2);
        let spaces = format!("{}{}", "　".repeat(wide), " ".repeat(narrow));
        let (spaces, _, _) = encoding_rs::SHIFT_JIS.encode(&spaces);
        line.extend(if length == 17 { [spaces, text] } else { [text, spaces] }.concat());
    }
    line.push(b'\n');
    assert_eq!(line.len(), 129);
    town.write("cards.txt", line);
    town.receipted(&[&["import", "cards.txt"][..], &FIXED].concat()).await;
    town.write("cards.csv", format!("{HEADER}{row}"));
    let said = town.receipted(&["import", "cards.csv"]).await;
    assert!(said.stdout.contains("DONE before"), "{}", said.all());
    assert_eq!(town.folder.read("cards.txt.receipt"), town.folder.read("cards.csv.receipt"));
    town.stop().await;
}

type Bad = (&'static str, Vec<u8>, &'static [&'static str]);

/// Files whose second or third line does not fit the layout.
fn bad_files(good: &[u8]) -> [Bad; 7] {
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = good.to_vec();
        bytes[775 + at..775 + at + to.len()].copy_from_slice(to);
        bytes
    };
    [
        ("cut in a line", good[..2000].to_vec(), &["line 3: the file does not end with a line break"]),
        (
            "line breaks lost",
            changed(774, b" "),
            &["line 2: the line is longer than the 774 bytes of the layout"],
        ),
        (
            "a place lost",
            [&good[..775], &good[776..]].concat(),
            &["line 2: the line has 773 bytes, the layout 774"],
        ),
        (
            "half a character",
            changed(175, &[0x94]),
            &[
                "line 2, bytes 117 to 176 (name): these bytes are no whole characters of CP932",
                "nothing is replaced",
            ],
        ),
        (
            "no order_id",
            changed(0, &[b' '; 16]),
            &["line 2, bytes 1 to 16 (order_id): is missing", "Give every"],
        ),
        ("a NUL", changed(400, &[0]), &["line 2, bytes 338 to 497 (address): holds a NUL"]),
        ("UTF-8", String::from_utf8_lossy(good).into_owned().into_bytes(), &["line 1", "the layout"]),
    ]
}

#[tokio::test]
async fn a_fixed_width_file_that_does_not_fit_its_layout_is_refused_before_anything_is_sent() {
    let town = Town::start().await;
    sample_good(&town).await;
    let good = town.folder.read("good.txt");
    for (n, (name, bytes, says)) in bad_files(&good).into_iter().enumerate() {
        let file = format!("bad-{n}.txt");
        town.write(&file, bytes);
        let said = town.run(&[&["import", &file][..], &FIXED].concat()).await;
        assert_says(name, &said, 1, says);
        assert!(!town.path(&format!("{file}.todoke-journal")).exists(), "{name}");
    }
    let layouts: [(&str, String, &[&str]); 3] = [
        (
            "no layout",
            "order_id,1,16\n".to_owned(),
            &["layout.csv, line 1: is no header of a layout", "start_bytes"],
        ),
        (
            "hole",
            LAYOUT.replace("kind,17,24", "kind,18,23"),
            &["line 3, column 2: starts at 18", "Leave no place out"],
        ),
        ("unknown", LAYOUT.replace("sex", "gender"), &["line 11, column 1: the field \"gender\" is unknown"]),
    ];
    for (name, layout, says) in &layouts {
        town.write("layout.csv", layout);
        let said = town.run(&[&["import", "good.txt"][..], &FIXED].concat()).await;
        assert_says(name, &said, 1, says);
    }
    assert!(town.batches().await.is_empty(), "nothing was begun");
    town.write("layout.csv", LAYOUT);
    town.receipted(&[&["import", "good.txt"][..], &FIXED].concat()).await;
    town.stop().await;
}

async fn sample_good(town: &Town) {
    town.write("layout.csv", LAYOUT);
    sample(town, "good.txt", &FIXED).await;
}
