//! Promise: an operator's command with a wrong `--database` says so, fails, and makes nothing; only the
//! issuer makes a database.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::run;

/// Keys in a folder of their own, and a folder without a database.
struct Place {
    keys: TempDir,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a temporary folder");
        let place = Self { keys: folder(), folder: folder() };
        for dir in ["pki", "other"] {
            assert_eq!(run(&["pki", "init", "--dir", &place.key(dir)]).0, 0);
        }
        place
    }

    fn key(&self, name: &str) -> String {
        self.keys.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("issuer.db")
    }

    /// What lies in the folder.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("it is readable");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }

    /// Runs a command over the database that is not there, then over an empty file in its place.
    fn refuses(&self, words: &[&str]) {
        let database = self.database();
        let url = format!("sqlite:{}", database.display());
        let words = [words, &["--database", &url]].concat();
        for _ in 0..2 {
            let before = self.files();
            let (code, said, errors) = run(&words);
            assert_eq!((code, said.as_str()), (1, ""), "{words:?}: {errors}");
            assert!(errors.contains(&database.display().to_string()), "which file: {errors}");
            assert!(errors.contains("name the one that the issuer has"), "what to do: {errors}");
            assert_eq!(self.files(), before, "{words:?} leaves something behind");
            fs::write(&database, "").expect("the folder is writable");
        }
        assert_eq!(fs::read(&database).expect("it is there"), b"", "{words:?} wrote into it");
    }
}

#[test]
fn vault_rotate_makes_no_database() {
    let place = Place::new();
    let (kek, other) = (place.key("pki/kek.key"), place.key("other/kek.key"));
    place.refuses(&["vault", "rotate", "--kek", &kek, "--new-kek", &other]);
}

#[test]
fn vault_status_makes_no_database() {
    Place::new().refuses(&["vault", "status"]);
}

#[test]
fn restore_mark_makes_no_database() {
    Place::new().refuses(&["restore", "mark", "--reason", "disk lost"]);
}

#[test]
fn restore_status_makes_no_database() {
    Place::new().refuses(&["restore", "status"]);
}

#[test]
fn restore_release_makes_no_database() {
    Place::new().refuses(&["restore", "release", "131229", "--reason", "files lost"]);
}

#[test]
fn report_verify_store_makes_no_database() {
    let place = Place::new();
    let (kek, receipt_key, ca) =
        (place.key("pki/kek.key"), place.key("pki/receipt.key"), place.key("pki/ca.pem"));
    let words =
        ["report", "verify-store", "--kek", &kek, "--receipt-key", &receipt_key, "--ca", &ca, "--repair"];
    let (to_repair, to_look) = (&words[..], &words[..words.len() - 1]);
    place.refuses(to_look);
    fs::remove_file(place.database()).expect("it was made above");
    place.refuses(to_repair);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_nothing_is_left_beside_it() {
    let place = Place::new();
    let (kek, other) = (place.key("pki/kek.key"), place.key("other/kek.key"));
    let url = format!("sqlite:{}", place.database().display());
    for content in ["order_id,name\n1,x\n", "x"] {
        fs::write(place.database(), content).expect("the folder is writable");
        for words in [
            &["restore", "status"][..],
            &["restore", "mark", "--reason", "disk lost"],
            &["vault", "status"],
            &["vault", "rotate", "--kek", &kek, "--new-kek", &other],
        ] {
            let (code, _, errors) = run(&[words, &["--database", &url]].concat());
            assert_eq!(code, 1, "{words:?}: {errors}");
            assert!(errors.contains("it is no SQLite database"), "{words:?}: {errors}");
            assert_eq!(place.files(), ["issuer.db"], "{words:?} leaves something behind");
        }
        assert_eq!(fs::read(place.database()).expect("it is there"), content.as_bytes());
    }
}
