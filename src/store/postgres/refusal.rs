//! Why a database of a server that answers is not used: each text ends with what to do about it.

use std::{io, path::PathBuf};

/// Why a database is not used. No text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A file of the URL cannot be read.
    #[error("{name} of the database URL: {} cannot be read: {source}", path.display())]
    File {
        /// The parameter.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no such database.
    #[error(
        "there is no database of this name at {hosts}: create it, owned by the URL's user: \
         CREATE DATABASE … OWNER … ENCODING 'UTF8' TEMPLATE template0"
    )]
    NoDatabase {
        /// The hosts that were asked.
        hosts: String,
    },
    /// The servers let nobody in who says so.
    #[error("nobody is let in who asks like this ({words}): look at user, password, sslcert and pg_hba.conf")]
    Login {
        /// Of each host what it said.
        words: String,
    },
    /// There is nothing in it yet, and only the issuer makes something.
    #[error("the database {database} is empty: run `todoke migrate` on it, or name another one")]
    Empty {
        /// Which, and where.
        database: String,
    },
    /// It belongs to another program.
    #[error("the database {database} has tables of another program: give todoke a database of its own")]
    Foreign {
        /// Which, and where.
        database: String,
    },
    /// Its texts are not UTF-8.
    #[error(
        "the database {database} has the encoding {encoding}, and names are written in UTF8: create it anew \
         with ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding {
        /// Which, and where.
        database: String,
        /// Its encoding.
        encoding: String,
    },
    /// A commit would be answered before it is durable.
    #[error(
        "the database {database} has synchronous_commit = {setting}, so that what was acknowledged could be \
         lost: ALTER DATABASE … SET synchronous_commit = on, and look at user and postgresql.conf"
    )]
    Asynchronous {
        /// Which, and where.
        database: String,
        /// The setting.
        setting: String,
    },
    /// The server is too old.
    #[error("{database} is of PostgreSQL {version}, and 13 is the oldest that is known to work: upgrade it")]
    Version {
        /// Which, and where.
        database: String,
        /// The server's version.
        version: String,
    },
    /// This role may not change its tables.
    #[error(
        "the database {database} has schema {found}, this program needs {known}, and the URL's user may not \
         change tables: run `todoke migrate --database URL` as their owner"
    )]
    MayNotMigrate {
        /// Which, and where.
        database: String,
        /// Its schema; 0: it is empty.
        found: i64,
        /// The schema of this program.
        known: i64,
    },
    /// What is to be copied into it would meet what is there.
    #[error(
        "the database {database} has rows in {tables}: name an empty one, or make this one anew. If they are \
         of a copy that was made before, `todoke store compare` says whether it is whole"
    )]
    NotEmpty {
        /// Which, and where.
        database: String,
        /// The tables that are not empty.
        tables: String,
    },
    /// TLS with it did not come about.
    #[error(
        "the database cannot be spoken to by TLS ({words}): look at sslrootcert and sslcert of its URL, and \
         whether the server has ssl = on and a certificate for the host that the URL names"
    )]
    Tls {
        /// Of each host what was wrong.
        words: String,
    },
    /// Issuers are connected to it, and what is to be done needs it alone.
    #[error("the database {database} is in use by {sessions} connections of issuers: stop them all first")]
    InUse {
        /// Which, and where.
        database: String,
        /// How many.
        sessions: i64,
    },
}
