//! What the supervisor has to say, once for people and once for programs.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use serde::Serialize;

use super::node::{Alive, Ports};

/// Hears notices; must return at once.
pub(crate) type Tell = Arc<dyn Fn(&Notice) + Send + Sync>;

/// One thing that happened to the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// A process is ready; `out` says why the pool uses it for nothing.
    Ready {
        id: String,
        address: SocketAddr,
        ops: SocketAddr,
        pid: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        out: Option<String>,
    },
    /// Everything is ready, and where that is written.
    Started { endpoints: PathBuf },
    /// A process ended though nobody told it to.
    Died { id: String, pid: u32, how: String, deaths: u32, again_in_s: Option<u64>, log: PathBuf },
    /// A process could not be started again.
    NotBack { id: String, why: String, deaths: u32, again_in_s: u64 },
    /// `endpoints.json` could not be written.
    NotWritten { why: String },
    /// The processes of one kind are asked to stop.
    Stopping { what: &'static str, count: usize },
    /// A process was asked to stop and did not end as it should.
    StoppedBadly { id: String, how: String, log: PathBuf },
    /// Nothing runs any more.
    Stopped,
}

impl Notice {
    /// Whether somebody ought to look.
    pub(crate) fn is_bad(&self) -> bool {
        match self {
            Self::Died { .. }
            | Self::NotBack { .. }
            | Self::NotWritten { .. }
            | Self::StoppedBadly { .. } => true,
            Self::Ready { .. } | Self::Started { .. } | Self::Stopping { .. } | Self::Stopped => false,
        }
    }

    /// What is said of a process that has just become ready.
    pub(crate) fn ready(id: &str, alive: &Alive) -> Self {
        let Ports { address, ops, .. } = alive.ports;
        Self::Ready { id: id.to_owned(), address, ops, pid: alive.pid, out: alive.out.clone() }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { id, address, ops, pid, out: None } => {
                write!(f, "{id} is ready at {address}, ops at {ops}, process {pid}")
            }
            Self::Ready { id, address, ops, pid, out: Some(why) } => {
                write!(f, "{id} runs at {address}, ops at {ops}, process {pid}, and takes no calls: {why}")
            }
            Self::Started { endpoints } => write!(f, "everything is ready: {}", endpoints.display()),
            Self::Died { id, pid, how, deaths, again_in_s, log } => {
                write!(f, "{id} (process {pid}) died: {how}; ")?;
                if *deaths > 1 {
                    write!(f, "death {deaths} in a row, its log is {}; ", log.display())?;
                }
                match again_in_s {
                    Some(seconds) => write!(f, "starting it again in {seconds} s"),
                    None => write!(f, "left dead, as --no-restart says"),
                }
            }
            Self::NotBack { id, why, deaths, again_in_s } => {
                write!(f, "{id} does not come back ({deaths} in a row): {why}; again in {again_in_s} s")
            }
            Self::NotWritten { why } => {
                write!(f, "endpoints.json cannot be written and is out of date: {why}. Free the disk")
            }
            Self::Stopping { what, count: 1 } => write!(f, "stopping 1 {}", what.trim_end_matches('s')),
            Self::Stopping { what, count } => write!(f, "stopping {count} {what}"),
            Self::StoppedBadly { id, how, log } => {
                write!(f, "{id} did not stop in order: {how}. See {}", log.display())
            }
            Self::Stopped => write!(f, "stopped"),
        }
    }
}
