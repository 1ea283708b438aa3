//! From record files to verified receipts through relays, against the database's own bulk load: SQLite's
//! insert of the same records, or psql's `\copy` of the same rows. Every side ends with everything durable
//! and begins with an empty database.

use std::{fs, path::Path};

use clap::{Args, ValueEnum, value_parser};

use crate::{
    bulk, copy,
    failure::Failure,
    figures::{Report, Spread},
    imported::{CALLERS, Input, Slice, import, sample},
    progress,
    server::Server,
    system::Setup,
};

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// How many records each file has
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = most(10_000_000))]
    records: u32,
    /// How many files are imported at once, each of a municipality of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=5))]
    files: u16,
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = most(100))]
    cycles: u32,
    /// How many relays the client has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u16).range(1..=16))]
    relays: u16,
    /// Whose records they become; postgres is a throw-away server
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
    /// How many issuers, at one PostgreSQL; what one does is measured beside it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=8))]
    issuers: u16,
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    /// A file of SQLite.
    Sqlite,
    /// A throw-away server of PostgreSQL.
    Postgres,
}

pub(crate) fn most(limit: i64) -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=limit)
}

/// What is measured in turn.
enum Side {
    /// An import through so many issuers.
    Import { issuers: u16, slices: Vec<Slice>, server_cpu_s: Vec<f64> },
    /// A bulk load.
    Bulk(Bulk),
}

enum Bulk {
    Insert(Vec<bulk::Row>),
    Copy { only: Option<&'static str> },
}

/// A side, and how many records a second it did in each cycle.
struct Measured {
    name: String,
    side: Side,
    per_s: Vec<f64>,
}

/// What all sides share.
struct Bench<'a> {
    args: &'a ImportArgs,
    todoke: &'a Path,
    inputs: Vec<Input>,
    /// The server, and the rows of one import in files.
    server: Option<(Server, copy::Rows)>,
}

pub(crate) async fn run(args: &ImportArgs, todoke: &Path) -> Result<Report, Failure> {
    if args.issuers > 1 && args.database == Database::Sqlite {
        return Err(Failure::new("a file of SQLite has one issuer: pass --database postgres"));
    }
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let callers = &CALLERS[..usize::from(args.files)];
    let inputs = callers.iter().map(|of| sample(todoke, folder.path(), of, args.records));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let mut bench = Bench { args, todoke, inputs, server: None };
    if args.database == Database::Postgres {
        bench.server = Some(bench.filled(folder.path()).await?);
    }
    let mut sides = bench.sides()?;
    let count = sides.len();
    for cycle in 0..args.cycles as usize {
        for turn in 0..count {
            bench.slice(&mut sides[(turn + cycle) % count]).await?;
            tokio::task::yield_now().await; // a signal is heard here
        }
        let last = |side: &Measured| {
            format!("{} {:.0} records/s", side.name, side.per_s.last().copied().unwrap_or_default())
        };
        let last: Vec<String> = sides.iter().map(last).collect();
        progress(&format!("cycle {} of {}: {}", cycle + 1, args.cycles, last.join(", ")));
    }
    bench.report(&sides)
}

