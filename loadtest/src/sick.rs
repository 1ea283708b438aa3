//! One sick unit of four, which looks well: what its callers see of it by our own client, how much still goes
//! to it, and how long the pool takes to find it.
//!
//! The load is that of the design's table: 500 calls a second in an open loop, five seconds well and then a
//! minute sick; a call is bad that failed or took longer than a second.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::{Args, value_parser};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use todoke::{
    client::{calls::Weight, session::Session},
    pool::drill::Fault,
    wire::pb,
};
use tokio::task::JoinSet;

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    generator::{histogram, microseconds, schedule},
    operator::{MUNICIPALITIES, Pool, sessions},
    progress,
    system::{Setup, System},
};

/// The unit that falls sick.
const UNIT: &str = "relay-2";
const RELAYS: u16 = 4;
/// A call that is not answered by then has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// A call that takes longer is bad.
const LONG: Duration = Duration::from_secs(1);
/// Longest time until the unit is in full use again once it is well.
const BACK_MAX: Duration = Duration::from_secs(900);

#[derive(Debug, Args)]
pub(crate) struct SickArgs {
    /// Calls a second, of five municipalities
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Seconds before it falls sick
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = value_parser!(u32).range(1..=600))]
    well: u32,
    /// Seconds for which it is sick
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = value_parser!(u32).range(1..=600))]
    sick: u32,
    /// What it does, in the words of `todoke pool drill`; more than once for several
    #[arg(long = "fault", value_name = "FAULT",
        default_values = ["fail:0.3", "slow:2s:0.3", "hang", "flap:3s:2s", "drop-upstream"])]
    faults: Vec<Fault>,
    /// How many times each fault is played, each time in a system of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=100))]
    cycles: u32,
    /// Goes on until the unit is in full use again, some seven minutes for each fault
    #[arg(long)]
    until_return: bool,
}

/// What became of one call.
#[derive(Debug, Clone, Copy)]
struct Call {
    due: Instant,
    took: Duration,
    answered: bool,
    attempts: u32,
    to_unit: u32,
}

impl Call {
    fn is_bad(&self) -> bool {
        !self.answered || self.took > LONG
    }
}

pub(crate) async fn run(args: &SickArgs, todoke: &Path) -> Result<Report, Failure> {
    let mut report = Report { method: method(args), lines: Vec::new() };
    let mut all: Vec<(String, Vec<Figures>)> =
        args.faults.iter().map(|fault| (fault.to_string(), Vec::new())).collect();
    for cycle in 0..args.cycles {
        for (fault, figures) in &mut all {
            figures.push(one(args, todoke, fault).await?);
            progress(&format!("cycle {} of {}: {fault}: done", cycle + 1, args.cycles));
        }
    }
    for (fault, figures) in &all {
        for (place, (what, unit, _)) in figures[0].iter().enumerate() {
            let values: Vec<f64> = figures.iter().map(|figures| figures[place].2).collect();
            report.add(format!("{fault}: {what}"), unit, Spread::of(&values));
        }
    }
    Ok(report)
}

fn method(args: &SickArgs) -> Vec<String> {
    vec![
        format!(
            "{UNIT} of {RELAYS} is well for {} s and then sick for {} s, its health checks green all the \
             while; a drill of its own relay, in a system of its own each time.",
            args.well, args.sick
        ),
        format!(
            "load: {} calls/s of {} municipalities (ListBatches, which may be sent twice like every call of \
             today's API), open loop, our own client with its defaults but for a deadline of {DEADLINE:?}.",
            args.rate,
            MUNICIPALITIES.len()
        ),
        format!("bad: failed, or slower than {LONG:?} from the time the call was due; while it is sick."),
    ]
}

/// Name, unit and value; a time that has not come is infinite, and is left out of the spread.
type Figures = Vec<(&'static str, &'static str, f64)>;

/// Plays one fault in a new system.
async fn one(args: &SickArgs, todoke: &Path, fault: &str) -> Result<Figures, Failure> {
    let system = Arc::new(System::start(todoke, &Setup::of(RELAYS))?);
    let sessions = sessions(&system, DEADLINE)?;
    let unit = system.endpoints().relays.iter().position(|relay| relay.id == UNIT);
    let unit = unit.ok_or_else(|| Failure::new(format!("endpoints.json lists no {UNIT}")))?;
    let pool = Pool { todoke, endpoints: system.endpoints_file() };
    pool.until_all_are_in_use(usize::from(RELAYS)).await?;
    let (well, sick) = (Duration::from_secs(args.well.into()), Duration::from_secs(args.sick.into()));
    let longest = well + sick + if args.until_return { BACK_MAX } else { DEADLINE };
    let mut due = schedule(args.rate, longest);
    let story = async {
        tokio::time::sleep(well).await;
        let onset = (Instant::now(), OffsetDateTime::now_utc());
        let lasts = format!("{}s", args.sick);
        pool.ask(&["drill", UNIT, "--fault", fault, "--for", &lasts]).await?;
        tokio::time::sleep(sick.saturating_sub(onset.0.elapsed())).await;
        let over = Instant::now();
        if args.until_return {
            let is_back = |unit: &Value| unit["unit"] == UNIT && unit["state"] == "HEALTHY";
            pool.until(BACK_MAX, |units| units.iter().any(is_back)).await?;
        }
        Ok::<_, Failure>((onset, over, Instant::now()))
    };
    tokio::pin!(story);
    let mut calls = JoinSet::new();
    let mut turn = 0;
    let (onset, over, end) = loop {
        tokio::select! {
            told = &mut story => break told?,
            Some(due) = due.recv() => {
                let session = Arc::clone(&sessions[turn % sessions.len()]);
                turn += 1;
                calls.spawn(async move { call(&session, unit, due).await });
            }
        }
    };
    drop(due);
    let calls = calls.join_all().await;
    let decisions = pool.ask(&["decisions", UNIT, "--limit", "1000"]).await?;
    let mut figures = while_sick(&calls, onset.0, over)?;
    figures.extend(found(&decisions, onset.1)?);
    if args.until_return {
        figures.extend(coming_back(&calls, over, end)?);
    }
    Ok(figures)
}

