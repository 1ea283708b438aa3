//! What is reported is taken once, whoever sends it twice, and turned into evidence for the rule and facts
//! for the policy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    pool::{
        evidence::{Bucket, Class, Observer, UnitId},
        ledger::{self, Second},
        notes::UNITS_MAX,
        other_tools::{Opinion, OtherTools},
        policy::{Fact, Lease, Policy, Process},
    },
    wire::{
        fault::{Fault, Reason},
        pb::{EvidenceBucket, ShallowProbes},
    },
};

use super::{calls::Calls, places, probes::Probes, read, seconds::Skew, vote::Vote, witnesses::Witnesses};

/// Buckets of one report.
const BUCKETS_MAX: usize = 4_096;

/// Buckets of all reports that wait for the next step: what all relays kept while no issuer answered.
const WAITING_MAX: usize = 4 * ledger::BUCKETS_MAX;
/// And of one observer, so that none takes the room of the others.
const WAITING_OF_ONE: usize = 2 * BUCKETS_MAX;

/// Seconds of an observer that are remembered as taken.
const SECONDS_MAX: usize = 120;

/// Seconds that the sums of shallow probes go back, in so many slots.
const SHALLOW_SLOTS: (u64, usize) = (5, 3);

/// How long a lease lives, in ms; it is renewed every 5 s at the latest, in practice each second.
pub(super) const LEASE_MS: i64 = 15_000;

/// Leases that end within so many ms of each other end together.
const TOGETHER_MS: i64 = 3_000;

/// The longest reason for leaving that is shown, in characters.
const LEAVING_MAX: usize = 200;

/// For how many seconds an observer counts after its last word.
const OBSERVED_S: u64 = 15;

/// What was reported since the last step.
#[derive(Debug)]
pub(super) struct Intake {
    observers: BTreeMap<Observer, Heard>,
    pub(super) units: BTreeMap<UnitId, Asked>,
    probes: Probes,
    traffic: Calls,
    pub(super) facts: Vec<Fact>,
    /// Where units' processes say that they are reached, if that is not where those are registered.
    pub(super) addresses: BTreeMap<UnitId, String>,
    witnesses: Witnesses,
    /// Shallow probes of the last moments, which nobody is judged by.
    health: Witnesses,
    other_tools: OtherTools,
    /// Since when the other tools' rules are tried on it, too.
    watched_since: Option<u64>,
    weights: BTreeMap<Observer, u8>,
    buckets: VecDeque<Bucket>,
}

/// What an observer said.
#[derive(Debug, Default)]
struct Heard {
    /// The seconds, by its own clock.
    taken: BTreeSet<u64>,
    /// When there was anything new, by ours.
    last: u64,
    /// In which second it sent last, by its own clock; 0: it does not say.
    sent: i64,
    /// How much its word counts.
    vote: Vote,
}

/// What a unit's process says of itself when it asks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Says<'a> {
    /// The generation of the lease that it holds; 0: none.
    pub(super) generation: u64,
    /// Why it gives it back; empty: it does not.
    pub(super) leaving: &'a str,
    /// Where it is reached; empty: it does not say.
    pub(super) address: &'a str,
}

/// A unit that asks for its lease.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    incarnation: u64,
    /// When a process reported last, in ms since 1970.
    pub(super) last_ms: i64,
    lapsed: bool,
    /// What was said of its clock.
    skew: Skew,
    /// Whether it gives its lease back.
    pub(super) leaving: bool,
    /// When a process that was started earlier asked last, in vain.
    pub(super) older_ms: Option<i64>,
    /// Bundles that it named since when, in ms.
    pub(super) bundles: (i64, usize),
}

impl Default for Intake {
    fn default() -> Self {
        let (slot_s, slots) = SHALLOW_SLOTS;
        Self {
            observers: BTreeMap::new(),
            units: BTreeMap::new(),
            probes: Probes::default(),
            traffic: Calls::default(),
            facts: Vec::new(),
            addresses: BTreeMap::new(),
            witnesses: Witnesses::minute(),
            health: Witnesses::of_slots(slot_s, slots),
            other_tools: OtherTools::default(),
            watched_since: None,
            weights: BTreeMap::new(),
            buckets: VecDeque::new(),
        }
    }
}

