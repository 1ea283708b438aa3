//! Promise: `todoke sample` writes the same valid file for the same flags, and its faults are where it
//! says.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use todoke::client::{
    control_totals::ControlTotals,
    reader::ReadOptions,
    scan::{Scan, scan},
    source::Encoding,
};

use super::{run, todoke};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a sample of Katsushika to `name` and returns what standard error said.
    fn sample(&self, name: &str, more: &[&str]) -> String {
        let path = self.path(name);
        let words = ["sample", "--municipality", "131229", "--out", path.to_str().expect("UTF-8")];
        let (code, _, errors) = run(&[&words[..], more].concat());
        assert_eq!(code, 0, "{errors}");
        errors
    }
}

fn scanned(path: &Path, encoding: Encoding) -> Scan {
    let options = ReadOptions { encoding, ..ReadOptions::default() };
    scan(path, &options, 4096, None, &mut |_| ()).expect("a valid file")
}

#[test]
fn the_same_flags_give_the_same_bytes_and_another_seed_others() {
    let folder = Folder::new();
    for (name, seed) in [("a", "7"), ("b", "7"), ("c", "8")] {
        folder.sample(name, &["--records", "5000", "--seed", seed]);
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| fs::read(folder.path(name)).expect("it was written"));
    assert!(a == b && a != c);
    let (code, printed, _) = run(&["sample", "--municipality", "131229", "--records", "5000"]);
    assert!(code == 0 && printed.as_bytes() == a, "standard output has the same, and 7 is the default");
}

#[test]
fn import_takes_the_file_in_every_encoding_with_exactly_the_records_asked_for() {
    let folder = Folder::new();
    for (name, encoding) in
        [("utf-8", Encoding::Utf8), ("utf-8-bom", Encoding::Utf8), ("cp932", Encoding::Cp932)]
    {
        let tally = folder.path("tally.csv");
        let to = tally.to_str().expect("UTF-8");
        let words = ["--records", "4321", "--encoding", name, "--control-totals", to, "--force"];
        let said = folder.sample(name, &words);
        let totals = scanned(&folder.path(name), encoding).totals;
        // import reads both files in one encoding.
        let options = ReadOptions { encoding, ..ReadOptions::default() };
        let control = ControlTotals::load(&tally, &options).expect("a tally");
        assert!(control.differences(&totals).is_empty(), "{name}");
        assert_eq!(totals.records, 4321, "{name}");
        assert!(said.contains("4321 records of ") && said.contains("0 planted faults"), "{said}");
    }
}

#[test]
fn control_totals_are_the_tally_of_the_complete_extract() {
    let folder = Folder::new();
    let tally = folder.path("tally.csv");
    let flags = [
        "--households",
        "1200",
        "--district",
        "白鳥=500",
        "--control-totals",
        tally.to_str().expect("UTF-8"),
    ];
    folder.sample("whole.csv", &flags);
    let control = ControlTotals::load(&tally, &ReadOptions::default()).expect("a tally");
    let whole = scanned(&folder.path("whole.csv"), Encoding::Utf8).totals;
    assert!(control.differences(&whole).is_empty());
    assert_eq!((whole.households, whole.districts["白鳥"].households), (1200, 500));

    folder.sample("faulty.csv", &[&flags[..], &["--omit-district", "白鳥", "--force"]].concat());
    let control = ControlTotals::load(&tally, &ReadOptions::default()).expect("a tally");
    let faulty = scanned(&folder.path("faulty.csv"), Encoding::Utf8).totals;
    let differences = control.differences(&faulty);
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!((differences[0].district.as_str(), differences[0].households), ("白鳥", (500, 0)));
    assert_eq!(faulty.households, 700);
}

#[test]
fn faults_are_on_the_lines_that_standard_error_names() {
    let folder = Folder::new();
    folder.sample("clean.csv", &["--records", "2000"]);
    let said =
        folder.sample("faulty.csv", &["--records", "2000", "--wrong-check-digit", "3", "--duplicate", "2"]);
    let lines = |name| -> Vec<String> {
        let text = fs::read_to_string(folder.path(name)).expect("it was written");
        text.lines().map(str::to_owned).collect()
    };
    let (clean, faulty) = (lines("clean.csv"), lines("faulty.csv"));
    let named: Vec<(usize, bool)> = said
        .lines()
        .filter_map(|line| line.strip_prefix("line ")?.split_once(": order "))
        .map(|(line, what)| (line.parse().expect("a number"), what.contains("again")))
        .collect();
    assert_eq!((named.len(), faulty.len()), (5, clean.len() + 2), "{said}");
    let mut original = clean.iter();
    for (number, line) in (1..).zip(&faulty) {
        match named.iter().find(|(at, _)| *at == number) {
            Some((_, true)) => assert_eq!(line, &faulty[number - 2], "line {number} repeats the one before"),
            Some((_, false)) => assert_ne!(Some(line), original.next(), "line {number} has a fault"),
            None => assert_eq!(Some(line), original.next(), "line {number} has none"),
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = todoke(&["sample", "--municipality", "131229", "--records", "200000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut some = [0; 100];
    child.stdout.take().expect("it is piped").read_exact(&mut some).expect("a header");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_is_there_already_is_written_over_only_if_that_is_said() {
    let folder = Folder::new();
    for name in ["cards.csv", "tally.csv"] {
        fs::write(folder.path(name), "somebody's own").expect("writable");
    }
    let path = |name| folder.path(name).to_str().expect("UTF-8").to_owned();
    let (cards, tally, new) = (path("cards.csv"), path("tally.csv"), path("new.csv"));
    for words in [["--out", &cards, "--records", "9"], ["--out", &new, "--control-totals", &tally]] {
        let (code, _, errors) = run(&[&["sample", "--municipality", "131229"][..], &words].concat());
        assert!(code == 2 && errors.contains("is there already") && errors.contains("--force"), "{errors}");
        for there in [&cards, &tally] {
            assert_eq!(fs::read_to_string(there).expect("it is there"), "somebody's own");
        }
    }
    assert!(!Path::new(&new).exists(), "nothing is half done");
    folder.sample("cards.csv", &["--records", "9", "--control-totals", &tally, "--force"]);
    assert_eq!(scanned(&folder.path("cards.csv"), Encoding::Utf8).totals.records, 9);
    assert_ne!(fs::read_to_string(&tally).expect("it is there"), "somebody's own");
}

#[test]
fn a_column_that_is_too_narrow_is_not_blamed_on_the_disk() {
    let folder = Folder::new();
    let layout = folder.path("layout.csv");
    let columns = "field,start_bytes,length_bytes\norder_id,1,12\nkind,13,24\nhousehold_id,37,10\n\
                   district,47,30\nname,77,3\nbirth_date,80,10\nsex,90,1\naddress,91,120\n";
    fs::write(&layout, columns).expect("writable");
    let (layout, out) = (layout.to_str().expect("UTF-8"), folder.path("cards.txt"));
    let out = out.to_str().expect("UTF-8");
    let (code, _, errors) = run(&["sample", "--municipality", "131229", "--layout", layout, "--out", out]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("make the column longer") && !errors.contains("disk"), "{errors}");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let words = ["sample", "--municipality", "131229", "--out", "no-such-folder/cards.csv"];
    let (code, _, errors) = run(&words);
    assert_eq!(code, 1);
    assert!(
        errors.contains("no-such-folder/cards.csv cannot be written") && errors.contains("Check"),
        "{errors}"
    );
}
