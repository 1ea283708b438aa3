//! Promise: a bit that flips in what is stored is found before anything is accepted over it, is named and set
//! aside, and its sender can put it right.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    wire::{fault::Reason, pb},
};

use super::{
    begun::flags,
    beside::flipped,
    databases::on_both,
    harness::{Batch, Issuer, Party, batch, eventually, id, records, state},
    noticing::listen,
};

async fn gaps(ward: &Party) -> pb::ListGapsResponse {
    let request = ward.request(pb::ListGapsRequest { batch_id: id(1).to_string(), ..Default::default() });
    ward.batches().list_gaps(request).await.expect("it lists").into_inner()
}

async fn repair(ward: &Party) -> pb::Batch {
    let request = pb::RepairBatchRequest {
        batch_id: id(1).to_string(),
        request_id: "r-1".to_owned(),
        reason: "disk replaced".to_owned(),
    };
    let repaired = ward.batches().repair_batch(ward.request(request)).await.expect("it begins");
    repaired.into_inner().batch.expect("a batch")
}

/// What was set aside: kind, place and whether bytes were kept.
async fn set_aside(issuer: &Issuer) -> Vec<(String, i64, i64)> {
    let kept = "CAST(CASE WHEN length(content) > 0 THEN 1 ELSE 0 END AS BIGINT)";
    let sql = format!("SELECT kind, place, {kept} FROM quarantine ORDER BY kind, place");
    issuer.read(sql).await
}

/// Sends again what the issuer says is missing, and nothing else.
async fn send_what_is_missing(ward: &Party, sent: &Batch) {
    let opened = ward.open(sent).await.expect("it opens again");
    let durable = |n: u32| opened.durable_chunks.iter().any(|range| (range.first..=range.last).contains(&n));
    let missing = (0..3).filter(|n| !durable(*n)).map(|n| sent.chunk(n as usize)).collect();
    ward.upload(sent, opened.uploader_epoch, missing).await.end.expect("all is taken");
}

on_both!(a_flipped_bit_in_a_chunk_is_found_by_the_seal_and_the_chunk_is_sent_again, async {
    let bit = |column| format!("UPDATE chunk SET {column} = {} WHERE chunk_number = 1", flipped(column));
    for flip in [
        bit("sealed"),
        bit("root"),
        "UPDATE chunk SET record_count = 3 WHERE chunk_number = 1".to_owned(),
        "DELETE FROM chunk WHERE chunk_number = 1".to_owned(),
    ] {
        let issuer = Issuer::start(|_| {}).await;
        let ward = issuer.party("municipality/131229").await;
        let sent = ward.sent(1, "A").await;
        issuer.damage(&flip).await;
        let fault = ward.seal(&sent).await.expect_err("a chunk is damaged");
        assert_eq!((fault.reason, fault.get("ranges")), (Reason::BatchHasGaps, Some("[[4,7]]")), "{flip}");
        let now = ward.get(id(1)).await.expect("the batch");
        let counts = now.counts.expect("counts");
        assert_eq!((state(&now), counts.missing, counts.stored), (BatchState::Receiving, 4, 6), "{flip}");
        assert_eq!(flags(&now), ["damaged"], "{flip}");
        let named = gaps(&ward).await;
        assert_eq!((named.ranges[0].first, named.ranges[0].last), (4, 7));
        let short: Vec<_> = named.districts.iter().map(|d| (d.declared_records, d.stored_records)).collect();
        assert_eq!(short, [(4, 2), (6, 4)], "records 4 and 5 are of one district, 6 and 7 of the other");
        let kept = i64::from(!flip.starts_with("DELETE"));
        assert_eq!(set_aside(&issuer).await, [("CHUNK".to_owned(), 1, kept)], "{flip}");
        send_what_is_missing(&ward, &sent).await;
        ward.seal(&sent).await.expect("nothing is missing");
        let done = ward.finished(id(1)).await;
        assert_eq!((state(&done), flags(&done).len()), (BatchState::Accepted, 0), "{flip}");
        assert_eq!(done.counts.expect("counts").accepted, 10);
    }
});

