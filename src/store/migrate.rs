//! A program uses a database of its own schema, and a newer one only if each step that it does not know says
//! that it may. The rules for whoever writes a step are in `migrations/README.md`.

use std::fmt::Write as _;

use sqlx::migrate::{MigrateError, Migration, Migrator};

use super::{
    Error, Store, StoreOptions,
    options::Named,
    postgres::{self, Purpose},
    sqlite,
};

statements! {
    /// The newest step, and the oldest program that can live with all that came after one.
    pub(super) USABLE_FROM = "
        SELECT MAX(version) AS version, MAX(usable_from) AS usable_from FROM schema_version
        WHERE version > $1";
}

/// The first step that is noted in `schema_version`; programs from before use no schema but their own.
const NOTED_SINCE: i64 = 6;

/// Where a database stands, and this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The schema of the database; 0: it is empty.
    pub found: i64,
    /// The newest schema that this program knows.
    pub known: i64,
}

impl Schema {
    /// Whether there is nothing for this program to do. A newer schema that it may use is up to date.
    #[must_use]
    pub fn is_up_to_date(self) -> bool {
        self.found >= self.known
    }
}

/// One change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub version: i64,
    /// What it is about.
    pub name: String,
    /// The oldest schema whose programs may use the database after it.
    pub usable_from: i64,
    /// Its SQL, with the note that it was done.
    pub sql: String,
}

impl Store {
    /// Looks which schema a database has; nothing is changed.
    ///
    /// # Errors
    /// As for [`Store::open_to_read`], but for an older schema; of a server's database that is empty none.
    pub async fn schema(options: &StoreOptions) -> Result<Schema, Error> {
        match options.named().map_err(Error::Url)? {
            Named::File(file) => {
                let found = sqlite::schema(file, options).await?;
                Ok(Schema { found, known: newest(&sqlite::MIGRATOR) })
            }
            Named::Server(url) => {
                let found = postgres::schema(&url, options).await?;
                Ok(Schema { found, known: newest(&postgres::MIGRATOR) })
            }
        }
    }

    /// Brings the schema up to date, and returns where the database stood before. A file must be there, and
    /// is used alone; beside the issuers of a server's database only steps are taken that they can live with.
    ///
    /// # Errors
    /// As for [`Store::open_existing`]; what was taken before a step that failed is kept.
    pub async fn migrate(options: &StoreOptions) -> Result<Schema, Error> {
        let before = Self::schema(options).await?;
        let opened = match options.named().map_err(Error::Url)? {
            Named::File(_) => Self::open_existing(options).await?,
            Named::Server(url) => Self::over_server(&url, options, Purpose::Migrate).await?,
        };
        opened.close().await;
        Ok(before)
    }
}

/// Returns the steps after a schema that the database of this URL takes, in order.
///
/// # Errors
/// [`Error::Url`].
pub fn steps(options: &StoreOptions, after: i64) -> Result<Vec<Step>, Error> {
    let named = options.named().map_err(Error::Url)?;
    let (migrator, is_file) = match &named {
        Named::File(_) => (&sqlite::MIGRATOR, true),
        Named::Server(_) => (&postgres::MIGRATOR, false),
    };
    Ok(migrator.iter().filter(|step| step.version > after).map(|one| step(one, is_file)).collect())
}

fn step(one: &Migration, is_file: bool) -> Step {
    let name = one.description.to_string();
    let mut sql = String::new();
    if one.version == 1 {
        sql.push_str(if is_file { FILE_LEDGER } else { SERVER_LEDGER });
    }
    let checksum = hex::encode(&one.checksum);
    let checksum = if is_file { format!("X'{checksum}'") } else { format!("'\\x{checksum}'") };
    let _ = write!(
        sql,
        "{}\nINSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)\n\
         VALUES ({}, '{}', TRUE, {checksum}, 0);\n",
        one.sql.as_str().trim_end(),
        one.version,
        name.replace('\'', "''")
    );
    Step { version: one.version, name, usable_from: usable_from(one), sql }
}

/// The driver's own ledger, as it makes it.
const FILE_LEDGER: &str = "\
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
";
const SERVER_LEDGER: &str = "\
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
);
";

/// The newest schema that a migrator knows.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|one| one.version).max().unwrap_or_default()
}

/// What a step's last line says; a step that says nothing is for its own programs only.
fn usable_from(one: &Migration) -> i64 {
    let begin = format!("INSERT INTO schema_version (version, usable_from) VALUES ({}, ", one.version);
    let said = one.sql.as_str().split_once(&begin).and_then(|(_, rest)| rest.split_once(')'));
    said.and_then(|(number, _)| number.parse().ok()).unwrap_or(one.version)
}

/// Whether the steps after `found` leave programs behind that use the database as it is.
pub(super) fn leaves_behind(migrator: &Migrator, found: i64) -> bool {
    found > 0 && migrator.iter().any(|one| one.version > found && usable_from(one) > found)
}

/// Lets a program of schema `known` use a newer one whose steps all say that it may; `told` is what
/// [`USABLE_FROM`] says of it.
///
/// # Errors
/// [`Error::NewerSchema`].
pub(super) fn usable(found: i64, known: i64, told: (Option<i64>, Option<i64>)) -> Result<(), Error> {
    let (Some(version), Some(from)) = told else { return Err(Error::NewerSchema { found, known }) };
    if version != found || from > known || known < NOTED_SINCE {
        return Err(Error::NewerSchema { found, known });
    }
    tracing::warn!(
        found,
        known,
        "the database has schema {found}, which a newer program made, and this one knows up to {known}: it \
         can go on; replace it by the newer program soon"
    );
    Ok(())
}

/// Whether the database kept a change of the schema from a role that may not make it.
pub(super) fn is_forbidden(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("42501") // insufficient_privilege
}
