//! Promise: what the API states as a limit is taken at the limit and refused one above it, with the limit
//! in words.

use std::time::Duration;

use todoke::{
    domain::manifest::Policy,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    databases::on_both,
    harness::{Issuer, Party, batch, fault, id, records},
};

/// A page of each list that the API has, of this size.
async fn page(ward: &Party, list: &str, page_size: u32) -> Result<(), Fault> {
    let batch_id = id(1).to_string();
    let mut batches = ward.batches();
    match list {
        "ListBatches" => {
            let request = pb::ListBatchesRequest { page_size, ..Default::default() };
            batches.list_batches(request).await.map(drop)
        }
        "ListGaps" => {
            let request = pb::ListGapsRequest { batch_id, page_size, ..Default::default() };
            batches.list_gaps(request).await.map(drop)
        }
        "ListDispositions" => {
            let request = pb::ListDispositionsRequest { batch_id, page_size, ..Default::default() };
            batches.list_dispositions(request).await.map(drop)
        }
        _ => {
            let request = pb::ListCardsRequest { page_size, ..Default::default() };
            ward.cards().list_cards(request).await.map(drop)
        }
    }
    .map_err(fault)
}

on_both!(a_page_is_as_long_as_the_api_says_and_not_one_longer, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    ward.open(&sent).await.expect("it opens");
    for (list, max) in
        [("ListBatches", 500), ("ListGaps", 1_000), ("ListDispositions", 5_000), ("ListCards", 1_000)]
    {
        page(&ward, list, 1).await.unwrap_or_else(|fault| panic!("{list} of 1: {fault:?}"));
        page(&ward, list, max).await.unwrap_or_else(|fault| panic!("{list} at the limit: {fault:?}"));
        let refused = page(&ward, list, max + 1).await.expect_err("one above");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{list}: {refused:?}");
        let words = format!("{:?}", refused.violations);
        assert!(words.contains(&max.to_string()), "{list} names its limit: {words}");
    }
});

#[tokio::test]
async fn a_chain_has_eight_certificates_and_not_nine() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    let with = |certificates: usize| {
        let chain = ward.chain[0].clone();
        pb::OpenBatchRequest { certificate_chain: vec![chain; certificates], ..ward.open_request(&sent) }
    };
    let refused = ward.batches().open_batch(with(9)).await.map_err(fault).expect_err("one above");
    assert_eq!(refused.reason, Reason::SignatureInvalid);
    assert!(refused.message.contains("1 to 8"), "{refused:?}");
    ward.batches().open_batch(with(8)).await.expect("at the limit");
}

#[tokio::test]
async fn a_certificate_has_sixteen_kibibytes_and_not_one_byte_more() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    let with = |bytes: usize| {
        let mut request = ward.open_request(&sent);
        request.certificate_chain.push(vec![0; bytes]);
        request
    };
    let above = ward.batches().open_batch(with((16 << 10) + 1)).await.map_err(fault).expect_err("one above");
    assert_eq!(above.reason, Reason::SignatureInvalid);
    assert!(above.message.contains("16384"), "{above:?}");
    // Nothing needs it for the path to our CA, so what stands in it does not matter.
    ward.batches().open_batch(with(16 << 10)).await.expect("at the limit");
}

async fn abort(ward: &Party, reason: &str) -> Result<(), Fault> {
    let request = ward.abort_request(ward.code(), id(1), reason);
    ward.batches().abort_batch(request).await.map(drop).map_err(fault)
}

on_both!(a_reason_has_up_to_five_hundred_characters_of_any_script, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.open(&batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3))).await.expect("it opens");
    assert_eq!(abort(&ward, &"届".repeat(501)).await.expect_err("one above").reason, Reason::ReasonRequired);
    assert_eq!(abort(&ward, "").await.expect_err("none").reason, Reason::ReasonRequired);
    abort(&ward, &"届".repeat(500)).await.expect("at the limit");
});

#[tokio::test]
async fn an_uploader_may_be_silent_as_long_as_the_option_says_and_is_then_told() {
    let idle = Duration::from_millis(300);
    let issuer = Issuer::start(|options| options.upload_idle = idle).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 3));
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    let start = pb::upload_chunks_request::Frame::Start(sent.start(epoch));
    let start = pb::UploadChunksRequest { frame: Some(start) };
    let silent = tokio_stream::StreamExt::chain(tokio_stream::iter([start]), tokio_stream::pending());
    let begun = tokio::time::Instant::now();
    let mut acks = ward.batches().upload_chunks(silent).await.expect("it begins").into_inner();
    let ended = loop {
        match acks.message().await {
            Ok(Some(_)) => (),
            Ok(None) => panic!("it ended without a word"),
            Err(status) => break fault(status),
        }
    };
    assert!(begun.elapsed() >= idle, "not before its time");
    assert_eq!(ended.reason, Reason::DeadlineExceeded, "{ended:?}");
}
