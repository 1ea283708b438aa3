//! A database of a server holds all that a file held, every row and column of it, or nothing of it.
//!
//! One transaction locks all tables, fills them, reads back what stands there now and holds it against the
//! file, which is read once more; only if all is the same it is committed. Whatever breaks off before leaves
//! nothing, and an issuer that is started in the middle cannot read, and does not start.
//!
//! `catalogue` is what there is to copy, `rows` the bytes that a row is on both sides, `target` how long the
//! server is waited for.

mod catalogue;
mod rows;
mod target;

use std::{path::PathBuf, time::Duration};

use sqlx::{Connection as _, PgConnection, SqliteConnection, SqlitePool};

use crate::{
    crash::{self, Point},
    domain::digest::Digest,
};

use super::{
    Error, Pool, Refusal, Store, StoreOptions,
    columns::uint,
    options::Named,
    postgres::{Purpose, Server, Url},
    sqlite,
    transact::Engine as _,
};
use catalogue::{STEPS, Table};
use rows::{HEAD, Reader, TAIL};
use target::Session;

statements! {
    // All of a database may take hours, and while the other side is read nothing is asked of this one; but
    // of a machine that is gone its locks must not stay. Rows that were filled in the order of their key are
    // read by it, where sorting them would need their size once more on the disk.
    UNHURRIED = { postgres: "
        SELECT set_config('statement_timeout', '0', true),
            set_config('idle_in_transaction_session_timeout', '0', true),
            set_config('tcp_keepalives_idle', '30', true), set_config('tcp_keepalives_interval', '10', true),
            set_config('tcp_keepalives_count', '3', true), set_config('tcp_user_timeout', '60000', true),
            set_config('enable_sort', 'off', true)" };
    WHOLE = { sqlite: "PRAGMA integrity_check(1)" };
    // It changes when somebody else has written to the file.
    CHANGES = { sqlite: "PRAGMA data_version" };
}

/// A standby that has to have it all before COMMIT is answered gets so long.
const COMMIT_MAX: Duration = Duration::from_secs(600);

/// How much stands in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 of all of them as `COPY (SELECT … ORDER BY key) TO STDOUT (FORMAT binary)` gives them.
    pub digest: Digest,
}

/// A table on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableTotals {
    /// Its name.
    pub table: &'static str,
    /// In the file.
    pub from: Total,
    /// In the server's database.
    pub to: Total,
}

impl TableTotals {
    /// Whether both sides have the same rows.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.from == self.to
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows that were copied or compared.
    pub rows: u64,
    /// Of how many.
    pub of: u64,
}

/// Who hears how far it is.
pub type TellProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Copies all of a file into a server's database in which nothing stands, and returns the totals of both
/// sides, table by table. It is kept only if all of them are the same, and nobody wrote to the file
/// meanwhile.
///
/// The file's issuer must be stopped, and the file is not changed; no issuer may be connected to the other
/// one, whose tables are made if there are none.
///
/// # Errors
/// Any [`Error`] of opening; [`Refusal::NotEmpty`]; [`Error::Damaged`], [`Error::Forgetful`] and
/// [`Error::Changed`] of the file. Nothing is kept then, unless it says that it may be: then [`compare`]
/// tells.
pub async fn copy(
    from: &StoreOptions,
    to: &StoreOptions,
    tell: TellProgress<'_>,
) -> Result<Vec<TableTotals>, Error> {
    let file = Source::open(from).await?;
    let url = url_of(to)?;
    is_of_today(to).await?;
    let patient = StoreOptions { answer_max: to.answer_max.max(COMMIT_MAX), ..to.clone() };
    let server = Server::open(&url, &patient, Purpose::Fill).await?;
    let totals = Box::pin(filled(&file, &server, (&url, to.answer_max), tell)).await;
    server.close().await;
    file.close().await;
    totals
}

