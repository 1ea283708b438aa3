//! The counter beside everything else: what calls of terminals take alone, and while a million records are
//! imported and every municipality lists its cards over and over.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, value_parser};
use hdrhistogram::Histogram;
use todoke::domain::lane::Lane;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    generator::{histogram, microseconds, schedule},
    import::{Database, most},
    imported::{self, Input},
    operator::{MUNICIPALITIES, Pool},
    progress,
    server::Server,
    system::{self, Setup, System},
    terminals::{self, Refused, Step, Terminal, Visited, Visits, without_a_place},
};

/// Within which time 99 of 100 calls are to be answered, in milliseconds.
const P99_GOAL_MS: f64 = 25.0;
/// Whose records are imported meanwhile.
const IMPORTING: &str = "131229";
/// Longest time for that.
const IMPORT_MAX: Duration = Duration::from_secs(1_800);
/// Visits that nobody measures, so that connections are made and caches are warm.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct CounterArgs {
    /// Terminals, each with a connection of its own, of five municipalities
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(5..=300))]
    terminals: u16,
    /// Calls a second; ten times the design's busiest hour is 1,070
    #[arg(long, value_name = "N", default_value_t = 1_070, value_parser = most(5_000))]
    rate: u32,
    /// Cards of each municipality: so many that none is come for often, as the history of a card has a dozen
    /// events. Visits for mail are about the first 1,000
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = most(50_000))]
    cards: u32,
    /// Records that are imported meanwhile
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = most(10_000_000))]
    records: u32,
    /// Who lists all cards of a municipality over and over, of each municipality
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(0..=64))]
    lists: u16,
    /// What visits are for
    #[arg(long, value_enum, default_value_t = Visits::Mail)]
    visits: Visits,
    /// Seconds of the calls alone
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = most(600))]
    alone: u32,
    /// How many times all of it is measured, each time in a system of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = most(100))]
    cycles: u32,
    /// How many relays
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=16))]
    relays: u16,
    /// The issuer's database; postgres is a throw-away server
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
}

/// What visits came to.
struct Tally {
    all: Histogram<u64>,
    each: BTreeMap<Step, Histogram<u64>>,
    refused: Refused,
    failed: u64,
    first: Option<String>,
    wall: Duration,
}

impl Tally {
    fn new(steps: &[Step]) -> Result<Self, Failure> {
        let mut each = BTreeMap::new();
        for step in steps {
            each.insert(*step, histogram()?);
        }
        let (refused, wall) = (Refused::new(), Duration::ZERO);
        Ok(Self { all: histogram()?, each, refused, failed: 0, first: None, wall })
    }

    fn add(&mut self, visited: Visited) {
        for (step, took) in visited.took {
            let us = microseconds(took);
            self.all.saturating_record(us);
            if let Some(each) = self.each.get_mut(&step) {
                each.saturating_record(us);
            }
        }
        for (key, times) in visited.refused {
            *self.refused.entry(key).or_default() += times;
        }
        self.failed += u64::from(visited.failed.is_some());
        self.first = self.first.take().or(visited.failed);
    }
}

/// Figures of one name over all cycles.
#[derive(Default)]
struct Figures(Vec<(String, &'static str, Vec<f64>)>);

impl Figures {
    fn add(&mut self, what: String, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|(name, ..)| *name == what) {
            Some((_, _, values)) => values.push(value),
            None => self.0.push((what, unit, vec![value])),
        }
    }

    fn add_tally(&mut self, when: &str, tally: &Tally) {
        self.add(format!("{when}: calls"), "per second", tally.all.len() as f64 / tally.wall.as_secs_f64());
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let within_ms = |latency: &Histogram<u64>| latency.value_at_quantile(share) as f64 / 1000.0;
            self.add(format!("{when}: {name}"), "ms", within_ms(&tally.all));
            for (step, latency) in &tally.each {
                self.add(format!("{when}: {}: {name}", step.name()), "ms", within_ms(latency));
            }
        }
        self.add_refused(when, &tally.refused);
    }

    /// Every lane, so that a 0 is said, too.
    fn add_refused(&mut self, when: &str, refused: &Refused) {
        for lane in Lane::ALL {
            for reason in ["LANE_FULL", "TERMINAL_LIMIT"] {
                let times = refused.get(&(lane.as_str().to_owned(), reason)).copied().unwrap_or_default();
                self.add(format!("{when}: {reason} in {}", lane.as_str()), "calls", times as f64);
            }
        }
        let elsewhere = refused.iter().filter(|((lane, _), _)| lane == "none").map(|(_, times)| *times);
        self.add(format!("{when}: refused by other limits"), "calls", elsewhere.sum::<u64>() as f64);
    }
}

