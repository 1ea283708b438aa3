//! Promise: real processes take up new certificates, keys and revocations without a restart, speak of a
//! list that is about to end while there is time, and let nobody in by one that has ended.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;
use todoke::net::pki::Authority;

use super::strangers::{of_party, refusal, served};
use crate::system::{Dev, Folder, Running, Signal, eventually, http, pids, signal};

struct System {
    folder: Folder,
    dev: Dev,
    pki: PathBuf,
}

impl System {
    async fn start() -> Self {
        Self::start_with("1").await
    }

    async fn start_with(relays: &str) -> Self {
        let folder = Folder::new();
        let dev = Dev::start(&folder, &["--relays", relays]).await;
        let pki = folder.path("dev/pki");
        Self { folder, dev, pki }
    }

    fn node(&self, kind: &str) -> Value {
        self.folder.endpoints()[kind][0].clone()
    }

    fn address(&self, kind: &str, which: &str) -> SocketAddr {
        self.node(kind)[which].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }

    /// Has both processes look at their files.
    async fn reload(&self) {
        for pid in pids(&self.folder.endpoints()) {
            signal(Signal::HUP, pid);
        }
    }

    fn log(&self, id: &str) -> String {
        String::from_utf8(self.folder.read(&format!("dev/logs/{id}.log"))).expect("UTF-8")
    }

    async fn pki(&self, args: &[&str]) {
        let args: Vec<&str> = std::iter::once("pki").chain(args.iter().copied()).collect();
        let said = self.folder.todoke(&[&args[..], &["--dir", "dev/pki"]].concat(), &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }

    async fn metric(&self, kind: &str, line: &str) -> f64 {
        let text = http(self.address(kind, "ops"), "/metrics").await;
        let number = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        number.unwrap_or_else(|| panic!("{line}: {text}")).trim().parse().expect("a number")
    }
}

#[tokio::test]
async fn new_certificates_and_revocations_are_taken_up_by_the_processes_that_run() {
    let mut system = System::start().await;
    let ward = of_party(&system.pki, "131229");
    let both = [("relays", "relay-1"), ("issuers", "issuer-1")];
    let mut before = Vec::new();
    for (kind, _) in both {
        before.push(served(&system.pki, &ward, system.address(kind, "address")).await);
    }
    let pids_before = pids(&system.folder.endpoints());
    for name in ["relay/relay-1", "issuer/issuer-1", "municipality/131229"] {
        system.pki(&["issue", name, "--replace"]).await;
    }
    system.reload().await;
    for (_, id) in both {
        eventually("it was read", || system.log(id).contains("was read anew")).await;
    }
    for ((kind, id), old) in both.into_iter().zip(before) {
        let new = served(&system.pki, &ward, system.address(kind, "address")).await;
        assert_ne!(new, old, "{id} shows its new certificate");
        assert_eq!(new, of_party(&system.pki, id).chain[0].to_vec());
    }
    // The old certificate of the ward is good until it is revoked, and then at neither door.
    system.pki(&["revoke", "municipality/131229"]).await;
    system.reload().await;
    for (kind, id) in both {
        eventually("it was read again", || system.log(id).matches("was read anew").count() == 2).await;
        let refused = refusal(&system.pki, Some(&ward), system.address(kind, "address")).await;
        assert!(refused.contains("CertificateRevoked"), "{id}: {refused}");
    }
    let said = system.folder.todoke(&["status"], &system.folder.as_ward()).await;
    assert_ne!(said.code, Some(0), "{}", said.all());
    system.pki(&["issue", "municipality/131229", "--replace"]).await;
    let said = system.folder.todoke(&["status"], &system.folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "a new certificate is good at once: {}", said.all());
    assert_eq!(pids(&system.folder.endpoints()), pids_before, "nobody was restarted");
    assert_eq!(system.dev.stop().await, Some(0));
}

#[tokio::test]
async fn an_upload_whose_certificate_is_revoked_ends_soon_with_the_words_of_a_call() {
    let mut system = System::start_with("2").await;
    system.folder.sample("many.csv", "8000").await;
    let args = ["import", "many.csv", "--chunk-records", "8"];
    let mut running = Running::start(&system.folder, &args, &system.folder.as_ward());
    running.until("uploading").await;
    system.pki(&["revoke", "municipality/131229"]).await;
    system.reload().await;
    let begun = std::time::Instant::now();
    let said = running.end().await;
    // Its patience is two minutes.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}: {}", begun.elapsed(), said.all());
    let status = system.folder.todoke(&["status"], &system.folder.as_ward()).await;
    for said in [said, status] {
        let result = said.result();
        assert_eq!((said.code, &result["outcome"]), (Some(1), &"failed".into()), "{}", said.all());
        let words = result["error"].as_str().expect("words");
        assert!(words.contains("this certificate was refused (CertificateRevoked)"), "{words}");
        assert!(words.contains("ask the operator for a new one"), "{words}");
    }
    system.pki(&["issue", "municipality/131229", "--replace"]).await;
    let said = system.folder.todoke(&["resume", "many.csv"], &system.folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "it goes on with a new one: {}", said.all());
    assert_eq!(system.dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_list_that_ends_is_spoken_of_before_and_lets_nobody_in_afterwards() {
    let mut system = System::start().await;
    let ward = of_party(&system.pki, "131229");
    let both = [("relays", "relay-1"), ("issuers", "issuer-1")];
    let authority = Authority::open(&system.pki, OffsetDateTime::now_utc()).expect("the CA");
    // Long enough for both to read it while it holds.
    let short = Duration::from_secs(15);
    authority.refresh_crl(short).expect("it is written");
    system.reload().await;
    for (kind, id) in both {
        eventually("it is spoken of", || system.log(id).contains("the CRL ends in")).await;
        let left = system.metric(kind, "todoke_tls_expires_in_seconds{part=\"crl\"}").await;
        assert!(0.0 < left && left <= 15.0, "the alarm has its number: {left}");
    }
    // An empty file in its place is no list: the old one holds until it ends, and then the door is closed.
    std::fs::write(system.pki.join("crl.pem"), "").expect("writable");
    system.reload().await;
    for (kind, id) in both {
        eventually("it is an error", || system.log(id).contains("stay in force")).await;
        assert!(system.metric(kind, "todoke_tls_reload_failures_total").await > 0.0);
    }
    let closed = async |address| refusal(&system.pki, Some(&ward), address).await.contains("fatal alert");
    for (kind, _) in both {
        let address = system.address(kind, "address");
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        while !tokio::time::timeout(Duration::from_secs(1), closed(address)).await.unwrap_or(false) {
            assert!(tokio::time::Instant::now() < until, "{kind} let somebody in by a list that has ended");
        }
    }
    assert!(both.iter().all(|(_, id)| !system.log(id).contains("No such file")));
    std::fs::remove_file(system.pki.join("crl.pem")).expect("it is there");
    system.reload().await;
    for (_, id) in both {
        eventually("that is an error too", || system.log(id).contains("No such file")).await;
    }
    let said = system.folder.todoke(&["status"], &system.folder.as_ward()).await;
    assert_ne!(said.code, Some(0), "no file does not mean no list: {}", said.all());
    assert_eq!(system.dev.stop().await, Some(0));
}