/// Reads a file and a server's database and returns the totals of both, table by table; nothing is changed.
///
/// # Errors
/// Any [`Error`] of opening or reading.
pub async fn compare(
    from: &StoreOptions,
    to: &StoreOptions,
    tell: TellProgress<'_>,
) -> Result<Vec<TableTotals>, Error> {
    let file = Source::open(from).await?;
    let url = url_of(to)?;
    let server = Server::open(&url, to, Purpose::Compare).await?;
    let totals = Box::pin(both(&file, &server, to, tell)).await;
    server.close().await;
    file.close().await;
    totals
}

fn url_of(options: &StoreOptions) -> Result<Url, Error> {
    match options.named().map_err(Error::Url)? {
        Named::Server(url) => Ok(url),
        Named::File(_) => Err(Error::Url("only a server's database is copied to".to_owned())),
    }
}

/// The file, which no issuer has, and which is whole.
struct Source {
    store: Store,
    path: PathBuf,
}

impl Source {
    async fn open(options: &StoreOptions) -> Result<Self, Error> {
        let Named::File(file) = options.named().map_err(Error::Url)? else {
            return Err(Error::Url("only a file is copied from".to_owned()));
        };
        is_of_today(options).await?;
        let (pool, path) = sqlite::open_alone_to_read(file, options).await?;
        let store = Store::over_file((pool, path.clone()), options);
        let seen = store.witness.as_ref().map_or(0, |witness| witness.seen());
        if store.heartbeats().await? < seen {
            store.close().await;
            return Err(Error::Forgetful { path });
        }
        let source = Self { store, path };
        // What an index lacks would be lacking on both sides.
        let finding: String = sqlx::query_scalar(WHOLE).fetch_one(source.pool()?).await?;
        if finding != "ok" {
            source.close().await;
            return Err(Error::Damaged { path: source.path, finding });
        }
        Ok(source)
    }

    fn pool(&self) -> Result<&SqlitePool, Error> {
        match &self.store.pool {
            Pool::Sqlite { read, .. } => Ok(read),
            Pool::Postgres(_) => Err(Error::Closed), // it was opened as a file
        }
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

/// Refuses a schema that this program only can go on with: it does not know all that stands in it.
async fn is_of_today(options: &StoreOptions) -> Result<(), Error> {
    let schema = Store::schema(options).await?;
    match schema.found > schema.known {
        true => Err(Error::NewerSchema { found: schema.found, known: schema.known }),
        false => Ok(()),
    }
}

async fn filled(
    file: &Source,
    server: &Server,
    (url, silence_max): (&Url, Duration),
    tell: TellProgress<'_>,
) -> Result<Vec<TableTotals>, Error> {
    let mut connection = file.pool()?.acquire().await?;
    let before = changes(&mut connection).await?;
    let mut source = connection.begin().await?; // one state of the file for all tables
    let mut tx = server.begin().await?;
    let session = Session::of(server, silence_max, &mut tx).await?;
    session.answer(sqlx::query(UNHURRIED).execute(&mut *tx)).await?;
    let tables = session.answer(catalogue::tables(&mut source, &mut tx)).await?;
    session.answer(sqlx::query(catalogue::lock(&tables)).execute(&mut *tx)).await?;
    // Whoever comes later reads nothing of it before it is over; one that came before has read that it is
    // empty.
    session.answer(server.nobody(&mut tx, url)).await?;
    let held = session.answer(held(&mut tx, &tables)).await?;
    if !held.is_empty() {
        tx.rollback().await?;
        return Err(Refusal::NotEmpty { database: url.shown(), tables: held.join(", ") }.into());
    }
    let (all, copied) = count(&mut source, &tables).await?;
    let mut seen = Seen { now: Progress { rows: 0, of: all + copied }, tell };
    for table in tables.iter().filter(|table| table.name != STEPS) {
        let target = Target { session, conn: &mut tx };
        fill(&mut source, target, table, &mut seen).await.map_err(|error| named(table.name, error))?;
    }
    let totals = totals(&mut source, Target { session, conn: &mut tx }, &tables, &mut seen).await?;
    source.rollback().await?; // nothing was written
    if changes(&mut connection).await? != before {
        tx.rollback().await?;
        return Err(Error::Changed { path: file.path.clone() });
    }
    match totals.iter().all(TableTotals::is_same) {
        true => server.commit("copy", tx).await?,
        false => tx.rollback().await?,
    }
    Ok(totals)
}

async fn both(
    file: &Source,
    server: &Server,
    to: &StoreOptions,
    tell: TellProgress<'_>,
) -> Result<Vec<TableTotals>, Error> {
    is_of_today(to).await?;
    let mut connection = file.pool()?.acquire().await?;
    let mut source = connection.begin().await?;
    let mut tx = server.snapshot().await?;
    let session = Session::of(server, to.answer_max, &mut tx).await?;
    session.answer(sqlx::query(UNHURRIED).execute(&mut *tx)).await?;
    let tables = session.answer(catalogue::tables(&mut source, &mut tx)).await?;
    let mut seen = Seen { now: Progress { rows: 0, of: count(&mut source, &tables).await?.0 }, tell };
    let totals = totals(&mut source, Target { session, conn: &mut tx }, &tables, &mut seen).await?;
    tx.rollback().await?; // nothing was written
    source.rollback().await?;
    Ok(totals)
}

/// Where rows are copied to.
struct Target<'a> {
    session: Session<'a>,
    conn: &'a mut PgConnection,
}

/// How far it is, and who is told.
struct Seen<'a> {
    now: Progress,
    tell: TellProgress<'a>,
}

