//! A small pool that is made up, second by second and the same for the same seed: calls, probes, bursts of
//! errors, and one fault from a given second on.
//!
//! The law of the bursts: they last 0.2 to 10 s (log-uniform), in each 20–100 % of the calls fail, 75 % of
//! the bursts are of one unit and 25 % of all; a tenth of the errors come singly. It is an assumption, as no
//! figures of real pools are published.

use std::collections::BTreeMap;

use super::super::evidence::{Bucket, Class, Observer, UnitId};
use super::super::judgement::Judgement;
use super::{Attributes, Judge, Parameters, Refused};
use crate::domain::municipality::MunicipalityCode;

/// The first second of every world.
pub(super) const START: u64 = 1_000_000;

/// What goes wrong from the onset on. The unit is `relay-1`, the observer the first one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    None,
    /// The unit fails this share of its calls.
    Fails(f64),
    /// Its calls do not end; each is bad one second after its start.
    Hangs,
    /// It is well for 3 s and dead for 2 s in turn.
    Flaps,
    /// The first two units, which are of one model, fail this share.
    TwoFail(f64),
    /// What is behind all units fails this share.
    Upstream(f64),
    /// The observer says that each call on the unit is bad, and so many times as many of them.
    Liar(u32),
    /// The two first observers say so.
    TwoLiars,
    /// The observer's own network fails half of what it does.
    Observer,
    /// A heavy caller's calls all fail: on all units, or on the one it is pinned to.
    Caller {
        pinned: bool,
    },
}

/// How large the pool is and how busy, and what goes wrong in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) units: usize,
    pub(super) observers: usize,
    /// Calls a second on each unit.
    pub(super) rate: f64,
    /// The mean share of calls that fail while all is well.
    pub(super) errors: f64,
    pub(super) fault: Fault,
    /// Seconds from the start to the fault.
    pub(super) onset: u64,
}

impl Plan {
    /// A pool of four with four observers and two calls a second in all, of which 0.5 % fail.
    pub(super) fn quiet(fault: Fault) -> Self {
        Self { units: 4, observers: 4, rate: 0.5, errors: 0.005, fault, onset: 60 }
    }

    /// The usual excess of such a pool, by the law of the bursts.
    fn usual(&self) -> f64 {
        0.9 * self.errors * 0.75
    }

    /// Parameters of a judge that has learned what is usual in this pool.
    pub(super) fn learned(&self) -> Parameters {
        let known = Parameters::default();
        let p0_start = (known.p0_factor * self.usual()).clamp(known.p0_min, known.p0_max);
        Parameters { p0_start, ..known }
    }
}

/// Random numbers. Source: SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, without both.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -self.share().ln() * mean
    }

    /// How many of so many happen.
    fn binomial(&mut self, n: u32, p: f64) -> u32 {
        if p <= 0.0 {
            return 0;
        }
        if p >= 1.0 {
            return n;
        }
        (0..n).map(|_| u32::from(self.share() < p)).sum()
    }

    /// How many come in a second. Source: D. Knuth, The Art of Computer Programming, 3.4.1.
    fn poisson(&mut self, mean: f64) -> u32 {
        let floor = (-mean).exp();
        let (mut product, mut count) = (self.share(), 0);
        while product > floor {
            product *= self.share();
            count += 1;
        }
        count
    }
}

/// Bursts of errors that come and go.
#[derive(Debug, Clone)]
struct Bursts {
    share: f64,
    until: f64,
    calm: f64,
    on: bool,
}

impl Bursts {
    /// Bursts that make this share of all calls fail.
    fn new(errors: f64, dice: &mut Dice) -> Self {
        let (duration, severity) = (9.8 / 50f64.ln(), 0.6);
        let part = errors / severity;
        let calm = duration * (1.0 - part) / part;
        Self { share: 0.0, until: dice.exponential(calm), calm, on: false }
    }

    /// The share of calls that fail in the second from `from` on.
    fn step(&mut self, from: f64, dice: &mut Dice) -> f64 {
        let (mut at, mut failing) = (from, 0.0);
        while at < from + 1.0 {
            let end = self.until.min(from + 1.0);
            if self.on {
                failing += (end - at) * self.share;
            }
            at = end;
            if self.until <= at && at < from + 1.0 {
                self.on = !self.on;
                self.share = 0.2 + 0.8 * dice.share();
                let burst = 0.2 * (50f64.ln() * dice.share()).exp();
                self.until += if self.on { burst } else { dice.exponential(self.calm) };
            }
        }
        failing
    }
}

/// The pool.
#[derive(Debug, Clone)]
pub(super) struct World {
    plan: Plan,
    dice: Dice,
    own: Vec<Bursts>,
    shared: Bursts,
    /// Calls of the last second that hang: of probes, of the heavy caller and of others, by observer.
    hanging: Vec<[u32; 3]>,
    second: u64,
}

/// The classes and callers of the three kinds of calls: probes, the heavy caller, all others.
const KINDS: [(Class, bool); 3] = [(Class::Probe, false), (Class::Traffic, true), (Class::Traffic, false)];

