//! Promise: what is said to be durable, sealed or accepted is so in the database itself, at the very moment
//! it is said.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    wire::fault::Reason,
};

use super::{
    databases::on_both,
    harness::{Issuer, batch, eventually, id, records, state},
    noticing::listen,
};

/// Lets each statement of a transaction that stores a chunk through, and has its COMMIT refused: by a file,
/// and by a server.
const COMMITS_FAIL: [&str; 2] = [
    "CREATE TABLE nowhere (x INTEGER PRIMARY KEY);
    CREATE TABLE dangling (x INTEGER REFERENCES nowhere (x) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER commits_fail AFTER INSERT ON chunk BEGIN INSERT INTO dangling VALUES (1); END",
    "CREATE TABLE nowhere (x INTEGER PRIMARY KEY);
    CREATE TABLE dangling (x INTEGER REFERENCES nowhere (x) DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION dangle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO dangling VALUES (1); RETURN NEW; END $$;
    CREATE TRIGGER commits_fail AFTER INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION dangle()",
];
const COMMITS_GO_ON: [&str; 2] = ["DROP TRIGGER commits_fail", "DROP TRIGGER commits_fail ON chunk"];

/// Has the receipt refused by a file, and by a server.
const NO_RECEIPTS: [&str; 2] = [
    "CREATE TRIGGER no_receipts BEFORE INSERT ON receipt
    BEGIN SELECT RAISE(ABORT, 'a fault of the disk'); END",
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'a fault of the disk'; END $$;
    CREATE TRIGGER no_receipts BEFORE INSERT ON receipt FOR EACH ROW EXECUTE FUNCTION refuse()",
];
const RECEIPTS: [&str; 2] = ["DROP TRIGGER no_receipts", "DROP TRIGGER no_receipts ON receipt"];

on_both!(a_chunk_whose_commit_fails_is_never_acknowledged, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    issuer.damage_by(COMMITS_FAIL).await;
    let uploaded = ward.upload(&sent, epoch, sent.chunks()).await;
    let named = uploaded.acks.iter().flat_map(|ack| &ack.durable_chunks).count();
    assert_eq!(named, 0, "nothing is durable: {:?}", uploaded.acks);
    uploaded.end.expect_err("the sender is told that it failed");
    assert_eq!(ward.seal(&sent).await.expect_err("all is missing").get("missing_count"), Some("10"));
    issuer.damage_by(COMMITS_GO_ON).await;
    assert_eq!(state(&ward.import(&sent).await), BatchState::Accepted);
});

on_both!(totals_that_were_declared_wrong_are_named_by_the_seal_although_the_counts_agree, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let mut sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    // One record is said to be of the other district: as many records, households and bytes as there are.
    let districts = &mut sent.manifest.totals.districts;
    districts.get_mut("白鳥一丁目").expect("it has six").records -= 1;
    districts.get_mut("亀有二丁目").expect("it has four").records += 1;
    sent.bytes = sent.manifest.to_text().into_bytes();
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("all is taken");
    let refused = ward.seal(&sent).await.expect_err("it does not add up");
    assert_eq!(refused.reason, Reason::ControlTotalMismatch);
    assert!(refused.message.contains("白鳥一丁目") && refused.message.contains("亀有二丁目"), "{refused}");
    assert_eq!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Discrepant);
});

on_both!(a_batch_whose_receipt_cannot_be_written_is_not_accepted_until_it_can, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("all is taken");
    issuer.damage_by(NO_RECEIPTS).await;
    ward.seal(&sent).await.expect("nothing is missing");
    eventually("the work fails", || async { lines.text().contains("failed; again in").then_some(()) }).await;
    let now = ward.get(id(1)).await.expect("the batch");
    assert_eq!(state(&now), BatchState::Reconciling, "an acceptance without its receipt is none");
    assert_eq!(ward.receipt(id(1)).await.expect_err("none").reason, Reason::ReceiptNotReady);
    issuer.damage_by(RECEIPTS).await;
    issuer.clock.advance(61_000);
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
    ward.receipt(id(1)).await.expect("a receipt");
});
