//! Promise: what an operator does to a database that is a file he does to one of a server, by the same
//! commands.

use std::path::Path;

use todoke::store::throwaway::{DATABASE, Throwaway};

use super::{
    super::{
        issuance::{beside::Beside, databases::tool},
        system::{Dev, Folder, Said},
    },
    IMPORT, events, flipped, imported_into, verify_at,
};

/// A system's folder, and the server that has its database.
struct Place {
    folder: Folder,
    server: Throwaway,
    url: String,
}

impl Place {
    async fn new() -> Self {
        let server = Throwaway::prepared(Path::new(env!("CARGO_TARGET_TMPDIR")), "").await;
        let server = server.unwrap_or_else(|trouble| panic!("{trouble}"));
        let url = server.url(DATABASE);
        Self { folder: Folder::new(), server, url }
    }

    /// Starts the system.
    async fn dev(&self) -> Dev {
        Dev::start(&self.folder, &["--relays", "1", "--database", &self.url]).await
    }

    /// One that has taken a file of which one record is rejected, and does not run.
    async fn imported() -> Self {
        let place = Self::new().await;
        imported_into(&place.folder, &["--database", &place.url]).await;
        place
    }

    async fn damage(&self, sql: &str) {
        let mut beside = Beside::server(&self.server).await;
        assert!(beside.damage(sql).await > 0, "nothing was damaged by {sql}");
        beside.close().await;
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut beside = Beside::server(&self.server).await;
        let rows: Vec<(i64,)> = beside.read(sql.to_owned()).await;
        beside.close().await;
        rows.first().expect("one row").0
    }

    async fn verify(&self, more: &[&str]) -> Said {
        verify_at(&self.folder, &self.url, more).await
    }

    /// Runs a command over the database.
    async fn todoke(&self, words: &[&str], more: &[&str]) -> Said {
        self.folder.todoke(&[words, &["--database", &self.url], more].concat(), &[]).await
    }

    /// Runs a command of the municipality.
    async fn ward(&self, words: &[&str]) -> Said {
        self.folder.todoke(words, &self.folder.as_ward()).await
    }
}

