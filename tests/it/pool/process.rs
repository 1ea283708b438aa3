//! A relay as a process of its own, which can be stopped and whose figures are its own.

use std::net::SocketAddr;

use tokio::process::Child;

use super::harness::Pool;
use crate::{
    issuance::harness::issue,
    system::{Folder, http},
};

/// The process; killed when dropped.
pub(super) struct Process {
    child: Child,
    ops: SocketAddr,
}

impl Pool {
    /// Starts `todoke relay`.
    pub(super) fn process(&self, folder: &Folder, name: &str) -> Process {
        issue(&self.issuer.authority, &format!("relay/{name}"));
        let file = |name: &str| self.issuer.dir.path().join("pki").join(name).display().to_string();
        let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let (ca, crl, pool_key) = (file("ca.pem"), file("crl.pem"), file("receipt.pub"));
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let ops = free.local_addr().expect("it has one");
        drop(free);
        let (upstream, listens) = (self.issuer.address.to_string(), ops.to_string());
        let args: [&[&str]; 3] = [
            &["relay", "--name", name, "--listen", "127.0.0.1:0", "--ops-listen", &listens],
            &["--upstream", &upstream, "--cert", &cert, "--key", &key, "--ca", &ca, "--crl", &crl],
            &["--pool-key", &pool_key, "--serial", name, "--model", "m-1"],
        ];
        Process { child: folder.command(&args.concat()).spawn().expect("it runs"), ops }
    }
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
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
