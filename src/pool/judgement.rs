//! What the rule says of all units after one second: how strong the evidence against each is, on which
//! scale, and what kind of cause it points to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::municipality::MunicipalityCode;

use super::evidence::{Class, Observer, UnitId};

/// What all units together point to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Nothing is wrong that can be seen.
    None,
    /// One unit is sick, and every other is shown to be well.
    Unit {
        /// Which.
        unit: UnitId,
    },
    /// Several are, and share no attribute that the others lack.
    Units {
        /// Which.
        units: Vec<UnitId>,
    },
    /// The sick ones are exactly those that share these attributes, which cannot be told apart.
    Attribute {
        /// Which.
        units: Vec<UnitId>,
        /// As `name=value`.
        attributes: Vec<String>,
    },
    /// All are sick alike: what is behind them is, or something that all share. Nobody is evicted.
    Shared,
    /// One municipality's calls fail wherever they go.
    Caller {
        /// Whose.
        caller: MunicipalityCode,
    },
    /// One observer sees failures that nobody else does.
    Observer {
        /// Who.
        observer: Observer,
        /// The one unit that it sees so, if it is not all.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        link: Option<UnitId>,
    },
    /// There is evidence, and not enough of it yet.
    Undecided {
        /// Seconds until it would be, if all goes on as now; `None` if that cannot be said.
        seconds: Option<u64>,
    },
}

impl Verdict {
    /// The words for the kinds, in the order of the list above.
    pub const NAMES: [&str; 8] =
        ["NONE", "UNIT", "UNITS", "ATTRIBUTE", "SHARED", "CALLER", "OBSERVER", "UNDECIDED"];

    /// The word for its kind, as it stands in the record.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::None => "NONE",
            Verdict::Unit { .. } => "UNIT",
            Verdict::Units { .. } => "UNITS",
            Verdict::Attribute { .. } => "ATTRIBUTE",
            Verdict::Shared => "SHARED",
            Verdict::Caller { .. } => "CALLER",
            Verdict::Observer { .. } => "OBSERVER",
            Verdict::Undecided { .. } => "UNDECIDED",
        }
    }
}

/// One bet against one unit: on one class and scale, with some observers left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bet {
    /// The class; `None` is both together.
    pub class: Option<Class>,
    /// The scale τ in seconds.
    pub scale: u32,
    /// Whose evidence is left out.
    pub left_out: Vec<Observer>,
    /// The log-wealth S.
    pub s: f64,
    /// S at which the unit is to be evicted, h.
    pub limit: f64,
    /// The last d: by how much the share of bad calls was over the peers', beyond noise.
    pub d: f64,
    /// Bad calls of the unit, and calls, within the scale.
    pub own: (u64, u64),
    /// Bad calls of its peers, and calls.
    pub peers: (u64, u64),
    /// Whether there was enough of both to bet.
    pub played: bool,
}

/// What the rule says of one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitJudgement {
    /// The largest over classes and scales of the least over left-out observers.
    pub s: f64,
    /// The same less the limit of its scale, on the scale where that is most: ≥ 0 means sick, if there are
    /// three observers or more.
    pub beyond: f64,
    /// Steer new calls away: S ≥ 5, until S < 1.
    pub soft: bool,
    /// S has passed its limit, three observers or more have a vote, and more than callers' complaints speak
    /// against it.
    pub sick: bool,
    /// It is not sick for want of the last alone: steered away from, and a human's to look at.
    #[serde(default)]
    pub hearsay: bool,
    /// Probe it, and in a small pool its peers, in a large one its siblings, each second: S ≥ 1.
    pub suspect: bool,
    /// Seconds until it would be sick at the present d; `None` if never.
    pub seconds_to_sick: Option<u64>,
    /// A call older than this is bad, in microseconds.
    pub threshold_us: u64,
    /// The municipality whose calls are left out, here and on the peers.
    pub left_out_caller: Option<MunicipalityCode>,
    /// S of the bet that it is bad at all, against no peers: for SHARED.
    pub absolute: f64,
    /// The bets that its S was made of: the least one of each class and scale, and the one without anybody
    /// left out.
    pub bets: Vec<Bet>,
}

/// What SHARED means where so many units are in use.
#[must_use]
pub fn shared_words(units: usize) -> &'static str {
    match units {
        1 => {
            "the only unit in use fails, and none is beside it to tell whether it is sick or what is behind \
             it: look at both; it is kept, as nobody else carries the calls"
        }
        _ => "all units in use are sick alike: look behind them, or at what all share; nobody is evicted",
    }
}

impl UnitJudgement {
    /// Whether it fails, whoever else does: its bet against no peers, which is made on the shortest scale,
    /// has passed the limit.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let short = self.bets.iter().min_by_key(|bet| bet.scale);
        short.is_some_and(|bet| self.absolute >= bet.limit)
    }
}

/// What the rule says after one second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The second that was judged.
    pub second: u64,
    /// The units that take part, each with what is said of it.
    pub units: BTreeMap<UnitId, UnitJudgement>,
    /// What they point to together.
    pub verdict: Verdict,
    /// p0: how much worse than its peers a unit may be without being sick.
    pub p0: f64,
    /// Observers whose word counts less now, with their weight in per cent; 0 has no vote.
    pub weak: BTreeMap<Observer, u8>,
    /// Buckets that came after their second was judged, or were refused for another reason than that their
    /// unit takes no part, since the start.
    pub late_count: u64,
}
