//! Promise: a process does not start with the certificate of another role, which nobody would talk to.

use super::run;

#[test]
fn a_role_that_is_given_the_certificate_of_another_says_whose_it_is_and_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    assert_eq!(run(&["pki", "init", "--dir", &path("pki")]).0, 0);
    for whose in ["issuer/issuer-1", "relay/relay-1", "municipality/131229"] {
        assert_eq!(run(&["pki", "issue", whose, "--dir", &path("pki")]).0, 0);
    }
    let (ca, database) = (path("pki/ca.pem"), format!("sqlite:{}", path("issuer.db")));
    let (kek, receipt_key) = (path("pki/kek.key"), path("pki/receipt.key"));
    let of_issuer = ["--database", &database, "--kek", &kek, "--receipt-key", &receipt_key];
    for (role, more, name, whose) in [
        ("issuer", &of_issuer[..], "relay-1", "relay/relay-1"),
        ("issuer", &of_issuer[..], "131229", "municipality/131229"),
        ("relay", &["--upstream", "127.0.0.1:9"][..], "issuer-1", "issuer/issuer-1"),
    ] {
        let (cert, key) = (path(&format!("pki/{name}.pem")), path(&format!("pki/{name}.key")));
        let tls = ["--cert", &cert, "--key", &key, "--ca", &ca];
        let places = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let (code, _, errors) = run(&[&[role][..], &tls, &places, more].concat());
        assert_eq!(code, 64, "{role} with {whose}: {errors}");
        assert!(errors.contains(&cert) && errors.contains(whose), "whose it is: {errors}");
        assert!(errors.contains(&format!("`todoke pki issue {role}/NAME`")), "what to do: {errors}");
        assert!(!folder.path().join("issuer.db").exists(), "a database is made by who can serve");
    }
}
