//! Promise: a signal denies nothing that is done.

use serde_json::json;
use tonic::Status;

use super::{liar::Malice, world::World};
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

/// Never gets at what was not accepted.
struct ListsNothing;

impl Malice for ListsNothing {
    fn refuses(&self, method: &str) -> Option<Status> {
        (method == "ListDispositions").then(|| Status::unavailable("not now"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_rejected_records_are_listed_ends_the_list_and_denies_no_receipt() {
    let mut world = World::new().await;
    world.liar(ListsNothing).await;
    let text = "order_id,kind,household_id,district,name,birth_date,sex,address\n\
        X-1,NOTIFICATION_CARD,H-1,白鳥一丁目,葛飾,1980-01-02,2,白鳥一丁目1番\n\
        X-2,NOTIFICATION_CARD,H-1,白鳥一丁目,葛飾,1980-01-02,7,白鳥一丁目1番\n";
    std::fs::write(world.folder.path("x.csv"), text).expect("writable");
    let words = ["import", "x.csv", "--policy", "accept-valid:1", "--patience", "80s"];
    let mut import = Running::start(&world.folder, &words, &world.folder.as_ward());
    import.until("receipt").await;
    signal(Signal::TERM, import.pid());
    let said = import.end().await;
    let result = said.result();
    assert_eq!((said.code, &result["outcome"]), (Some(0), &json!("receipted")), "{}", said.all());
    assert_eq!((&result["rejected"], &result["listing_broke"]), (&json!(1), &json!("it was interrupted")));
}