impl Seen<'_> {
    fn add(&mut self, rows: u64) {
        self.now.rows += rows;
        (self.tell)(self.now);
    }
}

/// The tables in which something stands.
async fn held(server: &mut PgConnection, tables: &[Table]) -> Result<Vec<&'static str>, Error> {
    let mut held = Vec::new();
    for table in tables.iter().filter(|table| table.name != STEPS) {
        if sqlx::query_scalar(table.is_held()).fetch_one(&mut *server).await? {
            held.push(table.name);
        }
    }
    Ok(held)
}

/// How many rows there are to read, and how many of them to copy.
async fn count(file: &mut SqliteConnection, tables: &[Table]) -> Result<(u64, u64), Error> {
    let (mut all, mut copied) = (0, 0);
    for table in tables {
        let rows = sqlx::query_scalar(table.count()).fetch_one(&mut *file).await?;
        let rows = uint(rows, table.name)?;
        all += rows;
        copied += if table.name == STEPS { 0 } else { rows };
    }
    Ok((all, copied))
}

/// A number that changes when somebody else writes to the file.
async fn changes(file: &mut SqliteConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(CHANGES).fetch_one(file).await?)
}

async fn fill(
    file: &mut SqliteConnection,
    Target { session, conn }: Target<'_>,
    table: &Table,
    seen: &mut Seen<'_>,
) -> Result<(), Error> {
    let mut reader = Reader::of(file, table);
    let mut target = session.answer(conn.copy_in_raw(&table.copy_in())).await?;
    let mut page = HEAD.to_vec();
    loop {
        session.answer(target.send(page.as_slice())).await?;
        match reader.page(&mut page).await {
            Ok(0) => break,
            Ok(count) => seen.add(count),
            Err(error) => {
                // The first error is the one to tell.
                let _ = session.answer(target.abort("the file cannot be read")).await;
                return Err(error);
            }
        }
        crash::point(Point::CopyPage);
    }
    session.answer(target.send(TAIL)).await?;
    session.answer(target.finish()).await?; // how many rows stand there now is counted with all others
    Ok(())
}

/// Reads both sides, at the same time.
async fn totals(
    file: &mut SqliteConnection,
    Target { session, conn }: Target<'_>,
    tables: &[Table],
    seen: &mut Seen<'_>,
) -> Result<Vec<TableTotals>, Error> {
    let mut totals = Vec::new();
    for table in tables {
        let mut tell = |rows| seen.add(rows);
        let of_file = rows::total_of_file(file, table, &mut tell);
        let (from, to) = tokio::try_join!(of_file, rows::total_of_server(session, conn, table))?;
        totals.push(TableTotals { table: table.name, from, to });
    }
    Ok(totals)
}

/// Says which table it was that the database refused.
fn named(table: &'static str, error: Error) -> Error {
    match error {
        Error::Database(source) => Error::Database(format!("table {table}: {source}").into()),
        other => other,
    }
}
