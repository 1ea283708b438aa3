//! Promise: a client of ours that was given some relays learns the others from the signed view, sends nothing
//! more over one that is drained, and starts with the view it kept when none that it was given answers.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::json;
use todoke::client::{calls::CallOptions, endpoints::Endpoints, session::Session};
use tokio::time::Instant;

use super::harness::{Pool, WARDS, drain, eventually, quick, undrain};

/// Writes an `endpoints.json` with these relays.
fn endpoints(pool: &Pool, relays: &[(&str, SocketAddr)]) -> PathBuf {
    let relays: Vec<_> = relays.iter().map(|(id, address)| json!({"id": id, "address": address})).collect();
    let text = json!({
        "server_name": "todoke.internal", "ca": "pki/ca.pem", "receipt_key": "receipt.pub", "relays": relays,
        "clients": {WARDS[0]: {"cert": "pki/131229.pem", "key": "pki/131229.key"}},
    });
    let folder = pool.issuer.dir.path();
    std::fs::write(folder.join("receipt.pub"), pool.issuer.verifier.to_string()).expect("writable");
    std::fs::write(folder.join("endpoints.json"), text.to_string()).expect("writable");
    folder.join("endpoints.json")
}

fn session(pool: &Pool, relays: &[(&str, SocketAddr)]) -> Session {
    let endpoints = Endpoints::load(&endpoints(pool, relays)).expect("just written");
    Session::connect(&endpoints, WARDS[0], CallOptions::default(), 7, Arc::new(|_| ())).expect("all is there")
}

/// Over which relays calls go now.
fn used(session: &Session) -> BTreeSet<String> {
    let picker = session.caller.picker();
    (0..300).map(|_| picker.pick(&[], Instant::now()).name().to_owned()).collect()
}

async fn uses(session: &Session, relays: &[&str]) {
    let expected: BTreeSet<String> = relays.iter().map(|name| (*name).to_owned()).collect();
    eventually(&format!("calls go over {relays:?}"), || async { (used(session) == expected).then_some(()) })
        .await;
    for call in 0..20 {
        session.list_batches("").await.unwrap_or_else(|error| panic!("call {call}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_learns_the_pool_from_one_relay_leaves_the_drained_and_starts_by_what_it_kept() {
    let pool = Pool::start(quick()).await;
    let mut relays = pool.relays(3).await;
    let first = relays[0].running.address;
    let client = session(&pool, &[("relay-1", first)]);
    uses(&client, &["relay-1", "relay-2", "relay-3"]).await;

    pool.order(drain("d-1", "relay-2")).await.expect("one of three may go");
    uses(&client, &["relay-1", "relay-3"]).await;
    let kept = pool.issuer.dir.path().join("endpoints.json.todoke-view");
    let version = pool.list().await.view_version;
    eventually("the view is kept", || async {
        let note = std::fs::read_to_string(&kept).ok()?;
        note.contains(&format!("\nversion {version}\n")).then_some(())
    })
    .await;
    drop(client);

    // Nobody is where endpoints.json says: the first relay is dead.
    drop(relays.remove(0));
    let client = session(&pool, &[("relay-1", first)]);
    let list = client.list_batches("").await;
    assert!(list.is_ok(), "{:?}", list.err().map(|error| error.to_string()));
    pool.order(undrain("u-1", "relay-2")).await.expect("it may come back");
    eventually("relay-2 is used again", || async { used(&client).contains("relay-2").then_some(()) }).await;
}
