//! Promise: whatever happens to the controller (evidence, orders, a database that is away, another issuer
//! that decides for a while), what it left on disk gives the same decisions again.

use super::{
    fixture::{START_MS, World, again},
    *,
};
use crate::wire::{
    fault::Fault,
    pb::{self, order_unit_request::Order},
};

impl World {
    pub(super) async fn order(&self, id: &str, unit: &str, order: Order) {
        self.try_order(id, unit, order).await.expect("it is carried out");
    }

    pub(super) async fn try_order(
        &self,
        id: &str,
        unit: &str,
        order: Order,
    ) -> Result<pb::OrderUnitResponse, Fault> {
        let operator = "operator/alice".parse().expect("legal");
        let (request_id, unit, order) = (id.to_owned(), unit.to_owned(), Some(order));
        let asked = pb::OrderUnitRequest { request_id, unit, order };
        self.controller.order(&operator, asked).await
    }

    /// Five minutes in which everything happens.
    async fn story(&mut self) {
        for n in 0..300 {
            if n == 60 {
                let why = "the rack is moved".to_owned();
                self.order("drain-1", "relay-3", Order::Drain(pb::DrainUnit { why })).await;
            }
            if n == 75 {
                let why = "it stands".to_owned();
                self.order("undrain-1", "relay-3", Order::Undrain(pb::UndrainUnit { why })).await;
            }
            let away = (200..215).contains(&n);
            self.keeper.away.store(away, std::sync::atomic::Ordering::SeqCst);
            if n == 250 {
                self.keeper.steal();
            }
            self.second((90..199).contains(&n)).await;
        }
    }
}

#[tokio::test]
async fn what_is_on_disk_and_what_is_exported_give_the_same_decisions_again() {
    let mut world = World::start().await;
    world.story().await;
    let asked = pb::ExportLedgerRequest::default();
    let mut export = world.controller.export(asked).await.expect("it is kept");
    let mut text = Vec::new();
    while let Some(lines) = export.read().expect("it is read") {
        text.extend(lines);
    }
    let (mut seconds, mut same, mut files) = (0, 0, 0);
    for report in world.replayed().await {
        assert_eq!(report.difference, None, "file {files}");
        (seconds, same, files) = (seconds + report.steps, same + report.same, files + 1);
    }
    let evicted = world.controller.core().policy.units().values().any(|unit| unit.evictions > 0);
    assert!(evicted, "one was evicted");
    assert!(files >= 2, "another issuer decided in between");
    assert!(seconds >= 290, "{seconds} steps, those without a database too");
    let kept = world.keeper.rows.lock().expect("no panic").len() as u64;
    assert!(kept > 10 && same >= kept, "{same} decisions, {kept} of them in the database");
    let exported = again(text.as_slice());
    assert_eq!((exported.difference, exported.same), (None, same), "the whole of it was exported");
}

#[tokio::test]
async fn that_the_database_was_away_is_on_record_from_its_beginning_to_its_end_once_it_is_back() {
    let mut world = World::start().await;
    let mut decided = world.controller.0.decided.subscribe();
    for n in 0..30 {
        world.keeper.away.store((10..17).contains(&n), std::sync::atomic::Ordering::SeqCst);
        world.second(false).await;
    }
    let about = |row: &KeptDecision| row.record.contains("DATABASE_AWAY");
    let kept = world.keeper.rows.lock().expect("no panic").clone();
    let rows: Vec<(&str, i64)> =
        kept.iter().filter(|row| about(row)).map(|row| (row.kind.as_str(), row.decided_ms)).collect();
    // It is noticed by the first step that has something to keep.
    assert_eq!(rows, [("alarm", START_MS + 13_000), ("alarm_over", START_MS + 18_000)]);
    let mut told = Vec::new();
    while let Ok(row) = decided.try_recv() {
        told.push(row.number);
    }
    assert!(told.iter().copied().eq(1..=kept.len() as u64), "each is told once, in order: {told:?}");
}

/// The end of the database's absence says for how long it was.
fn says_how_long(world: &World) {
    let rows = world.keeper.rows.lock().expect("no panic");
    let about: Vec<&KeptDecision> = rows.iter().filter(|row| row.record.contains("DATABASE_AWAY")).collect();
    let seconds = (about[1].decided_ms - about[0].decided_ms) / 1_000;
    let words = format!("over after {seconds} s: the database is away");
    assert!(seconds > 0 && about[1].record.contains(&words), "{words}: {}", about[1].record);
}

