//! Promise: of issuers that start at once on a new database one says which key is in use, and a key takes the
//! place of the one that it was to replace or of none.

use super::*;
use crate::store::{KeyCheck, KeyName, NotedKey};

fn check(n: u8) -> KeyCheck {
    KeyCheck { id: format!("k-{n}"), value: [n; 32] }
}

contract!(one_key_of_a_name_is_in_use, |case| {
    assert_eq!(case.store.key_in_use(KeyName::Kek).await.expect("reads"), None);
    let checks: Vec<KeyCheck> = (1..9).map(check).collect();
    let noted = checks.iter().map(|check| case.store.note_key(KeyName::Kek, 0, check));
    let noted = futures_util::future::join_all(noted).await;
    let noted: Vec<NotedKey> = noted.into_iter().map(|noted| noted.expect("a transaction")).collect();
    let first = case.store.key_in_use(KeyName::Kek).await.expect("reads").expect("one was noted");
    assert!(first.number == 1 && noted.iter().all(|one| *one == first), "{noted:?}");
    let later = case.store.note_key(KeyName::Kek, 1, &check(20)).await.expect("a transaction");
    assert_eq!(later, NotedKey { number: 2, check: check(20) });
    let late = case.store.note_key(KeyName::Kek, 1, &check(30)).await.expect("a transaction");
    assert_eq!(late, later, "somebody else was first");
    assert_eq!(case.store.key_in_use(KeyName::Receipt).await.expect("reads"), None, "each for itself");
    let case = case.reopened(|_| ()).await;
    assert_eq!(case.store.key_in_use(KeyName::Kek).await.expect("reads"), Some(later));
});
