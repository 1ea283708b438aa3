//! Promise: beside a receipt that is whole the row that was changed is named, never the receipt.

use serde_json::Value;

use super::{FIRST, Folder, Said, count, damage, events, repair::imported_twice, verify};

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
