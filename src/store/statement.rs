//! Every text of SQL that is not built at run time is registered here.

/// A named text of SQL, as each database has it; `None` where a database has no use for it.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by the test that prepares every statement"))]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) sqlite: Option<&'static str>,
    pub(crate) postgres: Option<&'static str>,
}

/// The statements of one module.
#[cfg_attr(not(test), expect(dead_code, reason = "read by the test that prepares every statement"))]
pub(crate) struct Statements(pub(crate) &'static [Statement]);

inventory::collect!(Statements);

/// Returns every registered statement.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = Statement> {
    inventory::iter::<Statements>().flat_map(|module| module.0.iter().copied())
}

/// One statement in the words of each database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerDatabase {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// Which words a connection understands.
pub(crate) trait Speaks {
    fn sql(&self, statement: PerDatabase) -> &'static str;
}

impl Speaks for sqlx::SqliteConnection {
    fn sql(&self, statement: PerDatabase) -> &'static str {
        statement.sqlite
    }
}

impl Speaks for sqlx::PgConnection {
    fn sql(&self, statement: PerDatabase) -> &'static str {
        statement.postgres
    }
}
