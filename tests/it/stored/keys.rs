//! Promise: a look at what is stored under a wrong key, or for a batch that is not there, is no proof and
//! changes nothing; a receipt comes back with the signature that it had, or not at all.

use serde_json::Value;

use super::{Folder, another_imported, batch_ids, count, damage, events, flipped, imported, verify};

async fn receipts(folder: &Folder) -> Vec<Vec<u8>> {
    let mut connection = super::beside(folder).await;
    sqlx::query_scalar("SELECT receipt FROM receipt ORDER BY sequence")
        .fetch_all(&mut connection)
        .await
        .expect("it reads")
}

/// Puts the receipt key of another CA's folder in the place of the store's own.
async fn another_receipt_key(folder: &Folder) {
    let said = folder.todoke(&["pki", "init", "--dir", "other"], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    std::fs::copy(folder.path("other/receipt.key"), folder.path("dev/pki/receipt.key")).expect("copied");
}

fn unrepaired(found: &[Value]) {
    for one in found {
        assert_eq!((&one["table"], &one["repaired"]), (&"receipt".into(), &false.into()), "{one}");
        assert!(one["repair"].as_str().expect("text").contains("--receipt-pub"), "{one}");
    }
}

#[tokio::test]
async fn no_receipt_is_signed_again_by_another_key_than_its_own() {
    let folder = Folder::new();
    imported(&folder).await;
    another_imported(&folder).await;
    let (own, whole) = (folder.read("dev/pki/receipt.key"), receipts(&folder).await);
    another_receipt_key(&folder).await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "{}", said.all());
    let found = events(&said, "finding");
    assert_eq!(found.len(), 2, "{}", said.all());
    unrepaired(&found);
    assert!(said.stderr.contains("no receipt opens with dev/pki/receipt.key"), "{}", said.all());
    assert!(said.stderr.contains("--receipt-pub"), "{}", said.all());
    assert_eq!(receipts(&folder).await, whole);
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM quarantine").await, 0);

    let former = ["--repair", "--receipt-pub", "dev/pki/receipt.pub"];
    assert_eq!(verify(&folder, &former).await.code, Some(0), "all are of the former key");
    // Damaged in its text, it comes out under the signature that stands there, by whichever key.
    damage(&folder, &format!("UPDATE receipt SET receipt = {} WHERE sequence = 1", flipped("receipt"))).await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!((said.code, events(&said, "finding").len()), (Some(4), 2), "{}", said.all());
    unrepaired(&events(&said, "finding"));
    assert_ne!(receipts(&folder).await, whole, "it is as it was damaged");
    let said = verify(&folder, &former).await;
    assert_eq!((said.code, events(&said, "finding").len()), (Some(0), 1), "{}", said.all());
    assert_eq!(receipts(&folder).await, whole, "byte for byte");

    std::fs::write(folder.path("dev/pki/receipt.key"), own).expect("it is written");
    let cut = "UPDATE receipt SET receipt = CAST(replace(CAST(receipt AS TEXT), char(10, 10),
        char(10, 10) || 'x') AS BLOB)";
    damage(&folder, cut).await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!((said.code, events(&said, "finding").len()), (Some(0), 2), "{}", said.all());
    assert_eq!(receipts(&folder).await, whole, "its own key proves itself by what is left");
    damage(&folder, "UPDATE receipt SET receipt = zeroblob(length(receipt)) WHERE sequence = 2").await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "nothing tells by which key it was signed: {}", said.all());
    assert!(!said.stderr.contains("no receipt opens"), "{}", said.all());
    assert_eq!(events(&said, "finding")[0]["repaired"], false);
}

#[tokio::test]
async fn what_is_not_there_is_not_said_to_be_whole() {
    let folder = Folder::new();
    imported(&folder).await;
    let ids = batch_ids(&folder).await;
    assert_eq!(verify(&folder, &["--batch", &ids[0], "--municipality", "131229"]).await.code, Some(0));
    let missing = "01a00000-0000-7000-8000-000000000000";
    for (flags, words) in [
        (&["--batch", missing][..], "there is no batch 01a00000"),
        (&["--municipality", "011002"], "011002 has no batch in"),
        (&["--batch", &ids[0], "--municipality", "011002"], "011002 has no batch 0"),
        (&["--batch", missing, "--repair"], "nothing was looked at"),
    ] {
        let said = verify(&folder, flags).await;
        assert_eq!(said.code, Some(1), "{flags:?}: {}", said.all());
        assert!(said.all().contains(words), "{flags:?}: {}", said.all());
        assert!(!said.all().contains("whole"), "{flags:?}: {}", said.all());
    }
}

#[tokio::test]
async fn a_rotation_with_the_two_keys_exchanged_says_that_nothing_was_rotated() {
    let folder = Folder::new();
    imported(&folder).await;
    std::fs::write(folder.path("new.key"), "5a1b".repeat(16)).expect("it is written");
    let mut command = folder.command(&["vault", "rotate"]);
    command.args(super::rotation::rotate("new.key", "dev/pki/kek.key"));
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
    let output = output.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("no key was wrapped: all 1 are under"), "{said}");
    assert!(said.contains("the files are exchanged") && said.contains("as --kek"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    let status = folder.todoke(&["vault", "status", "--database", "sqlite:dev/issuer.db"], &[]).await;
    assert_eq!((status.code, events(&status, "kek").len()), (Some(0), 1), "{}", status.all());
    let whole = verify(&folder, &[]).await;
    assert_eq!(whole.code, Some(0), "{}", whole.all());
}
