//! Promise: what a restored backup has forgotten is named by the receipts that its senders hold, is taken
//! again once, and nothing new comes before.

use todoke::{
    domain::{batch::BatchState, digest::Digest, manifest::Policy, note, record::Field},
    store::Cause,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    databases::on_both,
    harness::{Batch, Issuer, Party, batch, eventually, fault, id, records, state},
    noticing::listen,
};

async fn compare(
    ward: &Party,
    receipts: &[Vec<u8>],
    whole: bool,
) -> Result<pb::CompareReceiptsResponse, Fault> {
    let request = pb::CompareReceiptsRequest { receipts: receipts.to_vec(), whole };
    let request = ward.request(request);
    ward.batches().compare_receipts(request).await.map(tonic::Response::into_inner).map_err(fault)
}

async fn list(ward: &Party) -> pb::ListBatchesResponse {
    let request = ward.request(pb::ListBatchesRequest::default());
    ward.batches().list_batches(request).await.expect("it lists").into_inner()
}

/// Batch `n` of five records of its own, which names the receipt before.
fn following(ward: &Party, n: u32, before: Option<&[u8]>) -> Batch {
    let mut made = batch(ward.code(), n, Policy::AllOrNothing, &records(&format!("B{n}"), 5));
    made.manifest.previous_receipt = before.map(digest_of);
    made.bytes = made.manifest.to_text().into_bytes();
    made
}

fn digest_of(note: &[u8]) -> Digest {
    Digest::of(note::text_of(note).expect("a note").as_bytes())
}

/// Imports a batch and returns its receipt.
async fn receipted(ward: &Party, batch: &Batch) -> Vec<u8> {
    let finished = ward.import(batch).await;
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    ward.receipt(batch.manifest.batch_id).await.expect("a receipt")
}

/// How often each order id is a card.
async fn cards(ward: &Party) -> Vec<String> {
    let request = pb::ListCardsRequest { page_size: 1000, ..Default::default() };
    let page = ward.cards().list_cards(ward.request(request)).await.expect("it lists").into_inner();
    let mut ids: Vec<String> = page.cards.into_iter().map(|card| card.order_id).collect();
    ids.sort();
    ids
}

fn standings(answer: &pb::CompareReceiptsResponse) -> Vec<(u64, pb::ReceiptStanding)> {
    answer.receipts.iter().map(|one| (one.sequence, one.standing())).collect()
}

/// An issuer whose backup of after batch 1 took the place of its database after batch 3, the three batches
/// and their receipts. Unless it is `told`, nothing says that the database is an older one.
async fn restored(told: bool) -> (Issuer, [Batch; 3], [Vec<u8>; 3]) {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let first = following(&ward, 1, None);
    let receipt_1 = receipted(&ward, &first).await;
    issuer.backup("backup").await;
    let second = following(&ward, 2, Some(&receipt_1));
    let receipt_2 = receipted(&ward, &second).await;
    issuer.clock.advance(1000);
    let third = following(&ward, 3, Some(&receipt_2));
    let receipt_3 = receipted(&ward, &third).await;
    // One more heartbeat than the backup has, so that the two can be told apart.
    let beats = issuer.store.heartbeats().await.expect("reads");
    eventually("the sweeper goes on", || async {
        (issuer.store.heartbeats().await.expect("reads") > beats).then_some(())
    })
    .await;
    let issuer = issuer.put_back("backup", told, |options| options.sequence_ahead_max = 3).await;
    (issuer, [first, second, third], [receipt_1, receipt_2, receipt_3])
}