#[tokio::test]
async fn what_is_in_the_ledger_is_in_the_table_when_the_lease_ended_while_the_database_was_away_too() {
    let mut world = World::start().await;
    for n in 0..60 {
        world.keeper.set_away((10..21).contains(&n));
        if n == 21 {
            assert!(world.controller.standing().frozen);
            world.keeper.steal(); // the lease is over, as the next step finds; nobody else decided
        }
        world.second(false).await;
    }
    let kinds: Vec<String> = {
        let rows = world.keeper.rows.lock().expect("no panic");
        let about = rows.iter().filter(|row| row.record.contains("DATABASE_AWAY"));
        about.map(|row| row.kind.clone()).collect()
    };
    assert_eq!(kinds, ["alarm", "alarm_over"]);
    says_how_long(&world);
    let kept = world.keeper.rows.lock().expect("no panic").len() as u64;
    let reports = world.replayed().await;
    assert!(reports.iter().all(|report| report.difference.is_none()), "{reports:?}");
    assert_eq!(reports.iter().map(|report| report.same).sum::<u64>(), kept);
}

#[tokio::test]
async fn what_was_kept_without_an_answer_is_on_record_once_when_the_lease_ended_then_too() {
    let mut world = World::start().await;
    for n in 0..60 {
        world.keeper.set_away((10..15).contains(&n));
        *world.keeper.unheard.lock().expect("no panic") = (n == 15).then_some(true);
        if n == 16 {
            world.keeper.steal(); // the lease is over, and is taken again before anything is decided
            assert!(world.controller.renew().await);
        }
        world.second(false).await;
    }
    let rows = world.keeper.rows.lock().expect("no panic").clone();
    let about = rows.iter().filter(|row| row.record.contains("DATABASE_AWAY"));
    assert_eq!(about.map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["alarm", "alarm_over"]);
    says_how_long(&world);
}

#[tokio::test]
async fn the_health_of_a_unit_is_no_number_once_nobody_probes_it_or_another_issuer_decides() {
    let mut world = World::start().await;
    world.controller.begin().await;
    for _ in 0..5 {
        world.second(false).await;
    }
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let shown = |core: &mut Core, now_s: u64| {
        metrics::with_local_recorder(&recorder, || core.show(now_s));
        let page = recorder.handle().render();
        let line = page.lines().find(|line| line.contains("shallow_green{unit=\"relay-1\"}"));
        line.and_then(|line| line.split(' ').next_back()).map(str::to_owned)
    };
    let (observer, unit) =
        ("relay/relay-2".to_owned().try_into().expect("legal"), "relay-1".parse().expect("legal"));
    let core = &mut *world.controller.core();
    let now_s = core.policy.second();
    assert_eq!(shown(core, now_s), None, "nobody has probed it");
    for (probes, value) in [((5, 0), "1"), ((5, 5), "0")] {
        core.intake.see_health(&observer, &unit, probes, now_s);
        core.intake.see_health(&observer, &unit, probes, now_s);
        assert_eq!(shown(core, now_s).as_deref(), Some(value));
    }
    assert_eq!(shown(core, now_s + 600).as_deref(), Some("NaN"), "that is long ago");
    core.intake.see_health(&observer, &unit, (50, 0), now_s + 601);
    assert_eq!(shown(core, now_s + 601).as_deref(), Some("1"));
    core.epoch = 0;
    assert_eq!(shown(core, now_s + 601).as_deref(), Some("NaN"), "who decides says it now");
}

#[tokio::test]
async fn the_metric_of_degraded_says_what_the_list_says() {
    let mut world = World::start().await;
    let figure = |world: &World| {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || world.controller.core().show(0));
        let page = recorder.handle().render();
        page.contains("todoke_pool_alarms{alarm=\"DEGRADED\"} 1")
    };
    let (mut said, mut kept_up) = (Vec::new(), 0);
    for n in 0..150 {
        if (30..60).contains(&n) {
            world.clock.advance(1_000); // nobody reports
            world.controller.renew().await;
            let _ = world.controller.step(None).await;
        } else {
            world.second(false).await;
        }
        let list = world.controller.list().expect("it can be read");
        assert_eq!(figure(&world), list.degraded, "second {n}");
        let raised =
            world.controller.core().policy.alarms().values().any(|one| one.kind == policy::Kind::Degraded);
        kept_up += u32::from(raised && !list.degraded);
        if said.last() != Some(&list.degraded) {
            said.push(list.degraded);
        }
    }
    assert_eq!(said, [false, true, false]);
    assert!(kept_up > 10, "the alarm itself is kept up for longer: {kept_up} s");
}

#[tokio::test]
async fn what_is_not_kept_is_not_found() {
    let world = World::start().await;
    let reason = async |asked| world.controller.export(asked).await.err().map(|fault| fault.reason);
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    use crate::wire::fault::Reason;
    assert_eq!(reason(pb::ExportLedgerRequest::default()).await, Some(Reason::NotFound));
    let turned = pb::ExportLedgerRequest { from_time: at(9), to_time: at(8) };
    assert_eq!(reason(turned).await, Some(Reason::FieldInvalid));
}
