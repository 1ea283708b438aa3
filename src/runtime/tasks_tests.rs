//! Promise: every death of a task has the meaning that was stated, and no task outlives the drain.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// Tells when it is dropped.
struct Canary(Arc<AtomicBool>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The end of all tasks; a test whose tasks do not end fails rather than hangs.
async fn joined(tasks: &Tasks) -> Ended {
    tokio::time::timeout(Duration::from_secs(20), tasks.join(LONG)).await.expect("they end by themselves")
}

fn obedient(tasks: &Tasks) -> impl Future<Output = ()> + Send + use<> {
    let soft = tasks.soft();
    async move { soft.cancelled().await }
}

#[test]
fn the_hard_token_takes_the_soft_one_along_and_not_the_other_way_round() {
    let tasks = Tasks::new();
    tasks.soft().cancel();
    assert!(!tasks.hard().is_cancelled());
    let tasks = Tasks::new();
    tasks.hard().cancel();
    assert!(tasks.soft().is_cancelled());
}

#[tokio::test]
async fn what_ends_when_asked_is_no_death() {
    let tasks = Tasks::new();
    tasks.spawn("needed", OnDeath::Shutdown, obedient(&tasks));
    tasks.spawn("brief", OnDeath::Ignore, async {});
    tokio::task::yield_now().await;
    assert_eq!(tasks.alive(), ["needed"]);
    assert!(!tasks.soft().is_cancelled(), "a brief task that may end stops nothing");
    tasks.soft().cancel();
    let ended = joined(&tasks).await;
    assert_eq!(ended, Ended::default());
    assert_eq!(ended.exit_code(), exit::DONE);
}

#[tokio::test]
async fn the_early_end_of_a_needed_task_stops_the_process_and_fails_it() {
    let tasks = Tasks::new();
    tasks.spawn("other", OnDeath::Shutdown, obedient(&tasks));
    tasks.spawn("needed", OnDeath::Shutdown, async {});
    let ended = joined(&tasks).await;
    assert_eq!(ended, Ended { first_death: Some("needed"), cut_off: vec![] });
    assert_eq!(ended.exit_code(), exit::FAILED);
}

#[tokio::test]
async fn a_panic_does_what_was_stated_and_fails_the_process_at_its_end() {
    let metrics = crate::telemetry::prometheus();
    for (on_death, stops) in [(OnDeath::Ignore, false), (OnDeath::Shutdown, true)] {
        let tasks = Tasks::new();
        tasks.spawn("clumsy", on_death, async { panic!("on purpose") });
        tasks.spawn("other", OnDeath::Shutdown, obedient(&tasks));
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(tasks.soft().is_cancelled(), stops, "{on_death:?}");
        assert!(!tasks.alive().contains(&"clumsy"));
        tasks.soft().cancel();
        assert_eq!(joined(&tasks).await.first_death, Some("clumsy"), "{on_death:?}");
    }
    let text = metrics.render();
    let counted = |line: &str| text.lines().any(|counted| counted == line);
    assert!(counted("todoke_task_deaths_total{task=\"clumsy\",cause=\"panic\"} 2"), "{text}");
    assert!(counted("todoke_task_deaths_total{task=\"clumsy\",cause=\"early_end\"} 0"), "{text}");
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_cut_off_at_the_end_of_the_drain() {
    let tasks = Tasks::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let canary = Canary(Arc::clone(&dropped));
    tasks.spawn("deaf", OnDeath::Shutdown, async move {
        let _canary = canary;
        pending::<()>().await;
    });
    tasks.soft().cancel();
    let begun = tokio::time::Instant::now();
    let ended = tasks.join(Duration::from_millis(50)).await;
    assert!(begun.elapsed() >= Duration::from_millis(50), "it got its time");
    assert_eq!(ended, Ended { first_death: None, cut_off: vec!["deaf"] });
    assert!(dropped.load(Ordering::SeqCst), "it was dropped, not left behind");
    assert!(tasks.hard().is_cancelled());
}

#[tokio::test]
async fn the_drain_begins_when_the_stop_is_asked_for() {
    let tasks = Tasks::new();
    tasks.spawn("deaf", OnDeath::Shutdown, pending());
    let mut joining = Box::pin(tasks.join(Duration::ZERO));
    for _ in 0..100 {
        assert!(futures_util::poll!(joining.as_mut()).is_pending(), "nobody asked it to stop");
        tokio::task::yield_now().await;
    }
    tasks.soft().cancel();
    assert_eq!(joining.await.cut_off, ["deaf"]);
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() {
    let tasks = Tasks::new();
    tasks.spawn("deaf", OnDeath::Shutdown, pending());
    tasks.soft().cancel();
    let mut joining = Box::pin(tasks.join(LONG));
    assert!(futures_util::poll!(joining.as_mut()).is_pending(), "the drain goes on");
    tasks.hard().cancel();
    assert_eq!(joining.await.cut_off, ["deaf"]);
}

#[tokio::test]
async fn tasks_of_one_name_are_counted_and_named_once() {
    let tasks = Tasks::new();
    for _ in 0..3 {
        tasks.spawn("same", OnDeath::Ignore, obedient(&tasks));
    }
    assert_eq!(tasks.alive(), ["same"]);
    tasks.soft().cancel();
    joined(&tasks).await;
    assert_eq!(tasks.alive(), Vec::<&str>::new());
}
