//! What the pool's judgement costs on the way of a call: the same relay program before the same backend, as a
//! unit of a pool and of none, by turns.
//!
//! The unit counts what becomes of its callers' calls, names its lease to the backend, reports each second,
//! is probed by its issuer and by three other units, and probes these. The relay of no pool does none of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use clap::{Args, value_parser};

use crate::{
    echo::Echo,
    failure::Failure,
    figures::{Report, Spread},
    operator::Pool,
    peers::{self, MUNICIPALITIES, Peer, Pki, Place},
    process, progress,
    side::{Load, Side, measure},
    targets::{self, REPLY_BYTES, REQUEST_BYTES},
};

/// Units of the pool; the first stands before the echo, the others before the issuer.
const UNITS: usize = 4;
/// The relay that is in no pool.
const OUTSIDE: usize = UNITS + 1;

#[derive(Debug, Args)]
pub(crate) struct JudgementArgs {
    #[command(flatten)]
    load: Load,
    /// Seconds in which nobody calls, for what the judgement takes beside the calls
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = value_parser!(u64).range(1..=600))]
    idle: u64,
}

/// A run's folder and keys.
struct Bench<'a> {
    todoke: &'a Path,
    folder: &'a Path,
    pki: Pki,
}

pub(crate) async fn run(args: &JudgementArgs, todoke: &Path) -> Result<Report, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let pki = Pki::make(&folder.path().join("pki"))?;
    let bench = Bench { todoke, folder: folder.path(), pki };
    let mut report = Report { method: method(args), lines: Vec::new() };
    let issuer = peers::issuer(todoke, folder.path(), &bench.pki, true, None)?;
    let echo = Echo::start(bench.pki.backend_tls()?, Some(bench.pki.relay_channel(&issuer.address)?)).await?;
    let upstream = echo.address.to_string();
    let judged = bench.relay(1, &upstream).await?;
    let mut others = Vec::new();
    for number in 2..=UNITS {
        others.push(bench.relay(number, &issuer.address).await?);
    }
    let endpoints = targets::endpoints(folder.path(), &bench.pki, &issuer, &others[0])?;
    let pool = Pool { todoke, endpoints };
    pool.until_all_are_in_use(UNITS).await?;
    let first = bench.before_the_echo(args, &upstream, judged, &mut report).await?;
    bench.before_the_issuer(args, &pool, others.remove(0), &mut report).await?;
    drop((first, others, echo, issuer));
    Ok(report)
}

fn method(args: &JudgementArgs) -> Vec<String> {
    let Load { callers, rate, issuer_rate, .. } = args.load;
    vec![
        format!(
            "the same relay program, judged: one of {UNITS} units of a pool with nothing but defaults; and \
             not judged: in no pool. Mutual TLS on every hop. The pool's other processes run on beside both."
        ),
        format!(
            "echo: {REQUEST_BYTES}-byte requests, {REPLY_BYTES}-byte replies, {} connections of as many \
             municipalities; closed loop: {callers} calls in flight; open loop: {rate} calls/s, latency from \
             the time a call was due. Load generator and backend are one process, whose CPU is in no figure.",
            MUNICIPALITIES.len()
        ),
        format!(
            "GetBatch: of one batch, judged through a unit to the issuer that keeps the pool, and not judged \
             through a relay of no pool to an issuer that keeps none; closed loop: {} calls in flight; open \
             loop: {issuer_rate} calls/s.",
            args.load.issuer_callers()
        ),
    ]
}

impl Bench<'_> {
    async fn relay(&self, number: usize, upstream: &str) -> Result<Peer, Failure> {
        let place = Place { number, upstream, pool: number != OUTSIDE };
        peers::relay(self.todoke, self.folder, &self.pki, &place).await
    }

    /// Returns the unit, so that it stays one.
    async fn before_the_echo(
        &self,
        args: &JudgementArgs,
        upstream: &str,
        judged: Peer,
        report: &mut Report,
    ) -> Result<Option<Peer>, Failure> {
        let plain = self.relay(OUTSIDE, upstream).await?;
        let mut sides = [
            Side::new("echo, judged", targets::echo(&self.pki, &judged.address)?, Some(judged)),
            Side::new("echo, not judged", targets::echo(&self.pki, &plain.address)?, Some(plain)),
        ];
        let load = &args.load;
        measure(load, &mut sides, usize::from(load.callers), load.rate, report).await?;
        let [judged, plain] = &sides;
        judged.compare(plain, "echo, judged / not judged", report);
        idle(Duration::from_secs(args.idle), &sides, report).await?;
        let [judged, _] = sides;
        Ok(judged.between)
    }

    async fn before_the_issuer(
        &self,
        args: &JudgementArgs,
        pool: &Pool<'_>,
        judged: Peer,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let folder = self.folder.join("without-pool");
        fs::create_dir(&folder)?;
        let issuer = peers::issuer(self.todoke, &folder, &self.pki, false, None)?;
        let plain = self.relay(OUTSIDE, &issuer.address).await?;
        let endpoints = targets::endpoints(&folder, &self.pki, &issuer, &plain)?;
        let batches = [
            targets::one_batch(self.todoke, self.folder, &pool.endpoints)?,
            targets::one_batch(self.todoke, &folder, &endpoints)?,
        ];
        let target = |relay: &Peer, at: usize| targets::get_batch(&self.pki, &relay.address, &batches[at]);
        let mut sides = [
            Side::new("GetBatch, judged", target(&judged, 0)?, Some(judged)),
            Side::new("GetBatch, not judged", target(&plain, 1)?, Some(plain)),
        ];
        let load = &args.load;
        measure(load, &mut sides, load.issuer_callers(), load.issuer_rate, report).await?;
        let [judged, plain] = &sides;
        judged.compare(plain, "GetBatch, judged / not judged", report);
        drop(issuer);
        Ok(())
    }
}

/// What each side's relay takes while nobody calls.
async fn idle(time: Duration, sides: &[Side], report: &mut Report) -> Result<(), Failure> {
    progress(&format!("nobody calls for {time:?}"));
    let cpu = || -> Result<Vec<f64>, Failure> {
        let relays = sides.iter().filter_map(|side| side.between.as_ref());
        relays.map(|relay| Ok(process::cpu(relay.pid())?.as_secs_f64())).collect()
    };
    let (begun, before) = (Instant::now(), cpu()?);
    tokio::time::sleep(time).await;
    let (after, seconds) = (cpu()?, begun.elapsed().as_secs_f64());
    for ((side, before), after) in sides.iter().zip(before).zip(after) {
        let share = 100.0 * (after - before) / seconds;
        report.add(format!("{}: the relay, idle", side.name), "% of a core", Spread::of(&[share]));
    }
    Ok(())
}
