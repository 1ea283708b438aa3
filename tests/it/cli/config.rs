//! Promise: a configuration is checked before anything starts, and all that is wrong is said at once.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::PathBuf};

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
            "store.url = 'sqlite:issuer.db'\n\
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
fn a_variable_of_ours_that_cannot_be_read_is_a_problem_by_name() {
    let place = Place::new();
    let file = place.issuer("");
    let mut command = todoke(&["config", "check", "--role", "issuer", "--config", &file]);
    command.env("TODOKE_LISTEN", OsStr::from_bytes(b"127.0.0.\xff")).env("OTHER", OsStr::from_bytes(b"\xff"));
    let (code, _, errors) = ended(command.output().expect("the binary runs"));
    assert_eq!(code, 64, "{errors}");
    assert!(
        errors.contains("1 problem\n") && errors.contains("TODOKE_LISTEN (variable): is no UTF-8"),
        "{errors}"
    );
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
fn what_is_in_force_is_shown_with_its_origin() {
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
        &format!("store.url = \"sqlite:issuer.db\"  # {file}"),
    ] {
        assert!(said.contains(needle), "{needle} is not in: {said}");
    }
    let again = place.write("again.toml", &said);
    assert_eq!(run(&["config", "check", "--role", "issuer", "--config", &again]).0, 0, "it can be loaded");
}

#[test]
fn a_database_that_no_issuer_would_open_is_refused_by_the_check_without_its_password() {
    let place = Place::new();
    let file = place.issuer("");
    for (url, why) in [
        ("mysql://todoke:s3cret@db/todoke", "opens no other kind of database"),
        ("postgres://todoke:s3cret@db/todoke", "name the CA of its server with sslrootcert=FILE"),
        ("issuer.db", "has no scheme"),
        ("sqlite::memory:", "names no file"),
        ("sqlite:issuer.db?mode=ro", "takes no parameters"),
    ] {
        for command in ["check", "print"] {
            let mut command = todoke(&["config", command, "--role", "issuer", "--config", &file]);
            let (code, said, errors) =
                ended(command.env("TODOKE_STORE__URL", url).output().expect("the binary runs"));
            assert_eq!(code, 64, "{url}: {said}");
            assert!(errors.contains("store.url (variable TODOKE_STORE__URL)"), "{url}: {errors}");
            assert!(errors.contains(why) && errors.contains("sqlite:issuer.db"), "{url}: {errors}");
            assert!(!format!("{said}{errors}").contains("s3cret"), "{said}{errors}");
        }
    }
}

#[test]
fn a_configuration_that_is_not_complete_is_shown_whole_before_what_is_wrong_with_it() {
    let place = Place::new();
    let file = place.write("issuer.toml", "[issuance]\nworkers = 3\nstall_aftr = '5s'\n");
    let words = ["config", "print", "--role", "issuer", "--config", &file];
    let (code, said, errors) = run(&words);
    assert_eq!(code, 64);
    for needle in [
        "# store.url = not set  # required\n",
        "# vault.kek = not set  # required\n",
        "# tls.crl = not set  # default\n",
        &format!("issuance.workers = 3  # {file}\n"),
        "issuance.lease = \"10s\"  # default\n",
    ] {
        assert!(said.contains(needle), "{needle} is not in: {said}");
    }
    for needle in ["7 problems", "store.url: is not set", "TODOKE_VAULT__KEK", "Did you mean"] {
        assert!(errors.contains(needle), "{needle} is not in: {errors}");
    }
    let (code, lines, errors) = run(&[&words[..], &["--output", "json"]].concat());
    assert_eq!((code, errors.as_str()), (64, ""));
    assert_eq!(lines.lines().count(), said.lines().count() + 1, "{lines}");
    let last: serde_json::Value =
        lines.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("a line of JSON");
    assert_eq!(last["problems"].as_array().map(Vec::len), Some(7), "{last}");
}

#[test]
fn a_relay_takes_its_issuers_as_a_list_and_is_told_what_is_wrong_with_them() {
    let place = Place::new();
    let [cert, key, ca] = ["cert", "key", "ca"].map(|name| place.write(name, ""));
    let file =
        place.write("relay.toml", &format!("tls = {{ cert = '{cert}', key = '{key}', ca = '{ca}' }}\n"));
    let check = |upstreams: &str, calls: &str| {
        let mut command = todoke(&["config", "print", "--role", "relay", "--config", &file]);
        command.env("TODOKE_RELAY__UPSTREAMS", upstreams).env("TODOKE_RELAY__CALLS_MAX", calls);
        // One environment may serve both roles.
        ended(command.env("TODOKE_STORE__URL", "sqlite:issuer.db").output().expect("the binary runs"))
    };
    let (code, said, errors) = check("10.0.0.7:40301,10.0.0.8:40301", "100");
    assert_eq!((code, errors.as_str()), (0, ""));
    let line =
        "relay.upstreams = [\"10.0.0.7:40301\", \"10.0.0.8:40301\"]  # variable TODOKE_RELAY__UPSTREAMS";
    assert!(said.contains(line), "{said}");
    let (code, _, errors) = check("10.0.0.7", "many");
    assert_eq!(code, 64);
    for needle in ["2 problems", "relay.calls_max", "relay.upstreams", "10.0.0.7 must be host:port"] {
        assert!(errors.contains(needle), "{needle} is not in: {errors}");
    }
}
