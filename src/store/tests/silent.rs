//! Promise: a copy to a server whose answers do not arrive any more ends, wherever it is, and leaves nothing;
//! nobody who opens one waits for ever, and one that takes its time is waited for.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    task::JoinSet,
};

use super::*;
use crate::store::{TableTotals, copy};

/// How long a server may be silent here.
const SILENCE: Duration = Duration::from_secs(1);

/// Something between a client and a server that passes on what both say, until it is to drop all answers.
struct Between {
    folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Between {
    /// Drops all answers from the moment on in which the client says these words.
    fn until(server: &Throwaway, words: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("it is free");
        let (to, silent) = (server.folder().join(".s.PGSQL.5432"), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&to).await.expect("it is there");
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                ways.spawn(passed(from_client, to_server, Arc::clone(&silent), Some(words)));
                ways.spawn(passed(from_server, to_client, Arc::clone(&silent), None));
            }
        });
        Self { folder, _tasks: tasks }
    }

    fn url(&self) -> String {
        format!("postgres://todoke@/{}?host={}", template::DATABASE, self.folder.path().display())
    }
}

/// Passes on what one of them says. `words`: this is the client, and they silence the other.
async fn passed(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    silent: Arc<AtomicBool>,
    words: Option<&'static str>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let said = &bytes[..count];
        let told = words.is_some_and(|words| said.windows(words.len()).any(|part| part == words.as_bytes()));
        silent.fetch_or(told, Relaxed);
        if words.is_none() && silent.load(Relaxed) {
            continue;
        }
        if to.write_all(said).await.is_err() {
            return;
        }
    }
}

/// A file with a batch in it, which nobody has open.
struct Still {
    options: StoreOptions,
    _place: Place,
}

async fn file() -> Still {
    let case = Case::sqlite().await;
    case.accepted(1, &orders("K", 8)).await;
    let Case { store, options, place } = case;
    store.close().await;
    Still { options, _place: place }
}

async fn copied(from: &Still, url: String) -> Result<(), Error> {
    let to = StoreOptions { url, answer_max: SILENCE, acquire_max: SILENCE, ..StoreOptions::default() };
    let mut tell = |_| ();
    let ended = copy(&from.options, &to, &mut tell);
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    ended.expect("it ends by itself").map(|totals| assert!(totals.iter().all(TableTotals::is_same)))
}

#[tokio::test]
async fn a_copy_to_a_server_that_does_not_answer_any_more_ends() {
    let from = file().await;
    for words in ["AS pid", "LOCK TABLE", "COPY batch (", "COPY card_order (", "FROM batch ORDER BY"] {
        let to = Case::postgres().await;
        to.store.close().await;
        let Place::Server(server) = &to.place else { panic!("it is a server") };
        let between = Between::until(server, words);
        let away = copied(&from, between.url()).await.expect_err("nothing is heard of it");
        assert!(matches!(away, Error::Away(_)) && away.is_transient(), "{words}: {away}");
        assert!(!away.may_have_applied(), "{words}: {away}");
        drop(between);
        let reopened = to.reopened(|_| ()).await;
        assert_eq!(
            reopened.store.batch(ward(), id(1)).await.expect("reads"),
            None,
            "{words}: nothing is kept"
        );
    }
}

#[tokio::test]
async fn whoever_opens_a_database_that_does_not_answer_any_more_is_told() {
    let case = Case::postgres().await;
    case.store.close().await;
    let Place::Server(server) = &case.place else { panic!("it is a server") };
    let between = Between::until(server, "full_page_writes");
    let options = StoreOptions { url: between.url(), answer_max: SILENCE, ..StoreOptions::default() };
    let opened = tokio::time::timeout(Duration::from_secs(60), Store::open(&options)).await;
    let away = opened.expect("it ends by itself").expect_err("nothing is heard of it");
    assert!(matches!(away, Error::Away(_)) && away.is_transient(), "{away}");
}

#[tokio::test]
async fn a_server_that_works_longer_than_it_may_be_silent_is_waited_for() {
    let (from, to) = (file().await, Case::postgres().await);
    to.raw(
        "",
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(2.5); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT ON batch FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    )
    .await;
    to.store.close().await;
    copied(&from, to.options.url.clone()).await.expect("it is at work");
}
