//! Every limit and patience of the store, each with a default that works.

use std::{fmt, time::Duration};

use super::postgres;

/// Where the database is and how patient the store is with it. Its debug form hides a password in the URL.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct StoreOptions {
    /// The database: `sqlite:FILE`, or `postgres://USER@HOST[,HOST…]/DATABASE`. Required: the default is
    /// empty and opens nothing, as where records are kept is not to be guessed.
    pub url: String,
    /// SQLite: connections that read at once; a quarter, and one at least, is left to who waits at a counter.
    /// Default 4.
    pub readers_max: u32,
    /// PostgreSQL: connections at most, for everything; a quarter is left to small changes and to who waits
    /// at a counter. Default 16.
    pub connections_max: u32,
    /// Longest wait for one's turn among those who can wait, and then for a connection. Default 20 s each.
    pub acquire_max: Duration,
    /// PostgreSQL: longest wait for one host to take a connection before the next is asked. Default 3 s.
    pub connect_max: Duration,
    /// PostgreSQL: how long a statement may take before the server ends it; COMMIT is no such statement.
    /// Default 30 s.
    pub statement_max: Duration,
    /// PostgreSQL: how long a statement waits for a row that another transaction changes; then the whole
    /// transaction is tried again, five times. The server ends one that does nothing for twice as long.
    /// Default 5 s.
    pub lock_max: Duration,
    /// PostgreSQL: longest wait for what is asked of a server that says nothing, COMMIT among it: then its
    /// connection is given up, and of a COMMIT it is not known whether it was done. Default 60 s.
    pub answer_max: Duration,
    /// A transaction or read that takes so long is in the log by its name, with its time and no value.
    /// Default 1 s.
    pub slow_min: Duration,
    /// SQLite: how long one statement waits for a lock that a tool beside this process holds; a transaction
    /// is tried five times. Default 200 ms.
    pub busy_max: Duration,
    /// SQLite: cache of the connection that writes, which holds the trees of order ids and persons. Default
    /// 64 MiB.
    pub write_cache_bytes: u64,
    /// SQLite: cache of each connection that reads. Default 8 MiB.
    pub read_cache_bytes: u64,
    /// SQLite: pages of 4 KiB in the write-ahead log after which it is copied back. Default 20,000 (80 MB).
    pub checkpoint_pages: u32,
    /// Chunks of several senders that share one commit at most. Default 16.
    pub group_chunks_max: usize,
    /// Changes of items of several callers that share one commit at most. Default 64.
    pub group_changes_max: usize,
    /// Records whose persons are entered into the look-up together, sorted: more cost less, and make the
    /// commit that enters them longer. On SQLite it is 512 while small changes come. Default 65,536.
    pub persons_together: u32,
    /// SQLite: checks the whole file for damage before opening it, which reads all of it. Default off.
    pub quick_check: bool,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("url", &without_password(&self.url))
            .field("readers_max", &self.readers_max)
            .field("connections_max", &self.connections_max)
            .field("acquire_max", &self.acquire_max)
            .field("connect_max", &self.connect_max)
            .field("statement_max", &self.statement_max)
            .field("lock_max", &self.lock_max)
            .field("answer_max", &self.answer_max)
            .field("slow_min", &self.slow_min)
            .field("busy_max", &self.busy_max)
            .field("write_cache_bytes", &self.write_cache_bytes)
            .field("read_cache_bytes", &self.read_cache_bytes)
            .field("checkpoint_pages", &self.checkpoint_pages)
            .field("group_chunks_max", &self.group_chunks_max)
            .field("group_changes_max", &self.group_changes_max)
            .field("persons_together", &self.persons_together)
            .field("quick_check", &self.quick_check)
            .finish()
    }
}

/// What a URL names.
pub(super) enum Named<'a> {
    /// A file of SQLite.
    File(&'a str),
    /// A database of PostgreSQL.
    Server(postgres::Url),
}

impl StoreOptions {
    /// Returns what the URL names; nothing is opened.
    pub(super) fn named(&self) -> Result<Named<'_>, String> {
        match self.url.split_once(':') {
            Some(("sqlite", file)) => file_of(file).map(Named::File).map_err(str::to_owned),
            Some(("postgres" | "postgresql", rest)) => {
                let rest = rest.strip_prefix("//").ok_or("a database of a server begins with postgres://")?;
                postgres::Url::parse(rest).map(Named::Server)
            }
            Some(_) => Err("this build opens no other kind of database".to_owned()),
            None => Err("it has no scheme".to_owned()),
        }
    }

    /// The file that the URL names, if it names one; nothing is opened.
    ///
    /// # Errors
    /// What is wrong with the URL; it is not repeated, as it may hold a password.
    pub fn file(&self) -> Result<Option<&str>, String> {
        match self.named()? {
            Named::File(file) => Ok(Some(file)),
            Named::Server(_) => Ok(None),
        }
    }
}

fn file_of(file: &str) -> Result<&str, &'static str> {
    let file = file.strip_prefix("//").unwrap_or(file);
    if file.is_empty() || file.contains(":memory:") {
        return Err("it names no file, and what is acknowledged must outlive this process");
    }
    if file.contains('?') {
        return Err("it takes no parameters after '?'");
    }
    Ok(file)
}

// `scheme://user:password@host?password=…` without user, password and parameters; what is no server's names a
// file.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(place, _)| place);
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://...@{place}"),
        None => format!("{scheme}://{rest}"),
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            readers_max: 4,
            connections_max: 16,
            acquire_max: Duration::from_secs(20),
            connect_max: Duration::from_secs(3),
            statement_max: Duration::from_secs(30),
            lock_max: Duration::from_secs(5),
            answer_max: Duration::from_secs(60),
            slow_min: Duration::from_secs(1),
            busy_max: Duration::from_millis(200),
            write_cache_bytes: 64 << 20,
            read_cache_bytes: 8 << 20,
            checkpoint_pages: 20_000,
            group_chunks_max: 16,
            group_changes_max: 64,
            persons_together: 65_536,
            quick_check: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_not_in_the_debug_form() {
        let of = |url: &str| format!("{:?}", StoreOptions { url: url.to_owned(), ..StoreOptions::default() });
        let text = of("postgres://todoke:ge@heim@db.internal/todoke");
        assert!(text.contains("postgres://...@db.internal/todoke") && !text.contains("heim"), "{text}");
        let text = of("postgres://db.internal/todoke?user=todoke&password=geheim");
        assert!(text.contains("postgres://db.internal/todoke") && !text.contains("heim"), "{text}");
        assert!(of("sqlite:issuer.db").contains("sqlite:issuer.db"));
    }
}
