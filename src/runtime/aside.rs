//! What happens on other threads than the runtime's. In a simulation it happens as if at once, one after the
//! other, so that the same seed gives the same run but for what comes in the very same moment.

/// Runs `job` on a thread for jobs that block or use a core for long; a panic in it goes on here.
#[cfg(not(feature = "simulation"))]
pub async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(value) => value,
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(_) => std::future::pending().await, // the runtime is shutting down and drops this future, too
    }
}

/// Runs `job` here and now.
#[cfg(feature = "simulation")]
pub async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    job()
}

/// Waits for what other threads, such as the database's, do for it.
#[cfg(not(feature = "simulation"))]
pub fn outside<F: Future>(waiting: F) -> F {
    waiting
}

/// Waits for what other threads do for it: when it is its turn, with simulated time held, because the
/// runtime does not move a paused clock while a blocking task runs, and with what came of it seen only when
/// every other task has done what it could, however fast the thread was.
#[cfg(feature = "simulation")]
pub async fn outside<F: Future>(waiting: F) -> F::Output {
    use std::sync::{Arc, mpsc};

    use tokio::sync::Mutex;

    /// Turns of the runtime after which nothing else is left to be done.
    const SETTLED: usize = 16;
    thread_local! {
        static TURN: Arc<Mutex<()>> = Arc::default();
    }
    let _turn = TURN.with(Arc::clone).lock_owned().await;
    let (_held, dropped) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || dropped.recv().is_ok());
    let result = waiting.await;
    for _ in 0..SETTLED {
        tokio::task::yield_now().await;
    }
    result
}