pub(crate) async fn run(args: &CounterArgs, todoke: &Path) -> Result<Report, Failure> {
    let mut server = match args.database {
        Database::Sqlite => None,
        Database::Postgres => Some(Server::start()?),
    };
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let input = Arc::new(imported::sample(todoke, folder.path(), IMPORTING, args.records)?);
    let mut figures = Figures::default();
    for cycle in 0..args.cycles {
        let database = match &mut server {
            None => None,
            Some(server) => {
                let name = server.database().await?;
                Some(server.url(&name))
            }
        };
        one(args, todoke, database, &input, &mut figures).await?;
        progress(&format!("cycle {} of {}: done", cycle + 1, args.cycles));
    }
    let mut report = Report { method: method(args), lines: Vec::new() };
    for (what, unit, values) in &figures.0 {
        report.add(what, unit, Spread::of(values));
    }
    Ok(report)
}

fn method(args: &CounterArgs) -> Vec<String> {
    let CounterArgs { terminals, rate, cards, records, lists, alone, relays, database, .. } = args;
    let steps: Vec<&str> = args.visits.steps().iter().map(|step| step.name()).collect();
    let steps = steps.join(", ");
    vec![
        format!(
            "{terminals} terminals of {} municipalities make {rate} calls/s over {relays} relays and an \
             issuer on {database:?} with nothing but defaults: visits of {steps}, begun in an open loop; the \
             first call of each is measured from when it was due. Each municipality has at least \
             {cards} cards. Goal: p99 < {P99_GOAL_MS} ms, and no LANE_FULL in counter_activation.",
            MUNICIPALITIES.len()
        ),
        format!(
            "alone for {alone} s; then from the start of an import of {records} records of one of them to \
             its receipt, while {lists} of each municipality list all its cards, {} a page, over and over.",
            terminals::PAGE
        ),
        "a call that finds no place is made again when the refusal says, and its time goes on.".to_owned(),
    ]
}

/// Measures once, in a new system.
async fn one(
    args: &CounterArgs,
    todoke: &Path,
    database: Option<String>,
    input: &Arc<Input>,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let setup = Setup { relays: args.relays, issuers: 1, database };
    let system = Arc::new(System::start(todoke, &setup)?);
    let pool = Pool { todoke, endpoints: system.endpoints_file() };
    pool.until_all_are_in_use(usize::from(args.relays)).await?;
    for municipality in MUNICIPALITIES {
        fill(todoke, &system, municipality, args.cards)?;
    }
    let cards = usize::try_from(args.cards).unwrap_or(usize::MAX);
    let terminals = terminals::terminals(system.endpoints(), args.terminals, args.visits, cards).await?;
    visits(args, &terminals, "w", tokio::time::sleep(WARM_UP)).await?;
    let alone = tokio::time::sleep(Duration::from_secs(args.alone.into()));
    let (tally, ()) = visits(args, &terminals, "a", alone).await?;
    figures.add_tally("alone", &tally);
    let (stop, stopped) = watch::channel(false);
    let mut lists = lists(args, &system, &stopped)?;
    let begun = Instant::now();
    let import = tokio::task::spawn_blocking({
        let (todoke, system, input) = (todoke.to_owned(), Arc::clone(&system), Arc::clone(input));
        move || imported::client(&todoke, &system, &input)
    });
    let (tally, imported) = visits(args, &terminals, "b", import).await?;
    let took = begun.elapsed().as_secs_f64();
    stop.send_replace(true);
    imported.map_err(Failure::while_doing("the import"))??;
    figures.add_tally("beside an import and lists", &tally);
    figures.add("the import meanwhile".to_owned(), "records/s", f64::from(args.records) / took);
    let (mut pages, mut refused) = (0, Refused::new());
    while let Some(listed) = lists.join_next().await {
        let (listed, by_lane) = listed.map_err(Failure::while_doing("a list"))??;
        pages += listed;
        by_lane.into_iter().for_each(|(key, times)| *refused.entry(key).or_default() += times);
    }
    figures.add("the lists meanwhile".to_owned(), "pages/s", f64::from(pages) / took);
    figures.add_refused("the lists", &refused);
    Ok(())
}

