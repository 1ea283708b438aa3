//! Promise: a journal survives a death at any byte, and damage is never taken for a journal.

use super::*;

fn begun_entry() -> Entry {
    Entry::Begun(Begun {
        caller: "municipality/131229".to_owned(),
        manifest: "todoke manifest v1\nand more\n".to_owned(),
        fingerprint: Fingerprint { bytes: 7, sha256: "00".repeat(32) },
        encoding: Encoding::Cp932,
        accept_missing_newline: false,
        layout: None,
    })
}

fn written(path: &Path) -> Vec<Entry> {
    let entries = vec![begun_entry(), Entry::Opened { uploader_epoch: 3 }, Entry::Durable { chunks: 2 }];
    let mut journal = Journal::open(path).expect("the folder is writable");
    for entry in &entries {
        journal.append(entry.clone()).expect("the disk has room");
    }
    entries
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.csv.todoke-journal");
    let entries = written(&path);
    let bytes = fs::read(&path).expect("just written");
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).expect("the folder is writable");
        let whole = bytes[..length].iter().filter(|byte| **byte == b'\n').count();
        let mut journal = Journal::open(&path).expect("a cut tail is no damage");
        assert_eq!(journal.entries(), &entries[..whole], "cut at {length}");
        if whole > 0 {
            journal.append(Entry::Sealed).expect("the disk has room");
            drop(journal);
            let again = Journal::peek(&path).expect("readable").expect("there");
            assert_eq!(again.last(), Some(&Entry::Sealed), "cut at {length}");
        }
    }
}

#[test]
fn damage_before_the_last_line_is_an_error_that_names_the_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.todoke-journal");
    written(&path);
    let good = fs::read(&path).expect("just written");
    let ends: Vec<usize> = (0..good.len()).filter(|at| good[*at] == b'\n').collect();
    for at in 0..ends[1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("the folder is writable");
        let text = Journal::open(&path).expect_err("it is damaged").to_string();
        let line = if at <= ends[0] { "line 1" } else { "line 2" };
        assert!(text.contains(line) && text.contains("todoke resume FILE"), "byte {at}: {text}");
    }
}

#[test]
fn a_journal_has_up_to_64_mib_and_not_one_byte_more() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.todoke-journal");
    let entries = written(&path);
    // What follows the last line break is a line that was cut.
    let grow = |bytes| File::options().write(true).open(&path).and_then(|file| file.set_len(bytes));
    grow(JOURNAL_BYTES_MAX + 1).expect("a sparse file");
    assert!(matches!(Journal::open(&path), Err(JournalError::TooLarge(_))));
    assert!(matches!(Journal::peek(&path), Err(JournalError::TooLarge(_))));
    grow(JOURNAL_BYTES_MAX).expect("a sparse file");
    assert_eq!(Journal::open(&path).expect("at the limit").entries(), entries);
}

#[test]
fn two_processes_cannot_hold_one_journal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.todoke-journal");
    let held = Journal::open(&path).expect("the folder is writable");
    assert!(matches!(Journal::open(&path), Err(JournalError::Held(_))));
    drop(held);
    assert!(Journal::open(&path).is_ok());
}

#[test]
fn a_finished_journal_is_set_aside_and_not_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.todoke-journal");
    written(&path);
    let mut journal = Journal::open(&path).expect("readable");
    assert_eq!(standing(journal.entries()), Standing::Open);
    journal.append(Entry::Receipt { digest: "ab".to_owned() }).expect("the disk has room");
    assert_eq!(standing(journal.entries()), Standing::Receipted);
    let fresh = journal.start_over("7").expect("the folder is writable");
    assert_eq!(fresh.entries(), &[]);
    let aside = Journal::peek(&with_suffix(&path, ".7")).expect("readable").expect("there");
    assert!(matches!(begun(&aside), Some(begun) if begun.encoding == Encoding::Cp932));
}
