//! A row is the same bytes whichever database it is read from: those of PostgreSQL's binary COPY.
//!
//! A tuple is the number of its columns and then of each its length, -1 for NULL, and its value; a number is
//! eight bytes, big-endian, and a truth value one.
//!
//! Source: PostgreSQL, COPY, "Binary Format".

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::{TryStreamExt as _, stream::BoxStream};
use sqlx::{Decode, PgConnection, Row as _, Sqlite, SqliteConnection, Type, sqlite::SqliteRow};

use super::{
    super::{Error, columns::uint},
    Total,
    catalogue::{Kind, Table},
    target::Session,
};
use crate::domain::digest::Digest;

/// What stands before the tuples: the signature, no flags, no extension.
pub(super) const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands behind them.
pub(super) const TAIL: &[u8] = &(-1_i16).to_be_bytes();
/// So many bytes are gathered before they are passed on.
const PAGE_BYTES: usize = 256 << 10;

/// Reads a table of a file in the order of its key, in pages that do not grow with it.
pub(super) struct Reader<'c> {
    rows: BoxStream<'c, Result<SqliteRow, sqlx::Error>>,
    table: &'c Table,
}

impl<'c> Reader<'c> {
    pub(super) fn of(file: &'c mut SqliteConnection, table: &'c Table) -> Self {
        Self { rows: sqlx::query(table.rows()).fetch(file), table }
    }

    /// Puts the next tuples in place of those of before, and returns how many; 0 at the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the table, if something in it is not of its column's type; any other of a
    /// read.
    pub(super) async fn page(&mut self, page: &mut Vec<u8>) -> Result<u64, Error> {
        page.clear();
        let mut count = 0;
        while page.len() < PAGE_BYTES {
            let Some(row) = self.rows.try_next().await? else { break };
            tuple(&row, &self.table.kinds, page).ok_or(Error::Corrupt(self.table.name))?;
            count += 1;
        }
        Ok(count)
    }
}

/// Adds a row; `None` if a value is none of its column's.
fn tuple(row: &SqliteRow, kinds: &[Kind], page: &mut Vec<u8>) -> Option<()> {
    page.extend(i16::try_from(kinds.len()).ok()?.to_be_bytes());
    for (at, kind) in kinds.iter().enumerate() {
        match kind {
            Kind::Text => field(page, value::<&str>(row, at)?.map(str::as_bytes))?,
            Kind::Bytes => field(page, value::<&[u8]>(row, at)?)?,
            Kind::Uuid => field(page, checked(value(row, at)?, sixteen)?)?,
            Kind::Number => field(page, value::<i64>(row, at)?.map(i64::to_be_bytes))?,
            Kind::Truth => field(page, checked(value(row, at)?, truth)?)?,
        }
    }
    Some(())
}

fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, at: usize) -> Option<Option<T>> {
    row.try_get(at).ok()
}

/// A value that is there must be one of its column's.
fn checked<T, U>(value: Option<T>, check: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match value {
        Some(value) => check(value).map(Some),
        None => Some(None),
    }
}

fn sixteen(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() == 16).then_some(bytes)
}

fn truth(number: i64) -> Option<[u8; 1]> {
    u8::try_from(number).ok().filter(|number| *number < 2).map(|number| [number])
}

fn field(page: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) -> Option<()> {
    let Some(value) = value else {
        page.extend((-1_i32).to_be_bytes());
        return Some(());
    };
    let value = value.as_ref();
    page.extend(i32::try_from(value.len()).ok()?.to_be_bytes());
    page.extend(value);
    Some(())
}

/// Adds up a table of a file, and tells after each page how many rows it had.
pub(super) async fn total_of_file(
    file: &mut SqliteConnection,
    table: &Table,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Total, Error> {
    let mut reader = Reader::of(file, table);
    let (mut hash, mut page, mut rows) = (Context::new(&SHA256), Vec::new(), 0);
    hash.update(HEAD);
    loop {
        let count = reader.page(&mut page).await?;
        if count == 0 {
            break;
        }
        hash.update(&page);
        rows += count;
        tell(count);
    }
    hash.update(TAIL);
    Ok(Total { rows, digest: digest(hash) })
}

/// Adds up the same table of a server: it counts by itself, and its rows are its own words.
pub(super) async fn total_of_server(
    session: Session<'_>,
    server: &mut PgConnection,
    table: &Table,
) -> Result<Total, Error> {
    let rows: i64 = session.answer(sqlx::query_scalar(table.count()).fetch_one(&mut *server)).await?;
    let mut hash = Context::new(&SHA256);
    let mut stream = session.answer(server.copy_out_raw(&table.copy_out())).await?;
    while let Some(bytes) = session.answer(stream.try_next()).await? {
        hash.update(&bytes);
    }
    Ok(Total { rows: uint(rows, table.name)?, digest: digest(hash) })
}

fn digest(hash: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Digest(bytes)
}
