//! Small durable changes by many callers at once: one a transaction over one connection, over as many as an
//! issuer has, and together in one transaction.

use std::{sync::Arc, time::Duration};

use clap::{Args, value_parser};
use todoke::store::{Store, StoreOptions};

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    import::most,
    process, progress,
    server::{self, Server},
    timed::Timed,
    ways::{Caller, MUNICIPALITIES_EACH, Way},
};

/// Records of a chunk of an import.
const CHUNK_RECORDS: u32 = 2048;

#[derive(Debug, Args)]
pub(crate) struct MutationArgs {
    /// How many callers there are
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u16).range(1..=128))]
    callers: u16,
    /// Connections of one issuer
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(2..=64))]
    connections: u32,
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = most(100))]
    cycles: u32,
    /// Seconds of one slice
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = value_parser!(u64).range(1..=60))]
    slice: u64,
    /// An empty database of PostgreSQL to measure instead of a throw-away server's, which is filled with
    /// nonsense; of two, the second is compared with the first
    #[arg(long, value_name = "URL")]
    at: Vec<String>,
}

/// Callers have municipalities of their own, so many each.
const CALLERS_MAX: usize = 128;
/// What is changed, how, and the ratios that are of interest, of one way to another.
const CHUNK: &str = "a chunk of one record";
const BATCH: &str = "opening a batch";
const CARD: &str = "a card's change";
const WHOLE: &str = "a whole chunk, one caller";
const ALONE: &str = "one connection";
const SPREAD: &str = "all connections";
const GROUPED: &str = "grouped";
const RATIOS: [(&str, &str, &str); 7] = [
    (CHUNK, GROUPED, ALONE),
    (CHUNK, GROUPED, SPREAD),
    (CHUNK, SPREAD, ALONE),
    (BATCH, SPREAD, ALONE),
    (CARD, GROUPED, ALONE),
    (CARD, GROUPED, SPREAD),
    (CARD, SPREAD, ALONE),
];

/// Where changes are made.
struct Place {
    /// What its figures begin with.
    name: String,
    url: String,
}

/// One way of one change at one place.
struct Side {
    place: usize,
    mutation: &'static str,
    way: &'static str,
    timed: Timed<Way>,
    own_us: Vec<f64>,
    server_us: Vec<f64>,
}

pub(crate) async fn run(args: &MutationArgs) -> Result<Report, Failure> {
    let mut server = if args.at.is_empty() { Some(Server::start()?) } else { None };
    let mut places = Vec::new();
    if let Some(server) = &mut server {
        let database = server.database().await?;
        places.push(Place { name: String::new(), url: server.url(&database) });
    }
    for (number, url) in args.at.iter().enumerate() {
        places.push(Place { name: format!("at {}: ", number + 1), url: url.clone() });
    }
    let mut sides = Vec::new();
    for (number, place) in places.iter().enumerate() {
        sides.extend(place.sides(args, number).await?);
    }
    let count = sides.len();
    for cycle in 0..args.cycles as usize {
        for turn in 0..count {
            sides[(turn + cycle) % count].slice(args, server.as_ref()).await?;
        }
        let last: Vec<String> = sides.iter().map(|side| side.timed.last()).collect();
        progress(&format!("cycle {} of {}: {}", cycle + 1, args.cycles, last.join(", ")));
    }
    Ok(report(args, &places, &sides))
}

