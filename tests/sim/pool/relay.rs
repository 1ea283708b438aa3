//! One relay: what becomes of a call on it, what it saw, and by what right it serves.

use std::{
    collections::{BTreeSet, VecDeque},
    rc::Rc,
};

use todoke::{
    domain::{identity::Identity, municipality::MunicipalityCode},
    pool::{
        controller::simulated::Deciding,
        evidence::{Latencies, Observer, UnitId},
    },
    wire::pb::{EvidenceBucket, EvidenceClass},
};

use super::{
    SECOND_US,
    eyes::Eyes,
    issuer::Published,
    law::{Bursts, Gait},
    plan::{CALLERS, Fault, Plan, Trouble},
};
use crate::random::Random;

/// Callers of a second that are named.
const CALLERS_MAX: usize = 16;
/// Seconds that are kept for an issuer that does not answer.
const KEPT_MAX: usize = 30;
/// For how long an order to stop holds.
const STOP_US: u64 = 15 * SECOND_US;

/// What an issuer last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Lease { epoch: u64, generation: u64, until_us: u64 },
    Stop { at_us: u64 },
}

/// What becomes of a call or probe on a relay, as far as the relay and what is behind it decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Never, if `None`.
    pub(crate) takes_us: Option<u64>,
    pub(crate) good: bool,
    /// Whether an issuer saw it.
    pub(crate) passed_on: bool,
}

/// One relay.
pub(crate) struct Relay {
    pub(crate) unit: UnitId,
    pub(crate) observer: Observer,
    pub(crate) eyes: Eyes,
    pub(crate) incarnation: u64,
    pub(crate) threshold_us: u64,
    /// The issuer that it passes calls on to, if it reaches one that takes them.
    pub(crate) way: Option<usize>,
    /// The issuer that answers probes through it, whether it may serve or not.
    pub(crate) reaches: Option<usize>,
    /// Until when it waits for an answer of an issuer, and reports nothing.
    pub(crate) waits_until_us: u64,
    pub(crate) view: Rc<Published>,
    dice: Random,
    bursts: Bursts,
    gait: Gait,
    /// Calls and bad ones, by caller.
    calls: Vec<(u32, u32)>,
    latencies: Latencies,
    /// By the unit that is complained of, and who does.
    complaints: BTreeSet<(usize, usize)>,
    /// By issuer.
    kept: Vec<VecDeque<Rc<Vec<EvidenceBucket>>>>,
    said: Vec<Said>,
    open_until_us: u64,
    generation: u64,
}

/// The name of a unit by its number.
pub(crate) fn unit_id(unit: usize) -> UnitId {
    format!("relay-{:02}", unit + 1).parse().expect("it is a name")
}

/// A bucket as a relay reports it.
pub(crate) fn bucket(
    second: i64,
    unit: &UnitId,
    class: EvidenceClass,
    caller: String,
    (call_count, bad_count): (u32, u32),
    latencies: Vec<u32>,
) -> EvidenceBucket {
    let (unit, class) = (unit.as_str().to_owned(), class.into());
    EvidenceBucket { second, unit, class, caller, call_count, bad_count, latencies }
}

impl Relay {
    pub(crate) fn new(plan: &Plan, unit: usize, dice: &mut Random) -> Self {
        let id = unit_id(unit);
        let identity: Identity = format!("relay/{}", id.as_str()).parse().expect("an identity");
        Self {
            unit: id,
            observer: Observer::new(identity).expect("a relay observes"),
            eyes: Eyes::new(plan.units, dice.fork()),
            incarnation: 1,
            threshold_us: 5 * SECOND_US,
            way: None,
            reaches: None,
            waits_until_us: 0,
            view: Rc::default(),
            dice: dice.fork(),
            bursts: Bursts::of_one(plan.errors, dice.fork()),
            gait: Gait::new(plan.pace, dice.fork()),
            calls: vec![(0, 0); CALLERS],
            latencies: Latencies::default(),
            complaints: BTreeSet::new(),
            kept: vec![VecDeque::new(); plan.issuers],
            said: vec![Said::Nothing; plan.issuers],
            open_until_us: 0,
            generation: 0,
        }
    }

    /// What becomes of something that comes now; `behind` is the share of all that fails behind the relays,
    /// and by what times everything takes.
    pub(crate) fn meet(
        &mut self,
        now_us: u64,
        is_call: bool,
        fault: Option<(Fault, u64)>,
        (behind, single, tide): (f64, f64, f64),
    ) -> Outcome {
        let now_s = now_us as f64 / SECOND_US as f64;
        let own = self.bursts.at(now_s);
        let takes_s = self.gait.takes_s(now_s, tide);
        let (mut own_share, mut more_s, mut times) = (1.0 - (1.0 - own) * (1.0 - single), 0.0, 1.0);
        let mut with = |share: f64| own_share = 1.0 - (1.0 - own_share) * (1.0 - share);
        match fault {
            Some((Fault::Fails(share), _)) => with(share),
            Some((Fault::FailsCallers(share), _)) if is_call => with(share),
            Some((Fault::Flaps(good_s, bad_s), from)) => {
                let at = (now_s - from as f64) % (good_s + bad_s);
                with(if at >= good_s { 1.0 } else { 0.0 });
            }
            Some((Fault::IsSlow(share, by_s), _)) if self.dice.happens(share) => more_s = by_s,
            Some((Fault::IsSlower(by), _)) => times = by,
            Some((Fault::Hangs | Fault::Stands, _)) => {
                return Outcome { takes_us: None, good: false, passed_on: false };
            }
            Some((Fault::Crashes, _)) => {
                return Outcome { takes_us: Some(1_000), good: false, passed_on: false };
            }
            _ => {}
        }
        let takes_us = Some(((takes_s * times + more_s) * SECOND_US as f64) as u64);
        if self.dice.happens(own_share) {
            return Outcome { takes_us: Some(2_000), good: false, passed_on: false };
        }
        match if is_call { self.way } else { self.reaches } {
            None => Outcome { takes_us: Some(2_000), good: false, passed_on: false },
            Some(_) => Outcome { takes_us, good: !self.dice.happens(behind), passed_on: true },
        }
    }

