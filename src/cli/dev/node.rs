//! One process of the system: how it is started, when it counts as ready, and how it is told to stop.

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout},
};

use super::{layout::open_log, probe};
use crate::relay;

/// How often a process that is starting is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a process may take from its start until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `todoke issuer`.
    Issuer,
    /// `todoke relay`.
    Relay,
}

/// How one process is started.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its name, such as `relay-1`.
    pub(crate) id: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The todoke program.
    pub(crate) program: PathBuf,
    /// Everything behind the sub-command but where it listens.
    pub(crate) flags: Vec<OsString>,
    /// Where it says what it listens on.
    pub(crate) addresses: PathBuf,
    /// Its log.
    pub(crate) log: PathBuf,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// gRPC.
    pub(crate) address: SocketAddr,
    /// `/metrics`, `/livez`, `/readyz`.
    pub(crate) ops: SocketAddr,
    /// xDS without TLS, if it serves that.
    pub(crate) ads: Option<SocketAddr>,
}

/// Why a process is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// It could not be started at all.
    #[error("{id} could not be started: {source}")]
    Spawn { id: String, source: io::Error },
    /// It ended before it was ready.
    #[error("{id} ended before it was ready ({how}); its last words: {words}. See {}", log.display())]
    Ended { id: String, how: String, words: String, log: PathBuf },
    /// It lives and is not ready.
    #[error("{id} was not ready within {} s: {why}. See {}", READY_WITHIN.as_secs(), log.display())]
    NotReady { id: String, why: String, log: PathBuf },
}

#[derive(Deserialize)]
struct Written {
    address: SocketAddr,
    ops: SocketAddr,
    ads: Option<SocketAddr>,
    pid: u32,
}

fn written(path: &Path) -> Option<Written> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

impl Node {
    /// The ports it had when it last ran here, each if it is free, otherwise a free one.
    pub(crate) fn last_ports(&self) -> Ports {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let or_any = |address: SocketAddr| if TcpListener::bind(address).is_ok() { address } else { any };
        let last = written(&self.addresses);
        let of = |address: Option<SocketAddr>| address.map_or(any, or_any);
        Ports {
            address: of(last.as_ref().map(|last| last.address)),
            ops: of(last.as_ref().map(|last| last.ops)),
            ads: (self.kind == Kind::Issuer).then(|| of(last.and_then(|last| last.ads))),
        }
    }

    /// Starts the process and waits until it is ready for calls, or would be but for the pool, which took it
    /// out.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing is left running then, nor when the future is dropped.
    pub(crate) async fn launch(&self, ports: Ports) -> Result<Alive, LaunchError> {
        let mut alive =
            self.spawn(ports).map_err(|source| LaunchError::Spawn { id: self.id.clone(), source })?;
        let mut why = "it has not said where it listens".to_owned();
        let waiting = async {
            loop {
                if let Some(written) = written(&self.addresses).filter(|written| written.pid == alive.pid) {
                    let Written { address, ops, ads, .. } = written;
                    alive.ports = Ports { address, ops, ads };
                    match probe::get(ops, "/readyz").await {
                        Ok((200, _)) => return Ok(None),
                        Ok((503, reasons)) if taken_out(&reasons).is_some() => {
                            return Ok(taken_out(&reasons));
                        }
                        Ok((status, reasons)) => why = format!("{status} {}", reasons.trim()),
                        Err(error) => why = format!("/readyz: {error}"),
                    }
                }
                if let Ok(Some(status)) = alive.child.try_wait() {
                    return Err(status);
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let (id, log) = (self.id.clone(), self.log.clone());
        match timeout(READY_WITHIN, waiting).await {
            Ok(Ok(out)) => {
                alive.out = out;
                Ok(alive)
            }
            Ok(Err(status)) => {
                let words = last_words(&self.log);
                Err(LaunchError::Ended { id, how: how(status), words, log })
            }
            Err(_) => {
                alive.kill().await;
                Err(LaunchError::NotReady { id, why, log })
            }
        }
    }

    pub(super) fn spawn(&self, ports: Ports) -> io::Result<Alive> {
        let log = open_log(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .arg(match self.kind {
                Kind::Issuer => "issuer",
                Kind::Relay => "relay",
            })
            .args(["--listen", &ports.address.to_string(), "--ops-listen", &ports.ops.to_string()])
            .args(ports.ads.iter().flat_map(|ads| ["--ads-listen".to_owned(), ads.to_string()]))
            .arg("--addresses-file")
            .arg(&self.addresses)
            .arg("--exit-with-parent")
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C on a terminal reaches a whole group; whoever stops the system decides the order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let stdin = child.stdin.take();
        Ok(Alive { child, ports, pid, since: Instant::now(), out: None, _stdin: stdin })
    }
}

/// Why the pool took a relay out, if that is all that it is not ready for.
fn taken_out(page: &str) -> Option<String> {
    let mut reasons = page.lines().skip(1);
    let why = reasons.next().filter(|why| why.starts_with(relay::TAKEN_OUT))?;
    reasons.next().is_none().then(|| why.to_owned())
}

/// The last line of a log, for a message; logs hold no personal data.
fn last_words(log: &Path) -> String {
    const TAIL: u64 = 4096;
    let read = || {
        use std::io::{Read as _, Seek as _};
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| "none".to_owned(), |line| line.chars().take(400).collect())
}

/// Says how a process ended.
pub(crate) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A process that was ready.
#[derive(Debug)]
pub(crate) struct Alive {
    child: Child,
    /// Where it listens.
    pub(crate) ports: Ports,
    /// Its process id.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) since: Instant,
    /// Why the pool took it out, if it was when it was started.
    pub(crate) out: Option<String>,
    // Held open for its life: the child ends itself when this end of the pipe is gone.
    _stdin: Option<ChildStdin>,
}

impl Alive {
    /// Waits for its end and says how it ended.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => how(status),
            Err(error) => format!("lost sight of it: {error}"),
        }
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        // The child was not waited for yet, so the number is still its own.
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Sends SIGKILL and does not wait.
    pub(crate) fn start_kill(&mut self) {
        let _ = self.child.start_kill();
    }

    /// Sends SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.start_kill();
        self.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A shell in place of todoke: asked to run a script named `relay`, it ends at once and says so.
    fn node(dir: &Path) -> Node {
        Node {
            id: "relay-1".to_owned(),
            kind: Kind::Relay,
            program: PathBuf::from("/bin/sh"),
            flags: Vec::new(),
            addresses: dir.join("relay-1.json"),
            log: dir.join("relay-1.log"),
        }
    }

    #[test]
    fn ports_of_the_last_time_are_taken_again_unless_somebody_has_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let node = node(dir.path());
        assert_eq!(node.last_ports().address.port(), 0, "there was no last time");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("one");
        let taken_address = taken.local_addr().expect("its address");
        let text = serde_json::json!({"address": free, "ops": taken_address, "pid": 1}).to_string();
        std::fs::write(&node.addresses, text).expect("it is written");
        let ports = node.last_ports();
        assert_eq!(ports.address, free);
        assert_eq!(ports.ops.port(), 0, "somebody has it");
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_leaves_its_last_words() {
        let dir = tempfile::tempdir().expect("a folder");
        let node = node(dir.path());
        let error = node.launch(node.last_ports()).await.expect_err("it ends").to_string();
        assert!(error.contains("exit code") && error.contains("No such file"), "{error}");
    }
}