#[tokio::test]
async fn what_is_damaged_in_a_database_of_a_server_is_named_and_made_again_and_not_beside_an_issuer() {
    let place = Place::imported().await;
    let receipt = place.folder.read("cards.csv.receipt");
    let reject = place.number("SELECT record_index / 64 FROM disposition").await;
    let whole = (0..5).find(|number| *number != reject).expect("one of five");
    let other = (whole + 1..5).find(|number| *number != reject).expect("another") * 64;
    for sql in [
        format!("UPDATE chunk SET sealed = {} WHERE chunk_number = {whole}", flipped("sealed")),
        format!("UPDATE receipt SET receipt = {}", flipped("receipt")),
        format!("DELETE FROM card_order WHERE record_index = {other}"),
        "UPDATE batch SET state = 'ACCEPTEE'".to_owned(),
    ] {
        place.damage(&sql).await;
    }
    let found = place.verify(&[]).await;
    assert_eq!(found.code, Some(4), "{}", found.all());
    let tables: Vec<_> = events(&found, "finding").iter().map(|one| one["table"].to_string()).collect();
    assert!(tables.contains(&"\"batch\"".to_owned()), "{tables:?}");
    place.damage("UPDATE batch SET state = 'ACCEPTED_WITH_REJECTS'").await;
    let mut dev = place.dev().await;
    let beside = place.verify(&["--repair"]).await;
    assert_eq!(beside.code, Some(1), "{}", beside.all());
    assert!(beside.stdout.contains("stop it to repair"), "{}", beside.all());
    assert_eq!(place.verify(&[]).await.code, Some(4), "an issuer may run while it is looked at");
    assert_eq!(dev.stop().await, Some(0));
    let said = place.verify(&["--repair"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let found = events(&said, "finding");
    assert!(found.len() >= 3 && found.iter().all(|one| one["repaired"] == true), "{found:#?}");
    let clean = place.verify(&[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    let mut dev = place.dev().await;
    std::fs::remove_file(place.folder.path("cards.csv.receipt")).expect("it is there");
    let said = place.ward(&IMPORT).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(place.folder.read("cards.csv.receipt"), receipt, "byte for byte");
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn the_key_of_a_database_of_a_server_is_changed_while_no_issuer_is_connected() {
    let place = Place::imported().await;
    let key = place.folder.path("dev/pki/kek.key");
    std::fs::copy(&key, place.folder.path("old.key")).expect("it is copied");
    std::fs::write(place.folder.path("new.key"), "5a1b".repeat(16)).expect("it is written");
    let keys = ["--kek", "old.key", "--new-kek", "new.key"];
    let mut dev = place.dev().await;
    let running = place.todoke(&["vault", "rotate"], &keys).await;
    assert_eq!(running.code, Some(1), "{}", running.all());
    assert!(running.stdout.contains("stop it, rotate"), "{}", running.all());
    assert_eq!(dev.stop().await, Some(0));
    let said = place.todoke(&["vault", "rotate"], &keys).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(events(&said, "result")[0]["wrapped"], 1);
    let again = place.todoke(&["vault", "rotate"], &keys).await;
    assert_eq!(events(&again, "result")[0]["already"], 1, "{}", again.all());
    let status = place.todoke(&["vault", "status"], &[]).await;
    assert_eq!(events(&status, "kek").len(), 1, "{}", status.all());
    let stale = place.verify(&[]).await;
    assert_eq!(stale.code, Some(64), "the old key opens nothing any more: {}", stale.all());
    std::fs::copy(place.folder.path("new.key"), &key).expect("it is copied");
    let clean = place.verify(&[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    let mut dev = place.dev().await;
    let said = place.ward(&IMPORT).await;
    assert_eq!((said.code, &said.result()["again"]), (Some(0), &true.into()), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_backup_in_the_place_of_a_database_of_a_server_is_said_to_be_one_and_compared() {
    let place = Place::new().await;
    let mut dev = place.dev().await;
    for (file, seed) in [("a.csv", "1"), ("b.csv", "2"), ("c.csv", "3")] {
        place.folder.sample_with(file, "100", &["--seed", seed]).await;
    }
    assert_eq!(place.ward(&["import", "a.csv"]).await.code, Some(0));
    let backup = place.folder.path("backup").display().to_string();
    tool(&place.server, "pg_dump", &["--format=custom", "--file", &backup, DATABASE]);
    let said = place.ward(&["import", "b.csv"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let (before, receipt) = (place.folder.ordered().await, place.folder.read("b.csv.receipt"));
    assert_eq!(dev.stop().await, Some(0));

    tool(&place.server, "dropdb", &[DATABASE]);
    place.server.create(DATABASE).await.expect("it is made");
    tool(&place.server, "pg_restore", &["--exit-on-error", "--dbname", DATABASE, &backup]);
    let said = place.todoke(&["restore", "mark"], &["--reason", "a disk was lost"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let mut dev = place.dev().await;
    let said = place.ward(&["import", "c.csv"]).await;
    assert_eq!((said.code, &said.result()["reason"]), (Some(1), &"RECONCILE_FIRST".into()), "{}", said.all());
    let said = place.todoke(&["restore", "status"], &[]).await;
    assert_eq!((said.code, &said.result()["waiting"]), (Some(1), &1.into()), "beside it: {}", said.all());
    let said = place.ward(&["reconcile", "--all", "a.csv", "b.csv"]).await;
    assert_eq!((said.code, &said.result()["reconcile_first"]), (Some(1), &false.into()), "{}", said.all());
    let said = place.ward(&["resume", "b.csv"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(place.folder.read("b.csv.receipt"), receipt, "the receipt that it had, byte for byte");
    assert_eq!(place.folder.ordered().await, before, "each card once");
    let said = place.todoke(&["restore", "status"], &[]).await;
    assert_eq!((said.code, &said.result()["lost"]), (Some(0), &0.into()), "{}", said.all());
    let said = place.todoke(&["restore", "release", "131229"], &["--reason", "a test"]).await;
    let known = (said.code, &said.result()["known"], &said.result()["given_up"]);
    assert_eq!(known, (Some(0), &true.into(), &0.into()), "{}", said.all());
    assert_eq!(place.ward(&["import", "c.csv"]).await.code, Some(0));
    assert_eq!(dev.stop().await, Some(0));
}
