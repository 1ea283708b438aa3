//! Promise: what does not move is noticed without anybody asking, and no log line shows a person.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use todoke::{
    domain::{batch::BatchState, manifest::Policy, record::Field},
    wire::{convert::millis, pb},
};

use super::{
    begun::flags,
    databases::on_both,
    harness::{Issuer, batch, eventually, id, records, state},
};

/// Keeps what would be logged.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

on_both!(a_stalled_batch_is_told_once_by_itself_and_once_when_it_is_over, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let (sent, _) = ward.begun(1, "K", &[0]).await;
    assert!(ward.get(id(1)).await.expect("the batch").flags.is_empty());
    issuer.clock.advance(61_000);
    assert_eq!(flags(&ward.get(id(1)).await.expect("the batch")), ["stalled"]);
    eventually("the sweeper tells", || async { lines.text().contains("stalled at 131229").then_some(()) })
        .await;
    ward.import(&sent).await;
    eventually("the sweeper tells the end", || async {
        lines.text().contains("stalled of 131229 is over").then_some(())
    })
    .await;
    assert_eq!(lines.text().matches("stalled at 131229").count(), 1, "told once");
});

on_both!(the_heartbeat_shows_that_somebody_looks, async {
    let issuer = Issuer::start(|_| {}).await;
    issuer.clock.advance(30_000);
    let now_ms = issuer.clock.now_ms();
    eventually("a heartbeat", || async {
        let beat = issuer.store.heartbeat(todoke::issuance::HEARTBEAT).await.expect("reads");
        (beat == Some(now_ms)).then_some(())
    })
    .await;
    assert_eq!((issuer.not_ready)(), Vec::<String>::new());
});

on_both!(an_issuer_whose_sweeper_is_silent_is_not_ready, async {
    let issuer = Issuer::start(|options| options.sweep_every = std::time::Duration::from_secs(3600)).await;
    eventually("the first round", || async {
        issuer.store.heartbeat(todoke::issuance::HEARTBEAT).await.expect("reads")
    })
    .await;
    issuer.clock.advance(60_000);
    assert_eq!((issuer.not_ready)(), Vec::<String>::new(), "at the limit");
    issuer.clock.advance(1);
    let reasons = (issuer.not_ready)();
    assert!(reasons.len() == 1 && reasons[0].contains("sweeper"), "{reasons:?}");
});

on_both!(every_municipality_that_asks_can_see_that_nobody_looks, async {
    let issuer = Issuer::start(|options| options.sweep_every = std::time::Duration::from_secs(3600)).await;
    let ward = issuer.party("municipality/131229").await;
    let silent_ms = || async {
        let list = ward.batches().list_batches(pb::ListBatchesRequest::default()).await;
        let list = list.expect("it lists").into_inner();
        Some(millis(&list.answer_time?) - millis(&list.sweep_time?))
    };
    assert_eq!(eventually("the first round", silent_ms).await, 0);
    issuer.clock.advance(61_000);
    assert_eq!(silent_ms().await, Some(61_000));
});

on_both!(no_log_line_shows_a_person, async {
    let (lines, _guard) = listen();
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let mut all = records("K", 10);
    all[1].set(Field::IndividualNumber, "123456789018");
    all[2].set(Field::IndividualNumber, "123456789017");
    all[3].set(Field::BirthDate, "1980-02-31");
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &all);
    assert_eq!(state(&ward.import(&sent).await), BatchState::Discrepant);
    let mut broken = records("B", 4);
    broken[0].set(Field::Name, "カナリヤ\0");
    let broken = batch(ward.code(), 2, Policy::AllOrNothing, &broken);
    let epoch = ward.open(&broken).await.expect("opens").uploader_epoch;
    let fault = ward.upload(&broken, epoch, broken.chunks()).await.end.expect_err("a NUL");
    let seen = lines.text() + &format!("{fault:?}");
    assert!(seen.contains("discrepant"), "the log is being read");
    for canary in ["カナリヤ", "𠮷田", "123456789018", "123456789017", "1980-02"] {
        assert!(!seen.contains(canary), "{canary} is shown");
    }
});
