//! Promise: certificates, CA and CRL are renewed while the server runs, and what cannot be relied on closes
//! the door instead of opening it.

use std::fs;

use todoke::{
    net::{
        ServerLimits,
        tls::{ClientTls, ServerTls, TlsError, TlsFiles},
    },
    runtime::clock::Clock,
};

use super::harness::{
    Beside, Ca, DAY_MS, Leaf, NAME, Server, call, client, clock, counted, empty, eventually, now,
};

async fn start(ca: &Ca, clock: Clock) -> Server {
    let crl = Some(ca.crl(1, &[], 7));
    Server::start(&TlsFiles { crl, ..ca.server() }, clock, ServerLimits::default()).await
}

#[tokio::test]
async fn a_revocation_works_without_a_restart_and_ends_the_connection_that_stands() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let server = start(&ca, clock()).await;
    let thief = client(&ca.leaf("thief", Leaf { serial: 13, ..Leaf::default() }), 0);
    let uris = vec!["spiffe://todoke/operator/alice"];
    let other = client(&ca.leaf("other", Leaf { serial: 14, uris, ..Leaf::default() }), 0);
    let (standing, others) = (server.channel(&thief), server.channel(&other));
    call(standing.clone(), "").await.expect("not revoked yet");
    call(others.clone(), "").await.expect("never revoked");
    let mut slow = Beside::begin(call(standing, "slow"));
    server.desk.begun.notified().await;
    let before = counted("todoke_connections_closed_total", "untrusted");
    ca.crl(2, &[13], 7);
    assert!(server.tls.reload().expect("a good list"), "it changed");
    slow.end().await.expect_err("the call in flight is cut off");
    eventually("it is counted", || counted("todoke_connections_closed_total", "untrusted") > before).await;
    server.call(&thief).await.expect_err("no new connection either");
    call(others, "").await.expect("another's connection stands");
    assert!(!server.tls.reload().expect("a good list"), "nothing changed since");
}

#[tokio::test]
async fn a_crl_that_is_missing_empty_or_out_of_date_closes_the_door() {
    let ca = Ca::new("ours");
    let crl = ca.crl(1, &[], 7);
    let files = TlsFiles { crl: Some(crl.clone()), ..ca.server() };
    let refused = |files: &TlsFiles| {
        let error = ServerTls::load_at(files, clock()).err().expect("refused");
        assert!(matches!(error, TlsError::Crl { .. }), "{error}");
        error.to_string()
    };
    ServerTls::load_at(&files, clock()).expect("a good list");
    ca.crl(2, &[], -1);
    assert!(refused(&files).contains("out of date"));
    empty(&crl);
    refused(&files);
    fs::write(&crl, fs::read(ca.path("ca.pem")).expect("there")).expect("writable");
    refused(&files);
    fs::remove_file(&crl).expect("there");
    refused(&files);
    let (first, second) = (ca.crl(3, &[], 7), fs::read(ca.crl(4, &[5], 7)).expect("there"));
    fs::write(&first, [fs::read(&first).expect("there"), second].concat()).expect("writable");
    assert!(refused(&files).contains("two lists"), "the second would be ignored in silence");
}

