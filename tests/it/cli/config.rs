//! Promise: a configuration is checked before anything starts, and all that is wrong is said at once.

use std::{fs, path::PathBuf};

use super::{ended, run, todoke};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder is writable");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// A file that is right, and whatever follows it.
    fn issuer(&self, more: &str) -> String {
        let files = ["cert", "key", "ca", "kek", "receipt_key"].map(|name| self.write(name, ""));
        let [cert, key, ca, kek, receipt_key] = files;
        let text = format!(
            "store.url = 'postgres://todoke:s3cret@db/todoke'\n\
             tls = {{ cert = '{cert}', key = '{key}', ca = '{ca}' }}\n\
             vault = {{ kek = '{kek}', receipt_key = '{receipt_key}' }}\n{more}"
        );
        self.write("issuer.toml", &text)
    }
}

#[test]
fn a_right_configuration_is_said_to_be_right() {
    let place = Place::new();
    let file = place.issuer("");
    let (code, said, errors) = run(&["config", "check", "--role", "issuer", "--config", &file]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(said.starts_with("OK: "), "{said}");
}

#[test]
fn everything_wrong_in_file_and_environment_is_said_at_once() {
    let place = Place::new();
    let file = place.issuer("[issuance]\nworkers = 0\nstall_aftr = '5s'\nlease = 10\n");
    let mut command = todoke(&["config", "check", "--role", "issuer", "--config", &file]);
    command.env("TODOKE_LISTEN", "nowhere").env("TODOKE_TLS__CRL", "gone.pem");
    let (code, said, errors) = ended(command.output().expect("the binary runs"));
    assert_eq!((code, said.as_str()), (64, ""));
    for needle in [
        "5 problems",
        "issuance.workers (",
        "must be more than 0",
        "issuance.stall_aftr (",
        "Did you mean issuance.stall_after?",
        "issuance.lease (",
        "in quotes",
        "listen (variable TODOKE_LISTEN)",
        "tls.crl (variable TODOKE_TLS__CRL): gone.pem cannot be read",
    ] {
        assert!(errors.contains(needle), "{needle} is not in: {errors}");
    }
    assert!(errors.contains("issuer.toml"), "the file is named: {errors}");
}

#[test]
fn an_issuer_without_a_configuration_says_what_is_needed_and_does_not_start() {
    let (code, _, errors) = run(&["issuer"]);
    assert_eq!(code, 64);
    for needle in ["6 problems", "store.url", "sqlite:issuer.db", "TODOKE_VAULT__KEK", "tls.cert"] {
        assert!(errors.contains(needle), "{needle} is not in: {errors}");
    }
}

#[test]
fn what_is_in_force_is_shown_with_its_origin_and_without_the_password() {
    let place = Place::new();
    let file = place.issuer("[issuance]\nworkers = 3\n");
    let mut command = todoke(&["config", "print", "--role", "issuer", "--config", &file]);
    command.env("TODOKE_ISSUANCE__LEASE", "20s");
    let (code, said, errors) = ended(command.output().expect("the binary runs"));
    assert_eq!((code, errors.as_str()), (0, ""));
    for needle in [
        &format!("issuance.workers = 3  # {file}"),
        "issuance.lease = \"20s\"  # variable TODOKE_ISSUANCE__LEASE",
        "issuance.stuck_after = \"5m\"  # default",
        "postgres://todoke:***@db/todoke",
    ] {
        assert!(said.contains(needle), "{needle} is not in: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    let again = place.write("again.toml", &said);
    assert_eq!(run(&["config", "check", "--role", "issuer", "--config", &again]).0, 0, "it can be loaded");
}
