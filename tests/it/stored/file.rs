//! Promise: a bit that flips in the file itself is found, also where no read of the issuer's would meet it;
//! what cannot be put right here is not said to be.

use sqlx::Connection as _;

use super::{Dev, Folder, batch_ids, beside, count, damage, events, imported, verify};

/// Where the key of one batch stands in the file: in its rows, in the indexes over them, and where rows were.
fn places(file: &[u8], id: &[u8]) -> Vec<usize> {
    let key = [b"131229".as_slice(), id].concat();
    let found = file.windows(key.len()).enumerate().filter(|(_, window)| *window == key.as_slice());
    found.map(|(at, _)| at + key.len() - 1).collect()
}

/// The batches that the rows themselves name, whatever the indexes say.
async fn named(folder: &Folder) -> Vec<Vec<u8>> {
    let mut connection = beside(folder).await;
    let all = "SELECT batch_id FROM card_order NOT INDEXED UNION SELECT batch_id FROM chunk NOT INDEXED
        UNION SELECT batch_id FROM manifest NOT INDEXED UNION SELECT batch_id FROM receipt NOT INDEXED";
    let named = sqlx::query_scalar(all).fetch_all(&mut connection).await;
    connection.close().await.expect("it closes");
    named.expect("it reads")
}

#[tokio::test]
async fn a_bit_that_flips_in_the_key_of_a_row_is_found_though_its_index_is_whole() {
    let folder = Folder::new();
    imported(&folder).await;
    let whole = folder.read("dev/issuer.db");
    let id = uuid::Uuid::parse_str(&batch_ids(&folder).await[0]).expect("an id");
    let places = places(&whole, id.as_bytes());
    assert!(places.len() > 300, "{} places", places.len());
    let mut rows = 0;
    for at in places.iter().step_by(places.len() / 48) {
        let mut flipped = whole.clone();
        flipped[*at] ^= 1;
        std::fs::write(folder.path("dev/issuer.db"), &flipped).expect("it is written");
        if named(&folder).await == [id.as_bytes()] {
            continue; // it is in an index, or where no row stands any more
        }
        rows += 1;
        let said = verify(&folder, &[]).await;
        assert_eq!(said.code, Some(4), "byte {at}: {}", said.all());
    }
    assert!(rows > 5, "{rows} of the places were in rows");
}

#[tokio::test]
async fn a_row_that_no_index_leads_to_is_told_with_what_to_do() {
    let folder = Folder::new();
    imported(&folder).await;
    // An index that is said to be over another column than it is: no row can be found by it.
    damage(
        &folder,
        "PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, '(opened_ms)', '(seal_by_ms)')
        WHERE name = 'batch_opened'",
    )
    .await;
    let said = verify(&folder, &[]).await;
    assert_eq!(said.code, Some(4), "{}", said.all());
    let found = events(&said, "finding");
    let one = found.iter().find(|one| one["table"] == "file").expect("it is told");
    assert!(one["what"].as_str().is_some_and(|what| what.contains("batch_opened")), "{one}");
    assert!(one["repair"].as_str().is_some_and(|repair| repair.contains("restore the last backup")), "{one}");
    let part = verify(&folder, &["--municipality", "131229"]).await;
    assert_eq!(part.code, Some(0), "of one municipality only its rows are read: {}", part.all());
}

#[tokio::test]
async fn counts_that_were_altered_are_not_said_to_be_repaired_by_repair() {
    let folder = Folder::new();
    imported(&folder).await;
    damage(&folder, "UPDATE batch SET accepted = accepted - 1, rejected = rejected + 1").await;
    assert_eq!(count(&folder, "SELECT rejected FROM batch").await, 2);
    for more in [&[][..], &["--repair"]] {
        let said = verify(&folder, more).await;
        assert_eq!(said.code, Some(4), "{}", said.all());
        let found = events(&said, "finding");
        let one = found.iter().find(|one| one["table"] == "batch").expect("it is told");
        assert_eq!(one["repaired"], false, "{one}");
        let next = one["repair"].as_str().expect("what is to be done");
        assert!(
            next.starts_with("restore the row of `batch` from a backup") && !next.contains("--repair"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn a_state_of_the_pool_that_cannot_be_read_is_named_with_what_to_do_and_that_helps() {
    let folder = Folder::new();
    imported(&folder).await;
    assert_eq!(verify(&folder, &[]).await.code, Some(0));
    damage(&folder, "UPDATE pool_state SET state = substr(state, 1, length(state) / 2)").await;
    let said = verify(&folder, &[]).await;
    let words = said.all();
    assert!(
        said.code == Some(4) && words.contains("pool_state") && words.contains("register anew"),
        "{words}"
    );
    damage(&folder, "DELETE FROM pool_state").await; // as it says
    assert_eq!(verify(&folder, &[]).await.code, Some(0));
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    assert_eq!(dev.stop().await, Some(0));
}
