//! A process that `todoke dev` or `todoke demo` started ends when its parent does, however that died.
//!
//! The parent holds the only other end of the child's standard input and never writes to it, so the end of
//! that pipe is the end of the parent. The system's own signal for this (PR_SET_PDEATHSIG) needs unsafe code,
//! and comes when the thread that started the child ends, which need not be the end of the parent.

use std::io::{ErrorKind, Read};

use tokio::sync::oneshot;

use super::Tasks;

/// Cuts `tasks` off as soon as standard input ends. There is nobody left to wait for a drain, and whoever
/// comes next may want the ports and the database at once.
pub fn end_with_parent(tasks: &Tasks) {
    let tasks = tasks.clone();
    watch(move || {
        tracing::warn!("the parent process is gone: ending at once");
        tasks.hard().cancel();
    });
}

/// Returns as soon as standard input ends.
pub async fn parent_gone() {
    let (told, gone) = oneshot::channel();
    watch(move || {
        let _ = told.send(());
    });
    if gone.await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn watch(gone: impl FnOnce() + Send + 'static) {
    // A thread of its own, and not a task: nothing can interrupt a read of standard input, and a blocking
    // task would hold up the end of the process.
    let thread = std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        wait_for_end(&mut std::io::stdin().lock());
        gone();
    });
    if let Err(error) = thread {
        tracing::error!(%error, "the parent cannot be watched: this process may outlive it");
    }
}

fn wait_for_end(input: &mut impl Read) {
    let mut nothing = [0; 64];
    loop {
        match input.read(&mut nothing) {
            Ok(0) => return,
            Err(error) if error.kind() != ErrorKind::Interrupted => return,
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// What each read comes to, in turn.
    struct Script(Vec<io::Result<usize>>);

    impl Read for Script {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.remove(0)
        }
    }

    #[test]
    fn the_end_of_input_ends_the_wait_and_input_does_not() {
        let kind = |kind: ErrorKind| Err(io::Error::from(kind));
        let (end, broken) = (|| Ok(0), || kind(ErrorKind::BrokenPipe));
        for (ends, reads) in [
            (end(), vec![Ok(1), Ok(64), kind(ErrorKind::Interrupted), Ok(3)]),
            (broken(), vec![Ok(1), kind(ErrorKind::Interrupted)]),
            (end(), vec![]),
        ] {
            let mut script = Script(reads.into_iter().chain([ends, Ok(7)]).collect());
            wait_for_end(&mut script);
            assert_eq!(script.0.len(), 1, "neither before its end nor after it: {:?}", script.0);
        }
    }
}
