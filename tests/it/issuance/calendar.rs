//! Promise: a batch that the calendar expects and that never comes is noticed by the issuer itself, told to
//! its municipality, and closed by any batch, also by one of no records.

use std::{fs, path::Path};

use todoke::{
    domain::{
        batch::BatchState,
        date::{japan, utc},
        manifest::Policy,
    },
    issuance::{self, Options},
    wire::{convert::millis, pb},
};

use super::{
    databases::on_both,
    harness::{Issuer, Party, batch, eventually, id, records, state},
    noticing::listen,
};

/// Writes a calendar with these due moments of Katsushika ward.
fn write(path: &Path, dues_ms: &[i64]) {
    let lines: String = dues_ms
        .iter()
        .map(|due_ms| format!("131229,{},daily\n", utc(*due_ms).replace(".000Z", "Z")))
        .collect();
    fs::write(path, format!("municipality,due,note\n{lines}")).expect("it is written");
}

/// What is missing of a municipality, and what comes next, as due moments.
async fn expected(ward: &Party) -> (Vec<i64>, Vec<i64>) {
    let request = ward.request(pb::ListBatchesRequest::default());
    let list = ward.batches().list_batches(request).await.expect("it lists").into_inner();
    let (missing, coming): (Vec<_>, Vec<_>) = list.expected_batches.into_iter().partition(|one| one.missing);
    let due = |of: Vec<pb::ExpectedBatch>| of.iter().map(|one| millis(&one.due_time.expect("due"))).collect();
    (due(missing), due(coming))
}

/// A whole second soon after the tests' clock.
fn soon() -> i64 {
    super::now_ms() / 1000 * 1000 + 60_000
}

on_both!(a_batch_that_never_comes_is_told_once_and_a_nil_return_closes_it, async {
    let (lines, _guard) = listen();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("calendar.csv");
    let (first, second) = (soon(), soon() + 86_400_000);
    write(&file, &[first, second]);
    let issuer = Issuer::start(|options| options.calendar_file = Some(file.clone())).await;
    let ward = issuer.party("municipality/131229").await;
    let other = issuer.party("municipality/011002").await;
    assert_eq!(expected(&ward).await, (vec![], vec![first, second]), "nothing is due yet");
    issuer.clock.advance(120_000);
    eventually("the sweeper tells", || async {
        let words = "expected-batch-missing at 131229: a batch (daily) was due by ";
        lines.text().contains(words).then_some(())
    })
    .await;
    let words = format!("was due by {} and none was opened", japan(first));
    assert!(lines.text().contains(&words), "in Japan's time, as the calendar is written: {}", lines.text());
    assert_eq!(expected(&ward).await, (vec![first], vec![second]));
    assert_eq!(expected(&other).await, (vec![], vec![]), "nobody else is told");
    let nil = batch(ward.code(), 1, Policy::AllOrNothing, &[]);
    let finished = ward.import(&nil).await;
    assert_eq!((state(&finished), finished.record_count), (BatchState::Accepted, 0));
    assert_eq!(expected(&ward).await, (vec![], vec![second]));
    eventually("the sweeper tells the end", || async {
        lines.text().contains("expected-batch-missing of 131229 is over").then_some(())
    })
    .await;
    assert_eq!(lines.text().matches("expected-batch-missing at 131229").count(), 1, "told once");
});

on_both!(a_batch_that_was_given_up_is_none, async {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("calendar.csv");
    write(&file, &[soon()]);
    let issuer = Issuer::start(|options| options.calendar_file = Some(file.clone())).await;
    let ward = issuer.party("municipality/131229").await;
    ward.open(&batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 5))).await.expect("opens");
    issuer.clock.advance(120_000);
    assert_eq!(expected(&ward).await.0, Vec::<i64>::new(), "it was opened in time");
    let request = ward.abort_request(ward.code(), id(1), "wrong extract");
    ward.batches().abort_batch(request).await.expect("aborted");
    assert_eq!(expected(&ward).await.0.len(), 1, "now none came");
});

on_both!(a_calendar_is_read_again_and_a_wrong_one_leaves_the_old_in_force, async {
    let (lines, _guard) = listen();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("calendar.csv");
    write(&file, &[]);
    let issuer = Issuer::start(|options| options.calendar_file = Some(file.clone())).await;
    let ward = issuer.party("municipality/131229").await;
    write(&file, &[soon()]);
    eventually("it is read anew", || async { (expected(&ward).await.1.len() == 1).then_some(()) }).await;
    fs::write(&file, "municipality,due\n131229,tomorrow\n").expect("it is written");
    eventually("it is told", || async {
        let told = "calendar.csv, line 2, due: is neither a day nor a moment. Write 2026-11-25";
        lines.text().contains(told).then_some(())
    })
    .await;
    fs::remove_file(&file).expect("it was there");
    eventually("it is told", || async { lines.text().contains("No such file").then_some(()) }).await;
    assert_eq!(expected(&ward).await.1.len(), 1, "the old one is in force");
    write(&file, &[soon(), soon() + 1000]);
    eventually("it is read anew", || async { (expected(&ward).await.1.len() == 2).then_some(()) }).await;
});

#[tokio::test]
async fn an_issuer_does_not_start_with_a_calendar_that_it_cannot_use() {
    let issuer = Issuer::start(|_| {}).await;
    let file = issuer.dir.path().join("calendar.csv");
    fs::write(&file, "municipality,due\n131228,2026-11-25\n").expect("it is written");
    let options = Options { calendar_file: Some(file), ..Options::default() };
    let kek = issuer.dir.path().join("pki/kek.key");
    let refused = issuer.started_as(options, &kek).await.err().expect("it is refused");
    assert!(matches!(refused, issuance::Error::Calendar(_)), "{refused}");
    assert!(refused.to_string().contains("line 2, municipality: '131228' is no municipality"), "{refused}");
}
