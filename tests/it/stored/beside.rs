//! Promise: beside a receipt that is whole the row that was changed is named, never the receipt; what belongs
//! to nothing is found, too, and goes when its own remedy is followed.

use serde_json::Value;

use super::{FIRST, Folder, Said, count, damage, events, imported, repair::imported_twice, verify};

type Place<'a> = (&'a str, Option<i64>, Option<i64>);

/// The one finding there is; `place` is where it must be.
fn only(said: &Said, place: Place<'_>, sql: &str) -> Value {
    assert_eq!(said.code, Some(4), "{sql}\n{}", said.all());
    let found = events(said, "finding");
    assert_eq!(found.len(), 1, "{sql}: {found:#?}");
    let at = (&found[0]["table"], &found[0]["chunk"], &found[0]["record"]);
    assert_eq!(at, (&place.0.into(), &place.1.into(), &place.2.into()), "{sql}: {found:#?}");
    found[0].clone()
}

#[tokio::test]
async fn what_differs_from_a_whole_receipt_is_named_in_its_place() {
    let folder = Folder::new();
    imported_twice(&folder).await;
    let rejected = format!("kind = 'REJECTED' AND {FIRST}");
    let record = count(&folder, &format!("SELECT record_index FROM disposition WHERE {rejected}")).await;
    let (entry, list) = (("disposition", Some(record / 64), Some(record)), ("disposition", None, None));
    let whole = folder.read("dev/issuer.db");
    let of_batch = ["state = 'ACCEPTED'", "state = 'DISCREPANT'", "finished_ms = finished_ms + 1"];
    let of_batch =
        [&of_batch[..], &["attempt = 2", "accepted = accepted - 1, rejected = rejected + 1"]].concat();
    let of_batch = of_batch
        .into_iter()
        .map(|set| (format!("UPDATE batch SET {set} WHERE {FIRST}"), ("batch", None, None)));
    let of_entry = ["code = 'X'", "code = 'SEX_INVALID'", "field = 'sex'", "kind = 'DUPLICATE'"];
    let of_entry =
        of_entry.into_iter().map(|set| (format!("UPDATE disposition SET {set} WHERE {rejected}"), entry));
    // No record says which one came first.
    let of_list =
        format!("UPDATE disposition SET other_index = other_index + 1 WHERE kind = 'DUPLICATE' AND {FIRST}");
    for (sql, place) in of_batch.chain(of_entry).chain([(of_list, list)]) {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        damage(&folder, &sql).await;
        for more in [&[][..], &["--repair"]] {
            let found = only(&verify(&folder, more).await, place, &sql);
            let next = found["repair"].as_str().unwrap_or_default();
            let of = format!("of `{}`", place.0);
            assert!(next.starts_with("restore the row") && next.contains(&of), "{sql}: {next}");
        }
    }
}

/// Does what a finding says.
async fn obey(folder: &Folder, found: &Value) {
    let next = found["repair"].as_str().unwrap_or_default();
    let sql = next.split('`').nth(1).unwrap_or_else(|| panic!("no statement: {next}"));
    damage(folder, sql).await;
}

#[tokio::test]
async fn rows_that_belong_to_nothing_are_found_and_can_be_taken_away() {
    let folder = Folder::new();
    imported(&folder).await;
    let reject = count(&folder, "SELECT record_index FROM disposition").await;
    let whole = folder.read("dev/issuer.db");
    let order =
        "SELECT municipality_code, batch_id, 7, record_index, order_id, leaf, kind, district, person_index,
        protected, accommodations, ordered_ms, sealed FROM card_order LIMIT 2";
    let chunk =
        "SELECT municipality_code, batch_id, 77, root, record_count, uploader_epoch, relay, stored_ms, sealed
        FROM chunk WHERE chunk_number = 1";
    let entry =
        "SELECT municipality_code, batch_id, 7, record_index, order_id, kind, code, field, other_batch_id,
        other_index FROM disposition";
    for (table, rows, number) in
        [("card_order", order, None), ("chunk", chunk, Some(77)), ("disposition", entry, None)]
    {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        let sql = format!("INSERT INTO {table} {rows}");
        damage(&folder, &sql).await;
        let found = only(&verify(&folder, &["--repair"]).await, (table, number, None), &sql);
        obey(&folder, &found).await;
        let clean = verify(&folder, &[]).await;
        assert_eq!(clean.code, Some(0), "{sql}\n{}", clean.all());
    }
    // A chunk whose number was changed is missing under its own, and is made again first.
    std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
    let moved = if reject / 64 == 1 { 2 } else { 1 };
    damage(&folder, &format!("UPDATE chunk SET chunk_number = 77 WHERE chunk_number = {moved}")).await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "{}", said.all());
    let again: Vec<_> = events(&said, "finding").into_iter().filter(|one| one["repaired"] == true).collect();
    assert_eq!((again.len(), &again[0]["chunk"]), (1, &moved.into()), "{}", said.all());
    let found = only(&verify(&folder, &["--repair"]).await, ("chunk", Some(77), None), "the rest");
    obey(&folder, &found).await;
    assert_eq!(verify(&folder, &[]).await.code, Some(0));
    // Which of the two was altered nobody knows without a receipt.
    damage(&folder, &format!("DELETE FROM receipt; INSERT INTO card_order {order}")).await;
    let found = events(&verify(&folder, &[]).await, "finding");
    let strays = found.iter().find(|one| one["table"] == "card_order").expect("it is found");
    let next = strays["repair"].as_str().unwrap_or_default();
    assert!(next.contains("backup") && !next.contains("DELETE"), "{next}");
}
