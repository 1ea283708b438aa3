//! Promise: a repair puts back only what the receipt proves, makes no card of a record that was none, takes
//! no order id from another batch and no chunk away that is whole, and says no more than it did.

use serde_json::Value;

use super::{Folder, IMPORT, RECORDS, Said, count, damage, events, imported, rotation::rotate, verify};
use crate::system::Dev;

/// Orders of all batches, and those of them that a key leads to.
async fn cards(folder: &Folder) -> (i64, i64) {
    let all = count(folder, "SELECT COUNT(*) FROM card_order").await;
    let led_to =
        "SELECT COUNT(*) FROM card_order AS o JOIN order_key AS k USING (municipality_code, order_id,
        batch_id, attempt, record_index)";
    (all, count(folder, led_to).await)
}

fn lines(folder: &Folder, file: &str) -> Vec<String> {
    let text = String::from_utf8(folder.read(file)).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// Imports a file with a record that is rejected and one that stands there twice, then another file that
/// brings a record of the first again, and stops the system.
pub(super) async fn imported_twice(folder: &Folder) {
    let mut dev = Dev::start(folder, &["--relays", "1"]).await;
    let sample = ["sample", "--municipality", "131229", "--records"];
    let first = [RECORDS, "--wrong-check-digit", "1", "--duplicate", "1", "--out", "cards.csv"];
    assert_eq!(folder.todoke(&[&sample[..], &first].concat(), &[]).await.code, Some(0));
    let more = ["100", "--seed", "9", "--out", "fresh.csv"];
    assert_eq!(folder.todoke(&[&sample[..], &more].concat(), &[]).await.code, Some(0));
    let said = folder.todoke(&IMPORT, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let place = "SELECT MIN(record_index) FROM card_order WHERE record_index NOT IN
        (SELECT other_index FROM disposition WHERE other_index IS NOT NULL)";
    let place = usize::try_from(count(folder, place).await).expect("it fits");
    let mut more = lines(folder, "fresh.csv");
    more.push(lines(folder, "cards.csv")[place + 1].clone());
    std::fs::write(folder.path("more.csv"), more.join("\r\n") + "\r\n").expect("it is written");
    let import = ["import", "more.csv", "--chunk-records", "64", "--policy", "accept-valid:9"];
    let said = folder.todoke(&import, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
    let kinds = "SELECT COUNT(DISTINCT kind || (other_batch_id = batch_id)) FROM disposition";
    assert_eq!(count(folder, "SELECT COUNT(*) FROM disposition").await, 3);
    assert_eq!(count(folder, kinds).await, 2, "duplicates within a batch and across two");
}

fn about(said: &Said, table: &str) -> Vec<Value> {
    let mut found = events(said, "finding");
    found.retain(|one| one["table"] == table);
    found
}

#[tokio::test]
async fn a_record_that_was_rejected_or_a_duplicate_never_becomes_a_card() {
    let folder = Folder::new();
    imported_twice(&folder).await;
    let (whole, before) = (folder.read("dev/issuer.db"), cards(&folder).await);
    assert_eq!(before, (300 - 1 + 100, 300 - 1 + 100), "the file has a line more than records");
    for sql in [
        "DELETE FROM disposition WHERE kind = 'REJECTED'",
        "DELETE FROM disposition WHERE other_batch_id = batch_id",
        "DELETE FROM disposition WHERE other_batch_id <> batch_id",
        // The list is as long as it was, and yet another.
        "UPDATE disposition SET record_index = record_index + 1 WHERE kind = 'REJECTED'",
    ] {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        damage(&folder, sql).await;
        for _ in 0..2 {
            let said = verify(&folder, &["--repair"]).await;
            assert_eq!(said.code, Some(4), "{sql}\n{}", said.all());
            let found = about(&said, "disposition");
            assert_eq!(found.len(), 1, "{sql}\n{}", said.all());
            assert!(found[0]["record"].is_u64() && found[0]["repaired"] == false, "{sql}: {found:#?}");
            assert!(events(&said, "finding").iter().all(|one| one["repaired"] == false), "{}", said.all());
        }
        assert_eq!(cards(&folder).await, before, "{sql}");
    }
}

#[tokio::test]
async fn an_order_is_made_again_only_if_no_other_batch_holds_its_id() {
    let folder = Folder::new();
    imported_twice(&folder).await;
    // The key was lost, and a batch that came later has taken it.
    let order = "batch_id = (SELECT batch_id FROM batch WHERE sequence = 1) AND record_index IN (70, 71, 72)
        AND record_index NOT IN (SELECT record_index FROM disposition)";
    let later = "(SELECT batch_id FROM batch WHERE sequence = 2)";
    let sql = format!(
        "DELETE FROM card_order WHERE {order};
        UPDATE order_key SET batch_id = {later}, record_index = 5 WHERE {order} AND record_index > 70"
    );
    damage(&folder, &sql).await;
    let (taken, before) =
        (format!("SELECT COUNT(*) FROM order_key WHERE batch_id = {later}"), cards(&folder));
    let (taken, before) = (taken.as_str(), before.await);
    let keys = count(&folder, taken).await;
    let first = about(&verify(&folder, &[]).await, "card_order");
    let no_card = |one: &Value| one["repair"].as_str().is_some_and(|words| words.contains("another batch"));
    let at_first: Vec<_> = first.iter().filter(|one| no_card(one)).map(|one| one["record"].clone()).collect();
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "{}", said.all());
    let found = about(&said, "card_order");
    let told: Vec<_> = found.iter().filter(|one| one["record"].is_u64()).collect();
    let refused: Vec<_> = told.iter().filter(|one| one["repaired"] == false).collect();
    assert!(told.len() > refused.len() && !refused.is_empty(), "{told:#?}");
    assert!(refused.iter().all(|one| no_card(one)), "{refused:#?}");
    let records: Vec<_> = refused.iter().map(|one| one["record"].clone()).collect();
    assert_eq!(at_first, records, "what --repair cannot do is said at the first look");
    assert_eq!(count(&folder, taken).await, keys, "each key stays where it is");
    let after = cards(&folder).await;
    let back = i64::try_from(told.len() - refused.len()).expect("few");
    assert_eq!((after.0 - before.0, after.1 - before.1), (back, back), "and the others are back");
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_costs_no_chunk_that_is_whole() {
    let folder = Folder::new();
    imported(&folder).await;
    let (whole, before) = (folder.read("dev/issuer.db"), cards(&folder).await);
    let reject = count(&folder, "SELECT record_index FROM disposition").await;
    let order = if reject == 70 { 71 } else { 70 };
    for column in ["order_id", "kind", "district", "accommodations"] {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        let sql =
            format!("UPDATE card_order SET {column} = CAST(x'ff' AS TEXT) WHERE record_index = {order}");
        damage(&folder, &sql).await;
        let said = verify(&folder, &["--repair"]).await;
        assert_eq!(said.code, Some(0), "it is made again of its chunk: {}", said.all());
        let found = events(&said, "finding");
        assert_eq!((found.len(), &found[0]["record"]), (1, &order.into()), "{column}: {found:#?}");
        assert_eq!(verify(&folder, &[]).await.code, Some(0), "{column}");
        assert_eq!(count(&folder, "SELECT COUNT(*) FROM chunk").await, 5, "{column}");
        assert_eq!(cards(&folder).await, before, "{column}");
    }
    std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
    damage(&folder, "UPDATE disposition SET code = CAST(x'ff' AS TEXT)").await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "there is no second copy of it: {}", said.all());
    let found = events(&said, "finding");
    assert_eq!(found.len(), 1, "nothing else is wrong: {found:#?}");
    assert_eq!((&found[0]["table"], &found[0]["chunk"]), (&"disposition".into(), &(reject / 64).into()));
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM chunk").await, 5, "none was set aside");
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM quarantine").await, 0);
}

#[tokio::test]
async fn nothing_is_said_to_be_put_right_that_could_not_be_written() {
    let folder = Folder::new();
    imported(&folder).await;
    let sql = "DELETE FROM card_order WHERE record_index IN (SELECT record_index FROM card_order LIMIT 3);
        CREATE TRIGGER no_more BEFORE INSERT ON card_order BEGIN SELECT RAISE(ABORT, 'no more'); END";
    damage(&folder, sql).await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(1), "{}", said.all());
    let found = about(&said, "card_order");
    assert!(found.len() == 3 && found.iter().all(|one| one["repaired"] == false), "{found:#?}");
}

#[tokio::test]
async fn a_key_that_is_no_text_ends_no_look_at_the_others() {
    let folder = Folder::new();
    imported_twice(&folder).await;
    damage(&folder, "UPDATE batch SET municipality_code = CAST(x'ff31' AS TEXT) WHERE sequence = 2").await;
    damage(&folder, "UPDATE card_order SET district = 'X' WHERE record_index = 70").await;
    for more in [&[][..], &["--repair"]] {
        let said = verify(&folder, more).await;
        assert_eq!(said.code, Some(4), "{}", said.all());
        let found = about(&said, "batch");
        assert!(found.iter().any(|one| one["municipality"] == "1"), "{found:#?}");
        let lost = about(&said, "receipt");
        assert_eq!(lost.len(), 1, "what it had belongs to no batch: {lost:#?}");
        assert_eq!(events(&said, "result")[0]["batches"], 1, "{}", said.all());
        assert!(about(&said, "card_order").iter().any(|one| one["record"] == 70), "{}", said.all());
    }
}

#[tokio::test]
async fn a_rotation_that_is_gone_on_with_under_the_wrong_key_changes_nothing_and_is_not_finished() {
    let folder = Folder::new();
    imported_twice(&folder).await;
    for (name, key) in [("new.key", "5a1b"), ("other.key", "77aa")] {
        std::fs::write(folder.path(name), key.repeat(16)).expect("it is written");
    }
    std::fs::copy(folder.path("dev/pki/kek.key"), folder.path("old.key")).expect("it is copied");
    damage(
        &folder,
        "CREATE TABLE before AS SELECT batch_id AS id, wrapped_key AS wrapped FROM batch;
        UPDATE batch SET attempt = attempt",
    )
    .await;
    let said = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    // As it was left by a rotation that broke off after the first batch.
    damage(
        &folder,
        "UPDATE batch SET wrapped_key = (SELECT wrapped FROM before WHERE id = batch_id)
            WHERE sequence = 2;
        INSERT INTO wrapped_secret (name, wrapped)
            SELECT 'rotation', substr(wrapped_key, 2, 8) FROM batch WHERE sequence = 1",
    )
    .await;
    let wrong = folder.todoke(&["vault", "rotate"], &rotate("other.key", "new.key")).await;
    assert_eq!(wrong.code, Some(1), "{}", wrong.all());
    assert!(wrong.stdout.contains("Nothing was changed"), "{}", wrong.all());
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM wrapped_secret WHERE name = 'rotation'").await, 1);
    let right = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(right.code, Some(0), "{}", right.all());
    assert_eq!(events(&right, "result")[0]["wrapped"], 1, "{}", right.all());
    // One batch that names a key nobody has keeps nobody from rotating all others.
    let lost = "unhex(substr(hex(wrapped_key), 1, 2) || '0000000000000000' || substr(hex(wrapped_key), 19))";
    damage(&folder, &format!("UPDATE batch SET wrapped_key = {lost} WHERE sequence = 2")).await;
    let on = folder.todoke(&["vault", "rotate"], &rotate("new.key", "other.key")).await;
    assert_eq!(on.code, Some(4), "{}", on.all());
    let result = &events(&on, "result")[0];
    assert_eq!((&result["wrapped"], result["lost"].as_array().map(Vec::len)), (&1.into(), Some(1)));
}