impl Bench<'_> {
    fn records(&self) -> f64 {
        f64::from(self.args.records) * f64::from(self.args.files)
    }

    /// A server, and the rows that an import leaves in it.
    async fn filled(&self, folder: &Path) -> Result<(Server, copy::Rows), Failure> {
        let mut server = Server::start()?;
        let database = server.database().await?;
        import(self.todoke, &self.setup(1, Some(server.url(&database))), &self.inputs)?;
        let rows = copy::Rows::of(&server, &database, &folder.join("rows")).await?;
        server.remove(&database).await?;
        let orders = rows.count(copy::ORDERS);
        if orders as f64 != self.records() {
            return Err(Failure::new(format!("{} records became {orders} orders", self.records())));
        }
        Ok((server, rows))
    }

    fn setup(&self, issuers: u16, database: Option<String>) -> Setup {
        Setup { relays: self.args.relays, issuers, database }
    }

    fn sides(&self) -> Result<Vec<Measured>, Failure> {
        let side = |name: &str, side| Measured { name: name.to_owned(), side, per_s: Vec::new() };
        let import = |issuers| Side::Import { issuers, slices: Vec::new(), server_cpu_s: Vec::new() };
        let mut sides = vec![side("import", import(1))];
        if self.server.is_none() {
            let mut rows = Vec::new();
            for input in &self.inputs {
                rows.extend(bulk::read(&input.file)?);
            }
            sides.push(side("bulk insert", Side::Bulk(Bulk::Insert(rows))));
            return Ok(sides);
        }
        sides.push(side("\\copy of the same rows", Side::Bulk(Bulk::Copy { only: None })));
        let only = Some(copy::ORDERS);
        sides.push(side("\\copy of the orders alone", Side::Bulk(Bulk::Copy { only })));
        if self.args.issuers > 1 {
            sides.push(side(&format!("import, {} issuers", self.args.issuers), import(self.args.issuers)));
        }
        Ok(sides)
    }

    async fn slice(&mut self, measured: &mut Measured) -> Result<(), Failure> {
        let seconds = match &mut measured.side {
            Side::Import { issuers, slices, server_cpu_s } => {
                let (slice, server_cpu) = self.import(*issuers).await?;
                server_cpu_s.extend(server_cpu);
                slices.push(slice);
                slices.last().map_or(0.0, |slice| slice.wall.as_secs_f64())
            }
            Side::Bulk(Bulk::Insert(rows)) => {
                let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
                bulk::insert(folder.path(), rows).await?.as_secs_f64()
            }
            Side::Bulk(Bulk::Copy { only }) => {
                let Some((server, rows)) = &mut self.server else { return Ok(()) };
                rows.load(server, *only).await?.as_secs_f64()
            }
        };
        measured.per_s.push(self.records() / seconds);
        Ok(())
    }

    /// One import, and the CPU time of PostgreSQL's processes meanwhile, in seconds.
    async fn import(&mut self, issuers: u16) -> Result<(Slice, Option<f64>), Failure> {
        let setup = self.setup(issuers, None);
        let Some((server, _)) = &mut self.server else {
            return Ok((import(self.todoke, &setup, &self.inputs)?, None));
        };
        let database = server.database_with_tables().await?;
        server.checkpoint().await?;
        let before = server.cpu()?;
        let setup = Setup { database: Some(server.url(&database)), ..setup };
        let slice = import(self.todoke, &setup, &self.inputs)?;
        let used = server.cpu()?.saturating_sub(before).as_secs_f64();
        server.remove(&database).await?;
        Ok((slice, Some(used)))
    }

    fn method(&self) -> Result<Vec<String>, Failure> {
        let mut bytes = 0;
        for input in &self.inputs {
            bytes += fs::metadata(&input.file)?.len();
        }
        let of = match self.args.database {
            Database::Sqlite => "an empty issuer on SQLite",
            Database::Postgres => "an empty issuer on PostgreSQL",
        };
        let ours = format!(
            "`todoke import` of {} records ({:.1} MiB of CSV in {} files at once) through {} relays into \
             {of}, from the start of the processes to the end of the last with a verified receipt,",
            self.records(),
            bytes as f64 / MIB,
            self.args.files,
            self.args.relays
        );
        let theirs = match &self.server {
            None => {
                "against SQLite's own multi-row prepared insert of the same records in the same run (WAL, \
                     synchronous=FULL, a commit every 4,096 rows)."
                    .to_owned()
            }
            Some((_, rows)) => format!(
                "against psql's binary \\copy, in one transaction, of all rows that it leaves ({} of them in \
                 {} tables), and of the orders' table alone, into the same tables with the same indexes at \
                 the same server (durable), in the same run.",
                rows.all(),
                rows.tables()
            ),
        };
        Ok(vec![ours, theirs])
    }

    fn report(&self, sides: &[Measured]) -> Result<Report, Failure> {
        let mut report = Report { method: self.method()?, lines: Vec::new() };
        for side in sides {
            report.add(&side.name, "records/s", Spread::of(&side.per_s));
        }
        let [ours, others @ ..] = sides else { return Ok(report) };
        for other in others {
            let (name, ratios) = match other.side {
                Side::Bulk(_) => (format!("import / {}", other.name), (&ours.per_s, &other.per_s)),
                Side::Import { issuers, .. } => {
                    (format!("{issuers} issuers / one"), (&other.per_s, &ours.per_s))
                }
            };
            report.add(name, "ratio", Spread::of_ratios(ratios.0, ratios.1));
        }
        for side in sides {
            if let Side::Import { slices, server_cpu_s, .. } = &side.side {
                used(&side.name, slices, server_cpu_s, &mut report);
            }
        }
        Ok(report)
    }
}

/// Reports what the processes used.
fn used(side: &str, slices: &[Slice], server_cpu_s: &[f64], report: &mut Report) {
    let of = |figure: fn(&Slice) -> f64| slices.iter().map(figure).collect::<Vec<f64>>();
    let behind = side.strip_prefix("import").unwrap_or_default();
    let mut add = |what: &str, unit, values: &[f64]| {
        report.add(format!("{what}{behind}"), unit, Spread::of(values));
    };
    let cpu =
        [of(|slice| slice.clients_cpu_s), of(|slice| slice.relays_cpu_s), of(|slice| slice.issuers_cpu_s)];
    add("CPU of the client", "s", &cpu[0]);
    add("CPU of all relays", "s", &cpu[1]);
    add("CPU of the issuer", "s", &cpu[2]);
    add("CPU of PostgreSQL", "s", server_cpu_s);
    let busy = |(number, slice): (usize, &Slice)| {
        let server = server_cpu_s.get(number).copied().unwrap_or_default();
        (cpu.iter().map(|of| of[number]).sum::<f64>() + server) / slice.wall.as_secs_f64()
    };
    add("busy by all of these", "cores", &slices.iter().enumerate().map(busy).collect::<Vec<f64>>());
    add("peak memory of the client", "MiB", &of(|slice| slice.client_peak_rss / MIB));
    add("peak memory of the larger relay", "MiB", &of(|slice| slice.relay_peak_rss / MIB));
    add("peak memory of the issuer", "MiB", &of(|slice| slice.issuer_peak_rss / MIB));
}
