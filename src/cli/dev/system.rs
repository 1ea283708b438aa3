//! A whole system of real processes on loopback: each is ready before the next needs it, one that dies
//! comes back on the same ports, and all stop in order or are killed.

use std::{collections::BTreeMap, ffi::OsString, fs::File, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::sync::{mpsc, watch};

use super::{
    DevError,
    board::{Board, Places},
    layout::Layout,
    node::{Alive, Kind, Node},
    notice::{Notice, Tell},
    parties,
    plan::Plan,
    supervisor::{Supervisor, place_of},
};
use crate::runtime::{OnDeath, Tasks};

/// What a process gets to end after its own drain is over, before it is killed: a relay lingers before its
/// drain and has last words after it, and an issuer closes its database, for which it takes up to 14 s.
const DRAIN_SLACK: Duration = Duration::from_secs(16);
/// What its supervisor gets after that, to kill it and say so.
const KILL_SLACK: Duration = Duration::from_secs(2);

/// What a system is made of.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How many relays.
    pub(crate) relays: u16,
    /// How many issuers.
    pub(crate) issuers: u16,
    /// The database's URL.
    pub(crate) database: String,
    /// Whether what dies is started again.
    pub(crate) restart: bool,
    /// How long calls in flight get when a process is asked to stop.
    pub(crate) drain: Duration,
    /// More flags for each process.
    pub(crate) flags: Vec<OsString>,
    /// More flags for each issuer.
    pub(crate) issuer_flags: Vec<OsString>,
    /// More flags for single relays, by their number.
    pub(crate) relay_flags: BTreeMap<u16, Vec<OsString>>,
}

/// A system that runs.
pub(crate) struct System {
    layout: Layout,
    board: Arc<Board>,
    relays: Tasks,
    issuers: Tasks,
    kills: BTreeMap<String, mpsc::Sender<()>>,
    tell: Tell,
    drain: Duration,
    _held: File,
}

impl System {
    /// Starts everything and returns when all of it is ready and `endpoints.json` is written.
    ///
    /// # Errors
    /// [`DevError`]; nothing is left running then, nor when the future is dropped.
    pub(crate) async fn start(layout: Layout, options: &Options, tell: Tell) -> Result<Self, DevError> {
        let held = layout.hold()?;
        let program = std::env::current_exe().map_err(DevError::Program)?;
        let plan = Plan { layout: &layout, options, program };
        parties::make(&layout.pki(), &plan.servers())?;
        let board = Arc::new(Board::new(layout.endpoints()));
        let launch = async |node: Node| {
            let alive = node.launch(node.last_ports()).await?;
            board.ready(&node.id, place_of(&node, &alive));
            tell(&Notice::ready(&node.id, &alive));
            Ok::<_, DevError>((node, alive))
        };
        let issuers = try_join_all(plan.issuers().into_iter().map(&launch)).await?;
        let upstreams: Vec<_> = issuers.iter().map(|(_, alive)| alive.ports.address.to_string()).collect();
        let relays = try_join_all(plan.relays(&upstreams).into_iter().map(&launch)).await?;
        board.write().map_err(|source| DevError::Folder { dir: layout.endpoints(), source })?;
        tell(&Notice::Started { endpoints: layout.endpoints() });
        let mut system = Self {
            layout,
            board,
            relays: Tasks::new(),
            issuers: Tasks::new(),
            kills: BTreeMap::new(),
            tell,
            drain: options.drain,
            _held: held,
        };
        for (node, alive) in issuers.into_iter().chain(relays) {
            system.supervise(node, alive, options.restart);
        }
        Ok(system)
    }

    fn supervise(&mut self, node: Node, alive: Alive, restart: bool) {
        let (kill, kills) = mpsc::channel(1);
        self.kills.insert(node.id.clone(), kill);
        let tasks = if node.kind == Kind::Relay { &self.relays } else { &self.issuers };
        let (board, tell) = (Arc::clone(&self.board), Arc::clone(&self.tell));
        let patience = self.drain + DRAIN_SLACK;
        let supervisor = Supervisor { node, board, tell, restart, kills, stop: tasks.soft(), patience };
        tasks.spawn("supervisor", OnDeath::Ignore, supervisor.run(alive));
    }

    /// Where everything lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What runs where.
    pub(crate) fn places(&self) -> Places {
        self.board.places()
    }

    /// The same, with every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Places> {
        self.board.watch()
    }

    /// How many processes of the system there are, by the operating system's own word.
    pub(crate) fn running(&self) -> u64 {
        use rustix::process::{Pid, test_kill_process};
        let there = |pid: u32| {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.is_some_and(|pid| test_kill_process(pid).is_ok())
        };
        self.places().values().filter(|place| there(place.pid)).count() as u64
    }

    /// Sends SIGKILL to one process.
    pub(crate) async fn kill(&self, id: &str) {
        if let Some(kill) = self.kills.get(id) {
            let _ = kill.send(()).await;
        }
    }

    /// Stops the relays, which finish their calls, and then the issuers.
    pub(crate) async fn stop(&self) {
        for (what, tasks, kind) in
            [("relays", &self.relays, Kind::Relay), ("issuers", &self.issuers, Kind::Issuer)]
        {
            let places = self.places();
            let count = places.values().filter(|place| place.kind == kind && place.alive).count();
            (self.tell)(&Notice::Stopping { what, count });
            tasks.soft().cancel();
            tasks.join(self.drain + DRAIN_SLACK + KILL_SLACK).await;
        }
        (self.tell)(&Notice::Stopped);
    }

    /// Kills everything at once.
    pub(crate) fn kill_all(&self) {
        self.relays.hard().cancel();
        self.issuers.hard().cancel();
    }
}