#[tokio::test]
async fn a_backup_in_the_place_of_its_database_is_noticed_at_the_start_and_takes_nothing_new() {
    let (lines, _guard) = listen();
    let (issuer, [first, second, _], receipts) = restored(true).await;
    let ward = issuer.party_again("municipality/131229");
    assert_eq!(issuer.store.restored().await.expect("reads").expect("noticed").cause, "WITNESS");
    let fresh = following(&ward, 2, None);
    for new in [&fresh, &second] {
        assert_eq!(ward.open(new).await.expect_err("it waits").reason, Reason::ReconcileFirst);
    }
    let known = ward.open(&first).await.expect("what is accepted can be looked at");
    assert_eq!(state(&known.batch.expect("a batch")), BatchState::Accepted);
    assert!(list(&ward).await.reconcile_first, "its owner is told");
    eventually("the sweeper tells", || async {
        lines.text().contains("reconcile-first at 131229").then_some(())
    })
    .await;
    // Some receipts are not all of them, and not saying so is not saying it.
    let answer = compare(&ward, &receipts[..1], false).await.expect("compared");
    assert!(answer.reconcile_first);
    assert_eq!(ward.open(&fresh).await.expect_err("still").reason, Reason::ReconcileFirst);
    // Another municipality that never had a receipt says so, and goes on.
    let other = issuer.party("municipality/011002").await;
    let its_own = batch(other.code(), 1, Policy::AllOrNothing, &records("C", 5));
    assert_eq!(other.open(&its_own).await.expect_err("it waits").reason, Reason::ReconcileFirst);
    assert!(!compare(&other, &[], true).await.expect("compared").reconcile_first);
    receipted(&other, &its_own).await;
    assert_eq!(ward.open(&fresh).await.expect_err("each for itself").reason, Reason::ReconcileFirst);
}

on_both!(what_was_lost_is_named_and_taken_again_once_with_the_receipt_that_it_had, async {
    let (issuer, [_, second, third], receipts) = restored(true).await;
    let ward = issuer.party_again("municipality/131229");
    let answer = compare(&ward, &receipts, true).await.expect("compared");
    use pb::ReceiptStanding::{Known, Lost};
    assert_eq!(standings(&answer), [(1, Known), (2, Lost), (3, Lost)]);
    let lost: Vec<&str> = answer.lost_batches.iter().map(|lost| lost.batch_id.as_str()).collect();
    assert_eq!(lost, [id(2).to_string(), id(3).to_string()]);
    assert!(!answer.reconcile_first && answer.missing_digests.is_empty());
    let told = list(&ward).await;
    assert_eq!((told.last_sequence, told.last_receipt_sequence), (3, 3), "no sequence is given twice");
    assert_eq!(told.last_receipt_digest, digest_of(&receipts[2]).0);
    assert_eq!(told.lost_batches.len(), 2);

    let mut other = following(&ward, 4, None);
    other.manifest.sequence = 2;
    other.bytes = other.manifest.to_text().into_bytes();
    assert_eq!(ward.open(&other).await.expect_err("taken").reason, Reason::SequenceReused);
    let far = ward.open(&following(&ward, 7, None)).await.expect_err("too far above the lost ones");
    assert_eq!((far.reason, far.get("last")), (Reason::ManifestInvalid, Some("3")));
    let mut changed = following(&ward, 2, None);
    changed.bytes = changed.manifest.to_text().into_bytes();
    assert_eq!(ward.open(&changed).await.expect_err("another manifest").reason, Reason::BatchIdReused);
    let early = ward.open(&third).await.expect_err("in the order that they were accepted");
    assert_eq!((early.reason, early.get("sequence")), (Reason::ReconcileFirst, Some("2")));

    issuer.clock.advance(3_600_000);
    for (batch, receipt) in [(&second, &receipts[1]), (&third, &receipts[2])] {
        assert_eq!(&receipted(&ward, batch).await, receipt, "byte for byte, hours later");
        note::open(receipt, &issuer.verifier).expect("it verifies");
    }
    let expected: Vec<String> = (1..=3).flat_map(|n| (0..5).map(move |at| format!("B{n}-{at}"))).collect();
    assert_eq!(cards(&ward).await, expected, "each card once");
    let told = list(&ward).await;
    assert!(told.lost_batches.is_empty() && !told.reconcile_first);
    let again = compare(&ward, &receipts, true).await.expect("compared again");
    assert_eq!(standings(&again), [(1, Known), (2, Known), (3, Known)]);
    receipted(&ward, &following(&ward, 4, Some(&receipts[2]))).await;
});

