//! A server for each test that needs one.

use super::*;
pub(super) use crate::store::throwaway::DATABASE;

/// Returns a server with a database that has our tables and nothing in them, and with these settings.
///
/// A missing PostgreSQL is no reason to leave a test out: it says what brings it.
pub(super) async fn server(settings: &'static str) -> Throwaway {
    server_with(settings, Vec::new()).await
}

/// The same, with these files in its data folder.
pub(super) async fn server_with(
    settings: impl Into<String>,
    files: Vec<(&'static str, String)>,
) -> Throwaway {
    let program = std::env::current_exe().expect("a path");
    let target = program.ancestors().nth(3).expect("it lies in target/debug/deps").join("tmp");
    let prepared = Throwaway::prepared_with(&target, settings, files).await;
    prepared.unwrap_or_else(|trouble| panic!("{trouble}"))
}