impl Place {
    /// Returns all ways to make changes here.
    async fn sides(&self, args: &MutationArgs, place: usize) -> Result<Vec<Side>, Failure> {
        let all = args.connections;
        let grouped = Arc::new(vec![server::store(&self.url, all).await?]); // which makes the tables
        let mut each = Vec::new();
        for _ in 0..all {
            each.push(self.alone().await?);
        }
        let (alone, each) = (Arc::new(vec![self.alone().await?]), Arc::new(each));
        let chunk = |stores: &Arc<Vec<Store>>, records| Way::Chunk { stores: Arc::clone(stores), records };
        let batch = |stores: &Arc<Vec<Store>>| Way::Batch { stores: Arc::clone(stores) };
        let card = |stores: &Arc<Vec<Store>>| Way::Card { stores: Arc::clone(stores) };
        let ways = [
            (CHUNK, ALONE, chunk(&alone, 1)),
            (CHUNK, SPREAD, chunk(&each, 1)),
            (CHUNK, GROUPED, chunk(&grouped, 1)),
            (BATCH, ALONE, batch(&alone)),
            (BATCH, SPREAD, batch(&grouped)),
            (CARD, ALONE, card(&alone)),
            (CARD, SPREAD, card(&each)),
            (CARD, GROUPED, card(&grouped)),
            (WHOLE, GROUPED, chunk(&grouped, CHUNK_RECORDS)),
        ];
        let side = |(number, (mutation, way, work)): (usize, (&'static str, &'static str, Way))| {
            let callers = if mutation == WHOLE { 1 } else { usize::from(args.callers) };
            let own = |caller| (number * CALLERS_MAX + caller) * MUNICIPALITIES_EACH;
            let callers = (0..callers).map(|caller| Caller { number: caller, first: own(caller), done: 0 });
            let timed = Timed::new(format!("{}{mutation}, {way}", self.name), work, callers.collect());
            Side { place, mutation, way, timed, own_us: Vec::new(), server_us: Vec::new() }
        };
        Ok(ways.into_iter().enumerate().map(side).collect())
    }

    /// A store of one connection in which nothing shares a commit.
    async fn alone(&self) -> Result<Store, Failure> {
        let url = self.url.clone();
        let options = StoreOptions {
            url,
            connections_max: 1,
            group_chunks_max: 1,
            group_changes_max: 1,
            ..StoreOptions::default()
        };
        Store::open(&options).await.map_err(Failure::while_doing("the store"))
    }
}

impl Side {
    async fn slice(&mut self, args: &MutationArgs, server: Option<&Server>) -> Result<(), Failure> {
        let us = |used: Duration| used.as_secs_f64() * 1e6;
        let of_server = || server.map(Server::cpu).transpose();
        let of_own = || process::cpu(std::process::id());
        self.timed.warm_up().await?;
        let before = (of_own()?, of_server()?);
        let changes = self.timed.slice(Duration::from_secs(args.slice)).await?.max(1) as f64;
        self.own_us.push(us(of_own()?.saturating_sub(before.0)) / changes);
        if let Some((after, before)) = of_server()?.zip(before.1) {
            self.server_us.push(us(after.saturating_sub(before)) / changes);
        }
        Ok(())
    }
}

fn report(args: &MutationArgs, places: &[Place], sides: &[Side]) -> Report {
    let mut report = Report { method: method(args), lines: Vec::new() };
    for side in sides {
        let name = &side.timed.name;
        side.timed.report(&mut report);
        report.add(format!("{name}: CPU of PostgreSQL"), "µs", Spread::of(&side.server_us));
        report.add(format!("{name}: CPU of the caller"), "µs", Spread::of(&side.own_us));
    }
    for (number, place) in places.iter().enumerate() {
        let of = |mutation, way| {
            let is_it = |side: &&Side| (side.place, side.mutation, side.way) == (number, mutation, way);
            sides.iter().find(is_it).map_or(&[][..], |side| &side.timed.per_s)
        };
        for (mutation, way, other) in RATIOS {
            let ratios = Spread::of_ratios(of(mutation, way), of(mutation, other));
            report.add(format!("{}{mutation}: {way} / {other}", place.name), "ratio", ratios);
        }
    }
    for second in sides.iter().filter(|side| side.place == 1) {
        let same = |side: &&Side| (side.place, side.mutation, side.way) == (0, second.mutation, second.way);
        let Some(first) = sides.iter().find(same) else { continue };
        let ratios = Spread::of_ratios(&second.timed.p50_ms, &first.timed.p50_ms);
        report.add(format!("{}, {}: p50, at 2 / at 1", second.mutation, second.way), "ratio", ratios);
    }
    report
}

fn method(args: &MutationArgs) -> Vec<String> {
    vec![
        format!(
            "{} callers, closed loop, at a durable PostgreSQL: the store's chunks of one record and its \
             opening of batches, and a change of a card (read, decided, and written with its event and its \
             request).",
            args.callers
        ),
        format!(
            "{ALONE}: a transaction each, one after the other; {SPREAD}: a transaction each over {} \
             connections; {GROUPED}: what waits shares a commit (chunks one by one in it; of cards each \
             statement serves all, 64 at the most).",
            args.connections
        ),
    ]
}
