//! What a refusal of PostgreSQL means: whether another try can help, whether the server is still the one to
//! ask, and whether a COMMIT can have taken effect.
//!
//! Source: PostgreSQL, appendix "PostgreSQL Error Codes".

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::store::Error;

/// A refusal without its details, in which values of rows stand.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
struct Told {
    message: String,
    code: String,
}

/// Returns what a refusal means.
pub(in crate::store) fn error(refused: &PgDatabaseError) -> Error {
    let told = || Told { message: refused.message().to_owned(), code: refused.code().to_owned() };
    match refused.code() {
        // Somebody else changes the same rows: serialization, deadlock, a lock that was waited for too long.
        "40001" | "40P01" | "55P03" => Error::Busy,
        "53100" => Error::Full,
        "53300" => Error::NoConnection,
        "57014" => Error::Cancelled,
        code if is_away(code) => Error::Away(told().to_string()),
        _ => Error::Database(Box::new(told())),
    }
}

/// Whether this server, or this connection to it, is not to be asked any more: it shuts down, starts up, was
/// lost, became a standby, or ended a connection that was idle inside a transaction.
fn is_away(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25006" | "25P03")
}

/// Whether a failed COMMIT has certainly left nothing: the server says so itself, and goes on with this
/// connection. Whatever ends the connection may come after the commit: above all an administrator's end of a
/// wait for a standby.
pub(in crate::store) fn rolled_back(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refused.is_some_and(|refused| {
        // 08007 and 40003: the server itself does not know.
        refused.severity() == PgSeverity::Error && !matches!(refused.code(), "08007" | "40003")
    })
}
