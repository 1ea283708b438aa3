//! Promise: what spoke against a relay is not forgotten while its issuer is started anew, if that takes no
//! longer than the rule is silent for; a record that is old, damaged or of another state is not gone by, and
//! that is said.

use std::{fs, io::Write as _, path::PathBuf};

use super::{fixture::World, seconds};
use crate::{
    pool::{
        keeper::Kept,
        ledger,
        policy::{Policy, Rule, State, Unit},
        rule,
    },
    telemetry::Lines,
};

/// S of the sick relay.
fn s(world: &World) -> f64 {
    let core = world.controller.core();
    core.judgement.units.get(&"relay-2".parse().expect("a name")).map_or(0.0, |judged| judged.s)
}

fn unit(world: &World) -> Unit {
    world.controller.core().policy.units()[&"relay-2".parse().expect("a name")].clone()
}

/// A pool of three whose second relay fails its calls, and is nearly evicted for it.
async fn nearly_evicted() -> World {
    let mut world = World::start().await;
    for _ in 0..30 {
        world.second(false).await;
    }
    while s(&world) < 15.0 {
        world.second(true).await;
        assert_eq!(unit(&world).evictions, 0);
    }
    assert_eq!(unit(&world).state, State::Suspect);
    world.written().await;
    world
}

/// Seconds until the sick relay is evicted.
async fn until_evicted(world: &mut World) -> u64 {
    for second in 1..=120 {
        world.second(true).await;
        if unit(world).evictions > 0 {
            return second;
        }
    }
    panic!("it is not evicted, S = {}", s(world));
}

fn last_file(world: &World) -> PathBuf {
    ledger::list(&world.folder()).expect("it is there").pop().expect("one was written").path
}

/// Starts the issuer anew, and returns what it says of its judge.
async fn restarted(world: &mut World) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let kept = tracing::subscriber::set_default(subscriber);
    world.restart().await;
    drop(kept);
    let text = lines.text();
    text.lines().filter(|line| line.contains("the judge") || line.contains("record")).collect()
}

/// A restart after which the judge knows nothing; what is said of that.
async fn began_anew(world: &mut World) -> String {
    let said = restarted(world).await;
    assert_eq!(s(world), 0.0, "{said}");
    assert!(said.contains("the judge begins anew"), "{said}");
    assert!(unit(world).anew.is_some(), "it is steered away from until it is judged again");
    said
}

#[tokio::test]
async fn the_judge_goes_on_where_it_was_and_the_seconds_between_count_as_silence() {
    let mut world = nearly_evicted().await;
    let mut silent: rule::Judge = world.controller.core().judge.clone();
    world.pass(20);
    let said = restarted(&mut world).await;
    silent.judge(seconds(world.clock.now_ms()));
    assert!(world.controller.core().judge == silent, "as if nobody had reported for 20 s");
    assert!(said.contains("it ended 20 s ago"), "{said}");
    assert!(s(&world) > 12.0, "{}", s(&world));
    assert_eq!(unit(&world).anew, None, "its judge is none that is new");
    let evicted = until_evicted(&mut world).await;
    assert!(evicted < 35, "{evicted} s; from S = 0 it takes some 70");
    for report in world.replayed().await {
        assert_eq!(report.difference, None);
    }
}

#[tokio::test]
async fn an_issuer_that_crashes_every_40_s_evicts_the_sick_relay_all_the_same() {
    let mut world = World::start().await;
    let mut evicted = None;
    for second in 0..160 {
        if second % 40 == 39 {
            world.written().await;
            world.pass(3);
            world.restart().await;
        }
        world.second(second > 30).await;
        if second > 30 && evicted.is_none() {
            let Unit { evictions, why, .. } = unit(&world);
            evicted = (evictions > 0).then_some((second, why.rule));
        }
    }
    assert!(evicted.is_some_and(|(second, rule)| second < 130 && rule == Rule::E1), "{evicted:?}");
    for report in world.replayed().await {
        assert_eq!(report.difference, None);
    }
}

#[tokio::test]
async fn a_record_that_ended_a_minute_ago_is_gone_by_and_one_that_is_older_is_not() {
    let mut world = nearly_evicted().await;
    world.pass(60);
    assert!(restarted(&mut world).await.contains("it ended 60 s ago"));
    let mut world = nearly_evicted().await;
    world.pass(61);
    let said = began_anew(&mut world).await;
    assert!(said.contains("INFO") && said.contains("the record ended 61 s ago"), "{said}");
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_no_damage_and_a_byte_that_was_changed_is() {
    let mut world = nearly_evicted().await;
    let mut file = fs::OpenOptions::new().append(true).open(last_file(&world)).expect("it is there");
    file.write_all(b"{\"second\":{\"second\":17850000").expect("it is written");
    assert!(restarted(&mut world).await.contains("it ended 0 s ago"));
    assert!(s(&world) > 14.0, "{}", s(&world));

    world.second(true).await;
    world.written().await;
    let file = last_file(&world);
    let text = fs::read_to_string(&file).expect("it is read");
    fs::write(&file, text.replacen("\"n\":10,\"bad\":8", "\"n\":10,\"bad\":0", 1)).expect("it is written");
    let said = began_anew(&mut world).await;
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains("ERROR") && said.contains(name) && said.contains("lines "), "{said}");
}

#[tokio::test]
async fn a_record_of_another_state_than_the_database_s_or_of_other_numbers_is_not_gone_by() {
    let mut world = nearly_evicted().await;
    let change = |kept: &str| {
        let mut policy: serde_json::Value = serde_json::from_str(kept).expect("it is JSON");
        policy["epoch"] = 2.into();
        serde_json::from_value::<Policy>(policy.clone()).expect("it is a policy");
        policy.to_string()
    };
    let kept = world.keeper.kept.lock().expect("no panic").clone().expect("it is kept");
    let other = Kept { state: change(&kept.state), epoch: 2, ..kept.clone() };
    world.keeper.steal();
    *world.keeper.kept.lock().expect("no panic") = Some(other);
    let said = began_anew(&mut world).await;
    assert!(said.contains("WARN") && said.contains("what the database says"), "{said}");

    let mut world = nearly_evicted().await;
    world.options.rule.stake = 0.8;
    let said = began_anew(&mut world).await;
    assert!(said.contains("WARN") && said.contains("numbers are others"), "{said}");
}

#[tokio::test]
async fn without_a_record_the_judge_begins_anew() {
    let mut world = nearly_evicted().await;
    fs::remove_dir_all(world.folder()).expect("it was there");
    let said = began_anew(&mut world).await;
    assert!(said.contains("nothing is on record"), "{said}");
}
