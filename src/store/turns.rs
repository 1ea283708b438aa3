//! Who cannot wait never stands behind more than one of those who can, wherever they need the same: the one
//! connection that writes to a file, those that read it, or those to a server.
//!
//! The pools of connections serve whoever asks in turn. So whoever can wait asks here first: of them there
//! are fewer at a pool at once than it has connections, and of those who write to a file one. Who cannot wait
//! goes straight to the pool: changes of items, as somebody stands beside what they are about, and what is
//! done within [`before_others`]. Nobody starves: one of those who can wait is always at the pool, in its
//! turn.
//!
//! What an import does to a file in one transaction is short while changes come ([`Turns::is_pressed`]): a
//! change that comes meanwhile waits for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::Error;

/// How long after a change transactions of imports are still short. A machine that runs tests may be slow.
const PRESSED_FOR: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 1 });

tokio::task_local! {
    /// Set while something is done that goes before others.
    static FIRST: ();
}

/// Does this, and what it asks of the store goes before what those ask who can wait. What it gives to other
/// tasks does not.
pub async fn before_others<F: Future>(work: F) -> F::Output {
    FIRST.scope((), work).await
}

/// Whether what is done here goes before others.
pub(super) fn is_before_others() -> bool {
    FIRST.try_with(|()| ()).is_ok()
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// It goes first, whoever asks.
    First,
    /// It goes first if it is done [`before_others`].
    AsAsked,
}

impl Rank {
    fn is_first(self) -> bool {
        self == Rank::First || is_before_others()
    }
}

/// One's turn at a pool of connections; over when dropped. Who goes first needs none.
#[derive(Debug)]
#[must_use]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// The turns at the connections of a database.
#[derive(Debug)]
pub(super) struct Turns {
    to_write: Arc<Semaphore>,
    to_read: Arc<Semaphore>,
    /// Longest wait for one's turn.
    wait_max: Duration,
    /// Whether all that write come one after the other.
    one_writes: bool,
    /// When the last change came.
    changed: Mutex<Option<Instant>>,
    /// Wakes who waits for one.
    came: Notify,
}

impl Turns {
    /// Those at a file: one writes, so many read.
    pub(super) fn of_file(readers: u32, wait_max: Duration) -> Self {
        Self::new((permits(1), permits(others_max(readers))), wait_max, true)
    }

    /// Those at a server: all share these connections.
    pub(super) fn of_server(connections: u32, wait_max: Duration) -> Self {
        let all = permits(others_max(connections));
        Self::new((Arc::clone(&all), all), wait_max, false)
    }

    fn new(
        (to_write, to_read): (Arc<Semaphore>, Arc<Semaphore>),
        wait_max: Duration,
        one_writes: bool,
    ) -> Self {
        let (changed, came) = (Mutex::default(), Notify::new());
        Self { to_write, to_read, wait_max, one_writes, changed, came }
    }

    /// Waits for the turn to write.
    ///
    /// # Errors
    /// [`Error::NoConnection`] if it does not come in time.
    pub(super) async fn to_write(&self, rank: Rank) -> Result<Turn, Error> {
        if rank == Rank::First {
            *self.changed() = Some(Instant::now());
            self.came.notify_one();
        }
        self.wait(&self.to_write, rank).await
    }

    /// Waits for the turn to read.
    ///
    /// # Errors
    /// [`Error::NoConnection`] if it does not come in time.
    pub(super) async fn to_read(&self) -> Result<Turn, Error> {
        self.wait(&self.to_read, Rank::AsAsked).await
    }

    async fn wait(&self, turns: &Arc<Semaphore>, rank: Rank) -> Result<Turn, Error> {
        if rank.is_first() {
            return Ok(Turn { _permit: None });
        }
        let turn = timeout(self.wait_max, Arc::clone(turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Error::NoConnection)?;
        Ok(Turn { _permit: Some(turn.expect("the semaphore is never closed")) })
    }

    /// Whether changes come that would wait for a long transaction: one that holds the only connection that
    /// writes. At a server they go beside it.
    pub(super) fn is_pressed(&self) -> bool {
        self.one_writes && self.changed().is_some_and(|at| at.elapsed() < PRESSED_FOR)
    }

    /// Waits until changes come.
    pub(super) async fn pressed(&self) {
        while !self.is_pressed() {
            self.came.notified().await;
        }
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn permits(n: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(n as usize))
}

/// How many of so many connections those have who can wait: a quarter, and one at least, is left to the
/// others, unless there is only one.
fn others_max(connections: u32) -> u32 {
    let kept = (connections / 4).max(1);
    connections.saturating_sub(kept).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Mutex as Connection;

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);
    /// How long one who can wait has the connection, and who cannot.
    const LONG: Duration = Duration::from_millis(100);
    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn a_quarter_of_the_connections_is_left_to_who_cannot_wait() {
        let others = [1, 2, 3, 4, 8, 16, 64].map(others_max);
        assert_eq!(others, [1, 1, 2, 3, 6, 12, 48]);
    }

    /// Writes over the one connection, as a transaction does.
    async fn write(turns: &Turns, connection: &Connection<()>, rank: Rank) -> Duration {
        let begun = Instant::now();
        let _turn = turns.to_write(rank).await.expect("in time");
        let _held = connection.lock().await; // in turn, as a pool's
        tokio::time::sleep(if rank == Rank::First { SHORT } else { LONG }).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_waits_for_one_transaction_of_those_that_can_wait_however_many_there_are() {
        let (turns, connection) = (Turns::of_file(4, WAIT), Connection::new(()));
        let imports = (0..10).map(|_| write(&turns, &connection, Rank::AsAsked));
        let imports = futures_util::future::join_all(imports);
        let changes = async {
            let mut longest = Duration::ZERO;
            for _ in 0..5 {
                longest = longest.max(write(&turns, &connection, Rank::First).await);
            }
            longest
        };
        let (imported, longest) = tokio::join!(imports, changes);
        assert!(longest < 2 * LONG, "{longest:?}");
        let last = imported.into_iter().max().expect("ten");
        assert!(last < 11 * LONG, "and they come on meanwhile: {last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_wait_leaves_a_connection_to_who_cannot_and_is_told_if_its_turn_does_not_come() {
        for turns in [Turns::of_file(4, WAIT), Turns::of_server(4, WAIT)] {
            let mut held = Vec::new();
            for _ in 0..3 {
                held.push(turns.to_read().await.expect("there are three"));
            }
            let begun = Instant::now();
            assert!(matches!(turns.to_read().await, Err(Error::NoConnection)));
            assert!(begun.elapsed() >= WAIT, "not before");
            drop(before_others(turns.to_read()).await.expect("it goes first"));
            held.pop();
            held.push(turns.to_read().await.expect("one is free again"));
            let to_write = turns.to_write(Rank::AsAsked).await;
            assert_eq!(to_write.is_ok(), turns.one_writes, "a server's connections are for all that is done");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn imports_are_pressed_for_a_while_after_a_change_and_by_nothing_else() {
        let turns = Turns::of_file(4, WAIT);
        drop(turns.to_write(Rank::AsAsked).await.expect("free"));
        drop(turns.to_read().await.expect("free"));
        assert!(!turns.is_pressed());
        drop(turns.to_write(Rank::First).await.expect("it needs none"));
        assert!(turns.is_pressed());
        tokio::time::advance(PRESSED_FOR).await;
        assert!(!turns.is_pressed());
        let server = Turns::of_server(16, WAIT);
        drop(server.to_write(Rank::First).await.expect("it needs none"));
        assert!(!server.is_pressed(), "there they go side by side");
    }
}
