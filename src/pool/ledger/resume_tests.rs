//! Promise: the end of a record gives judge and policy as they stood, from its last start on, however it was
//! cut off.

use std::{fs, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    pool::ledger::{Recorder, fixture::Live, list, record::START_EVERY_S},
    runtime::Tasks,
};

/// A pool that was recorded for so many seconds.
async fn recorded(seconds: u64) -> (TempDir, Live) {
    let (dir, tasks, mut live) = (tempfile::tempdir().expect("a folder"), Tasks::new(), Live::new());
    let recorder = Recorder::into_folder(dir.path().to_owned(), 64 << 20, &tasks);
    for n in 0..seconds {
        recorder.before(live.second, &live.policy, &live.judge);
        let input = live.input(n > seconds - 20);
        let decisions = live.decide(&input);
        recorder.step(input, &decisions);
        recorder.settled().await;
    }
    tasks.soft().cancel();
    tasks.join(Duration::from_secs(10)).await;
    (dir, live)
}

#[tokio::test]
async fn what_stands_before_the_last_start_is_not_read_and_little_stands_behind_it() {
    let (dir, live) = recorded(START_EVERY_S + 50).await;
    let pieces = list(dir.path()).expect("it is there");
    let [piece] = pieces.as_slice() else { panic!("one file is enough: {pieces:?}") };
    let text = fs::read_to_string(&piece.path).expect("it is read");
    let (before, behind) = text.split_at(text.rfind("{\"start\":").expect("there are two"));
    assert_eq!(before.matches("{\"start\":").count(), 1);
    let seconds = behind.matches("{\"second\":{").count() as u64;
    assert!((40..=START_EVERY_S).contains(&seconds), "{seconds} s are judged again");

    let changed = before.replacen("\"n\":10,", "\"n\":11,", 1);
    assert_ne!(before, changed);
    fs::write(&piece.path, changed + behind).expect("it is written");
    let end = resume(dir.path(), live.second + 7, 7).expect("that is not read");
    assert!(end.judge == live.judge && end.policy == live.policy, "all of it is as it was");
    assert!(matches!(resume(dir.path(), live.second + 8, 7), Err(NoEnd::Old(8))));

    fs::write(&piece.path, behind.replacen("\"n\":10,", "\"n\":11,", 1)).expect("it is written");
    assert!(matches!(resume(dir.path(), live.second, 7), Err(NoEnd::Damaged { .. })));
}

#[tokio::test]
async fn a_file_that_was_cut_off_in_its_first_line_is_passed_over() {
    let (dir, live) = recorded(30).await;
    let next = dir.path().join("ledger-99999999999-00.jsonl");
    for begun in ["", "{\"start\":{\"form", "{\"start\":{}}\n"] {
        fs::write(&next, begun).expect("it is written");
        let end = resume(dir.path(), live.second, 60).expect("the one before is whole");
        assert!(end.judge == live.judge && end.policy == live.policy, "{begun}");
    }
    assert!(matches!(resume(&dir.path().join("none"), live.second, 60), Err(NoEnd::Nothing)));
}