impl Intake {
    /// Takes the buckets of one report for the next step; those that were taken before are passed over. What
    /// is in `shift` is added to their seconds.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `FIELD_INVALID`, `LANE_FULL`; nothing is taken then.
    pub(super) fn take(
        &mut self,
        observer: &Observer,
        buckets: &[EvidenceBucket],
        now_s: u64,
        (shift, sent): (i64, i64),
    ) -> Result<(), Fault> {
        if buckets.len() > BUCKETS_MAX {
            let words = format!("{} buckets are over the limit of {BUCKETS_MAX} a report", buckets.len());
            return Err(Fault::new(Reason::LimitExceeded, words));
        }
        let own = self.buckets.iter().filter(|bucket| bucket.observer == *observer).count();
        if own + buckets.len() > WAITING_OF_ONE || self.buckets.len() + buckets.len() > WAITING_MAX {
            let words = "more evidence came at once than is judged in a second: send it again";
            return Err(Fault::new(Reason::LaneFull, words).after(std::time::Duration::from_secs(1)));
        }
        let read = |(at, bucket)| read::bucket(observer, at, bucket);
        let buckets: Vec<Bucket> = buckets.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let heard = self.observers.entry(observer.clone()).or_default();
        if sent < std::mem::replace(&mut heard.sent, sent) {
            heard.taken.clear(); // its clock was set back: its seconds come again
        }
        let taken = &mut heard.taken;
        let new: BTreeSet<u64> =
            buckets.iter().map(|bucket| bucket.second).filter(|second| !taken.contains(second)).collect();
        heard.last = if new.is_empty() { heard.last } else { now_s };
        for mut bucket in buckets.into_iter().filter(|bucket| new.contains(&bucket.second)) {
            bucket.second = bucket.second.saturating_add_signed(shift);
            if bucket.class == Class::Traffic {
                self.traffic.add(&bucket);
            } else {
                self.probes.add(&bucket);
            }
            self.witnesses.add(now_s, &bucket.observer, &bucket.unit, (bucket.n, bucket.bad));
            self.buckets.push_back(bucket);
        }
        taken.extend(new);
        while taken.len() > SECONDS_MAX {
            taken.pop_first();
        }
        Ok(())
    }

    /// Takes what an observer saw of units' health since its last report.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`, `FIELD_INVALID`; nothing is taken then.
    pub(super) fn take_shallow(
        &mut self,
        observer: &Observer,
        probes: &[ShallowProbes],
        now_s: u64,
    ) -> Result<(), Fault> {
        if probes.len() > UNITS_MAX {
            let words = format!("{} units are over the limit of {UNITS_MAX} a report", probes.len());
            return Err(Fault::new(Reason::LimitExceeded, words));
        }
        let read = |(at, probes): (usize, &ShallowProbes)| {
            let fault = |field: &str, what: &str| {
                let field = format!("shallow[{at}].{field}");
                Fault::new(Reason::FieldInvalid, format!("{field} {what}")).violation(field, what)
            };
            if probes.bad_count > probes.call_count {
                return Err(fault("bad_count", "must not be more than call_count"));
            }
            let unit: UnitId = probes.unit.parse().map_err(|_| fault("unit", "must be a unit's name"))?;
            Ok((unit, (probes.call_count, probes.bad_count)))
        };
        let seen = probes.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        for (unit, seen) in &seen {
            self.see_health(observer, unit, *seen, now_s);
        }
        Ok(())
    }

    /// An observer asked a unit for its health so often, and so often in vain.
    pub(super) fn see_health(&mut self, observer: &Observer, unit: &UnitId, seen: (u32, u32), now_s: u64) {
        // A unit that says of itself that it is well proves nothing.
        if !observer.is(unit) {
            self.health.add(now_s, observer, unit, seen);
        }
    }

