//! Promise: a bit that flips in the file itself is found, also where no read of the issuer's would meet it;
//! what cannot be put right here is not said to be.

use super::{Folder, count, damage, events, imported, verify};

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
        assert!(next.starts_with("restore the row from a backup") && !next.contains("--repair"), "{next}");
    }
}
