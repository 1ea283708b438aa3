//! Promise: a signal denies nothing that is done.

use serde_json::json;

use crate::system::{Dev, Folder, Running, Signal, signal};

#[tokio::test]
async fn a_signal_after_the_receipt_is_written_does_not_deny_it() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    folder.sample("cards.csv", "20").await;
    // So that the end of the command waits for the view to be kept.
    let lock = std::fs::File::create(folder.path("dev/endpoints.json.todoke-view.lock")).expect("writable");
    lock.lock().expect("nobody else has it");
    let mut import = Running::start(&folder, &["import", "cards.csv"], &folder.as_ward());
    import.until("receipt").await;
    signal(Signal::TERM, import.pid());
    let said = import.end().await;
    let result = said.result();
    assert_eq!((said.code, &result["exit_code"]), (Some(0), &json!(0)), "{}", said.all());
    drop(lock);
    assert_eq!(dev.stop().await, Some(0));
}