impl World {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let bursts = 0.9 * plan.errors;
        let own = (0..plan.units).map(|_| Bursts::new(bursts * 0.75, &mut dice)).collect();
        let shared = Bursts::new(bursts * 0.25, &mut dice);
        Self { plan, dice, own, shared, hanging: vec![[0; 3]; plan.observers], second: 0 }
    }

    /// What is seen in the next second; suspects, and with them all, are probed each second.
    pub(super) fn step(&mut self, fast_probes: bool) -> Vec<Bucket> {
        let from = self.second as f64;
        let shared = self.shared.step(from, &mut self.dice);
        let mut buckets = Vec::new();
        for unit in 0..self.plan.units {
            let own = self.own[unit].step(from, &mut self.dice);
            let fails = 1.0 - (1.0 - shared) * (1.0 - own) * (1.0 - 0.1 * self.plan.errors);
            for observer in 0..self.plan.observers {
                self.see(unit, observer, fails, fast_probes, &mut buckets);
            }
        }
        self.second += 1;
        buckets
    }

    fn see(&mut self, unit: usize, observer: usize, fails: f64, fast: bool, buckets: &mut Vec<Bucket>) {
        let Plan { units, observers, rate, fault, .. } = self.plan;
        let fault = if self.second >= self.plan.onset { fault } else { Fault::None };
        let each = rate / observers as f64;
        let heavy = match fault {
            Fault::Caller { pinned: true } if unit == 0 => 0.3 * each * units as f64,
            Fault::Caller { pinned: true } => 0.0,
            _ => 0.3 * each,
        };
        let probes = u32::from(fast || self.dice.share() < 0.2);
        let mut n = [probes, self.dice.poisson(heavy), self.dice.poisson(0.7 * each)];
        let more = self.more(unit, observer, fault);
        let share = 1.0 - (1.0 - fails) * (1.0 - more);
        let mut bad = n.map(|n| self.dice.binomial(n, share));
        match fault {
            Fault::Hangs if unit == 0 => {
                n = std::mem::replace(&mut self.hanging[observer], n);
                bad = n;
            }
            Fault::Liar(times) if (unit, observer) == (0, 0) => {
                n = [n[0] * times, n[1] * times, n[2] * times];
                bad = n;
            }
            Fault::TwoLiars if unit == 0 && observer < 2 => bad = n,
            Fault::Caller { .. } => bad[1] = n[1],
            _ => {}
        }
        for (kind, (class, is_heavy)) in KINDS.into_iter().enumerate() {
            let (second, unit, observer) = (START + self.second, unit_id(unit), observer_id(observer));
            let caller = is_heavy.then(heavy_caller);
            let (n, bad) = (n[kind], bad[kind]);
            if n > 0 {
                buckets.push(Bucket { second, observer, unit, class, caller, n, bad, latencies: None });
            }
        }
    }

    /// The share of calls that the fault makes fail for this observer on this unit.
    fn more(&self, unit: usize, observer: usize, fault: Fault) -> f64 {
        match fault {
            Fault::Fails(share) if unit == 0 => share,
            Fault::Flaps if unit == 0 && (self.second - self.plan.onset) % 5 < 2 => 1.0,
            Fault::TwoFail(share) if unit < 2 => share,
            Fault::Upstream(share) => share,
            Fault::Observer if observer == 0 => 0.5,
            _ => 0.0,
        }
    }
}

/// The place of a unit in the names, from 0.
pub(super) fn unit_id(unit: usize) -> UnitId {
    format!("relay-{}", unit + 1).parse().expect("it is a name")
}

/// An observer by place, from 0.
pub(super) fn observer_id(observer: usize) -> Observer {
    Observer::try_from(format!("issuer/issuer-{}", observer + 1)).expect("it is an observer")
}

/// The municipality with three of ten calls.
pub(super) fn heavy_caller() -> MunicipalityCode {
    "131229".parse().expect("it is a code")
}

/// So many units; the first two are of one model, each has its own slot.
pub(super) fn units(count: usize) -> BTreeMap<UnitId, Attributes> {
    let model = |unit: usize| if unit < 2 { "model-x" } else { "model-y" };
    let attributes = |unit: usize| {
        let pairs = [("model", model(unit).to_owned()), ("slot", format!("slot-{unit}"))];
        Attributes(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    (0..count).map(|unit| (unit_id(unit), attributes(unit))).collect()
}

/// A pool and its judge, who see the same seconds.
pub(super) struct Trial {
    pub(super) world: World,
    pub(super) judge: Judge,
    fast: bool,
}

impl Trial {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        let mut judge = Judge::new(plan.learned(), START);
        judge.units(&units(plan.units));
        Self { world: World::new(plan, seed), judge, fast: false }
    }

    /// One second more: what is seen is taken, and judged after the lag.
    pub(super) fn step(&mut self) -> Judgement {
        let buckets = self.world.step(self.fast);
        let now = START + self.world.second - 1;
        for bucket in &buckets {
            let taken = self.judge.take(bucket, now);
            assert!(matches!(taken, Ok(()) | Err(Refused::NoPart(_))), "it is in time: {taken:?}");
        }
        let judgement = self.judge.judge(now + u64::from(self.judge.parameters().lag_s));
        self.fast = judgement.units.values().any(|unit| unit.suspect);
        judgement
    }
}
