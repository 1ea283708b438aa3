//! Look-ups of card orders by the real store, in databases of different sizes side by side: what one takes
//! must not grow with the number of rows.

use std::{sync::Arc, time::Duration};

use clap::{Args, value_parser};

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    filled::Filled,
    generator::Work,
    import::{Database, most},
    progress,
    server::Server,
    timed::Timed,
};

/// Orders of a page.
const PAGE: u32 = 100;
/// The whole fraction of 2^64 by the golden ratio, and the two factors of SplitMix64.
const MIX: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

#[derive(Debug, Args)]
pub(crate) struct LookUpArgs {
    /// How many orders a database has; once for each size, the smallest first. 10,000,000 take some 9 GiB
    #[arg(long, value_name = "N", default_values_t = [100_000, 1_000_000, 10_000_000],
        value_parser = most(50_000_000))]
    rows: Vec<u32>,
    /// Which database; postgres is a throw-away server
    #[arg(long, value_enum, default_value_t = Database::Postgres)]
    database: Database,
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = most(100))]
    cycles: u32,
    /// Seconds of one slice
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = value_parser!(u64).range(1..=60))]
    slice: u64,
    /// How many callers ask at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=256))]
    callers: u16,
}

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OrderId,
    Person,
    Page,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::OrderId, "by order id"), (Kind::Person, "by person"), (Kind::Page, "a page of 100")];

/// Look-ups of one kind in one database.
#[derive(Clone)]
struct LookUp {
    kind: Kind,
    filled: Arc<Filled>,
}

impl Work for LookUp {
    /// The state of a SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators",
    /// 2014).
    type Caller = u64;

    async fn once(&self, caller: &mut u64) -> Result<(), Failure> {
        let store = &self.filled.store;
        let order = self.filled.any(next(caller), u64::from(PAGE));
        let of = order.batch.municipality;
        let (found, expected) = match self.kind {
            Kind::OrderId => {
                (store.card_by_order_id(of, &order.id()).await.map(|card| card.iter().count()), 1)
            }
            Kind::Person => {
                (store.cards_by_person(of, &order.person(), PAGE).await.map(|cards| cards.len()), 1)
            }
            Kind::Page => {
                let after = Some((order.batch.id()?, order.place));
                let page = store.list_cards(of, after, Some(order.batch.id()?), PAGE).await;
                (page.map(|cards| cards.len()), self.filled.after(&order).min(u64::from(PAGE)) as usize)
            }
        };
        let found = found.map_err(Failure::while_doing("a look-up"))?;
        if found == expected { Ok(()) } else { Err(Failure::new(format!("{found} orders of {expected}"))) }
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(MIX[0]);
    let once = (*state ^ (*state >> 30)).wrapping_mul(MIX[1]);
    let twice = (once ^ (once >> 27)).wrapping_mul(MIX[2]);
    twice ^ (twice >> 31)
}

pub(crate) async fn run(args: &LookUpArgs) -> Result<Report, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let mut server = match args.database {
        Database::Sqlite => None,
        Database::Postgres => Some(Server::start()?),
    };
    let mut filled = Vec::new();
    for rows in &args.rows {
        let one = match &mut server {
            None => Filled::file(folder.path(), *rows).await?,
            Some(server) => Filled::database(server, *rows).await?,
        };
        progress(&format!("{rows} orders are there"));
        filled.push(Arc::new(one));
    }
    let mut report = Report { method: method(args), lines: Vec::new() };
    for (kind, name) in KINDS {
        let side = |(rows, filled): (&u32, &Arc<Filled>)| {
            let callers = (0..u64::from(args.callers)).map(|caller| caller << 32 | u64::from(*rows));
            let work = LookUp { kind, filled: Arc::clone(filled) };
            Timed::new(format!("{name}, {rows} orders"), work, callers.collect())
        };
        let mut sides: Vec<_> = args.rows.iter().zip(&filled).map(side).collect();
        measured(args, &mut sides).await?;
        sides.iter().for_each(|side| side.report(&mut report));
        let [smallest, others @ ..] = &sides[..] else { continue };
        for (other, rows) in others.iter().zip(&args.rows[1..]) {
            let what = format!("{name}, {rows} / {}", args.rows[0]);
            let ratios = Spread::of_ratios(&other.p50_ms, &smallest.p50_ms);
            report.add(format!("{what}: p50"), "ratio", ratios);
            report.add(
                format!("{what}: per second"),
                "ratio",
                Spread::of_ratios(&other.per_s, &smallest.per_s),
            );
        }
    }
    drop(filled);
    Ok(report)
}

async fn measured(args: &LookUpArgs, sides: &mut [Timed<LookUp>]) -> Result<(), Failure> {
    let count = sides.len();
    for cycle in 0..args.cycles as usize {
        for turn in 0..count {
            let side = &mut sides[(turn + cycle) % count];
            side.warm_up().await?;
            side.slice(Duration::from_secs(args.slice)).await?;
        }
        let last: Vec<String> = sides.iter().map(Timed::last).collect();
        progress(&format!("cycle {} of {}: {}", cycle + 1, args.cycles, last.join(", ")));
    }
    Ok(())
}

fn method(args: &LookUpArgs) -> Vec<String> {
    let of = match args.database {
        Database::Sqlite => "files of SQLite",
        Database::Postgres => "databases of one PostgreSQL",
    };
    vec![format!(
        "The store's look-ups of random card orders by {} callers, closed loop, in {of} with {:?} orders of \
         batches of up to 5,000 of 20 municipalities; the tables that they read are filled, and no others.",
        args.callers, args.rows
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        // The first three of the reference implementation for the seed 1234567.
        let mut state = 1_234_567;
        let numbers = [(); 3].map(|()| next(&mut state));
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
