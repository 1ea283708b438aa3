//! Every text of SQL that is not built at run time is registered here.

/// A named text of SQL.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by the test that prepares every statement"))]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
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