on_both!(a_receipt_that_the_database_does_not_have_shows_a_restore_that_nobody_told_of, async {
    let (lines, _guard) = listen();
    let (issuer, [_, _, third], receipts) = restored(false).await;
    let ward = issuer.party_again("municipality/131229");
    let other = issuer.party("municipality/011002").await;
    assert_eq!(issuer.store.restored().await.expect("reads"), None, "nothing tells it yet");
    // The manifest alone, signed by its sender, names a receipt that is not here.
    let mut fresh = following(&ward, 4, Some(&receipts[2]));
    fresh.manifest.sequence = 2;
    fresh.bytes = fresh.manifest.to_text().into_bytes();
    let refused = ward.open(&fresh).await.expect_err("unknown");
    assert_eq!(refused.reason, Reason::ReconcileFirst);
    assert!(refused.violations[0].0.contains("previous-receipt"), "{refused:?}");
    assert_eq!(ward.open(&third).await.expect_err("unknown").reason, Reason::ReconcileFirst);
    assert_eq!(issuer.store.restored().await.expect("reads"), None, "a claim alone proves nothing");

    // The last one alone: the one before it is missing, and is asked for.
    let answer = compare(&ward, &receipts[2..], true).await.expect("compared");
    assert_eq!(answer.missing_digests, [digest_of(&receipts[1]).0.to_vec()]);
    assert!(answer.reconcile_first, "a link of the chain is missing");
    assert_eq!(issuer.store.restored().await.expect("reads").expect("proved").cause, "RECEIPT");
    let its_own = batch(other.code(), 1, Policy::AllOrNothing, &records("C", 5));
    assert_eq!(other.open(&its_own).await.expect_err("all wait").reason, Reason::ReconcileFirst);
    assert!(!compare(&ward, &receipts[1..2], true).await.expect("compared").reconcile_first);
    eventually("the sweeper names the lost ones", || async {
        (lines.text().matches("lost-batch at 131229").count() == 2).then_some(())
    })
    .await;
});

on_both!(nobody_can_make_up_a_loss, async {
    let (issuer, _, receipts) = restored(true).await;
    let ward = issuer.party_again("municipality/131229");
    let other = issuer.party("municipality/011002").await;
    let refused = compare(&other, &receipts[1..2], true).await.expect_err("another's");
    assert_eq!(refused.reason, Reason::OtherMunicipality);
    let text = note::text_of(&receipts[1]).expect("a note");
    let forged = receipts[1].clone();
    let forged = String::from_utf8(forged).expect("text").replace("accepted 5", "accepted 6").into_bytes();
    let unsigned = format!("{text}\n\u{2014} todoke.internal/issuer {}\n", "A".repeat(92)).into_bytes();
    let foreign = {
        let stranger = Issuer::start(|_| {}).await;
        let ward = stranger.party("municipality/131229").await;
        receipted(&ward, &following(&ward, 1, None)).await
    };
    for bad in [forged, unsigned, foreign, b"todoke receipt v1\n".to_vec(), Vec::new()] {
        let refused = compare(&ward, &[receipts[0].clone(), bad], true).await.expect_err("forged");
        assert_eq!(refused.reason, Reason::ReceiptInvalid);
        assert_eq!(refused.violations[0].0, "receipts[1]");
    }
    assert!(issuer.store.lost_batches(10).await.expect("reads").is_empty(), "nothing was noted");
    assert!(list(&ward).await.reconcile_first, "and nothing was opened by it");
    let mut relay = issuer.party("relay/relay-1").await;
    let none = compare(&relay, &receipts, true).await.expect_err("a relay is no municipality");
    assert_eq!(none.reason, Reason::WrongRole);
    relay.caller = Some("municipality/011002".to_owned());
    let refused = compare(&relay, &receipts, true).await.expect_err("not the caller's");
    assert_eq!(refused.reason, Reason::OtherMunicipality);
    let many = vec![receipts[0].clone(); 1001];
    assert_eq!(compare(&ward, &many, true).await.expect_err("too many").reason, Reason::LimitExceeded);
    assert!(compare(&ward, &many[..1000], false).await.is_ok(), "at the limit");
});

