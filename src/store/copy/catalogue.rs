//! Every table of the schema with every column, as both databases say: what one of them lacks, or has of
//! another type, is refused before anything is copied.

use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};

use super::super::{
    Error,
    layout::{GLOBAL, SPREAD},
};

statements! {
    FILE_COLUMNS = { sqlite: "
        SELECT name, \"type\" AS kind, pk AS place FROM pragma_table_info($1) ORDER BY cid" };
    SERVER_COLUMNS = { postgres: "
        SELECT CAST(attname AS TEXT) AS name, format_type(atttypid, NULL) AS kind FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum" };
}

/// What the steps of the schema write themselves: it is compared, and not copied.
pub(super) const STEPS: &str = "schema_version";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
    Bytes,
    Uuid,
}

impl Kind {
    /// Of a column by its type on both databases.
    fn of(file: &str, server: &str) -> Option<Self> {
        match (file, server) {
            ("TEXT", "text") => Some(Kind::Text),
            ("INTEGER", "bigint") => Some(Kind::Number),
            ("INTEGER", "boolean") => Some(Kind::Truth),
            ("BLOB", "bytea") => Some(Kind::Bytes),
            ("BLOB", "uuid") => Some(Kind::Uuid),
            _ => None,
        }
    }
}

/// A table, and what is asked of it. Its texts are made of names that the schema's steps gave.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) kinds: Vec<Kind>,
    columns: String,
    key: String,
}

impl Table {
    /// Every row of it, in the order of its key, which is the same on both databases.
    pub(super) fn rows(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("SELECT {} FROM {} ORDER BY {}", self.columns, self.name, self.key))
    }

    /// Takes rows of PostgreSQL's binary form.
    pub(super) fn copy_in(&self) -> String {
        format!("COPY {} ({}) FROM STDIN WITH (FORMAT binary)", self.name, self.columns)
    }

    /// Gives every row in that form.
    pub(super) fn copy_out(&self) -> String {
        format!("COPY ({}) TO STDOUT WITH (FORMAT binary)", self.rows().0)
    }

    pub(super) fn count(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("SELECT COUNT(*) AS rows FROM {}", self.name))
    }

    pub(super) fn is_held(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM {}) AS held", self.name))
    }
}

/// Keeps everybody else from all tables until the transaction is over: who wants to read, too, since nothing
/// is there yet.
pub(super) fn lock(tables: &[Table]) -> AssertSqlSafe<String> {
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    AssertSqlSafe(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", ")))
}

/// Returns all tables, each after those that its foreign keys name.
///
/// # Errors
/// [`Error::Corrupt`] with a table that is not the same on both databases; any other of a read.
pub(super) async fn tables(
    file: &mut SqliteConnection,
    server: &mut PgConnection,
) -> Result<Vec<Table>, Error> {
    let mut tables = Vec::new();
    for name in GLOBAL.iter().map(|(name, _)| *name).chain(SPREAD) {
        let of_file: Vec<(String, String, i64)> =
            sqlx::query_as(FILE_COLUMNS).bind(name).fetch_all(&mut *file).await?;
        let of_server: Vec<(String, String)> =
            sqlx::query_as(SERVER_COLUMNS).bind(name).fetch_all(&mut *server).await?;
        tables.push(table(name, &of_file, &of_server).ok_or(Error::Corrupt(name))?);
    }
    Ok(tables)
}

fn table(name: &'static str, file: &[(String, String, i64)], server: &[(String, String)]) -> Option<Table> {
    if file.len() != server.len() {
        return None;
    }
    let kind = |(name, of_file, _): &(String, String, i64)| {
        let (_, of_server) = server.iter().find(|(other, _)| other == name)?;
        Kind::of(of_file, of_server)
    };
    let kinds = file.iter().map(kind).collect::<Option<Vec<_>>>()?;
    let mut key: Vec<_> = file.iter().filter(|(.., place)| *place > 0).collect();
    key.sort_by_key(|(.., place)| *place);
    let list = |all: Vec<&str>| all.join(", ");
    let columns = list(file.iter().map(|(name, ..)| name.as_str()).collect());
    let key = list(key.into_iter().map(|(name, ..)| name.as_str()).collect());
    (!key.is_empty()).then_some(Table { name, kinds, columns, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_not_the_same_on_both_sides_is_none() {
        let of = |name: &str, kind: &str, place| (name.to_owned(), kind.to_owned(), place);
        let file = [of("b", "BLOB", 2), of("a", "TEXT", 1), of("flag", "INTEGER", 0)];
        let server = |kind: &str| {
            let all = [("a", "text"), ("flag", kind), ("b", "uuid")];
            all.map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        };
        let table = |server: &[(String, String)]| super::table("t", &file, server);
        let whole = table(&server("boolean")).expect("it is the same");
        assert_eq!(whole.rows().0, "SELECT b, a, flag FROM t ORDER BY a, b");
        assert_eq!(whole.kinds, [Kind::Uuid, Kind::Text, Kind::Truth]);
        assert!(table(&server("timestamp")).is_none(), "a type that is not known");
        assert!(table(&server("boolean")[..2]).is_none(), "a column that is not there");
        let mut other = server("boolean");
        other[2].0 = "c".to_owned();
        assert!(table(&other).is_none(), "a column of another name");
        let keyless = [of("a", "TEXT", 0)];
        assert!(super::table("t", &keyless, &server("boolean")[..1]).is_none(), "no order");
    }
}
