//! Promise: what a controller was told lies on disk as it can be run again, and a disk that takes nothing
//! holds nobody up.

use std::{fs, io::BufReader, path::Path, time::Duration};

use super::*;
use crate::pool::{
    ledger::{Report, fixture::Live, list, replay},
    rule::Parameters,
};

/// A pool that leaves each step, and waits for the disk now and then.
async fn run(live: &mut Live, recorder: &Recorder, seconds: u64, sick: bool) -> usize {
    let mut decided = 0;
    for n in 0..seconds {
        recorder.before(live.second, &live.policy, &live.judge);
        let input = live.input(sick && (20..130).contains(&n));
        let decisions = live.decide(&input);
        decided += decisions.len();
        recorder.step(input, &decisions);
        recorder.settled().await;
    }
    decided
}

fn again(folder: &Path) -> Vec<Report> {
    let mut reports = Vec::new();
    for piece in list(folder).expect("it is there") {
        let mut judge = Judge::new(Parameters::default(), 0);
        let file = BufReader::new(fs::File::open(piece.path).expect("it is there"));
        reports.push(replay(file, &mut judge).expect("every line is right"));
    }
    reports
}

#[tokio::test]
async fn every_decision_is_made_again_from_the_files_also_across_a_new_one_and_a_takeover() {
    let dir = tempfile::tempdir().expect("a folder");
    let tasks = Tasks::new();
    let recorder = Recorder::into_folder(dir.path().join("ledger"), 1 << 20, &tasks);
    let mut live = Live::new();
    let mut decided = run(&mut live, &recorder, 300, true).await;
    recorder.interrupt();
    decided += run(&mut live, &recorder, 300, false).await;
    tasks.soft().cancel();
    tasks.join(Duration::from_secs(10)).await;
    let reports = again(&dir.path().join("ledger"));
    assert!(reports.len() >= 3, "{} files: one was full, and there was a takeover", reports.len());
    assert!(reports.iter().all(|report| report.difference.is_none() && !report.cut), "{reports:?}");
    assert_eq!(reports.iter().map(|report| report.steps).sum::<u64>(), 600);
    assert_eq!(reports.iter().map(|report| report.same).sum::<u64>(), decided as u64);
    assert!(live.policy.units().values().any(|unit| unit.evictions == 1), "one was evicted");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_holds_nobody_up_and_what_comes_after_can_be_run_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("ledger");
    fs::write(&folder, "no folder").expect("it is written");
    let tasks = Tasks::new();
    let recorder = Recorder::into_folder(folder.clone(), 1 << 20, &tasks);
    let mut live = Live::new();
    run(&mut live, &recorder, 40, true).await;
    fs::remove_file(&folder).expect("it was there");
    run(&mut live, &recorder, 60, false).await;
    tasks.soft().cancel();
    tasks.join(Duration::from_secs(10)).await;
    let reports = again(&folder);
    let seconds = reports.iter().map(|report| report.steps).sum::<u64>();
    assert!((40..60).contains(&seconds), "{seconds} s are on record");
    assert!(reports.iter().all(|report| report.difference.is_none()), "{reports:?}");
}

#[test]
fn without_a_folder_nothing_is_written_and_nothing_is_missed() {
    let (recorder, mut live) = (Recorder::default(), Live::new());
    recorder.before(live.second, &live.policy, &live.judge);
    let input = live.input(false);
    recorder.step(input, &[]);
    recorder.interrupt();
}
