//! Which processes a system is made of, and with which flags each is started.

use std::{ffi::OsString, path::PathBuf};

use super::{
    layout::Layout,
    node::{Kind, Node},
    parties::cert_and_key,
    system::Options,
};

/// A system that is about to be started.
pub(crate) struct Plan<'a> {
    /// Where everything lies.
    pub(crate) layout: &'a Layout,
    /// What it is made of.
    pub(crate) options: &'a Options,
    /// The todoke program.
    pub(crate) program: PathBuf,
}

impl Plan<'_> {
    /// The identities of all processes.
    pub(crate) fn servers(&self) -> Vec<String> {
        let issuers = (1..=self.options.issuers).map(|n| format!("issuer/issuer-{n}"));
        issuers.chain((1..=self.options.relays).map(|n| format!("relay/relay-{n}"))).collect()
    }

    /// The issuers.
    pub(crate) fn issuers(&self) -> Vec<Node> {
        let pki = self.layout.pki();
        let one = |n: u16| {
            let mut node = self.node(Kind::Issuer, &format!("issuer-{n}"));
            node.flags.extend(["--database".into(), OsString::from(&self.options.database)]);
            node.flags.extend(["--kek".into(), pki.join("kek.key").into()]);
            node.flags.extend(["--receipt-key".into(), pki.join("receipt.key").into()]);
            node.flags.extend(self.options.issuer_flags.iter().cloned());
            node
        };
        (1..=self.options.issuers).map(one).collect()
    }

    /// The relays before these issuers.
    pub(crate) fn relays(&self, upstreams: &[String]) -> Vec<Node> {
        let one = |n: u16| {
            let mut node = self.node(Kind::Relay, &format!("relay-{n}"));
            node.flags.extend(["--pool-key".into(), self.layout.pki().join("receipt.pub").into()]);
            node.flags.push("--drills".into());
            node.flags.extend(["--bundle-dir".into(), self.layout.bundles().into()]);
            for upstream in upstreams {
                node.flags.extend(["--upstream".into(), OsString::from(upstream)]);
            }
            node.flags.extend(self.options.relay_flags.get(&n).into_iter().flatten().cloned());
            node
        };
        (1..=self.options.relays).map(one).collect()
    }

    fn node(&self, kind: Kind, id: &str) -> Node {
        let pki = self.layout.pki();
        let (cert, key) = cert_and_key(&pki, id);
        let mut flags: Vec<OsString> = ["--name", id].map(OsString::from).to_vec();
        for (flag, file) in
            [("--cert", cert), ("--key", key), ("--ca", pki.join("ca.pem")), ("--crl", pki.join("crl.pem"))]
        {
            flags.extend([flag.into(), file.into()]);
        }
        let drain = format!("{}ms", self.options.drain.as_millis());
        flags.extend(["--drain".into(), drain.into()]);
        flags.extend(self.options.flags.iter().cloned());
        Node {
            id: id.to_owned(),
            kind,
            program: self.program.clone(),
            flags,
            addresses: self.layout.addresses(id),
            log: self.layout.log(id),
        }
    }
}