#[tokio::test]
async fn a_bad_reload_leaves_the_old_in_force_until_it_is_out_of_date() {
    let metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let clock = clock();
    let server = start(&ca, clock.clone()).await;
    let good = client(&ca.leaf("good", Leaf { days: (-30, 300), ..Leaf::default() }), 0);
    let failures = || {
        let text = metrics.render();
        let line = text.lines().find_map(|l| l.strip_prefix("todoke_tls_reload_failures_total "));
        line.map_or(0, |n| n.parse::<u64>().expect("a number"))
    };
    let before = failures();
    empty(&ca.path("crl.pem"));
    server.tls.reload().expect_err("an empty list");
    fs::write(ca.path("server.pem"), "nonsense").expect("writable");
    server.tls.reload().expect_err("no certificate");
    assert!(failures() >= before + 2);
    server.call(&good).await.expect("the old list and certificate hold");
    clock.advance(8 * DAY_MS);
    server.tls.reload().expect_err("still");
    let crl_closed = || counted("todoke_connections_refused_total", "crl_expired");
    let before = crl_closed();
    server.call(&good).await.expect_err("the list is out of date by now: nobody gets in");
    eventually("it is counted", || crl_closed() > before).await;
    ca.server();
    ca.crl(5, &[], 30);
    server.tls.reload().expect("both are mended");
    server.call(&good).await.expect("the door is open again");
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_after_the_clock_was_set_back_is_told() {
    let ca = Ca::new("ours");
    let clock = clock();
    let server = start(&ca, clock.clone()).await;
    let good = client(&ca.leaf("good", Leaf::default()), 0);
    server.call(&good).await.expect("all is good");
    assert_eq!(server.tls.ended(), Vec::<String>::new());
    clock.advance(-400 * DAY_MS);
    server.call(&good).await.expect_err("nobody gets in");
    let told = server.tls.ended();
    assert!(told.len() == 1 && told[0].contains("the own certificate is not valid for another"), "{told:?}");
    clock.advance(400 * DAY_MS);
    server.call(&good).await.expect("it is set right");
    assert_eq!(server.tls.ended(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_certificate_and_ca_are_used_from_the_next_connection_on() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let server = start(&old, clock()).await;
    let ours = old.files("server");
    let copy = |from: &str| {
        for name in [from, "ca"] {
            let to = if name == "ca" { "ca.pem" } else { "server.pem" };
            fs::copy(new.path(&format!("{name}.pem")), old.path(to)).expect("copied");
        }
        fs::copy(new.path(&format!("{from}.key")), &ours.key).expect("copied");
        new.crl(1, &[], 7);
        fs::copy(new.path("crl.pem"), old.path("crl.pem")).expect("copied");
    };
    let of_old = client(&old.leaf("client", Leaf::default()), 0);
    server.call(&of_old).await.expect("its own CA");
    new.server();
    let of_new = client(&new.leaf("client", Leaf::default()), 0);
    server.call(&of_new).await.expect_err("a stranger yet");
    copy("server");
    server.tls.reload().expect("all fits");
    server.call(&of_new).await.expect("its CA is the server's now");
    server.call(&of_old).await.expect_err("its CA is nobody's now");
}

#[tokio::test]
async fn a_ca_that_ends_is_believed_no_longer_beside_one_that_goes_on() {
    let (ends, goes_on) = (Ca::until("ends", 2), Ca::new("goes on"));
    let both = [fs::read(ends.path("ca.pem")), fs::read(goes_on.path("ca.pem"))];
    let both = both.map(|pem| pem.expect("there")).concat();
    fs::write(goes_on.path("both.pem"), both).expect("writable");
    let clock = clock();
    let files = TlsFiles { ca: goes_on.path("both.pem"), ..goes_on.server() };
    let server = Server::start(&files, clock.clone(), ServerLimits::default()).await;
    let of =
        |ca: &Ca| client(&TlsFiles { ca: goes_on.path("ca.pem"), ..ca.leaf("client", Leaf::default()) }, 0);
    let (old, new) = (of(&ends), of(&goes_on));
    server.call(&old).await.expect("both are good");
    server.call(&new).await.expect("both are good");
    clock.advance(3 * DAY_MS);
    assert!(server.tls.reload().expect("one is left"));
    server.call(&old).await.expect_err("its CA has ended");
    server.call(&new).await.expect("its CA goes on");
}

#[tokio::test]
async fn a_ca_that_ends_while_it_is_the_only_one_lets_nobody_in_whose_certificate_outlives_it() {
    let ca = Ca::until("ends", 2);
    let clock = clock();
    let server = Server::start(&ca.server(), clock.clone(), ServerLimits::default()).await;
    let files = ca.leaf("client", Leaf::default());
    let by =
        |clock: &Clock| ClientTls::load_at(&files, NAME, &[], clock.clone()).expect("good by that clock");
    let (ours, patient) = (by(&clock), client(&files, 0));
    server.call(&ours).await.expect("it is good for two days");
    clock.advance(3 * DAY_MS);
    server.tls.reload().expect_err("of a CA and expired");
    assert!(server.tls.ended().concat().contains("the CA is out of date"), "{:?}", server.tls.ended());
    let refused = || counted("todoke_connections_refused_total", "unknown_issuer");
    let before = refused();
    server.call(&patient).await.expect_err("the server sees that its CA has ended");
    eventually("it is counted", || refused() > before).await;
    let early = Server::start(&ca.server(), self::clock(), ServerLimits::default()).await;
    early.call(&patient).await.expect("both are of a time when the CA is good");
    early.call(&ours).await.expect_err("the client sees that its CA has ended");
}

#[tokio::test]
async fn a_client_shows_its_new_certificate_from_the_next_connection_on() {
    let ca = Ca::new("ours");
    let server = start(&ca, clock()).await;
    let tls = client(&ca.leaf("client", Leaf::default()), 0);
    server.call(&tls).await.expect("known");
    ca.leaf("client", Leaf { uris: vec!["spiffe://todoke/operator/alice"], ..Leaf::default() });
    assert!(tls.reload().expect("good files"));
    server.call(&tls).await.expect("known");
    fs::write(ca.path("client.pem"), "nonsense").expect("writable");
    tls.reload().expect_err("no certificate");
    server.call(&tls).await.expect("the old one is still shown");
    assert_eq!(server.callers(), ["municipality/131229", "operator/alice", "operator/alice"]);
}

#[test]
fn what_is_no_use_is_said_when_it_is_loaded() {
    let ca = Ca::new("ours");
    let good = ca.server();
    let words = |files: &TlsFiles| ServerTls::load_at(files, clock()).err().expect("refused").to_string();
    let other = ca.leaf("other", Leaf::default());
    let text = words(&TlsFiles { key: other.key.clone(), ..good.clone() });
    assert!(text.contains("Pass the key that the certificate was made for"), "{text}");
    let text = words(&ca.leaf("late", Leaf { days: (-30, -1), ..Leaf::default() }));
    assert!(text.contains("expired since"), "{text}");
    let text = words(&ca.leaf("early", Leaf { days: (1, 30), ..Leaf::default() }));
    assert!(text.contains("not valid for another"), "{text}");
    let text = words(&TlsFiles { ca: ca.path("server.key"), ..good.clone() });
    assert!(text.contains("server.key"), "{text}");
    let text = words(&TlsFiles { key: ca.path("none.key"), ..good.clone() });
    assert!(text.contains("none.key"), "{text}");
    let text = words(&TlsFiles { key: good.cert.clone(), ..good.clone() });
    assert!(text.contains("no private key"), "{text}");
    let past = Ca::until("past", -1);
    let text = words(&TlsFiles { ca: past.path("ca.pem"), ..good.clone() });
    assert!(text.contains("of a CA and expired"), "{text}");
    let name = ClientTls::load(&good, "not a host").err().expect("refused").to_string();
    assert!(name.contains("todoke.internal"), "{name}");
}

#[tokio::test]
async fn what_is_in_force_shows_for_how_long() {
    let metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let clock = clock();
    let server = start(&ca, clock.clone()).await;
    let expiry = server.tls.expiry();
    assert!((expiry.own - now().unix_timestamp() - 30 * 86_400).abs() < 60, "{expiry:?}");
    clock.advance(DAY_MS);
    server.tls.reload().expect("nothing changed");
    let text = metrics.render();
    let left = |part: &str| {
        let wanted = format!("todoke_tls_expires_in_seconds{{part=\"{part}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
        line.unwrap_or_else(|| panic!("{text}")).parse::<f64>().expect("a number")
    };
    for (part, days) in [("own", 29.0), ("crl", 6.0)] {
        assert!((left(part) / 86_400.0 - days).abs() < 0.01, "{part}: {text}");
    }
    assert!(left("ca") > left("own"));
}
