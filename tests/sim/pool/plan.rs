//! What a pool is like, what goes wrong in it and when: everything that a run is made of, beside its seed.

use super::law::Pace;

/// What a unit does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// It fails this share of everything.
    Fails(f64),
    /// It fails this share of callers' calls, and answers every probe.
    FailsCallers(f64),
    /// Nothing ends.
    Hangs,
    /// This share of everything takes so many seconds longer.
    IsSlow(f64, f64),
    /// Everything takes so many times as long.
    IsSlower(f64),
    /// It is well and dead in turn, for so many seconds each.
    Flaps(f64, f64),
    /// Its process is gone.
    Crashes,
    /// Its process stands still: it neither answers nor reports.
    Stands,
}

/// A unit that is not well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sick {
    pub(crate) unit: usize,
    pub(crate) fault: Fault,
    /// From this second on, and until this one.
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// What else goes wrong, for which no unit can be blamed. Observers are relays by their number, and then
/// issuers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// The observer says that everything on the unit is bad, and so many times as much of it.
    Liar { observer: usize, unit: usize, times: u32 },
    /// The observer's machine is too busy for its timers, and it says so.
    Starved { observer: usize },
    /// The observer's own network fails this share of its probes.
    Blind { observer: usize, share: f64 },
    /// All calls of the caller fail, on all units or on the one that it goes to.
    Broken { caller: usize, pinned: Option<usize> },
    /// What is behind all units fails this share.
    Upstream(f64),
    /// The reports of the relay are late, lost and out of order.
    LateReports { relay: usize },
    /// The observer does not reach the unit.
    Parted { observer: usize, unit: usize },
    /// The relay does not reach the issuer.
    Unreported { relay: usize, issuer: usize },
    /// The issuer does not reach the database.
    Undecided { issuer: usize },
    /// The issuer's process is gone; what its judge knew, too.
    Dead { issuer: usize },
    /// Nobody reaches the database.
    DatabaseAway,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Our own, which choose relays by the real picker.
    Ours,
    /// Others, which go round all relays of the view.
    Stock,
    /// One of each in turn.
    Both,
}

/// A pool and what happens to it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) units: usize,
    pub(crate) issuers: usize,
    /// Calls a second for each unit, in the mean.
    pub(crate) rate: f64,
    /// Whether there are more of them by day than by night.
    pub(crate) daily: bool,
    /// The mean share of calls that fail while all is well.
    pub(crate) errors: f64,
    pub(crate) pace: Pace,
    pub(crate) clients: Clients,
    /// The part of all calls that each heavy caller makes: those are the first ones.
    pub(crate) heavy: Vec<f64>,
    pub(crate) sick: Vec<Sick>,
    /// Each from this second on, and until this one.
    pub(crate) troubles: Vec<(u64, u64, Trouble)>,
    /// The most calls a second that the pool must carry.
    pub(crate) peak_calls_per_s: u32,
    pub(crate) seconds: u64,
}

/// Callers of a pool.
pub(crate) const CALLERS: usize = 32;

/// When what is planned in a short run begins: everybody has joined, and a threshold is known.
pub(crate) const ONSET: u64 = 300;

impl Plan {
    /// A pool in which all is well, seen by as many observers as it has units, and one.
    pub(crate) fn well(units: usize, rate: f64, errors: f64, seconds: u64) -> Self {
        Self {
            units,
            issuers: 1,
            rate,
            daily: false,
            errors,
            pace: Pace::Even,
            clients: Clients::Both,
            heavy: vec![0.3],
            sick: Vec::new(),
            troubles: Vec::new(),
            peak_calls_per_s: 0,
            seconds,
        }
    }

    /// The same with the first unit sick from the onset on, to the end.
    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.sick.push(Sick { unit: 0, fault, from: ONSET, until: u64::MAX });
        self
    }

    /// The same with a trouble from the onset on, to the end.
    pub(crate) fn troubled(mut self, trouble: Trouble) -> Self {
        self.troubles.push((ONSET, u64::MAX, trouble));
        self
    }

    /// What a unit does wrong at this second.
    pub(crate) fn fault_of(&self, unit: usize, second: u64) -> Option<(Fault, u64)> {
        let now = |sick: &&Sick| sick.unit == unit && (sick.from..sick.until).contains(&second);
        self.sick.iter().find(now).map(|sick| (sick.fault, sick.from))
    }

    /// Whether to take a unit out at this second would be wrong: it was well for so many seconds.
    pub(crate) fn is_well(&self, unit: usize, second: u64, for_s: u64) -> bool {
        let sick = |sick: &Sick| sick.from <= second && second < sick.until.saturating_add(for_s);
        !self.sick.iter().any(|one| one.unit == unit && sick(one))
    }
}
