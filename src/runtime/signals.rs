//! The first SIGTERM or SIGINT asks everything to finish, the second cuts off what has not.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Tasks;

/// Lets SIGTERM and SIGINT stop `tasks`: the first cancels the soft token, the second the hard one.
///
/// The handlers stand when this returns. If they cannot be set, the process says so and lives on with the
/// system's own way, which is to end at once.
///
/// # Panics
/// Outside a tokio runtime.
pub fn signals(tasks: &Tasks) {
    let (term, int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be handled: a stop will not be graceful");
            return;
        }
    };
    tasks.beside(listen(term, int, tasks.clone()));
}

async fn listen(mut term: Signal, mut int: Signal, tasks: Tasks) {
    let first = next(&mut term, &mut int).await;
    tracing::info!(signal = first, "{first}: finishing; a second one ends it at once");
    tasks.soft().cancel();
    let second = next(&mut term, &mut int).await;
    tracing::warn!(signal = second, "{second} again: cutting off what is not finished");
    tasks.hard().cancel();
}

async fn next(term: &mut Signal, int: &mut Signal) -> &'static str {
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process;

    use super::*;

    fn raise(which: process::Signal) {
        process::kill_process(process::getpid(), which).expect("it is sent");
    }

    #[tokio::test]
    async fn the_first_signal_is_soft_and_the_second_is_hard() {
        let tasks = Tasks::new();
        signals(&tasks);
        raise(process::Signal::TERM);
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, tasks.soft().cancelled_owned()).await.expect("the first is soft");
        assert!(!tasks.hard().is_cancelled());
        raise(process::Signal::INT);
        tokio::time::timeout(limit, tasks.hard().cancelled_owned()).await.expect("the second is hard");
    }
}