on_both!(work_of_before_the_backup_waits_too_so_that_no_batch_gets_a_second_receipt, async {
    let issuer = Issuer::start(|options| options.workers = 0).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = following(&ward, 1, None);
    let epoch = ward.open(&sent).await.expect("opens").uploader_epoch;
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("taken");
    ward.seal(&sent).await.expect("whole");
    issuer.backup("backup").await;
    let issuer = issuer.restarted(|_| {}, |_| {}).await;
    let ward = issuer.party_again("municipality/131229");
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
    let receipt = ward.receipt(id(1)).await.expect("a receipt");
    issuer.clock.advance(60_000);
    let issuer = issuer.put_back("backup", true, |_| {}).await;
    let ward = issuer.party_again("municipality/131229");
    let beats = issuer.store.heartbeats().await.expect("reads");
    eventually("many rounds of everybody", || async {
        (issuer.store.heartbeats().await.expect("reads") > beats + 10).then_some(())
    })
    .await;
    assert_eq!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Sealed, "it waits");
    let answer = compare(&ward, std::slice::from_ref(&receipt), true).await.expect("compared");
    assert_eq!(standings(&answer), [(1, pb::ReceiptStanding::Lost)]);
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted, "and goes on by itself");
    assert_eq!(ward.receipt(id(1)).await.expect("a receipt"), receipt, "the same bytes");
});

on_both!(a_lost_batch_that_comes_out_otherwise_than_its_receipt_says_is_never_accepted_in_silence, async {
    let (issuer, [_, second, _], receipts) = restored(true).await;
    let ward = issuer.party_again("municipality/131229");
    issuer.store.release(ward.code(), "it does not answer", 1).await.expect("released");
    // Released, it orders the same cards in a new batch, and only then finds its receipts.
    let mut twin = batch(ward.code(), 9, Policy::AllOrNothing, &records("B2", 5));
    twin.manifest.sequence = 4;
    twin.bytes = twin.manifest.to_text().into_bytes();
    receipted(&ward, &twin).await;
    compare(&ward, &receipts, true).await.expect("compared");
    let finished = ward.import(&second).await;
    assert_eq!(state(&finished), BatchState::Discrepant);
    assert!(finished.discrepancy.contains("otherwise than its receipt"), "{}", finished.discrepancy);
    let all = cards(&ward).await;
    assert_eq!(all.iter().filter(|one| one.starts_with("B2-")).count(), 5, "each card once all the same");

    // By decision of the operator it is accepted as it comes out now.
    issuer.store.release(ward.code(), "its cards stand in batch 9", 2).await.expect("released");
    let request = pb::RepairBatchRequest {
        batch_id: id(2).to_string(),
        request_id: "r-1".to_owned(),
        reason: "the operator decided".to_owned(),
    };
    ward.batches().repair_batch(ward.request(request)).await.expect("it begins");
    let finished = ward.finished(id(2)).await;
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    assert_eq!(finished.counts.expect("counts").duplicate, 5);
    assert_ne!(ward.receipt(id(2)).await.expect("a receipt"), receipts[1], "it says what is so now");
    assert_eq!(cards(&ward).await, all, "and no card was ordered twice");
    let answer = compare(&ward, &receipts[..2], true).await.expect("compared");
    assert_eq!(answer.receipts[1].standing(), pb::ReceiptStanding::Different, "its owner is told");
});

on_both!(an_operator_says_that_it_is_a_backup_and_lets_one_go_on_with_a_reason, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let receipt = receipted(&ward, &following(&ward, 1, None)).await;
    let now_ms = issuer.clock.now_ms();
    issuer.store.mark_restored(Cause::Operator, "disk lost", now_ms).await.expect("marked");
    let issuer = issuer.restarted(|_| {}, |_| {}).await; // it is not forgotten
    let ward = issuer.party_again("municipality/131229");
    let next = following(&ward, 2, Some(&receipt));
    assert_eq!(ward.open(&next).await.expect_err("it waits").reason, Reason::ReconcileFirst);
    assert!(issuer.store.release(ward.code(), "its files are lost", now_ms).await.expect("released"));
    receipted(&ward, &next).await;
    let compared = issuer.store.comparisons(10).await.expect("reads");
    assert_eq!(compared.iter().map(|one| one.note.as_str()).collect::<Vec<_>>(), ["its files are lost"]);
    // The next restore asks again.
    issuer.clock.advance(1000);
    let now_ms = issuer.clock.now_ms();
    issuer.store.mark_restored(Cause::Operator, "again", now_ms).await.expect("marked");
    let third = following(&ward, 3, None);
    assert_eq!(ward.open(&third).await.expect_err("it waits").reason, Reason::ReconcileFirst);
});

