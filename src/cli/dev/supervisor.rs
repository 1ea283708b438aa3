//! Keeps one process alive, as a service manager would: a second after its death it is started again on
//! the same ports; one that dies again and again waits longer each time and is spoken of.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    board::{Board, Place},
    node::{Alive, Node, Ports},
    notice::{Notice, Tell},
};

/// How long a process is left dead the first time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest that one which keeps dying is left dead.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How a process ends that was asked to and lost nothing.
const IN_ORDER: &str = "exit code 0";
/// A process that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(10);

/// Watches one process for as long as the system runs.
pub(crate) struct Supervisor {
    /// How it is started.
    pub(crate) node: Node,
    /// Where its state is shown.
    pub(crate) board: Arc<Board>,
    /// Who hears of it.
    pub(crate) tell: Tell,
    /// Whether it is started again when it dies.
    pub(crate) restart: bool,
    /// Each message kills it.
    pub(crate) kills: mpsc::Receiver<()>,
    /// Cancelled when it is to stop in order.
    pub(crate) stop: CancellationToken,
    /// How long it may take for that; then it is killed.
    pub(crate) patience: Duration,
}

/// What the board says of a process that is ready.
pub(crate) fn place_of(node: &Node, alive: &Alive) -> Place {
    Place { kind: node.kind, ports: alive.ports, pid: alive.pid, alive: true }
}

impl Supervisor {
    /// Runs until the process has stopped in order, or is dead and stays so. Dropped, it kills the process.
    pub(crate) async fn run(mut self, alive: Alive) {
        let mut alive = alive;
        let mut deaths = 0;
        loop {
            let Some(how) = self.death(&mut alive).await else { return };
            self.board.gone(&self.node.id);
            deaths = if alive.since.elapsed() >= STEADY { 1 } else { deaths + 1 };
            self.mourn(&alive, how, deaths);
            if !self.restart {
                return;
            }
            let ports = alive.ports;
            let stop = self.stop.clone();
            match stop.run_until_cancelled(self.bring_back(ports, &mut deaths)).await {
                Some(again) => alive = again,
                None => return,
            }
        }
    }

    /// Waits for the end of the process and says how it died; `None` if it stopped because it was told to.
    async fn death(&mut self, alive: &mut Alive) -> Option<String> {
        loop {
            tokio::select! {
                how = alive.ended() => return Some(how),
                Some(()) = self.kills.recv() => alive.start_kill(),
                () = self.stop.cancelled() => {
                    alive.terminate();
                    let how = match timeout(self.patience, alive.ended()).await {
                        Ok(how) => how,
                        Err(_) => {
                            alive.kill().await;
                            format!("killed, as it had not ended after {} s", self.patience.as_secs())
                        }
                    };
                    self.board.gone(&self.node.id);
                    if how != IN_ORDER {
                        let (id, log) = (self.node.id.clone(), self.node.log.clone());
                        (self.tell)(&Notice::StoppedBadly { id, how, log });
                    }
                    return None;
                }
            }
        }
    }

    fn mourn(&self, alive: &Alive, how: String, deaths: u32) {
        (self.tell)(&Notice::Died {
            id: self.node.id.clone(),
            pid: alive.pid,
            how,
            deaths,
            again_in_s: self.restart.then(|| wait_after(deaths).as_secs()),
            log: self.node.log.clone(),
        });
    }

    async fn bring_back(&self, ports: Ports, deaths: &mut u32) -> Alive {
        loop {
            sleep(wait_after(*deaths)).await;
            match self.node.launch(ports).await {
                Ok(alive) => {
                    self.board.ready(&self.node.id, place_of(&self.node, &alive));
                    if let Err(error) = self.board.write() {
                        (self.tell)(&Notice::NotWritten { why: error.to_string() });
                    }
                    (self.tell)(&Notice::ready(&self.node.id, &alive));
                    return alive;
                }
                Err(error) => {
                    *deaths += 1;
                    (self.tell)(&Notice::NotBack {
                        id: self.node.id.clone(),
                        why: error.to_string(),
                        deaths: *deaths,
                        again_in_s: wait_after(*deaths).as_secs(),
                    });
                }
            }
        }
    }
}

/// How long a process is left dead after it died so often in a row; doubles up to [`LONGEST_WAIT`].
fn wait_after(deaths: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << deaths.saturating_sub(1).min(16)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::Path, sync::Mutex};

    use super::{super::node::Kind, *};

    #[test]
    fn one_death_waits_a_second_and_a_crash_loop_ever_longer_up_to_a_limit() {
        let waits = [1, 2, 3, 4, 5, 6, 99].map(|deaths| wait_after(deaths).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[tokio::test]
    async fn one_that_does_not_stop_when_asked_is_killed_and_spoken_of() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("deaf");
        std::fs::write(&program, "#!/bin/sh\ntrap '' TERM\nexec sleep 60\n").expect("it is written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("it is ours");
        let node = Node {
            id: "issuer-1".to_owned(),
            kind: Kind::Issuer,
            program,
            flags: Vec::new(),
            addresses: dir.path().join("issuer-1.json"),
            log: dir.path().join("issuer-1.log"),
        };
        let any = ([127, 0, 0, 1], 0).into();
        let alive = node.spawn(Ports { address: any, ops: any, ads: None }).expect("it runs");
        let (pid, comm) = (alive.pid, format!("/proc/{}/comm", alive.pid));
        while std::fs::read_to_string(&comm).is_ok_and(|name| name != "sleep\n") {
            tokio::task::yield_now().await;
        }
        let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let (hears, stop) = (Arc::clone(&told), CancellationToken::new());
        stop.cancel();
        let supervisor = Supervisor {
            node,
            board: Arc::new(Board::new(dir.path().join("endpoints.json"))),
            tell: Arc::new(move |notice| hears.lock().expect("no panic").push(notice.clone())),
            restart: true,
            kills: mpsc::channel(1).1,
            stop,
            patience: Duration::from_millis(50),
        };
        supervisor.run(alive).await;
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is gone");
        let told = told.lock().expect("no panic");
        let killed =
            |notice: &Notice| matches!(notice, Notice::StoppedBadly { how, .. } if how.contains("killed"));
        assert!(told.len() == 1 && killed(&told[0]), "{told:?}");
    }
}
