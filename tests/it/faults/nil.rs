//! Promise: nothing to hand in is said once for each due moment, and what is said twice is one batch.

use serde_json::Value;
use todoke::domain::date::utc;

use super::world::World;

async fn nothing_today(world: &World) -> (Value, Value) {
    let said = world.folder.todoke(&["import", "--nothing-today", "nil.csv"], &world.folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let result = said.result();
    (result["sequence"].clone(), result["again"].clone())
}

async fn missing(world: &World) -> usize {
    let said = world.folder.todoke(&["status"], &world.folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let expected = said.result()["expected_batches"].as_array().cloned().expect("a list");
    expected.iter().filter(|one| one["missing"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_due_moment_of_a_day_has_a_nil_return_of_its_own_from_one_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let calendar = dir.path().join("calendar.csv");
    let now_ms = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    let lines: String = [60_000, 120_000, 180_000]
        .map(|later| format!("131229,{}\n", utc(now_ms + later).replace(".000Z", "Z")))
        .concat();
    std::fs::write(&calendar, format!("municipality,due\n{lines}")).expect("it is written");
    let mut world = World::with(|options| options.calendar_file = Some(calendar)).await;
    world.relay().await;
    world.relay().await;
    let (first, second, third) = (1.into(), 2.into(), 3.into());
    assert_eq!(nothing_today(&world).await, (first, false.into()));
    let receipt = world.folder.read("nil.csv.receipt");
    assert_eq!(nothing_today(&world).await, (1.into(), true.into()), "nothing is due yet");
    world.issuer.clock.advance(61_000);
    assert_eq!(nothing_today(&world).await, (1.into(), true.into()), "it came in time");
    // Two moments pass, and the file with its receipt is of before both.
    world.issuer.clock.advance(120_000);
    assert_eq!(missing(&world).await, 2);
    assert_eq!(nothing_today(&world).await, (second, false.into()));
    assert_eq!(missing(&world).await, 1);
    assert_eq!(nothing_today(&world).await, (third, false.into()));
    assert_eq!(missing(&world).await, 0);
    assert_eq!(nothing_today(&world).await, (3.into(), true.into()), "all of them are met");
    assert_eq!(world.rows("receipt").await, 3);
    assert_eq!(world.folder.read("nil.csv.receipt.1"), receipt, "each receipt is kept");
    world.is_proved("nil.csv").await;
}