    /// Shallow probes of a unit in the last moments by all observers, and bad ones.
    pub(super) fn health(&self, unit: &UnitId, now_s: u64) -> (u32, u32) {
        let seen = self.health.of(unit, now_s).into_values();
        seen.fold((0, 0), |sum, seen| (sum.0.saturating_add(seen.0), sum.1.saturating_add(seen.1)))
    }

    /// An observer says how late its own timers were.
    pub(super) fn weigh(&mut self, observer: &Observer, late_ms: u32) {
        let weight = self.observers.entry(observer.clone()).or_default().vote.weigh(late_ms);
        if self.weights.len() < ledger::OBSERVERS_MAX || self.weights.contains_key(observer) {
            self.weights.insert(observer.clone(), weight);
        }
    }

    /// What came for the rule since the last step, as it is judged and recorded; the facts are not in it yet.
    pub(super) fn take_evidence(&mut self, second: u64) -> Second {
        let some = self.buckets.len().min(ledger::BUCKETS_MAX);
        let (weights, buckets) = (std::mem::take(&mut self.weights), self.buckets.drain(..some).collect());
        Second { second, weights, buckets, facts: Vec::new() }
    }

    /// A unit asks for its lease, or says why it gives it back.
    ///
    /// # Errors
    /// `GENERATION_STALE` for an older process of the same unit.
    pub(super) fn take_request(
        &mut self,
        policy: &Policy,
        unit: &UnitId,
        process: Process,
        Says { generation, leaving, address }: Says<'_>,
        now_ms: i64,
    ) -> Result<(), Fault> {
        let Some(known) = policy.units().get(unit) else { return Ok(()) };
        let incarnation = process.incarnation;
        let new = Asked { incarnation, last_ms: now_ms, ..Asked::default() };
        let asked = self.units.entry(unit.clone()).or_insert(new);
        // One that is silent for as long as a lease lives is gone; the clock may have been set back before
        // the next one was started.
        if incarnation < asked.incarnation && now_ms - asked.last_ms <= LEASE_MS {
            asked.older_ms = Some(now_ms);
            let words = format!("another process, started later, serves as {unit}: end or rename this one");
            return Err(Fault::new(Reason::GenerationStale, words));
        }
        *asked = Asked { incarnation, last_ms: now_ms, lapsed: false, ..*asked };
        if known.drills.process != Some(process) {
            self.facts.retain(|fact| !matches!(fact, Fact::Started { unit: of, .. } if of == unit));
            let address = Some(address).filter(|address| !address.is_empty()).map(places::kept);
            self.facts.push(Fact::Started { unit: unit.clone(), process, address });
        }
        if std::mem::replace(&mut asked.leaving, !leaving.is_empty()) == leaving.is_empty() {
            let why: String = leaving.chars().take(LEAVING_MAX).collect();
            match asked.leaving {
                true => tracing::warn!(%unit, why, "{unit} gives its lease back: {why}"),
                false => tracing::info!(%unit, "{unit} asks for a lease again"),
            }
        }
        if generation == 0 || generation == known.generation {
            let (unit, generation) = (unit.clone(), known.generation);
            let fact = match asked.leaving {
                true => Fact::LeaseReleased { unit, generation },
                false => Fact::LeaseRenewed { unit, generation },
            };
            if !self.facts.contains(&fact) {
                self.facts.push(fact);
            }
        }
        Ok(())
    }

    /// Believes each lease of before as if it had just been asked for: who is gone meanwhile loses it by its
    /// silence, as everybody does.
    pub(super) fn believe(&mut self, policy: &Policy, now_ms: i64) {
        for unit in policy.units().values().filter(|unit| unit.lease == Lease::Live) {
            let asked = self.units.entry(unit.id().clone()).or_default();
            (asked.last_ms, asked.lapsed) = (now_ms, false);
            asked.incarnation = asked.incarnation.max(unit.drills.incarnation());
            asked.older_ms = unit.elsewhere.as_ref().map(|_| now_ms).or(asked.older_ms);
        }
    }

    /// Until when a unit that asked in time may serve.
    pub(super) fn lease_until_ms(&self, unit: &UnitId) -> Option<i64> {
        self.units.get(unit).map(|asked| asked.last_ms + LEASE_MS)
    }

