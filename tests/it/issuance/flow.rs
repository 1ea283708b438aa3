//! Promise: a batch that arrives whole ends with a receipt that its sender can check by itself, and only
//! then.

use todoke::{
    domain::{
        batch::BatchState, digest::Digest, manifest::Policy, merkle, note, receipt::Receipt, record::Field,
    },
    wire::{fault::Reason, pb},
};

use super::{
    databases::on_both,
    harness::{Issuer, batch, fault, id, records, state},
};

on_both!(a_whole_batch_ends_with_a_receipt_that_verifies, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let not_yet = {
        ward.open(&sent).await.expect("opens");
        ward.receipt(id(1)).await
    };
    assert_eq!(not_yet.expect_err("not ready").reason, Reason::ReceiptNotReady);
    let finished = ward.import(&sent).await;
    assert_eq!(state(&finished), BatchState::Accepted);
    let counts = finished.counts.expect("counts");
    assert_eq!((counts.accepted, counts.missing, counts.stored), (10, 0, 0));

    let bytes = ward.receipt(id(1)).await.expect("a receipt");
    let text = note::open(&bytes, &issuer.verifier).expect("it verifies");
    let receipt = Receipt::parse(text).expect("canonical");
    assert_eq!(receipt.faults(), Vec::<String>::new());
    assert_eq!(receipt.declared, sent.manifest.totals);
    assert_eq!(receipt.computed, sent.manifest.totals);
    assert_eq!(receipt.manifest, Digest::of(&sent.bytes));
    let published = std::fs::read_to_string(issuer.dir.path().join("pki/receipt.pub")).expect("written");
    assert_eq!(published.trim(), issuer.verifier.to_string(), "whoever has the published key can check it");
    issuer.clock.advance(3_600_000);
    for _ in 0..3 {
        assert_eq!(ward.receipt(id(1)).await.expect("again"), bytes, "the same bytes each time");
    }
    let listed =
        ward.batches().list_batches(pb::ListBatchesRequest::default()).await.expect("a list").into_inner();
    assert_eq!(listed.last_receipt_digest, Digest::of(text.as_bytes()).0.to_vec());
    assert_eq!((listed.last_sequence, listed.batches.len()), (1, 1));
});

on_both!(what_is_missing_is_named_by_range_and_district_until_it_is_sent, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    let opened = ward.open(&sent).await.expect("it opens");
    let uploaded = ward.upload(&sent, opened.uploader_epoch, vec![sent.chunk(2), sent.chunk(0)]).await;
    uploaded.end.expect("taken");
    let last = uploaded.acks.last().expect("an acknowledgement");
    assert_eq!(last.missing_count, 4);
    assert_eq!(last.durable_chunks.iter().map(|r| (r.first, r.last)).collect::<Vec<_>>(), [(0, 0), (2, 2)]);

    let gaps = ward.seal(&sent).await.expect_err("gaps");
    assert_eq!(gaps.reason, Reason::BatchHasGaps);
    assert_eq!((gaps.get("missing_count"), gaps.get("ranges")), (Some("4"), Some("[[4,7]]")));
    assert!(gaps.get("districts").expect("districts").contains("亀有二丁目"), "{gaps:?}");
    let request = pb::ListGapsRequest { batch_id: id(1).to_string(), ..Default::default() };
    let listed = ward.batches().list_gaps(request).await.expect("gaps").into_inner();
    assert_eq!((listed.ranges[0].first, listed.ranges[0].last, listed.missing_count), (4, 7, 4));
    let district = listed.districts.iter().find(|d| d.district == "亀有二丁目").expect("named");
    assert_eq!((district.declared_records, district.stored_records), (4, 2));

    assert_eq!(state(&ward.import(&sent).await), BatchState::Accepted);
});

on_both!(sealing_a_hundred_times_is_sealing_once, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 6));
    ward.import(&sent).await;
    let receipt = ward.receipt(id(1)).await.expect("a receipt");
    for _ in 0..100 {
        assert_eq!(state(&ward.seal(&sent).await.expect("answers its state")), BatchState::Accepted);
    }
    assert_eq!(ward.receipt(id(1)).await.expect("a receipt"), receipt);
});

on_both!(every_record_is_proved_to_be_in_the_batch, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let all = records("K", 11);
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &all);
    ward.import(&sent).await;
    for (index, record) in all.iter().enumerate() {
        let by_id = pb::get_inclusion_proof_request::Record::OrderId(record.text(Field::OrderId).to_owned());
        let request = pb::GetInclusionProofRequest { batch_id: id(1).to_string(), record: Some(by_id) };
        let proof = ward.batches().get_inclusion_proof(request).await.expect("a proof").into_inner();
        let path: Vec<_> = proof.path.iter().map(|p| Digest::from_slice(p).expect("32 bytes")).collect();
        assert_eq!((proof.index, proof.record_count), (index as u64, 11));
        assert!(merkle::verify(sent.leaves[index], proof.index, 11, &path, sent.manifest.totals.merkle_root));
    }
    let by_index = pb::get_inclusion_proof_request::Record::Index(11);
    let request = pb::GetInclusionProofRequest { batch_id: id(1).to_string(), record: Some(by_index) };
    let none = ward.batches().get_inclusion_proof(request).await.map_err(fault).expect_err("no such record");
    assert_eq!(none.reason, Reason::RecordNotFound);
    assert!(none.message.contains("holds no such record; it has 11, counted from 0"), "{none}");
});

on_both!(a_card_shows_personal_data_only_for_a_purpose, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let mut all = records("K", 5);
    all[3].set(Field::IndividualNumber, "123456789018");
    ward.import(&batch(ward.code(), 1, Policy::AllOrNothing, &all)).await;
    let ask = |key, purpose: pb::Purpose| pb::GetCardRequest {
        key: Some(key),
        purpose: purpose.into(),
        with_history: false,
    };
    let order = || pb::get_card_request::Key::OrderId("K-3".to_owned());
    let number = || pb::get_card_request::Key::IndividualNumber("123456789018".to_owned());

    let bare =
        ward.cards().get_card(ask(order(), pb::Purpose::Unspecified)).await.expect("a card").into_inner();
    let bare = bare.card.expect("a card");
    assert_eq!((bare.index, bare.personal_data.clone()), (3, None));
    assert_eq!(bare.name_flags, ["supplementary"]);
    let full = ward.cards().get_card(ask(number(), pb::Purpose::Counter)).await.expect("a card").into_inner();
    let full = full.card.expect("a card");
    assert_eq!(full.personal_data.expect("with a purpose").individual_number, "123456789018");
    let refused = ward.cards().get_card(ask(number(), pb::Purpose::Unspecified)).await.map_err(fault);
    assert_eq!(refused.expect_err("no purpose").reason, Reason::PurposeRequired);

    let other = issuer.party("municipality/011002").await;
    let hidden = other.cards().get_card(ask(order(), pb::Purpose::Counter)).await.map_err(fault);
    assert_eq!(hidden.expect_err("another's").reason, Reason::NotFound);
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListCardsRequest { page_size: 2, page_token, ..Default::default() };
        let page = ward.cards().list_cards(request).await.expect("a page").into_inner();
        seen.extend(page.cards.into_iter().map(|card| card.index));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
});
