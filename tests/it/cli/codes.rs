//! Promise: a wrong file that flags or configuration name ends a command with 64, as its help says.

use super::{ended, run, todoke};

#[test]
fn a_public_key_that_is_none_is_bad_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    assert_eq!(run(&["pki", "init", "--dir", &path("pki")]).0, 0);
    let (kek, receipt_key, ca) = (path("pki/kek.key"), path("pki/receipt.key"), path("pki/ca.pem"));
    let keys = ["--kek", &kek, "--receipt-key", &receipt_key, "--ca", &ca, "--database", "sqlite:gone.db"];
    let words = [&["report", "verify-store"][..], &keys, &["--receipt-pub", &ca]].concat();
    let (code, _, errors) = run(&words);
    assert_eq!(code, 64, "{errors}");
    assert!(errors.contains("is no public receipt key") && errors.contains("Pass receipt.pub"), "{errors}");
}

#[test]
fn a_calendar_that_cannot_be_read_is_bad_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    assert_eq!(run(&["pki", "init", "--dir", &path("pki")]).0, 0);
    assert_eq!(run(&["pki", "issue", "issuer/issuer-1", "--dir", &path("pki")]).0, 0);
    std::fs::write(path("calendar.csv"), "no,such,header\n").expect("the folder is writable");
    let database = format!("sqlite:{}", path("issuer.db"));
    let named = |name: &str| path(&format!("pki/{name}"));
    let files = ["issuer-1.pem", "issuer-1.key", "ca.pem", "kek.key", "receipt.key"].map(named);
    let mut words = vec!["issuer", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    words.extend(["--database", &database]);
    for (flag, file) in ["--cert", "--key", "--ca", "--kek", "--receipt-key"].into_iter().zip(&files) {
        words.extend([flag, file.as_str()]);
    }
    let mut command = todoke(&words);
    command.env("TODOKE_ISSUANCE__CALENDAR_FILE", path("calendar.csv"));
    let (code, _, errors) = ended(command.output().expect("the binary runs"));
    assert_eq!(code, 64, "{errors}");
    assert!(errors.contains("calendar.csv"), "{errors}");
}