    /// A caller's call stands in its account.
    pub(crate) fn count(&mut self, caller: usize, bad: bool) {
        let sum = &mut self.calls[caller];
        *sum = (sum.0 + 1, sum.1 + u32::from(bad));
    }

    /// An issuer began to answer after so long.
    pub(crate) fn answered(&mut self, took_us: u64) {
        self.latencies.add(took_us);
    }

    /// A caller says that its attempt over another unit failed.
    pub(crate) fn complaint(&mut self, about: usize, caller: usize) {
        self.complaints.insert((about, caller));
    }

    /// Takes what it saw since the last time, and keeps it for every issuer.
    pub(crate) fn collect(
        &mut self,
        own: usize,
        second: i64,
        codes: &[MunicipalityCode],
        units: &[UnitId],
        troubles: &[Trouble],
    ) {
        let (traffic, probe) = (EvidenceClass::Traffic, EvidenceClass::Probe);
        let mut callers: Vec<(usize, (u32, u32))> = Vec::new();
        for (caller, sum) in self.calls.iter_mut().enumerate().filter(|(_, sum)| sum.0 > 0) {
            callers.push((caller, std::mem::take(sum)));
        }
        callers.sort_by_key(|(caller, (n, bad))| (std::cmp::Reverse((*bad, *n)), codes[*caller]));
        let mut rest = (0, 0);
        for (_, (n, bad)) in callers.drain(CALLERS_MAX.min(callers.len())..) {
            rest = (rest.0 + n, rest.1 + bad);
        }
        let latencies = std::mem::take(&mut self.latencies);
        let mut buckets = Vec::new();
        if rest.0 > 0 || !latencies.0.is_empty() {
            buckets.push(bucket(second, &self.unit, traffic, String::new(), rest, latencies.0));
        }
        for (caller, seen) in callers {
            buckets.push(bucket(second, &self.unit, traffic, codes[caller].to_string(), seen, Vec::new()));
        }
        for (about, caller) in std::mem::take(&mut self.complaints) {
            let code = codes[caller].to_string();
            buckets.push(bucket(second, &units[about], traffic, code, (1, 1), Vec::new()));
        }
        for (unit, seen, latencies) in self.eyes.take(own, troubles) {
            buckets.push(bucket(second, &units[unit], probe, String::new(), seen, latencies.0));
        }
        let buckets = Rc::new(buckets);
        for kept in &mut self.kept {
            if kept.len() == KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(Rc::clone(&buckets));
        }
    }

    /// What is to be told to an issuer.
    pub(crate) fn kept(&self, issuer: usize) -> Vec<EvidenceBucket> {
        self.kept[issuer].iter().flat_map(|buckets| buckets.iter().cloned()).collect()
    }

    /// An issuer has taken it.
    pub(crate) fn taken(&mut self, issuer: usize) {
        self.kept[issuer].clear();
    }

    /// The generation of the lease that an issuer gave last; 0: none.
    pub(crate) fn generation_of(&self, issuer: usize) -> u64 {
        match self.said[issuer] {
            Said::Lease { generation, .. } => generation,
            _ => 0,
        }
    }

    /// What an issuer answers: a lease, or that it is to serve no more.
    pub(crate) fn told(&mut self, issuer: usize, epoch: u64, lease: Option<u64>, now_us: u64) {
        let until_us = now_us + Deciding::LEASE_MS as u64 * 1_000;
        self.said[issuer] = match lease {
            Some(generation) => Said::Lease { epoch, generation, until_us },
            None => Said::Stop { at_us: now_us },
        };
        self.settle(now_us);
    }

    /// Makes one standing of what all issuers said.
    fn settle(&mut self, now_us: u64) {
        let stops = |said: &Said| matches!(said, Said::Stop { at_us } if at_us + STOP_US > now_us);
        if self.said.iter().any(stops) {
            self.open_until_us = 0;
            return;
        }
        let leases = self.said.iter().filter_map(|said| match said {
            Said::Lease { epoch, generation, until_us } if *until_us > now_us => {
                Some((*epoch, *until_us, *generation))
            }
            _ => None,
        });
        if let Some((_, until_us, generation)) = leases.max() {
            (self.open_until_us, self.generation) = (until_us, generation);
        }
    }

    /// Whether it takes calls; and with which generation it passes them on.
    pub(crate) fn serves(&self, now_us: u64) -> Option<u64> {
        (self.open_until_us > now_us).then_some(self.generation)
    }

    /// Its process is another one: what it knew is gone.
    pub(crate) fn restart(&mut self) {
        self.incarnation += 1;
        self.kept.iter_mut().for_each(VecDeque::clear);
        self.said.fill(Said::Nothing);
        (self.open_until_us, self.waits_until_us) = (0, 0);
        self.calls.fill((0, 0));
        self.complaints.clear();
    }
}