/// Imports orders for at least `cards` cards of a municipality, by a name that no other import has.
fn fill(todoke: &Path, system: &System, municipality: &str, cards: u32) -> Result<(), Failure> {
    let file = system.folder().join(format!("before-{municipality}.csv"));
    let records = (cards + cards / 4).to_string(); // some of a sample are not for cards
    let words = ["sample", "--municipality", municipality, "--seed", "1", "--records", &records, "--out"];
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([file.as_os_str()]).collect();
    system::run(todoke, &words)?;
    // Of a sample's orders a tenth are for cards that somebody comes for.
    let records = fs::read_to_string(&file)?.replace("NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD");
    fs::write(&file, records)?;
    let (caller, endpoints) = (format!("municipality/{municipality}"), system.endpoints_file());
    let words = ["import", "--as", &caller, "--endpoints"].map(OsStr::new);
    system::run(todoke, &[&words[..], &[endpoints.as_os_str(), file.as_os_str()]].concat())?;
    Ok(())
}

/// Has visits begin at their times until `until` is over.
async fn visits<T>(
    args: &CounterArgs,
    terminals: &[Terminal],
    phase: &str,
    until: impl Future<Output = T>,
) -> Result<(Tally, T), Failure> {
    let steps = args.visits.steps();
    let (mut tally, mut tasks, mut number) = (Tally::new(steps)?, JoinSet::new(), 0_usize);
    let per_s = (args.rate / steps.len() as u32).max(1);
    let (begun, mut due) = (Instant::now(), schedule(per_s, IMPORT_MAX));
    tokio::pin!(until);
    let ended = loop {
        tokio::select! {
            ended = &mut until => break ended,
            due = due.recv() => {
                let due = due.ok_or_else(|| Failure::new(format!("not done after {IMPORT_MAX:?}")))?;
                let terminal = terminals[number % terminals.len()].clone();
                let visit = format!("{phase}-{number}");
                number += 1;
                tasks.spawn(async move { terminal.visit(&visit, due).await });
            }
        }
        while let Some(visited) = tasks.try_join_next() {
            tally.add(visited.map_err(Failure::while_doing("a visit"))?);
        }
    };
    drop(due);
    while let Some(visited) = tasks.join_next().await {
        tally.add(visited.map_err(Failure::while_doing("a visit"))?);
    }
    tally.wall = begun.elapsed();
    match tally.first {
        Some(first) => Err(Failure::new(format!("{} visits failed, the first: {first}", tally.failed))),
        None => Ok((tally, ended)),
    }
}

/// What one who lists came to: the pages that there were, and how often there was no place.
type Listed = Result<(u32, Refused), Failure>;

/// Who lists, until told to stop: how many pages there were, and how often there was no place.
fn lists(
    args: &CounterArgs,
    system: &System,
    stopped: &watch::Receiver<bool>,
) -> Result<JoinSet<Listed>, Failure> {
    let mut lists = JoinSet::new();
    for municipality in MUNICIPALITIES {
        for turn in 0..usize::from(args.lists) {
            let caller = format!("municipality/{municipality}");
            let channel = terminals::channel(system.endpoints(), &caller, turn)?;
            let stopped = stopped.clone();
            lists.spawn(async move {
                let (mut pages, mut refused, mut token) = (0, Refused::new(), String::new());
                while !*stopped.borrow() {
                    match terminals::list(&channel, &token).await {
                        Ok((_, next)) => {
                            pages += 1;
                            token = next; // empty: the list begins again
                        }
                        Err(status) => match without_a_place(&status, &mut refused) {
                            Some(wait) => tokio::time::sleep(wait).await,
                            None => return Err(Failure::new(format!("a list of cards: {status}"))),
                        },
                    }
                }
                Ok((pages, refused))
            });
        }
    }
    Ok(lists)
}
