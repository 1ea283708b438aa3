//! What the policy is told from outside, beside evidence: facts of leases, probes, traffic and the database,
//! and what operators order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    bundles::Bundle, callers::CallsOf, description::Description, drills::Process,
    parameters::WORDS_BYTES_MAX, probers::ProbesOf,
};
use crate::domain::identity::{Identity, Role};
use crate::pool::{drill::Fault, evidence::UnitId};

/// A person who operates the pool. Displays as `operator/alice`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Operator(Identity);

/// Only operators give orders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no operator: only operator/NAME is")]
pub struct NoOperator(String);

impl Operator {
    /// The operator that this identity is.
    ///
    /// # Errors
    /// [`NoOperator`] for any other role.
    pub fn new(identity: Identity) -> Result<Self, NoOperator> {
        match identity.role() {
            Role::Operator => Ok(Self(identity)),
            _ => Err(NoOperator(identity.to_string())),
        }
    }
}

impl TryFrom<String> for Operator {
    type Error = NoOperator;

    fn try_from(text: String) -> Result<Self, NoOperator> {
        Self::new(text.parse().map_err(|_| NoOperator(text))?)
    }
}

impl From<Operator> for String {
    fn from(operator: Operator) -> String {
        operator.0.to_string()
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was done about a cause, and what that would show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervention {
    /// What was changed.
    pub changed: String,
    /// Which hypothesis it tests.
    pub hypothesis: String,
}

impl Intervention {
    /// Whether both are written down, and not too long.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let fits = |text: &str| !text.trim().is_empty() && text.len() <= WORDS_BYTES_MAX;
        fits(&self.changed) && fits(&self.hypothesis)
    }
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make a unit known, or say what it is now while it is out of use.
    Register(Box<Description>),
    /// Forget a unit that is out of use. Its penalties are kept.
    Unregister {
        /// Which.
        unit: UnitId,
        /// Why.
        reason: String,
    },
    /// Take a unit out of use.
    Drain {
        /// Which.
        unit: UnitId,
        /// Why.
        reason: String,
    },
    /// Let a drained unit come back.
    Undrain {
        /// Which.
        unit: UnitId,
    },
    /// Sign a quarantined unit off: the second operator's releases it.
    SignOff {
        /// Which.
        unit: UnitId,
        /// What was done; the second operator may leave it out, and then signs the first one's.
        intervention: Option<Intervention>,
    },
    /// Let a quarantined unit come back with no cause found, until the override expires.
    Override {
        /// Which.
        unit: UnitId,
        /// Why.
        reason: String,
        /// For how many seconds, if not for the longest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Do not probe a unit for so long: a monitor can be the cause.
    PauseProbes {
        /// Which.
        unit: UnitId,
        /// For how long.
        seconds: u64,
    },
    /// Probe it again.
    ResumeProbes {
        /// Which.
        unit: UnitId,
    },
    /// Have a unit play a fault on purpose, until its time is over.
    Drill {
        /// Which.
        unit: UnitId,
        /// What it plays.
        fault: Fault,
        /// For how long.
        seconds: u64,
    },
    /// End that now.
    StopDrill {
        /// Which.
        unit: UnitId,
    },
    /// Sign that a suspect attribute is mended: the second operator's signature takes the suspicion from it.
    Absolve {
        /// As `name=value`.
        attribute: String,
        /// What was done; the second operator may leave it out, and then signs the first one's.
        intervention: Option<Intervention>,
    },
}

impl Request {
    /// The word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Request::Register(_) => "register",
            Request::Unregister { .. } => "unregister",
            Request::Drain { .. } => "drain",
            Request::Undrain { .. } => "undrain",
            Request::SignOff { .. } => "sign-off",
            Request::Override { .. } => "override",
            Request::PauseProbes { .. } => "pause-probes",
            Request::ResumeProbes { .. } => "resume-probes",
            Request::Drill { .. } => "drill",
            Request::StopDrill { .. } => "stop-drill",
            Request::Absolve { .. } => "absolve",
        }
    }

