//! Promise: while the CRL is out of date, so that nobody gets in, issuer and relay say it where they are
//! watched, and are well again without a restart once it is renewed.

use std::time::Duration;

use todoke::net::pki::Authority;

use super::system::{Dev, Folder, Signal, http, pids, signal};

/// Writes the CRL anew, to hold for this long, and tells every process to read it.
fn renew_crl(folder: &Folder, lifetime: Duration) {
    let authority = Authority::open(&folder.path("dev/pki"), time::OffsetDateTime::now_utc());
    authority.expect("the authority").refresh_crl(lifetime).expect("it is written");
    pids(&folder.endpoints()).into_iter().for_each(|pid| signal(Signal::HUP, pid));
}

/// Waits until the ops port of the first of a kind answers so.
async fn says(folder: &Folder, kind: &str, path: &str, status: &str, words: &str) {
    let ops = folder.endpoints()[kind][0]["ops"].as_str().expect("text").parse().expect("an address");
    let asking = async {
        loop {
            let page = http(ops, path).await;
            if page.starts_with(status) && page.contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), asking).await;
    in_time.unwrap_or_else(|_| panic!("{kind} never said {status} {words}"));
}

async fn both_say(folder: &Folder, status: &str, words: &str) {
    for kind in ["relays", "issuers"] {
        says(folder, kind, "/readyz", status, words).await;
    }
}

#[tokio::test]
async fn a_crl_that_is_out_of_date_makes_everybody_not_ready_until_it_is_renewed() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    both_say(&folder, "HTTP/1.1 200", "ready").await;
    renew_crl(&folder, Duration::from_secs(5));
    both_say(&folder, "HTTP/1.1 503", "the CRL is out of date since").await;
    both_say(&folder, "HTTP/1.1 503", "nobody gets in until it is renewed").await;
    let out = "todoke_pool_unit_state{unit=\"relay-1\",state=\"JOINING\"} 1";
    says(&folder, "issuers", "/metrics", "HTTP/1.1 200", out).await;
    renew_crl(&folder, Duration::from_secs(86_400));
    both_say(&folder, "HTTP/1.1 200", "ready").await;
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}