on_both!(a_lost_batch_is_judged_by_the_day_of_its_receipt_not_by_the_day_that_it_comes_again, async {
    const DAY_MS: i64 = 86_400_000;
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    issuer.backup("backup").await;
    let in_japan = issuer.clock.now_ms() + DAY_MS / 24 * 9;
    let tomorrow = time::OffsetDateTime::from_unix_timestamp(in_japan / 1000 + 86_400).expect("a moment");
    let mut all = records("T", 5);
    all[3].set(Field::BirthDate, &tomorrow.date().to_string());
    let sent = batch(ward.code(), 1, Policy::AcceptValid { max_rejects: 1 }, &all);
    assert_eq!(state(&ward.import(&sent).await), BatchState::AcceptedWithRejects);
    let receipt = ward.receipt(id(1)).await.expect("a receipt");
    let issuer = issuer.put_back("backup", true, |_| {}).await;
    let ward = issuer.party_again("municipality/131229");
    issuer.clock.advance(DAY_MS - in_japan % DAY_MS);
    compare(&ward, std::slice::from_ref(&receipt), true).await.expect("compared");
    let finished = ward.import(&sent).await;
    assert_eq!(state(&finished), BatchState::AcceptedWithRejects, "{}", finished.discrepancy);
    assert_eq!(ward.receipt(id(1)).await.expect("a receipt"), receipt, "the same bytes");
});

on_both!(receipts_of_a_former_key_are_compared_if_its_public_key_is_kept, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let receipt = receipted(&ward, &following(&ward, 1, None)).await;
    let pki = issuer.dir.path().join("pki");
    let new_key = |dir: &std::path::Path| {
        let pki = dir.join("pki");
        std::fs::rename(pki.join("receipt.pub"), pki.join("former.pub")).expect("it is kept");
        let other = tempfile::tempdir().expect("a temporary folder");
        let now = time::OffsetDateTime::now_utc();
        todoke::net::pki::Authority::create(&other.path().join("pki"), now).expect("another key");
        std::fs::copy(other.path().join("pki/receipt.key"), pki.join("receipt.key")).expect("it is copied");
    };
    let (former, first) = (pki.join("former.pub"), pki.join("former.pub"));
    let issuer = issuer.restarted(new_key, move |options| options.former_receipt_keys = vec![first]).await;
    let issuer = issuer.restarted(|_| {}, |_| {}).await;
    let ward = issuer.party_again("municipality/131229");
    let now_ms = issuer.clock.now_ms();
    issuer.store.mark_restored(Cause::Operator, "disk lost", now_ms).await.expect("marked");
    let held = [receipt];
    let refused = compare(&ward, &held, true).await.expect_err("nobody knows this key");
    assert_eq!(refused.reason, Reason::ReceiptInvalid);
    let issuer = issuer.restarted(|_| {}, move |options| options.former_receipt_keys = vec![former]).await;
    let ward = issuer.party_again("municipality/131229");
    let next = receipted_after_comparing(&ward, &held).await;
    note::open(&next, &issuer.verifier).expect("new receipts are of the new key");
    let answer = compare(&ward, &[held[0].clone(), next], true).await.expect("of both keys");
    assert_eq!(standings(&answer), [(1, pb::ReceiptStanding::Known), (2, pb::ReceiptStanding::Known)]);
});

/// Compares these receipts, and imports the batch that follows.
async fn receipted_after_comparing(ward: &Party, held: &[Vec<u8>]) -> Vec<u8> {
    assert!(!compare(ward, held, true).await.expect("compared").reconcile_first);
    receipted(ward, &following(ward, 2, Some(&held[0]))).await
}
