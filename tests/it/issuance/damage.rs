//! Promise: one damaged row, a key that does not open, or the wrong key file costs no batch that is whole.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    issuance,
};

use super::{
    databases::on_both,
    harness::{Issuer, batch, eventually, id, records, state},
    noticing::listen,
};

on_both!(work_on_a_damaged_row_is_put_off_and_the_sweeper_still_tells_of_the_others, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.sent(1, "A").await;
    issuer.hand_to_workers("state = 'SEALDE', manifest_digest = unhex('00')").await;
    let whole = batch(ward.code(), 2, Policy::AllOrNothing, &records("B", 10));
    assert_eq!(state(&ward.import(&whole).await), BatchState::Accepted);
    assert!(lines.text().contains("cannot be begun"), "the damaged one is told");
    ward.sent(3, "C").await;
    issuer.clock.advance(61_000);
    eventually("the sweeper tells of both", || async {
        let text = lines.text();
        (text.contains("stalled at 131229") && text.contains("is unreadable and passed over")).then_some(())
    })
    .await;
});

on_both!(a_data_key_that_does_not_open_makes_the_batch_wait_not_fail, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.sent(1, "A").await;
    issuer.damage("CREATE TABLE kept AS SELECT wrapped_key FROM batch").await;
    let key = "wrapped_key = unhex('01' || hex(zeroblob(68)))";
    issuer.hand_to_workers(&format!("state = 'SEALED', sealed_ms = progress_ms, {key}")).await;
    eventually("it is told", || async { lines.text().contains("does not open; again").then_some(()) }).await;
    assert_ne!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Discrepant);
    issuer.damage("UPDATE batch SET wrapped_key = (SELECT wrapped_key FROM kept); DROP TABLE kept").await;
    issuer.clock.advance(61_000);
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
});

on_both!(a_manifest_that_cannot_be_read_any_more_makes_the_batch_discrepant, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let batch = ward.sent(1, "A").await;
    ward.seal(&batch).await.expect("nothing is missing");
    ward.finished(id(1)).await;
    issuer.damage("UPDATE manifest SET manifest = unhex('00')").await;
    issuer.hand_to_workers("state = 'IMPORTING'").await;
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Discrepant);
});

on_both!(an_issuer_does_not_start_on_a_database_of_another_key, async {
    let issuer = Issuer::start(|_| {}).await;
    let other = issuer.dir.path().join("other.key");
    std::fs::write(&other, "5a1b".repeat(16)).expect("it is written");
    let ward = issuer.party("municipality/131229").await;
    ward.sent(1, "A").await;
    let refused = issuer.started_with(&other).await.err().expect("it is refused");
    assert!(matches!(refused, issuance::Error::OtherKek(_)), "{refused}");
    assert!(issuer.started_with(&issuer.dir.path().join("pki/kek.key")).await.is_ok());
});

on_both!(each_further_hole_of_a_sequence_is_told, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.sent(2, "A").await;
    eventually("the first hole", || async { lines.text().contains("the highest is 1").then_some(()) }).await;
    ward.sent(4, "B").await;
    eventually("the second", || async { lines.text().contains("the highest is 3").then_some(()) }).await;
    assert!(!lines.text().contains("sequence-hole of 131229 is over"), "the first one stands");
    ward.sent(3, "C").await;
    ward.sent(1, "D").await;
    eventually("the end", || async {
        lines.text().contains("sequence-hole of 131229 is over").then_some(())
    })
    .await;
});
