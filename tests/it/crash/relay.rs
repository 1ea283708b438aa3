//! Promise: a relay that dies or stands still in the middle of an upload costs time and no record.

use super::{
    super::system::{Signal, eventually, is_alive, signal},
    harness::Scene,
};

/// Which relay has this process id.
fn named(scene: &Scene, pid: u32) -> String {
    let endpoints = scene.folder.endpoints();
    let relays = endpoints["relays"].as_array().expect("a list");
    let ours = relays.iter().find(|relay| relay["pid"] == pid).expect("it is a relay that passed the point");
    ours["id"].as_str().expect("a name").to_owned()
}

/// Imports a file over relays of which one ends or stands still in the middle; returns its process id and
/// name, and the result.
async fn imported(scene: &Scene, more: &[&str]) -> (u32, String, serde_json::Value) {
    let client = scene.import("cards.csv", more, &[]);
    let pid = scene.once().await;
    let id = named(scene, pid);
    let (code, result, heard) = client.ends().await;
    assert_eq!(code, Some(0), "{heard:?}");
    assert!(heard.iter().any(|event| event["event"] == "relay_left" && event["relay"] == *id), "{heard:?}");
    let seals = heard.iter().filter(|event| event["event"] == "sealing").count();
    assert_eq!(seals, 1, "what it left open went over another, and was not for the seal to find: {heard:?}");
    (pid, id, result)
}

#[tokio::test]
async fn killed_in_the_middle_of_an_upload_it_is_replaced_by_another() {
    let mut scene = Scene::start_at(Some("relay-mid-stream:2"), &[]).await;
    let (_, id, result) = imported(&scene, &[]).await;
    scene.is_back(&id).await;
    scene.is_done("cards.csv", &result).await;
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.over().await;
}

#[tokio::test]
async fn stopped_in_the_middle_of_an_upload_it_is_left_and_may_go_on_later() {
    let scene = Scene::start_at(Some("relay-mid-stream:2=stop"), &[]).await;
    let (pid, _, result) = imported(&scene, &["--ack-timeout", "1s"]).await;
    scene.is_done("cards.csv", &result).await;
    assert!(is_alive(pid), "it stands still, and is not dead");
    signal(Signal::CONT, pid);
    let ops = scene.folder.endpoints()["relays"].as_array().expect("a list").clone();
    let ops = ops.iter().find(|relay| relay["pid"] == pid).expect("it is still there")["ops"].clone();
    let ops: std::net::SocketAddr = ops.as_str().expect("an address").parse().expect("an address");
    eventually("the relay to say that it is ready", || ready(ops)).await;
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.sample("more.csv", 2).await;
    let (code, result, heard) = scene.import("more.csv", &["--streams", "2"], &[]).ends().await;
    assert_eq!(code, Some(0), "{heard:?}");
    scene.is_done("more.csv", &result).await;
    scene.has_the_cards_of(&["cards.csv", "more.csv"]).await;
    scene.over().await;
}

fn ready(ops: std::net::SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let answer = std::net::TcpStream::connect(ops).and_then(|mut connection| {
        connection.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map(|_| answer)
    });
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
