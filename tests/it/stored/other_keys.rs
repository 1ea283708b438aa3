//! Promise: an issuer with another key than those of its database does not start, be the database empty, and
//! says which file is wrong; a key that is replaced as it should be is the one that counts from then on.

use std::{path::Path, process::Stdio, time::Duration};

use todoke::store::throwaway::{DATABASE, Throwaway};

use super::super::system::{Dev, Folder};

const OF_KEK: &str = "give all of them the same file (key vault.kek). If it is to be replaced, stop them and \
                      run `todoke vault rotate`";
const OF_RECEIPTS: &str = "give all of them the same file (key vault.receipt_key). If it is to be replaced, \
                           stop them and name the receipt.pub of ";

/// Starts an issuer with these two keys, which does not come far.
async fn refused(folder: &Folder, url: &str, kek: &str, receipt_key: &str) -> String {
    let pki = |name: &str| folder.path("dev/pki").join(name).display().to_string();
    let mut command = folder.command(&["issuer", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.args(["--database", url, "--cert", &pki("issuer-1.pem"), "--key", &pki("issuer-1.key")]);
    command.args(["--ca", &pki("ca.pem"), "--kek", kek, "--receipt-key", receipt_key]);
    let output = tokio::time::timeout(Duration::from_secs(30), command.stdin(Stdio::null()).output()).await;
    let output = output.expect("it ends").expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{words}");
    words
}

/// Starts the system with the keys that lie in its folder, and stops it.
async fn runs(folder: &Folder, url: &str, variables: &[(&str, &str)]) {
    let flags = ["--relays", "1", "--database", url];
    let mut dev = Dev::start_in(folder, &flags, variables).await;
    assert_eq!(dev.stop().await, Some(0));
}

async fn only_the_keys_of_the_database_are_taken(folder: &Folder, url: &str) {
    runs(folder, url, &[]).await; // it has no batch, so nothing is wrapped or signed
    let said = folder.todoke(&["pki", "init", "--dir", "other"], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let (kek, receipt_key) = ("dev/pki/kek.key", "dev/pki/receipt.key");
    let (other_kek, other_receipt_key) = ("other/kek.key", "other/receipt.key");
    let words = refused(folder, url, other_kek, receipt_key).await;
    assert!(words.contains("other/kek.key: it is key-encryption key "), "{words}");
    assert!(words.contains(OF_KEK), "what to do: {words}");
    let words = refused(folder, url, kek, other_receipt_key).await;
    assert!(words.contains("other/receipt.key: it is receipt key "), "{words}");
    let public = String::from_utf8(folder.read("dev/pki/receipt.pub")).expect("UTF-8");
    let id = public.split('+').nth(1).expect("NAME+KEYID+BASE64");
    assert!(words.contains(&format!("{OF_RECEIPTS}{id} in issuance.former_receipt_keys")), "{words}");

    let rotate = |old: &str, new: &str| ["--kek", old, "--new-kek", new].map(str::to_owned);
    let database = ["vault", "rotate", "--database", url];
    std::fs::write(folder.path("third.key"), "5a1b".repeat(16)).expect("it is written");
    let wrong = folder.todoke(&database, &rotate("third.key", other_kek)).await;
    assert_eq!(wrong.code, Some(1), "{}", wrong.all());
    assert!(wrong.stdout.contains("which is neither") && wrong.stdout.contains("Nothing was changed"));
    let said = folder.todoke(&database, &rotate(kek, other_kek)).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    refused(folder, url, kek, receipt_key).await;
    std::fs::copy(folder.path(other_kek), folder.path(kek)).expect("it is copied");
    runs(folder, url, &[]).await;

    for (from, to) in [(receipt_key, "old.key"), ("dev/pki/receipt.pub", "old.pub")] {
        std::fs::copy(folder.path(from), folder.path(to)).expect("it is kept");
    }
    for name in ["receipt.key", "receipt.pub"] {
        let to = folder.path("dev/pki").join(name);
        std::fs::copy(folder.path("other").join(name), to).expect("it is copied");
    }
    let former = format!("[\"{}\"]", folder.path("old.pub").display());
    runs(folder, url, &[("TODOKE_ISSUANCE__FORMER_RECEIPT_KEYS", &former)]).await;
    runs(folder, url, &[]).await;
    let words = refused(folder, url, kek, "old.key").await;
    assert!(words.contains("old.key: it is receipt key "), "{words}");
}

#[tokio::test]
async fn an_issuer_with_other_keys_than_its_file_does_not_start() {
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path("dev/issuer.db").display());
    only_the_keys_of_the_database_are_taken(&folder, &url).await;
}

#[tokio::test]
async fn an_issuer_with_other_keys_than_those_that_share_its_server_does_not_start_beside_them() {
    let server = Throwaway::prepared(Path::new(env!("CARGO_TARGET_TMPDIR")), "").await;
    let server = server.unwrap_or_else(|trouble| panic!("{trouble}"));
    let (folder, url) = (Folder::new(), server.url(DATABASE));
    only_the_keys_of_the_database_are_taken(&folder, &url).await;
    let mut dev = Dev::start(&folder, &["--relays", "1", "--database", &url]).await;
    let words = refused(&folder, &url, "third.key", "dev/pki/receipt.key").await;
    assert!(words.contains("third.key: ") && words.contains("key-encryption key"), "{words}");
    refused(&folder, &url, "dev/pki/kek.key", "old.key").await;
    assert_eq!(dev.stop().await, Some(0));
}
