//! Promise: a chunk that goes from the database while its batch is still being sent is found, told and sent
//! again, whoever looks first; each record is accepted once.

use std::time::Duration;

use todoke::domain::batch::BatchState;

use super::{
    begun::flags,
    databases::on_both,
    harness::{Batch, Issuer, Party, eventually, id, state},
    noticing::listen,
};

/// An issuer whose sweeper looks when it starts, and then no more.
async fn unswept() -> (Issuer, Party) {
    let issuer = Issuer::start(|options| options.sweep_every = Duration::from_secs(3600)).await;
    let ward = issuer.party("municipality/131229").await;
    (issuer, ward)
}

async fn lose(issuer: &Issuer, chunk: u32) {
    issuer.damage(&format!("DELETE FROM chunk WHERE chunk_number = {chunk}")).await;
}

/// The batch counts so many records as missing and as stored, by the row and by its districts, and is marked.
async fn counts(issuer: &Issuer, ward: &Party, missing: u64, stored: u64) {
    let now = ward.get(id(1)).await.expect("the batch");
    let counts = now.counts.expect("counts");
    assert_eq!((state(&now), counts.missing, counts.stored), (BatchState::Receiving, missing, stored));
    assert_eq!(flags(&now), ["damaged"]);
    let by_district =
        "SELECT CAST(COALESCE(SUM(stored_records), 0) AS BIGINT) FROM batch_district".to_owned();
    assert_eq!(issuer.number(by_district).await, stored);
    let chunks = "SELECT chunks_stored - (SELECT COUNT(*) FROM chunk) FROM batch".to_owned();
    assert_eq!(issuer.number(chunks).await, 0);
}

/// Sends these chunks, seals, and looks that every record is an order, once.
async fn accepted(issuer: &Issuer, ward: &Party, sent: &Batch, epoch: u32, chunks: &[usize]) {
    let frames = chunks.iter().map(|number| sent.chunk(*number)).collect();
    ward.upload(sent, epoch, frames).await.end.expect("all is taken");
    ward.seal(sent).await.expect("nothing is missing");
    let done = ward.finished(id(1)).await;
    assert_eq!((state(&done), flags(&done).len()), (BatchState::Accepted, 0));
    assert_eq!(done.counts.expect("counts").accepted, 10);
    let orders: Vec<(i64, i64)> =
        issuer.read("SELECT COUNT(*), COUNT(DISTINCT record_index) FROM card_order").await;
    assert_eq!(orders, [(10, 10)]);
}

on_both!(a_chunk_lost_while_its_batch_is_incomplete_is_missing_again_when_the_batch_is_opened, async {
    let (lines, _guard) = listen();
    let (issuer, ward) = unswept().await;
    let (sent, _) = ward.begun(1, "A", &[0, 1]).await;
    lose(&issuer, 0).await;
    let opened = ward.open(&sent).await.expect("it opens again");
    let durable: Vec<_> = opened.durable_chunks.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(durable, [(1, 1)]);
    let told = opened.batch.expect("a batch").counts.expect("counts");
    assert_eq!((told.missing, told.stored), (6, 4), "the answer itself is right");
    counts(&issuer, &ward, 6, 4).await;
    assert!(lines.text().contains("1 of 2 chunks that were stored are gone"), "{}", lines.text());
    accepted(&issuer, &ward, &sent, opened.uploader_epoch, &[0, 2]).await;
});

on_both!(a_chunk_lost_between_two_uploads_is_taken_when_it_comes_again, async {
    let (lines, _guard) = listen();
    let (issuer, ward) = unswept().await;
    let (sent, epoch) = ward.begun(1, "A", &[0, 1]).await;
    lose(&issuer, 0).await;
    // The counts are those of a whole batch now, and leave no room for the first chunk.
    ward.upload(&sent, epoch, vec![sent.chunk(2)]).await.end.expect("it is taken");
    accepted(&issuer, &ward, &sent, epoch, &[0, 1]).await;
    assert!(lines.text().contains("1 of 3 chunks that were stored are gone"), "{}", lines.text());
});

on_both!(a_chunk_lost_while_nobody_sends_is_noticed_by_the_sweeper, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let (sent, epoch) = ward.begun(1, "A", &[0, 1]).await;
    lose(&issuer, 1).await;
    eventually("the sweeper raises the flag", || async {
        lines.text().contains("damaged at 131229").then_some(())
    })
    .await;
    counts(&issuer, &ward, 6, 4).await;
    accepted(&issuer, &ward, &sent, epoch, &[1, 2]).await;
});
