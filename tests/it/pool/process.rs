//! A relay as a process of its own, which can be stopped and whose figures are its own.

use std::net::{SocketAddr, TcpListener};

use todoke::wire::pb::UnitState;
use tokio::process::{Child, Command};

use super::harness::Pool;
use crate::{
    issuance::harness::issue,
    system::{Folder, http},
};

/// An address at which nobody listens; somebody else may until it is used.
pub(super) fn free_port() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("it has one")
}

/// The process; killed when dropped.
pub(super) struct Process {
    child: Child,
    ops: SocketAddr,
}

impl Pool {
    /// Starts `todoke relay`.
    pub(super) fn process(&self, folder: &Folder, name: &str) -> Process {
        self.process_with(folder, None, name, &[])
    }

    /// The same with more flags, run by another command if there is one.
    pub(super) fn process_with(
        &self,
        folder: &Folder,
        before: Option<Command>,
        name: &str,
        flags: &[&str],
    ) -> Process {
        let pki = self.issuer.dir.path().join("pki");
        if !pki.join(format!("{name}.pem")).exists() {
            issue(&self.issuer.authority, &format!("relay/{name}"));
        }
        let file = |name: &str| pki.join(name).display().to_string();
        let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let (ca, crl, pool_key) = (file("ca.pem"), file("crl.pem"), file("receipt.pub"));
        let ops = free_port();
        let (upstream, listens) = (self.issuer.address.to_string(), ops.to_string());
        let mut args = vec!["relay", "--name", name, "--ops-listen", &listens, "--serial", name];
        args.extend(["--cert", &cert, "--key", &key, "--ca", &ca, "--crl", &crl, "--pool-key", &pool_key]);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--upstream", &upstream), ("--model", "m-1")] {
            if !flags.contains(&flag) {
                args.extend([flag, value]);
            }
        }
        args.extend(flags);
        let mut command = match before {
            Some(mut before) => {
                before.arg(env!("CARGO_BIN_EXE_todoke")).args(args);
                before
            }
            None => folder.command(&args),
        };
        Process { child: command.spawn().expect("it runs"), ops }
    }

    /// Starts processes that may play faults, `relay-1` and so on, each with more flags, and waits until all
    /// are in use; returns them with the addresses at which callers reach them.
    pub(super) async fn processes(&self, folder: &Folder, flags: &[&[&str]]) -> Vec<(Process, String)> {
        self.processes_from(folder, 1, flags).await
    }

    /// The same from another number on.
    pub(super) async fn processes_from(
        &self,
        folder: &Folder,
        first: usize,
        flags: &[&[&str]],
    ) -> Vec<(Process, String)> {
        let name = |at: usize| format!("relay-{}", at + first);
        let start = |(at, more): (usize, &&[&str])| {
            self.process_with(folder, None, &name(at), &[&["--drills"], *more].concat())
        };
        let started: Vec<Process> = flags.iter().enumerate().map(start).collect();
        let mut processes = Vec::new();
        for (at, process) in started.into_iter().enumerate() {
            let unit = self.until(&name(at), UnitState::Healthy).await;
            processes.push((process, unit.attributes.expect("it said what it is").address));
        }
        processes
    }
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// One of its figures; 0 if it is not there. A second late.
    pub(super) async fn figure(&self, name: &str) -> f64 {
        let page = http(self.ops, "/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    /// How many calls it has answered so far with a batch that is not there; a second late.
    pub(super) async fn answered(&self) -> u64 {
        let page = http(self.ops, "/metrics").await;
        let of_code = page.lines().filter(|line| line.starts_with("todoke_relay_calls_total{"));
        let counts = of_code.filter(|line| line.contains("NOT_FOUND"));
        counts.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<u64>().ok()).sum()
    }

    /// How often it has asked a unit for its health, whatever came of it; a second late.
    pub(super) async fn asked(&self, unit: &str) -> u64 {
        let page = http(self.ops, "/metrics").await;
        let of_unit = page.lines().filter(|line| line.starts_with("todoke_pool_shallow_probes_total{"));
        let counts = of_unit.filter(|line| line.contains(&format!("unit=\"{unit}\"")));
        counts.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<u64>().ok()).sum()
    }
}