on_both!(a_chunk_that_is_damaged_after_the_seal_quarantines_its_records_until_it_was_sent_again, async {
    let issuer = Issuer::start(|options| options.workers = 0).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = ward.sent(1, "A").await;
    ward.seal(&sent).await.expect("nothing is missing");
    // Two of three, so that the one that is found first is not all that is told.
    issuer.damage("UPDATE chunk SET sealed = zeroblob(length(sealed)) WHERE chunk_number > 0").await;
    let _worker = issuer.started_with(&issuer.dir.path().join("pki/kek.key")).await.expect("it starts");
    let broken = ward.finished(id(1)).await;
    assert_eq!(state(&broken), BatchState::Discrepant, "never accepted");
    let counts = broken.counts.expect("counts");
    assert_eq!((counts.quarantined, counts.missing), (6, 0), "each record is counted once: {counts:?}");
    assert_eq!(counts.accepted + counts.stored, 4, "{counts:?}");
    assert!(broken.discrepancy.contains("chunks 1, 2 are unreadable"), "{}", broken.discrepancy);
    assert_eq!(flags(&broken), ["damaged"]);
    assert_eq!(set_aside(&issuer).await, [("CHUNK".to_owned(), 1, 1), ("CHUNK".to_owned(), 2, 1)]);
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    let early = ward.upload(&sent, epoch, vec![sent.chunk(1)]).await.end.expect_err("nobody has decided");
    assert_eq!(early.reason, Reason::BatchSealed);

    let repairing = repair(&ward).await;
    let counts = repairing.counts.expect("counts");
    assert_eq!((state(&repairing), repairing.attempt), (BatchState::Receiving, 2));
    assert_eq!((counts.missing, counts.stored, counts.quarantined), (6, 4, 0));
    let short: Vec<_> = gaps(&ward).await.districts.iter().map(|d| d.stored_records).collect();
    assert_eq!(short, [0, 4], "what is left of each district");
    assert_eq!(ward.seal(&sent).await.expect_err("gaps").reason, Reason::BatchHasGaps);
    send_what_is_missing(&ward, &sent).await;
    ward.seal(&sent).await.expect("nothing is missing");
    let done = ward.finished(id(1)).await;
    assert_eq!((state(&done), done.attempt), (BatchState::Accepted, 2));
    assert_eq!(done.counts.expect("counts").accepted, 10);
    let sql = "SELECT COUNT(*), COUNT(DISTINCT record_index) FROM card_order WHERE attempt = 2";
    let rows: Vec<(i64, i64)> = issuer.read(sql).await;
    assert_eq!(rows, [(10, 10)], "each record is an order of the second attempt exactly once");
});

on_both!(a_changed_manifest_is_never_sealed_over_and_its_sender_puts_it_right, async {
    for damage in [
        "UPDATE manifest SET
            manifest = unhex(replace(hex(manifest), hex('records 10'), hex('records 11')))",
        "UPDATE manifest SET chunk_roots = unhex('00' || substr(hex(chunk_roots), 3))",
        "UPDATE manifest SET chunk_roots = unhex(substr(hex(chunk_roots), 3))",
        "UPDATE manifest SET signature = zeroblob(length(signature))",
        "DELETE FROM manifest",
    ] {
        let issuer = Issuer::start(|_| {}).await;
        let ward = issuer.party("municipality/131229").await;
        let sent = ward.sent(1, "A").await;
        issuer.damage(damage).await;
        if !damage.contains("signature") {
            let fault = ward.seal(&sent).await.expect_err("the manifest is damaged");
            assert!([Reason::Internal, Reason::NotFound].contains(&fault.reason), "{damage}: {fault}");
        }
        assert_eq!(set_aside(&issuer).await, [], "{damage}");
        ward.open(&sent).await.expect("it opens again");
        assert_eq!(set_aside(&issuer).await, [("MANIFEST".to_owned(), 0, 1)], "{damage}");
        ward.open(&sent).await.expect("and again");
        assert_eq!(set_aside(&issuer).await.len(), 1, "what is whole is left alone");
        ward.seal(&sent).await.expect("nothing is missing");
        assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted, "{damage}");
    }
});

on_both!(the_server_itself_tells_of_damage, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = ward.sent(1, "A").await;
    issuer.damage("UPDATE chunk SET sealed = zeroblob(length(sealed)) WHERE chunk_number = 2").await;
    ward.seal(&sent).await.expect_err("a chunk is damaged");
    eventually("the sweeper raises the flag", || async {
        lines.text().contains("damaged at 131229").then_some(())
    })
    .await;
    let text = lines.text();
    assert!(text.contains("chunk 2 is unreadable or altered in the database; set aside"), "{text}");
    assert!(!text.contains("カナリヤ"), "{text}");
});

on_both!(a_chunk_set_aside_in_an_accepted_batch_is_flagged_until_it_has_come_again, async {
    let metrics = todoke::telemetry::prometheus();
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("A", 10));
    assert_eq!(state(&ward.import(&sent).await), BatchState::Accepted);
    // As `verify-store --repair` leaves it.
    issuer
        .damage(
            "DELETE FROM chunk WHERE chunk_number = 1;
            UPDATE batch SET chunks_stored = chunks_stored - 1, damaged_ms = progress_ms",
        )
        .await;
    let stands = async |count: u32| {
        let line = format!("todoke_flags{{flag=\"damaged\"}} {count}\n");
        eventually(&line, || async { metrics.render().contains(&line).then_some(()) }).await;
    };
    stands(1).await;
    assert!(lines.text().contains("damaged at 131229"), "{}", lines.text());
    send_what_is_missing(&ward, &sent).await;
    stands(0).await;
});

on_both!(damage_in_the_ledger_is_no_conflict_of_its_sender, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let sent = ward.sent(1, "A").await;
    issuer.damage("UPDATE chunk SET root = zeroblob(32) WHERE chunk_number = 1").await;
    let epoch = ward.open(&sent).await.expect("it opens again").uploader_epoch;
    let again = ward.upload(&sent, epoch, sent.chunks()).await;
    again.end.expect("what it sends is what it announced");
    assert_eq!(again.acks.last().expect("an acknowledgement").duplicates, 3);
    assert_eq!(flags(&ward.get(id(1)).await.expect("the batch")), Vec::<&str>::new());
    assert!(lines.text().contains("chunk 1 is altered in the database"), "{}", lines.text());
    ward.seal(&sent).await.expect_err("it is found");
    send_what_is_missing(&ward, &sent).await;
    ward.seal(&sent).await.expect("nothing is missing");
    assert_eq!(state(&ward.finished(id(1)).await), BatchState::Accepted);
});