    /// The unit it is about, if it is about one.
    #[must_use]
    pub fn unit(&self) -> Option<&UnitId> {
        match self {
            Request::Register(about) => Some(&about.id),
            Request::Unregister { unit, .. }
            | Request::Drain { unit, .. }
            | Request::Undrain { unit }
            | Request::SignOff { unit, .. }
            | Request::Override { unit, .. }
            | Request::PauseProbes { unit, .. }
            | Request::ResumeProbes { unit }
            | Request::Drill { unit, .. }
            | Request::StopDrill { unit } => Some(unit),
            Request::Absolve { .. } => None,
        }
    }
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Whose.
    pub by: Operator,
    /// What is wanted.
    pub request: Request,
}

/// What the policy is told of one second, beside its judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// A unit asked for its lease again. Of another generation than the unit's it counts for nothing.
    ///
    /// It is told of units that are out, too: it shows that the box lives. Whether the lease is given is
    /// another thing, see [`super::Policy::grants_lease`].
    LeaseRenewed {
        /// Which.
        unit: UnitId,
        /// The lease's generation.
        generation: u64,
    },
    /// A unit has not asked for its lease for longer than a lease lives.
    LeaseLapsed {
        /// Which.
        unit: UnitId,
        /// The lease's generation.
        generation: u64,
    },
    /// A unit gave its lease back, as it does before an orderly stop: no failure.
    LeaseReleased {
        /// Which.
        unit: UnitId,
        /// The lease's generation.
        generation: u64,
    },
    /// Of two processes the later one, which asks for a unit's lease, is reached at another address than the
    /// registered one.
    Elsewhere {
        /// Which.
        unit: UnitId,
        /// Where, by its own word; `None`: that is over.
        address: Option<String>,
    },
    /// A process reports for a unit that did not before, or is known otherwise.
    Started {
        /// Which.
        unit: UnitId,
        /// What serves as it now.
        process: Process,
        /// Where that is reached, by its own word.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        address: Option<String>,
    },
    /// A process reports for a unit, whether it may serve or not. It is told with an order to forget the
    /// unit.
    Reports {
        /// Which.
        unit: UnitId,
    },
    /// A unit left a bundle, as it says each second.
    Bundle {
        /// Which.
        unit: UnitId,
        /// What it left.
        bundle: Bundle,
    },
    /// Deep probes of a unit that ended in this second.
    DeepProbes {
        /// Which.
        unit: UnitId,
        /// How many.
        n: u32,
        /// How many of them failed.
        failed: u32,
        /// Whose they were, of a unit that these may let in.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        by: Vec<ProbesOf>,
    },
    /// Shallow probes of a unit in the last moments: they say that it answers, and nothing of its work, so
    /// that no unit is let in, taken out or brought back by them.
    ShallowProbes {
        /// Which.
        unit: UnitId,
        /// How many.
        n: u32,
        /// How many of them failed.
        failed: u32,
    },
    /// Callers' calls of a unit that ended in this second.
    Traffic {
        /// Which.
        unit: UnitId,
        /// How many.
        calls: u32,
        /// How many of them failed for a reason that a relay can cause.
        failed: u32,
        /// Whose they were, of a unit that returns: those with the most failed calls first.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        callers: Vec<CallsOf>,
    },
    /// The database went away, or came back.
    Database {
        /// Whether it is away.
        away: bool,
    },
    /// A controller took over.
    Controller {
        /// Its epoch.
        epoch: u64,
        /// Whether its judge goes on from the record of the one before it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restored: bool,
    },
    /// How many observers report now, those without a vote left out.
    Observers {
        /// How many.
        count: u32,
    },
    /// The most calls a second that the pool must carry.
    Peak {
        /// So many.
        calls_per_s: u32,
    },
    /// What an operator ordered.
    Order(Order),
}
