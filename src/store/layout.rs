//! Every table is either spread by its municipality or copied whole to every node: what a distributed engine
//! is told, and what a test holds against the schema and every statement.

/// Tables of all municipalities together, with the reason: small, and seldom written.
pub(super) const GLOBAL: [(&str, &str); 10] = [
    ("heartbeat", "a row a task of the whole system"),
    ("key_check", "a row each time that a key took the place of another"),
    ("lease", "a row a task that one issuer does for all"),
    ("pool_controller", "one row: who decides about relays"),
    ("pool_decision", "the ledger of the pool, which is no municipality's"),
    ("pool_order", "orders of operators about relays"),
    ("pool_state", "one row: the state of all relays"),
    ("restore", "a row each time that the whole database was restored"),
    ("schema_version", "a row a change of the schema"),
    ("wrapped_secret", "a handful of secrets of the whole issuer"),
];

/// Tables that are spread, in an order in which each comes after those that its foreign keys name; all lie
/// together with the first.
pub(super) const SPREAD: [&str; 21] = [
    "batch",
    "manifest",
    "chunk",
    "batch_district",
    "chunk_conflict",
    "work",
    "order_key",
    "card_order",
    "card_person",
    "disposition",
    "receipt",
    "abort_statement",
    "repair_request",
    "comparison",
    "lost_batch",
    "quarantine",
    "item",
    "history",
    "request",
    "hold",
    "link",
];

/// By which column.
pub(super) const BY: &str = "municipality_code";

/// Returns the statements that make a Citus cluster spread the tables of a new database, in order. They are
/// run once, by the owner of the tables.
#[must_use]
pub fn citus() -> Vec<String> {
    // A ledger that refuses changes keeps doing so on each node.
    let triggers = "SET citus.enable_unsafe_triggers = on".to_owned();
    let copied = GLOBAL.iter().map(|(table, _)| format!("SELECT create_reference_table('{table}')"));
    let spread = SPREAD.iter().map(|table| {
        let beside = if *table == SPREAD[0] { "none" } else { SPREAD[0] };
        format!("SELECT create_distributed_table('{table}', '{BY}', colocate_with => '{beside}')")
    });
    std::iter::once(triggers).chain(copied).chain(spread).collect()
}
