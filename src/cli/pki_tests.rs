//! Promise: each `todoke pki` command says what it did, and what it refuses ends with the fitting exit code.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    pki: PkiArgs,
}

fn pki(dir: &Path, words: &[&str]) -> u8 {
    let dir = dir.display().to_string();
    let words = words.iter().map(|word| word.replace("DIR", &dir));
    let line = Line::try_parse_from(["pki".to_owned()].into_iter().chain(words)).expect("it parses");
    run(&line.pki).expect("it shows its own errors")
}

fn shown(path: &Path, at: OffsetDateTime) -> Said {
    described(path, at).expect("readable")
}

#[test]
fn a_party_is_enrolled_shown_renewed_and_revoked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("pki");
    let begun = now(); // what is left is asked for this moment: later, a day may have begun
    assert_eq!(pki(&dir, &["issue", "municipality/131229", "--dir", "DIR"]), exit::CONFIG, "no CA yet");
    assert_eq!(pki(&dir, &["init", "--dir", "DIR"]), exit::DONE);
    assert_eq!(pki(&dir, &["init", "--dir", "DIR"]), exit::FAILED, "not a second one over it");
    assert_eq!(pki(&dir, &["issue", "municipality/131229", "--dir", "DIR"]), exit::DONE);
    let cert = dir.join("131229.pem");
    let said = shown(&cert, begun);
    assert_eq!(said.json["identity"], "municipality/131229");
    assert_eq!(said.json["state"], "valid for 90 more days");
    assert!(said.lines[1].contains(said.json["serial"].as_str().expect("hex")), "{:?}", said.lines);
    assert_eq!(pki(&dir, &["issue", "municipality/131229", "--dir", "DIR"]), exit::FAILED, "it is there");
    let renew = ["issue", "municipality/131229", "--dir", "DIR", "--replace", "--days", "7"];
    assert_eq!(pki(&dir, &renew), exit::DONE);
    assert_eq!(shown(&cert, begun).json["state"], "valid for 7 more days");
    assert_eq!(pki(&dir, &["revoke", "municipality/131229", "--dir", "DIR"]), exit::DONE);
    assert_eq!(shown(&cert, begun).json["state"], "revoked");
    let list = shown(&dir.join("crl.pem"), begun);
    assert_eq!(list.json["revoked"].as_array().expect("a list").len(), 2, "the renewed one, too");
    assert_eq!(pki(&dir, &["crl", "--dir", "DIR", "--days", "3"]), exit::DONE);
    assert_eq!(shown(&dir.join("crl.pem"), begun).json["number"], 3);
}

#[test]
fn what_cannot_be_is_refused_with_its_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path();
    assert_eq!(pki(dir, &["init", "--dir", "DIR"]), exit::DONE);
    assert_eq!(pki(dir, &["issue", "operator/ca", "--dir", "DIR"]), exit::USAGE, "the CA's own file");
    assert_eq!(pki(dir, &["issue", "operator/a", "--dir", "DIR", "--days", "99999"]), exit::USAGE);
    assert_eq!(pki(dir, &["revoke", "operator/a", "--dir", "DIR"]), exit::FAILED, "never issued");
    assert_eq!(pki(dir, &["revoke", "king/arthur", "--dir", "DIR"]), exit::USAGE);
    assert_eq!(pki(dir, &["revoke", "not hex", "--dir", "DIR"]), exit::USAGE);
    assert_eq!(pki(dir, &["show", "DIR/ca.pem"]), exit::DONE);
    assert_eq!(pki(dir, &["show", "DIR/ca.key"]), exit::USAGE, "a key is not shown");
    assert_eq!(pki(dir, &["show", "DIR/none.pem", "--output", "json"]), exit::FAILED);
    let wrong = Line::try_parse_from(["pki", "issue", "municipality/131220", "--dir", "x"]);
    assert!(wrong.expect_err("a wrong check digit").to_string().contains("check digit"));
}

#[test]
fn a_relay_has_the_names_that_it_is_called_by() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path();
    assert_eq!(pki(dir, &["init", "--dir", "DIR"]), exit::DONE);
    let issue = ["issue", "relay/relay-1", "--dir", "DIR", "--san", "relay-1.example", "--output", "json"];
    assert_eq!(pki(dir, &issue), exit::DONE);
    let said = shown(&dir.join("relay-1.pem"), now());
    assert_eq!(said.json["names"], json!(["todoke.internal", "localhost", "relay-1.example"]));
    assert_eq!(shown(&dir.join("ca.pem"), now()).json["identity"], "a CA");
}
