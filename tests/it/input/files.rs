//! Promise: each kind of bad file is refused before anything is sent, with exit code, place, field and
//! remedy; no batch and no journal is left behind, and the mended file comes to a receipt.

use super::{HEADER, Town, assert_says, good, row};

/// One bad file.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    flags: &'static [&'static str],
    says: &'static [&'static str],
}

fn cp932(text: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
    assert!(!unmappable, "the test's own text fits CP932");
    bytes.into_owned()
}

const CP932: &[&str] = &["--encoding", "cp932"];

fn case(name: &'static str, bytes: Vec<u8>, says: &'static [&'static str]) -> Case {
    Case { name, bytes, flags: &[], says }
}

/// A file that is good but for its second row, on line 3.
fn second(from: &str, to: &str) -> Vec<u8> {
    let bad = row("B-2").replace(from, to);
    assert_ne!(bad, row("B-2"), "{from} is in the row");
    format!("{HEADER}{}{bad}{}", row("B-1"), row("B-3")).into_bytes()
}

fn of_headers() -> Vec<Case> {
    let header = |from: &str, to: &str| good("B").replacen(from, to, 1).into_bytes();
    vec![
        case("empty", Vec::new(), &["is empty", "still has its header row", "--nothing-today"]),
        case("header only", HEADER.into(), &["has no record", "`todoke import --nothing-today`"]),
        case(
            "no header",
            good("B").replacen(HEADER, "", 1).into_bytes(),
            &["line 1: is no header row", "order_id,kind,"],
        ),
        case(
            "header in other words",
            HEADER.replace("order_id", "受付番号").into_bytes(),
            &["line 1, column 1: the column \"受付番号\" is unknown", "Known are: order_id"],
        ),
        case(
            "unknown column",
            header("sex", "gender"),
            &["line 1, column 7: the column \"gender\" is unknown", "Known are"],
        ),
        case(
            "doubled column",
            header("individual_number", "name"),
            &["line 1, column 9 (name)", "twice", "Take one of them out"],
        ),
        case(
            "missing column",
            header(",address", ",delivery_address"),
            &["line 1: the header lacks address", "Add"],
        ),
        case(
            "blank line",
            format!("{}\n", good("B")).into_bytes(),
            &["line 5: the line is empty", "Take it out"],
        ),
    ]
}

fn of_rows() -> Vec<Case> {
    let cut = |bytes: usize| good("B").into_bytes()[..bytes].to_vec();
    let whole = good("B").len();
    vec![
        case(
            "cut in a line",
            cut(whole - 30),
            &["line 4", "cut inside this line", "Export or copy it again"],
        ),
        case(
            "cut before its last line break",
            cut(whole - 1),
            &["line 4", "line break", "--accept-missing-newline"],
        ),
        case(
            "cut inside quotes",
            second("葛飾 花子", "\"葛飾 花子"),
            &["line 3 opened", "it was cut", "Export it again"],
        ),
        case(
            "too few cells",
            second(",白鳥,", ","),
            &["line 3: the row has 8 cells, the header 9", "quotes"],
        ),
        case(
            "too many cells",
            second("白鳥一丁目", "白鳥,一丁目"),
            &["line 3: the row has 10 cells, the header 9", "quotes"],
        ),
        case(
            "a fault behind cells in quotes",
            second("白鳥,葛飾 花子", "\"白,\"\"鳥\"\",\",\"葛,飾 花子\0\""),
            &["line 3, column 5 (name)", "NUL"],
        ),
    ]
}

fn of_encodings() -> Vec<Case> {
    let mut outside = cp932(&good("B"));
    let name = outside.windows(4).rposition(|four| four == cp932("花子")).expect("the last name");
    outside[name..name + 2].copy_from_slice(&[0xFD, 0xFE]);
    let mut utf16 = vec![0xFF, 0xFE];
    utf16.extend(good("B").encode_utf16().flat_map(u16::to_le_bytes));
    vec![
        case(
            "Shift_JIS taken for UTF-8",
            cp932(&good("B")),
            &["line 2, column 4 (district): is not valid UTF-8", "--encoding cp932"],
        ),
        Case {
            name: "UTF-8 taken for Shift_JIS",
            bytes: good("B").into_bytes(),
            flags: CP932,
            says: &["line 2, column 5 (name)", "no character of CP932", "--encoding utf-8"],
        },
        Case {
            name: "outside CP932",
            bytes: outside,
            flags: CP932,
            says: &[
                "line 4, column 5 (name): holds bytes that are no character of CP932",
                "nothing is replaced",
            ],
        },
        case("UTF-16", utf16, &["byte order mark of UTF-16", "Export it again"]),
        case(
            "a NUL",
            second("H-B-2", "H\0"),
            &["line 3, column 3 (household_id)", "NUL", "Export the file again"],
        ),
    ]
}

fn of_fields() -> Vec<Case> {
    vec![
        case(
            "over-long field",
            second("葛飾 花子", &"花".repeat(1_366)),
            &["line 3, column 5 (name)", "4,096 bytes", "shorten"],
        ),
        case(
            "over-long order_id",
            second("B-2,", &format!("{},", "K".repeat(65))),
            &["line 3, column 1 (order_id): is too long", "64"],
        ),
        case(
            "no order_id",
            second("B-2,N", ",N"),
            &["line 3, column 1 (order_id): is missing", "Give every record one"],
        ),
        case(
            "order_id that is no ASCII",
            second("B-2,N", "受2,N"),
            &["line 3, column 1 (order_id)", "ASCII"],
        ),
        case(
            "a kind in small letters",
            second("NOTIFICATION_CARD", "notification"),
            &["line 3, column 2 (kind)", "NOTIFICATION_CARD"],
        ),
        case(
            "district of two lines",
            second(",白鳥,", ",\"白\n鳥\","),
            &["line 3, column 4 (district)", "one line"],
        ),
    ]
}

#[tokio::test]
async fn each_bad_file_is_refused_before_anything_is_sent_and_once_mended_gets_its_receipt() {
    let town = Town::start().await;
    let cases = [of_headers(), of_rows(), of_encodings(), of_fields()].into_iter().flatten();
    for (n, case) in cases.enumerate() {
        let (name, file) = (case.name, format!("in-{n}.csv"));
        let before = town.batches().await.len();
        town.write(&file, &case.bytes);
        let said = town.run(&[&["import", &file][..], case.flags].concat()).await;
        assert_says(name, &said, 1, case.says);
        assert!(said.stderr.contains(&file), "{name}: the file is named: {}", said.all());
        assert_eq!(town.batches().await.len(), before, "{name}: nothing was begun");
        assert!(!town.path(&format!("{file}.todoke-journal")).exists(), "{name}: no journal is left");
        assert!(!town.path(&format!("{file}.receipt")).exists(), "{name}: no receipt");
        town.write(&file, good(&format!("M{n}")));
        town.receipted(&["import", &file]).await;
    }
    town.stop().await;
}

#[tokio::test]
async fn what_is_no_file_that_can_be_read_twice_is_refused_with_what_to_do() {
    let town = Town::start().await;
    std::fs::create_dir(town.path("folder.csv")).expect("a folder");
    let said = town.run(&["import", "folder.csv"]).await;
    assert_says("a folder", &said, 1, &["folder.csv: is a folder", "Name the file inside it"]);
    let said = town.run(&["import", "absent.csv"]).await;
    assert_says("absent", &said, 1, &["absent.csv: cannot be read", "Check the name and the folder"]);

    let mut mkfifo = tokio::process::Command::new("mkfifo");
    mkfifo.arg("pipe.csv");
    assert_eq!(town.said(mkfifo).await.code, Some(0));
    let remedy = ["is not a regular file", "Write it to a file first: it is read twice"];
    let said = town.run(&["import", "pipe.csv"]).await;
    assert_says("a named pipe without writer", &said, 1, &remedy);
    town.write("a.csv", good("A"));
    let words = town.as_ward(&["import", "/dev/stdin"]).join(" ");
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &format!("cat a.csv | {} {words}", env!("CARGO_BIN_EXE_todoke"))]);
    assert_says("standard input as a pipe", &town.said(shell).await, 1, &remedy);

    // As nobody, since root reads everything.
    let mut chmod = tokio::process::Command::new("chmod");
    chmod.args(["-R", "a+rX", "."]);
    assert_eq!(town.said(chmod).await.code, Some(0));
    std::fs::set_permissions(town.path("a.csv"), std::os::unix::fs::PermissionsExt::from_mode(0o000))
        .expect("it is ours");
    let said = town.said(as_nobody(&town, &["import", "a.csv"])).await;
    assert_says("no permission", &said, 1, &["a.csv: cannot be read: Permission denied", "Allow this user"]);
    assert!(town.batches().await.is_empty(), "nothing was begun");
    assert!(!town.path("a.csv.todoke-journal").exists());
    std::fs::set_permissions(town.path("a.csv"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("it is ours");
    town.receipted(&["import", "a.csv"]).await;
    town.stop().await;
}

/// A command as a user who owns nothing; as ourselves where we are no root and may not read it either.
fn as_nobody(town: &Town, words: &[&str]) -> tokio::process::Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_todoke")]);
        command
    } else {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"))
    };
    command.args(town.as_ward(words));
    command
}

#[tokio::test]
async fn a_day_without_orders_that_control_totals_confirm_gets_a_receipt_too() {
    let town = Town::start().await;
    town.write("nil.csv", HEADER);
    town.write("tally.csv", "district,households,records\n");
    let said = town.receipted(&["import", "nil.csv", "--control-totals", "tally.csv"]).await;
    assert!(said.stdout.contains("0 records: 0 accepted"), "{}", said.all());
    let batches = town.batches().await;
    assert_eq!((batches.len(), &batches[0]["state"]), (1, &"ACCEPTED".into()));
    town.stop().await;
}
