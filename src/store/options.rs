//! Every limit and patience of the store, each with a default that works.

use std::{fmt, time::Duration};

/// Where the database is and how patient the store is with it. Its debug form hides a password in the URL.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct StoreOptions {
    /// The database: `sqlite:FILE`. Required: the default is empty and opens nothing, as where records are
    /// kept is not to be guessed.
    pub url: String,
    /// Connections that read at once. Default 4.
    pub readers_max: u32,
    /// Longest wait for a connection, and so for one's turn to write. Default 20 s.
    pub acquire_max: Duration,
    /// How long one statement waits for a lock that a tool beside this process holds; a transaction is tried
    /// five times. Default 200 ms.
    pub busy_max: Duration,
    /// Cache of the connection that writes, which holds the trees of order ids and persons. Default 64 MiB.
    pub write_cache_bytes: u64,
    /// Cache of each connection that reads. Default 8 MiB.
    pub read_cache_bytes: u64,
    /// Pages of 4 KiB in the write-ahead log after which it is copied back. Default 20,000 (80 MB).
    pub checkpoint_pages: u32,
    /// Chunks of several senders that share one commit at most. Default 16.
    pub group_chunks_max: usize,
    /// Records whose persons are entered into the look-up together, sorted: more cost less, and make the
    /// commit that enters them longer. Default 65,536, which is 16 chunks.
    pub persons_together: u32,
    /// Checks the whole file for damage before opening it, which reads all of it. Default off.
    pub quick_check: bool,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("url", &without_password(&self.url))
            .field("readers_max", &self.readers_max)
            .field("acquire_max", &self.acquire_max)
            .field("busy_max", &self.busy_max)
            .field("write_cache_bytes", &self.write_cache_bytes)
            .field("read_cache_bytes", &self.read_cache_bytes)
            .field("checkpoint_pages", &self.checkpoint_pages)
            .field("group_chunks_max", &self.group_chunks_max)
            .field("persons_together", &self.persons_together)
            .field("quick_check", &self.quick_check)
            .finish()
    }
}

impl StoreOptions {
    /// The file that the URL names; nothing is opened.
    ///
    /// # Errors
    /// What is wrong with the URL; it is not repeated, as it may hold a password.
    pub fn file(&self) -> Result<&str, &'static str> {
        let file = match self.url.split_once(':') {
            Some(("sqlite", file)) => file,
            Some(_) => return Err("this build opens no other kind of database"),
            None => return Err("it has no scheme"),
        };
        let file = file.strip_prefix("//").unwrap_or(file);
        if file.is_empty() || file.contains(":memory:") {
            return Err("it names no file, and what is acknowledged must outlive this process");
        }
        if file.contains('?') {
            return Err("it takes no parameters after '?'");
        }
        Ok(file)
    }
}

// `scheme://user:password@host` without user and password; what has no `@` names a file.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://...@{place}"),
        _ => url.to_owned(),
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            readers_max: 4,
            acquire_max: Duration::from_secs(20),
            busy_max: Duration::from_millis(200),
            write_cache_bytes: 64 << 20,
            read_cache_bytes: 8 << 20,
            checkpoint_pages: 20_000,
            group_chunks_max: 16,
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
        assert!(of("sqlite:issuer.db").contains("sqlite:issuer.db"));
    }
}