    /// Calls and bad ones that each observer saw of a unit in the last minute.
    pub(super) fn witnesses(&self, unit: &UnitId, now_s: u64) -> BTreeMap<Observer, (u32, u32)> {
        self.witnesses.of(unit, now_s)
    }

    /// What the other tools' rules would have done with a unit, and since when they see what was seen here.
    pub(super) fn opinions(&self, unit: &UnitId) -> (Vec<Opinion>, Option<u64>) {
        (self.other_tools.opinions(unit), self.watched_since)
    }

    /// Lets the other tools' rules see what came since they last did; of units that there are, so that no
    /// report can fill their places.
    fn watch(&mut self, policy: &Policy, second: u64) {
        self.watched_since.get_or_insert(second);
        let sums = |sums: &BTreeMap<UnitId, (u32, u32)>, class: Class| {
            let known = sums.iter().filter(|(unit, _)| policy.units().contains_key(*unit));
            known.map(move |(unit, sum)| (unit.clone(), class, *sum)).collect::<Vec<_>>()
        };
        let (traffic, probes) =
            (sums(&self.traffic.sums, Class::Traffic), sums(&self.probes.sums(), Class::Probe));
        let all = traffic.iter().chain(&probes);
        self.other_tools.sums(second, all.map(|(unit, class, sum)| (unit, *class, *sum)));
    }

    /// The units whose leases ended now. Those that are about to end when one does are taken with it, so that
    /// what all lose at once is seen as one.
    fn take_lapsed(&mut self, now_ms: i64) -> Vec<UnitId> {
        for asked in self.units.values_mut() {
            asked.last_ms = asked.last_ms.min(now_ms); // the clock may have been set back
        }
        let age = |asked: &Asked| now_ms - asked.last_ms;
        let any = self.units.values().any(|asked| !asked.lapsed && age(asked) > LEASE_MS);
        let ended = self
            .units
            .iter_mut()
            .filter(|(_, asked)| any && !asked.lapsed && now_ms - asked.last_ms > LEASE_MS - TOGETHER_MS);
        ended
            .map(|(unit, asked)| {
                asked.lapsed = true;
                unit.clone()
            })
            .collect()
    }

    /// A unit's clock is so far ahead of ours.
    pub(super) fn note_skew(&mut self, unit: &UnitId, skew_s: i64) {
        if let Some(asked) = self.units.get_mut(unit) {
            asked.skew.say(unit, skew_s);
        }
    }

    /// Adds a fact for the next step.
    pub(super) fn add(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// How many observers were heard lately whose weight in per cent is such a one.
    pub(super) fn observers_by(&self, now_s: u64, is: impl Fn(u8) -> bool) -> usize {
        let lately = self.observers.values().filter(|heard| heard.last + OBSERVED_S > now_s);
        lately.filter(|heard| is(heard.vote.weight())).count()
    }

    /// Everything that the policy is to be told in this second.
    pub(super) fn take_facts(&mut self, policy: &Policy, now_ms: i64, now_s: u64) -> Vec<Fact> {
        self.units.retain(|unit, _| policy.units().contains_key(unit));
        self.addresses.retain(|unit, _| policy.units().contains_key(unit));
        self.watch(policy, now_s);
        let mut facts = std::mem::take(&mut self.facts);
        for unit in self.take_lapsed(now_ms) {
            let generation = policy.units()[&unit].generation;
            facts.push(Fact::LeaseLapsed { unit, generation });
        }
        facts.extend(self.probes.facts(policy));
        for unit in policy.units().keys() {
            let (n, failed) = self.health(unit, now_s);
            if n > 0 {
                facts.push(Fact::ShallowProbes { unit: unit.clone(), n, failed });
            }
        }
        facts.extend(self.traffic.facts(policy));
        let count = self.observers_by(now_s, |weight| weight > 0);
        facts.push(Fact::Observers { count: u32::try_from(count).unwrap_or(u32::MAX) });
        facts
    }
}
