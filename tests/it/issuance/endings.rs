//! Promise: a batch that cannot be accepted says why, and its owner can repair it or give it up.

use todoke::{
    domain::{batch::BatchState, manifest::Policy, note, receipt::Receipt, record::Field},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    databases::on_both,
    harness::{Batch, Issuer, Party, batch, fault, id, records, state},
};

async fn dispositions(ward: &Party, n: u32, only_not_accepted: bool) -> Vec<pb::Disposition> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let batch_id = id(n).to_string();
        let request = pb::ListDispositionsRequest { batch_id, page_size: 3, page_token, only_not_accepted };
        let page = ward.batches().list_dispositions(request).await.expect("a page").into_inner();
        all.extend(page.dispositions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Ten records of which number 7 has a wrong check digit.
fn one_bad(ward: &Party, n: u32, policy: Policy) -> Batch {
    let mut all = records("K", 10);
    all[7].set(Field::IndividualNumber, "123456789017");
    batch(ward.code(), n, policy, &all)
}

on_both!(one_reject_makes_all_or_nothing_discrepant_and_is_named, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let finished = ward.import(&one_bad(&ward, 1, Policy::AllOrNothing)).await;
    assert_eq!(state(&finished), BatchState::Discrepant);
    assert!(finished.discrepancy.contains("ALL_OR_NOTHING"), "{}", finished.discrepancy);
    assert_eq!(ward.receipt(id(1)).await.expect_err("none").reason, Reason::ReceiptNotReady);
    let named = dispositions(&ward, 1, true).await;
    assert_eq!(named.len(), 1);
    assert_eq!((named[0].index, named[0].order_id.as_str()), (7, "K-7"));
    assert_eq!(
        (named[0].code.as_str(), named[0].field.as_str()),
        ("INDIVIDUAL_NUMBER_CHECK_DIGIT", "individual_number")
    );
    assert_eq!(dispositions(&ward, 1, false).await.len(), 10, "each record has a line");
});

on_both!(rejects_within_the_policy_stand_in_the_receipt, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = one_bad(&ward, 1, Policy::AcceptValid { max_rejects: 1 });
    let finished = ward.import(&sent).await;
    assert_eq!(state(&finished), BatchState::AcceptedWithRejects, "{}", finished.discrepancy);
    let note = ward.receipt(id(1)).await.expect("a receipt");
    let receipt = Receipt::parse(note::open(&note, &issuer.verifier).expect("verifies")).expect("canonical");
    assert_eq!(receipt.faults(), Vec::<String>::new());
    assert_eq!((receipt.counts.accepted, receipt.counts.rejected), (9, 1));
    assert_eq!(receipt.codes.get("INDIVIDUAL_NUMBER_CHECK_DIGIT"), Some(&1));
    let none_allowed = batch(ward.code(), 2, Policy::AcceptValid { max_rejects: 0 }, &{
        let mut all = records("L", 5);
        all[0].set(Field::Sex, "7");
        all
    });
    assert_eq!(state(&ward.import(&none_allowed).await), BatchState::Discrepant);
});

on_both!(what_came_before_is_a_duplicate_and_a_reused_id_is_rejected, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let first = records("K", 6);
    ward.import(&batch(ward.code(), 1, Policy::AllOrNothing, &first)).await;
    let mut second = first.clone();
    second[2].set(Field::Address, "別の住所");
    let sent = batch(ward.code(), 2, Policy::AcceptValid { max_rejects: 1 }, &second);
    let finished = ward.import(&sent).await;
    assert_eq!(state(&finished), BatchState::AcceptedWithRejects, "{}", finished.discrepancy);
    let counts = finished.counts.expect("counts");
    assert_eq!((counts.accepted, counts.duplicate, counts.rejected), (0, 5, 1));
    let named = dispositions(&ward, 2, true).await;
    assert_eq!(named[2].code, "ORDER_ID_REUSED");
    assert_eq!((named[0].duplicate_of_batch_id.clone(), named[0].duplicate_of_index), (id(1).to_string(), 0));
    let receipt = ward.receipt(id(2)).await.expect("a receipt");
    let receipt =
        Receipt::parse(note::open(&receipt, &issuer.verifier).expect("verifies")).expect("canonical");
    assert_eq!(receipt.faults(), Vec::<String>::new());
});

async fn abort(ward: &Party, n: u32, reason: &str) -> Result<pb::Batch, Fault> {
    let request = ward.abort_request(ward.code(), id(n), reason);
    let answer = ward.batches().abort_batch(request).await.map_err(fault)?;
    Ok(answer.into_inner().batch.expect("a batch"))
}

on_both!(an_aborted_batch_frees_its_order_ids, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    assert_eq!(state(&ward.import(&one_bad(&ward, 1, Policy::AllOrNothing)).await), BatchState::Discrepant);
    assert_eq!(abort(&ward, 1, " ").await.expect_err("no reason").reason, Reason::ReasonRequired);
    assert_eq!(state(&abort(&ward, 1, "wrong extract").await.expect("aborted")), BatchState::Aborted);
    assert_eq!(state(&abort(&ward, 1, "wrong extract").await.expect("again")), BatchState::Aborted);
    let mended = ward.import(&batch(ward.code(), 2, Policy::AllOrNothing, &records("K", 10))).await;
    assert_eq!(state(&mended), BatchState::Accepted, "{}", mended.discrepancy);
    assert_eq!(mended.counts.expect("counts").accepted, 10);
    assert_eq!(abort(&ward, 2, "too late").await.expect_err("accepted").reason, Reason::BatchState);
    assert_eq!(abort(&ward, 7, "nothing").await.expect_err("absent").reason, Reason::NotFound);
});

on_both!(a_relay_cannot_abort_for_a_municipality, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.open(&batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3))).await.expect("opens");
    let mut relay = issuer.party("relay/relay-1").await;
    relay.caller = Some("municipality/131229".to_owned());
    let request = relay.abort_request(ward.code(), id(1), "evil");
    let refused = relay.batches().abort_batch(relay.request(request)).await.map_err(fault);
    assert_eq!(refused.expect_err("not its own").reason, Reason::SignatureInvalid);
    assert_eq!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Announced, "it goes on");
});

on_both!(a_repair_works_the_stored_chunks_off_again_as_a_new_attempt, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = one_bad(&ward, 1, Policy::AllOrNothing);
    ward.import(&sent).await;
    let ask = |request_id: &str, reason: &str| pb::RepairBatchRequest {
        batch_id: id(1).to_string(),
        request_id: request_id.to_owned(),
        reason: reason.to_owned(),
    };
    let repaired = ward.batches().repair_batch(ask("r-1", "once more")).await.expect("begun").into_inner();
    assert_eq!(repaired.batch.expect("a batch").attempt, 2);
    let finished = ward.finished(id(1)).await;
    assert_eq!((state(&finished), finished.attempt), (BatchState::Discrepant, 2));
    let again = ward.batches().repair_batch(ask("r-1", "once more")).await.expect("the same").into_inner();
    assert_eq!(again.batch.expect("a batch").attempt, 2, "one request is one attempt");
    let reused = ward.batches().repair_batch(ask("r-1", "something else")).await.map_err(fault);
    assert_eq!(reused.expect_err("another request").reason, Reason::RequestIdReused);
    let silent = ward.batches().repair_batch(ask("r-2", "")).await.map_err(fault);
    assert_eq!(silent.expect_err("no reason").reason, Reason::ReasonRequired);
});
