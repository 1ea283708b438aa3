//! Promise: how an envelope stands follows from its history alone, so that an operator finds what was altered
//! and has it made again of what happened.

use super::{Folder, count, damage, events};
use crate::system::{Dev, Said};

const WARD: &str = "municipality/131229";
const PRESS: &str = "producer/press-1";
const POST: &str = "postal/office-1";
const OF_WARD: [&str; 2] = ["--municipality", "131229"];

async fn mail(folder: &Folder, who: &str, words: &[&str]) {
    let [endpoints, file, of, _] = folder.as_ward();
    let said = folder.todoke(&[&["mail"], words].concat(), &[endpoints, file, of, who.to_owned()]).await;
    assert!(matches!(said.code, Some(0 | 4)), "{words:?}: {}", said.all());
}

/// Imports a file, has an envelope come back and two stocktakes taken, and stops the system.
async fn lived(folder: &Folder) {
    let mut dev = Dev::start(folder, &["--relays", "1"]).await;
    folder.sample("cards.csv", "10").await;
    let said = folder.todoke(&["import", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let order = folder.order_ids("cards.csv")[0].clone();
    let produced = ["produced", "E-1", "--order-id", &order, "--scanned-cards", "1"];
    mail(folder, PRESS, &[&produced[..], &OF_WARD].concat()).await;
    mail(folder, POST, &[&["returned", "E-1"][..], &OF_WARD].concat()).await;
    mail(folder, WARD, &["store", "E-1", "--office", "亀有"]).await;
    std::fs::write(folder.path("shelf.txt"), "E-1\nE-2\n").expect("the folder is writable");
    mail(folder, WARD, &["stocktake", "shelf.txt", "--office", "亀有"]).await;
    mail(folder, WARD, &["retention", "--extend", "2030-12-31"]).await;
    assert_eq!(dev.stop().await, Some(0));
}

async fn replay(folder: &Folder, more: &[&str]) -> Said {
    let args = ["report", "replay", "--database", "sqlite:dev/issuer.db"];
    folder.todoke(&[&args[..], more].concat(), &[]).await
}

#[tokio::test]
async fn what_was_altered_is_named_and_made_again_of_its_history() {
    let folder = Folder::new();
    lived(&folder).await;
    let said = replay(&folder, &[]).await;
    assert_eq!((said.code, &said.result()["items"]), (Some(0), &3.into()), "{}", said.all());
    for (sql, kind) in [
        ("UPDATE item SET state = 'DISPOSED' WHERE kind = 'MAIL'", "MAIL"),
        ("UPDATE item SET since_ms = since_ms + 1 WHERE kind = 'MAIL'", "MAIL"),
        ("UPDATE item SET office = '白鳥' WHERE kind = 'MAIL'", "MAIL"),
        ("UPDATE item SET cards = 9 WHERE kind = 'MAIL'", "MAIL"),
        ("UPDATE item SET events = 9 WHERE kind = 'MAIL'", "MAIL"),
        (
            "UPDATE item SET details = replace(details, '\"surplus\":[[', '\"surplus\":[[\"E-7\",\"\"],[')
            WHERE kind = 'STOCKTAKE'",
            "STOCKTAKE",
        ),
        ("UPDATE item SET details = replace(details, '2030', '2016') WHERE kind = 'RETENTION'", "RETENTION"),
        ("DELETE FROM item WHERE kind = 'MAIL'", "MAIL"),
    ] {
        damage(&folder, sql).await;
        let said = replay(&folder, &[]).await;
        let found = events(&said, "different");
        assert_eq!((said.code, found.len()), (Some(4), 1), "{sql}: {}", said.all());
        assert_eq!((&found[0]["kind"], &found[0]["repaired"]), (&kind.into(), &false.into()), "{sql}");
        let said = replay(&folder, &["--repair"]).await;
        assert_eq!((said.code, &said.result()["repaired"]), (Some(0), &1.into()), "{sql}: {}", said.all());
        let said = replay(&folder, &[]).await;
        assert_eq!((said.code, &said.result()["different"]), (Some(0), &0.into()), "{sql}: {}", said.all());
    }
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM item WHERE state = 'STORED'").await, 1);
}

#[tokio::test]
async fn what_cannot_be_read_again_is_named_and_left_as_it_is() {
    let folder = Folder::new();
    lived(&folder).await;
    damage(
        &folder,
        "DROP TRIGGER history_fixed; DROP TRIGGER history_kept;
        UPDATE history SET event = '{}' WHERE kind = 'MAIL' AND position = 1;",
    )
    .await;
    let said = replay(&folder, &["--repair"]).await;
    let found = events(&said, "different");
    assert_eq!(
        (said.code, found.len(), &said.result()["repaired"]),
        (Some(4), 1, &0.into()),
        "{}",
        said.all()
    );
    damage(&folder, "DELETE FROM history WHERE kind = 'MAIL'").await;
    let said = replay(&folder, &["--repair"]).await;
    let what = events(&said, "different")[0]["what"].to_string();
    assert!(said.code == Some(4) && what.contains("no history"), "{}", said.all());
}