async fn call(session: &Session, unit: usize, due: Instant) -> Call {
    let (attempts, to_unit) = (AtomicU32::new(0), AtomicU32::new(0));
    let answer = session.caller.call("ListBatches", Weight::Light, |attempt| {
        attempts.fetch_add(1, Relaxed);
        to_unit.fetch_add(u32::from(attempt.relay() == unit), Relaxed);
        let mut batches = attempt.batches();
        let request = attempt.request(pb::ListBatchesRequest { page_size: 1, ..Default::default() });
        async move { batches.list_batches(request).await }
    });
    let answered = answer.await.is_ok();
    let (attempts, to_unit) = (attempts.into_inner(), to_unit.into_inner());
    Call { due, took: due.elapsed(), answered, attempts, to_unit }
}

/// What the callers saw from its fall to the end of the fault.
fn while_sick(calls: &[Call], onset: Instant, over: Instant) -> Result<Figures, Failure> {
    let calls: Vec<&Call> = calls.iter().filter(|call| (onset..over).contains(&call.due)).collect();
    let attempts: u32 = calls.iter().map(|call| call.attempts).sum();
    // The order reaches the unit within a second, in which it is well and has its full share.
    let felt = calls.iter().filter(|call| call.to_unit > 0 && call.attempts > 1).map(|call| call.due).min();
    let since: Vec<&Call> =
        calls.iter().filter(|call| felt.is_some_and(|felt| call.due >= felt)).copied().collect();
    let failed = calls.iter().filter(|call| !call.answered).count();
    let longest = calls.iter().map(|call| call.took).max().unwrap_or_default();
    Ok(vec![
        ("bad", "%", bad_percent(&calls)),
        ("failed", "calls", failed as f64),
        ("p99.9", "ms", within_ms(&calls, 0.999)?),
        ("longest", "ms", longest.as_secs_f64() * 1000.0),
        ("sent twice", "calls", f64::from(attempts) - calls.len() as f64),
        ("sent to the unit", "%", share_percent(&calls)),
        ("sent to the unit, from the first call on that it did not answer", "%", share_percent(&since)),
    ])
}

/// What they saw from there until it was in full use again.
fn coming_back(calls: &[Call], over: Instant, end: Instant) -> Result<Figures, Failure> {
    let calls: Vec<&Call> = calls.iter().filter(|call| (over..end).contains(&call.due)).collect();
    let mut seconds = vec![(0_u32, 0_u32); (end - over).as_secs() as usize + 1];
    for call in &calls {
        let second = &mut seconds[(call.due - over).as_secs() as usize];
        second.0 += call.to_unit;
        second.1 += call.attempts;
    }
    let share =
        |(to_unit, attempts): &(u32, u32)| 100.0 * f64::from(*to_unit) / f64::from((*attempts).max(1));
    let most = seconds.iter().map(share).fold(0.0, f64::max);
    Ok(vec![
        ("until it is back", "s", (end - over).as_secs_f64()),
        ("bad while it comes back", "%", bad_percent(&calls)),
        ("p99.9 while it comes back", "ms", within_ms(&calls, 0.999)?),
        ("largest share of a second's calls while it comes back", "%", most),
    ])
}

/// What part of all attempts went to the unit.
fn share_percent(calls: &[&Call]) -> f64 {
    let attempts: u32 = calls.iter().map(|call| call.attempts).sum();
    let to_unit: u32 = calls.iter().map(|call| call.to_unit).sum();
    100.0 * f64::from(to_unit) / f64::from(attempts.max(1))
}

fn bad_percent(calls: &[&Call]) -> f64 {
    let bad = calls.iter().filter(|call| call.is_bad()).count();
    100.0 * bad as f64 / calls.len().max(1) as f64
}

fn within_ms(calls: &[&Call], share: f64) -> Result<f64, Failure> {
    let mut latency = histogram()?;
    calls.iter().for_each(|call| latency.saturating_record(microseconds(call.took)));
    Ok(latency.value_at_quantile(share) as f64 / 1000.0)
}

/// Seconds from the fall to the first steering away from the unit, and to its eviction.
fn found(decisions: &[Value], onset: OffsetDateTime) -> Result<Figures, Failure> {
    let first = |kinds: &[&str]| -> Result<f64, Failure> {
        let mut soonest = f64::INFINITY;
        for decision in decisions {
            if !decision["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)) {
                continue;
            }
            let time = decision["time"].as_str().unwrap_or_default();
            let time = OffsetDateTime::parse(time, &Rfc3339).map_err(Failure::while_doing("a decision"))?;
            let after = (time - onset).as_seconds_f64();
            // A decision has the second in which it was made.
            if after >= -1.0 {
                soonest = soonest.min(after.max(0.0));
            }
        }
        Ok(soonest)
    };
    Ok(vec![("until steered away", "s", first(&["steer_away"])?), ("until evicted", "s", first(&["evict"])?)])
}
