//! Promise: one damaged row, a key that does not open, or the wrong key file costs no batch that is whole.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    issuance,
};

use super::{
    harness::{Issuer, Party, batch, eventually, id, records, state},
    noticing::listen,
};

/// Sends all of a batch and leaves it unsealed.
async fn sent(ward: &Party, n: u32, prefix: &str) -> super::harness::Batch {
    let sent = batch(ward.code(), n, Policy::AllOrNothing, &records(prefix, 10));
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("all is taken");
    sent
}

#[tokio::test]
async fn work_on_a_damaged_row_is_put_off_and_the_sweeper_still_tells_of_the_others() {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    sent(&ward, 1, "A").await;
    issuer
        .damage(
            "PRAGMA ignore_check_constraints = ON;
            BEGIN IMMEDIATE;
            UPDATE batch SET state = 'SEALDE', manifest_digest = x'00';
            INSERT INTO work (municipality_code, batch_id, attempt, due_ms)
                SELECT municipality_code, batch_id, 1, 0 FROM batch;
            COMMIT",
        )
        .await;
    let whole = batch(ward.code(), 2, Policy::AllOrNothing, &records("B", 10));
    assert_eq!(state(&ward.import(&whole).await), BatchState::Accepted);
    assert!(lines.text().contains("cannot be begun"), "the damaged one is told");
    sent(&ward, 3, "C").await;
    issuer.clock.advance(61_000);
    eventually("the sweeper tells of both", || async {
        let text = lines.text();
        (text.contains("stalled at 131229") && text.contains("is unreadable and passed over")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_data_key_that_does_not_open_makes_the_batch_wait_not_fail() {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    sent(&ward, 1, "A").await;
    issuer
        .damage(
            "BEGIN IMMEDIATE;
            CREATE TABLE kept AS SELECT wrapped_key FROM batch;
            UPDATE batch SET state = 'SEALED', sealed_ms = progress_ms,
                wrapped_key = unhex('01' || hex(zeroblob(68)));
            INSERT INTO work (municipality_code, batch_id, attempt, due_ms)
                SELECT municipality_code, batch_id, 1, 0 FROM batch;
            COMMIT",
        )
        .await;
    eventually("it is told", || async { lines.text().contains("does not open; again").then_some(()) }).await;
    assert_ne!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Discrepant);
    issuer.damage("UPDATE batch SET wrapped_key = (SELECT wrapped_key FROM kept); DROP TABLE kept").await;
    issuer.clock.advance(61_000);
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_any_more_makes_the_batch_discrepant() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let batch = sent(&ward, 1, "A").await;
    ward.seal(&batch).await.expect("nothing is missing");
    ward.finished(id(1)).await;
    issuer
        .damage(
            "BEGIN IMMEDIATE;
            UPDATE manifest SET manifest = x'00';
            UPDATE batch SET state = 'IMPORTING';
            INSERT INTO work (municipality_code, batch_id, attempt, due_ms)
                SELECT municipality_code, batch_id, 1, 0 FROM batch;
            COMMIT",
        )
        .await;
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Discrepant);
}

#[tokio::test]
async fn an_issuer_does_not_start_on_a_database_of_another_key() {
    let issuer = Issuer::start(|_| {}).await;
    let other = issuer.dir.path().join("other.key");
    std::fs::write(&other, "5a1b".repeat(16)).expect("it is written");
    let ward = issuer.party("municipality/131229").await;
    sent(&ward, 1, "A").await;
    let refused = issuer.started_with(&other).await.err().expect("it is refused");
    assert!(matches!(refused, issuance::Error::OtherKek(_)), "{refused}");
    assert!(issuer.started_with(&issuer.dir.path().join("pki/kek.key")).await.is_ok());
}

#[tokio::test]
async fn each_further_hole_of_a_sequence_is_told() {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    sent(&ward, 2, "A").await;
    eventually("the first hole", || async { lines.text().contains("the highest is 1").then_some(()) }).await;
    sent(&ward, 4, "B").await;
    eventually("the second", || async { lines.text().contains("the highest is 3").then_some(()) }).await;
    assert!(!lines.text().contains("sequence-hole of 131229 is over"), "the first one stands");
    sent(&ward, 3, "C").await;
    sent(&ward, 1, "D").await;
    eventually("the end", || async {
        lines.text().contains("sequence-hole of 131229 is over").then_some(())
    })
    .await;
}
