//! Promise: a clock that jumps accepts nothing too early, hides nothing that does not move, and gives no
//! piece of work to two.

use std::time::Duration;

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    wire::pb,
};

use super::{
    begun,
    databases::on_both,
    harness::{Issuer, Party, batch, eventually, id, records, state},
    noticing::{Lines, listen},
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

async fn flags(ward: &Party) -> Vec<String> {
    let batch = ward.get(id(1)).await.expect("the batch");
    begun::flags(&batch).into_iter().map(str::to_owned).collect()
}

/// Waits until the sweeper itself says this: an answer to GetBatch derives its flags while it is written.
async fn says(lines: &Lines, words: &str) {
    eventually(words, || async { lines.text().contains(words).then_some(()) }).await;
}

/// Waits until the sweeper has made some rounds.
async fn rounds(issuer: &Issuer) {
    let beats = issuer.store.heartbeats().await.expect("reads");
    eventually("rounds of the sweeper", || async {
        (issuer.store.heartbeats().await.expect("reads") > beats + 2).then_some(())
    })
    .await;
}

on_both!(a_batch_that_stands_still_is_flagged_in_time_although_the_clock_went_back_an_hour, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let (sent, epoch) = ward.begun(1, "K", &[0]).await;
    issuer.clock.advance(-HOUR);
    rounds(&issuer).await;
    assert_eq!(flags(&ward).await, [""; 0], "nothing is said too early");
    assert!(lines.text().contains("the clock was set back by 3600000 ms"));
    issuer.clock.advance(110_000);
    assert_eq!(flags(&ward).await, ["stalled"], "within two minutes of standing still");
    says(&lines, "stalled at 131229").await;
    ward.upload(&sent, epoch, vec![sent.chunk(2), sent.chunk(1)]).await.end.expect("taken");
    ward.seal(&sent).await.expect("nothing is missing");
    let finished = ward.finished(id(1)).await;
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    assert_eq!(finished.counts.expect("counts").accepted, 10, "each once");
});

on_both!(a_day_forward_in_the_middle_of_a_batch_raises_flags_that_go_down_again_and_accepts_nothing, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let (sent, epoch) = ward.begun(1, "K", &[0]).await;
    issuer.clock.advance(DAY + HOUR);
    assert_eq!(flags(&ward).await, ["stalled", "overdue"]);
    says(&lines, "stalled at 131229").await;
    says(&lines, "overdue at 131229").await;
    let gaps = ward.seal(&sent).await.expect_err("no time makes it whole");
    assert_eq!(gaps.get("missing_count"), Some("6"));
    assert_eq!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Receiving);
    ward.upload(&sent, epoch, vec![sent.chunk(1), sent.chunk(2)]).await.end.expect("taken");
    issuer.clock.advance(-DAY);
    rounds(&issuer).await;
    ward.seal(&sent).await.expect("nothing is missing");
    let finished = ward.finished(id(1)).await;
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    assert_eq!(flags(&ward).await, [""; 0]);
    says(&lines, "stalled of 131229 is over").await;
    says(&lines, "overdue of 131229 is over").await;
});

on_both!(the_lease_of_a_dead_worker_ends_in_time_although_the_clock_went_back_an_hour, async {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    ward.sent(1, "K").await;
    // A worker that took it by the clock of before, and died.
    issuer
        .damage(
            "UPDATE batch SET state = 'IMPORTING', sealed_ms = progress_ms;
            INSERT INTO work (municipality_code, batch_id, attempt, epoch, holder, due_ms)
                SELECT municipality_code, batch_id, 1, 1, 'issuer-0', progress_ms + 10000 FROM batch",
        )
        .await;
    issuer.clock.advance(-HOUR);
    rounds(&issuer).await;
    assert_eq!(state(&ward.get(id(1)).await.expect("the batch")), BatchState::Importing, "it has the lease");
    issuer.clock.advance(61_000); // the longest wait there is
    let finished = ward.finished(id(1)).await;
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    assert_eq!(finished.counts.expect("counts").accepted, 10);
});

on_both!(a_batch_that_is_worked_off_while_the_clock_leaps_to_and_fro_is_accepted_once, async {
    let issuer = Issuer::start(|options| options.workers = 2).await;
    let ward = issuer.party("municipality/131229").await;
    let many = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 400));
    let epoch = ward.open(&many).await.expect("opens").uploader_epoch;
    ward.upload(&many, epoch, many.chunks()).await.end.expect("taken");
    ward.seal(&many).await.expect("nothing is missing");
    // While it is worked off, chunk by chunk, the clock is never at rest.
    let mut request = ward.request(pb::WatchBatchRequest { batch_id: id(1).to_string() });
    request.set_timeout(Duration::from_secs(30));
    let mut events = ward.batches().watch_batch(request).await.expect("it watches").into_inner();
    let (mut last, mut jumped) = (None, 0);
    let mut jumps = [HOUR / 2, -HOUR, 3 * HOUR, -2 * HOUR].into_iter().cycle();
    while let Some(event) = events.message().await.expect("it reaches its end in time") {
        last = event.batch;
        issuer.clock.advance(jumps.next().expect("for ever"));
        jumped += 1;
    }
    assert!(jumped >= 4, "each kind of jump came: {jumped}");
    let finished = last.expect("the batch");
    assert_eq!(state(&finished), BatchState::Accepted, "{}", finished.discrepancy);
    assert_eq!(finished.counts.expect("counts").accepted, 400, "each once");
    let request = pb::ListCardsRequest { page_size: 1000, ..Default::default() };
    let cards = ward.cards().list_cards(request).await.expect("it lists").into_inner().cards;
    assert_eq!(cards.len(), 400);
});

on_both!(a_heartbeat_of_before_the_clock_went_back_does_not_count_as_one_of_now, async {
    let issuer = Issuer::start(|options| options.sweep_every = Duration::from_secs(3600)).await;
    eventually("the first round", || async {
        issuer.store.heartbeat(todoke::issuance::HEARTBEAT).await.expect("reads")
    })
    .await;
    assert_eq!((issuer.not_ready)(), Vec::<String>::new(), "it was just there");
    issuer.clock.advance(-HOUR);
    let reasons = (issuer.not_ready)();
    assert!(
        reasons.len() == 1 && reasons[0].contains("sweeper"),
        "nobody has looked by this clock: {reasons:?}"
    );
});
