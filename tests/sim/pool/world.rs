//! A pool second by second: calls and probes, reports over the network, the issuers' steps, and what all
//! learn of it. The same plan and seed give the same run.

use std::rc::Rc;

use todoke::{
    domain::municipality::MunicipalityCode,
    pool::{
        controller::simulated::{Deciding, Said},
        evidence::UnitId,
        policy::{Decision, State},
    },
    wire::pb::EvidenceBucket,
};

use super::{
    SECOND_US, START_S,
    calls::{Event, Flights},
    client::Client,
    eyes::{Aim, Eyes},
    issuer::{Database, Issuer, Published},
    law::{self, Bursts, Tide},
    plan::{CALLERS, Clients, Fault, Plan, Trouble},
    relay::{Outcome, Relay, unit_id},
};
use crate::random::Random;

/// The longest wait of a relay for an issuer's answer.
const ANSWER_MAX_US: u64 = 2 * SECOND_US;
/// How late the timers of a machine are that is too busy.
const STARVED_MS: u32 = 2_000;
/// A unit without anything against it, and one with, are probed by each observer so often.
const SLOW_PROBES_US: u64 = 5 * SECOND_US;

/// A report on its way.
struct Report {
    arrives_us: u64,
    relay: usize,
    issuer: usize,
    sent_second: i64,
    incarnation: u64,
    generation: u64,
    late_ms: u32,
    buckets: Vec<EvidenceBucket>,
    /// Whether the relay still waits for the answer when it comes.
    is_awaited: bool,
}

/// Everything.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) second: u64,
    pub(crate) relays: Vec<Relay>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) clients: Vec<Client>,
    pub(crate) flights: Flights,
    pub(crate) dice: Random,
    /// What goes wrong in this second beside units.
    pub(crate) active: Vec<Trouble>,
    pub(crate) aims: Vec<Aim>,
    pub(crate) database: Database,
    pub(crate) view: Rc<Published>,
    units: Vec<UnitId>,
    codes: Vec<MunicipalityCode>,
    faults: Vec<Option<(Fault, u64)>>,
    shared: Bursts,
    tide: Tide,
    reports: Vec<Report>,
}

/// A code by a number, as if there were so many municipalities in one prefecture.
pub(crate) fn code(number: usize) -> MunicipalityCode {
    let digits = format!("{:05}", 13_101 + number);
    let five = std::array::from_fn(|at| digits.as_bytes()[at] - b'0');
    let text = format!("{digits}{}", MunicipalityCode::check_digit(five));
    text.parse().expect("its check digit is right")
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let mut dice = Random::new(seed);
        let now_ms = START_S * 1_000;
        let relays = (0..plan.units).map(|unit| Relay::new(&plan, unit, &mut dice)).collect();
        let issuers = (0..plan.issuers).map(|number| Issuer::new(&plan, number, now_ms, &mut dice)).collect();
        let is_ours = |number: usize| match plan.clients {
            Clients::Ours => true,
            Clients::Stock => false,
            Clients::Both => number % 2 == 1,
        };
        let clients =
            (0..CALLERS).map(|number| Client::new(number, is_ours(number), plan.units, &mut dice)).collect();
        let mut flights = Flights::default();
        if plan.rate > 0.0 {
            flights.push(SECOND_US, Event::Arrives);
        }
        Self {
            second: 0,
            relays,
            issuers,
            clients,
            flights,
            active: Vec::new(),
            aims: vec![Aim { every_us: SLOW_PROBES_US, threshold_us: 2 * SECOND_US }; plan.units],
            database: Database::default(),
            view: Rc::default(),
            units: (0..plan.units).map(unit_id).collect(),
            codes: (0..CALLERS).map(code).collect(),
            faults: vec![None; plan.units],
            shared: Bursts::of_all(plan.errors, dice.fork()),
            tide: Tide::new(plan.pace, dice.fork()),
            reports: Vec::new(),
            dice,
            plan,
        }
    }

    /// One second more: what was decided in it.
    pub(crate) fn step(&mut self) -> Vec<Decision> {
        let (begin_us, end_us) = (self.second * SECOND_US, (self.second + 1) * SECOND_US);
        self.begin_second();
        self.begin_probes(begin_us, end_us);
        self.play(end_us);
        self.second += 1;
        self.report(end_us);
        self.deliver(end_us);
        let decisions = self.decide();
        self.learn(end_us);
        decisions
    }

    fn now_ms(&self) -> i64 {
        (START_S + self.second as i64) * 1_000
    }

    fn begin_second(&mut self) {
        let second = self.second;
        let now = |(from, until, _): &&(u64, u64, Trouble)| (*from..*until).contains(&second);
        self.active.clear();
        self.active.extend(self.plan.troubles.iter().filter(now).map(|(.., trouble)| *trouble));
        let now_ms = self.now_ms();
        for number in 0..self.issuers.len() {
            let lives = !self.active.contains(&Trouble::Dead { issuer: number });
            self.issuers[number].live(&self.plan, lives, now_ms);
        }
        for unit in 0..self.relays.len() {
            let before = std::mem::replace(&mut self.faults[unit], self.plan.fault_of(unit, second));
            let crashed = |fault: Option<(Fault, u64)>| matches!(fault, Some((Fault::Crashes, _)));
            if crashed(before) && !crashed(self.faults[unit]) {
                self.relays[unit].restart();
            }
            self.find_ways(unit);
        }
    }

    /// The issuers that a relay reaches now.
    fn find_ways(&mut self, unit: usize) {
        let (now_us, now_ms) = (self.second * SECOND_US, self.now_ms());
        let generation = self.relays[unit].serves(now_us);
        let (mut way, mut reaches) = (None, None);
        for (number, issuer) in self.issuers.iter().enumerate() {
            let Some(deciding) = &issuer.deciding else { continue };
            if self.active.contains(&Trouble::Unreported { relay: unit, issuer: number }) {
                continue;
            }
            reaches = reaches.or(Some(number));
            let lets_in = |generation| deciding.lets_in(&self.units[unit], generation, now_ms);
            if way.is_none() && generation.is_some_and(lets_in) {
                way = Some(number);
            }
        }
        (self.relays[unit].way, self.relays[unit].reaches) = (way, reaches);
    }

    fn begin_probes(&mut self, begin_us: u64, end_us: u64) {
        let (units, aims) = (self.plan.units, self.aims.clone());
        for observer in 0..units + self.plan.issuers {
            let sees = match observer.checked_sub(units) {
                None => !matches!(self.faults[observer], Some((Fault::Crashes | Fault::Stands, _))),
                Some(issuer) => self.issuers[issuer].deciding.is_some(),
            };
            for unit in (0..units).filter(|unit| sees && *unit != observer) {
                if let Some(due_us) = self.eyes(observer).due(unit, aims[unit], begin_us, end_us) {
                    self.flights.push(due_us, Event::Probe { observer, unit });
                }
            }
        }
    }

    /// The eyes of an observer: relays by their number, and then issuers.
    pub(crate) fn eyes(&mut self, observer: usize) -> &mut Eyes {
        match observer.checked_sub(self.relays.len()) {
            None => &mut self.relays[observer].eyes,
            Some(issuer) => &mut self.issuers[issuer].eyes,
        }
    }

    /// What becomes of something on a unit; whether there is a relay that takes it.
    pub(crate) fn meet(&mut self, unit: usize, is_call: bool, now_us: u64) -> (Outcome, bool) {
        let fault = self.faults[unit];
        let gone = matches!(fault, Some((Fault::Crashes, _)));
        if gone || is_call && self.relays[unit].serves(now_us).is_none() {
            return (Outcome { takes_us: Some(1_000), good: false, passed_on: false }, false);
        }
        let now_s = now_us as f64 / SECOND_US as f64;
        let upstream = self.active.iter().find_map(|trouble| match trouble {
            Trouble::Upstream(share) => Some(*share),
            _ => None,
        });
        let behind = 1.0 - (1.0 - self.shared.at(now_s)) * (1.0 - upstream.unwrap_or(0.0));
        let behind = (behind, law::single(self.plan.errors), self.tide.at(now_s));
        (self.relays[unit].meet(now_us, is_call, fault, behind), true)
    }

    /// Calls a second now.
    pub(crate) fn calls_per_s(&self) -> f64 {
        let day = if self.plan.daily {
            let turn = (self.second % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
            0.2 + 1.6 * (0.5 - 0.5 * turn.cos())
        } else {
            1.0
        };
        self.plan.rate * self.plan.units as f64 * day
    }

    /// Who makes the next call.
    pub(crate) fn who_calls(&mut self) -> usize {
        let mut share = self.dice.share();
        for (caller, heavy) in self.plan.heavy.iter().enumerate() {
            share -= heavy;
            if share < 0.0 {
                return caller;
            }
        }
        self.dice.from(self.plan.heavy.len() as u64, CALLERS as u64) as usize
    }

    /// Relays report what they saw.
    fn report(&mut self, now_us: u64) {
        let second = START_S + self.second as i64 - 1;
        for unit in 0..self.relays.len() {
            let silent = matches!(self.faults[unit], Some((Fault::Crashes | Fault::Stands, _)));
            if silent || self.relays[unit].waits_until_us > now_us {
                continue;
            }
            self.relays[unit].collect(unit, second, &self.codes, &self.units, &self.active);
            for issuer in 0..self.issuers.len() {
                self.send(unit, issuer, now_us, second);
            }
        }
    }

    fn send(&mut self, unit: usize, issuer: usize, now_us: u64, sent_second: i64) {
        let cut = self.active.contains(&Trouble::Unreported { relay: unit, issuer });
        if cut || self.issuers[issuer].deciding.is_none() {
            return; // refused at once, or not answered in the time of a second
        }
        let mut delay_us = 0;
        if self.active.contains(&Trouble::LateReports { relay: unit }) {
            match self.dice.share() {
                share if share < 0.1 => {
                    self.relays[unit].waits_until_us = now_us + ANSWER_MAX_US;
                    return;
                }
                share if share < 0.5 => delay_us = self.dice.from(0, 8 * SECOND_US),
                _ => {}
            }
        }
        let is_awaited = delay_us < ANSWER_MAX_US;
        let starved = self.active.contains(&Trouble::Starved { observer: unit });
        let relay = &mut self.relays[unit];
        let wait_us = if is_awaited { delay_us } else { ANSWER_MAX_US };
        relay.waits_until_us = relay.waits_until_us.max(now_us + wait_us);
        self.reports.push(Report {
            arrives_us: now_us + delay_us,
            relay: unit,
            issuer,
            sent_second,
            incarnation: relay.incarnation,
            generation: relay.generation_of(issuer),
            late_ms: if starved { STARVED_MS } else { 0 },
            buckets: relay.kept(issuer),
            is_awaited,
        });
    }

    /// Reports arrive, and are answered.
    fn deliver(&mut self, now_us: u64) {
        let (mut due, later): (Vec<Report>, Vec<Report>) =
            std::mem::take(&mut self.reports).into_iter().partition(|report| report.arrives_us <= now_us);
        self.reports = later;
        due.sort_by_key(|report| (report.arrives_us, report.relay, report.issuer));
        for report in due {
            self.hear(&report, now_us);
        }
    }

    fn hear(&mut self, report: &Report, now_us: u64) {
        let now_ms = self.now_ms();
        let relay = &mut self.relays[report.relay];
        let Some(deciding) = &mut self.issuers[report.issuer].deciding else { return };
        if deciding.epoch() == 0 && !deciding.policy().units().contains_key(&relay.unit) {
            return; // it is not in the know
        }
        let said = Said {
            unit: &relay.unit,
            observer: &relay.observer,
            incarnation: report.incarnation,
            generation: report.generation,
            sent_second: report.sent_second,
            late_ms: report.late_ms,
            buckets: &report.buckets,
        };
        let heard = deciding.hear(&said, now_ms);
        if !report.is_awaited || report.incarnation != relay.incarnation || heard.is_err() {
            return;
        }
        relay.taken(report.issuer);
        if !deciding.policy().units().contains_key(&relay.unit) {
            return;
        }
        let lease = deciding.lease(&relay.unit, now_ms).map(|(generation, _)| generation);
        relay.threshold_us = deciding.threshold_us(&relay.unit);
        let epoch = deciding.epoch();
        relay.told(report.issuer, epoch, lease, now_us);
        if (self.view.epoch, self.view.version) > (relay.view.epoch, relay.view.version) {
            relay.view = Rc::clone(&self.view);
        }
    }

    /// Issuers decide.
    fn decide(&mut self) -> Vec<Decision> {
        let (now_ms, second) = (self.now_ms(), START_S + self.second as i64 - 1);
        let away = self.active.contains(&Trouble::DatabaseAway);
        let mut decisions = Vec::new();
        for number in 0..self.issuers.len() {
            let observer = self.plan.units + number;
            let cut = away || self.active.contains(&Trouble::Undecided { issuer: number });
            let issuer = &mut self.issuers[number];
            let mut buckets = issuer.calls(second, &self.units);
            for (unit, seen, latencies) in issuer.eyes.take(observer, &self.active) {
                let class = todoke::wire::pb::EvidenceClass::Probe;
                let id = &self.units[unit];
                buckets.push(super::relay::bucket(second, id, class, String::new(), seen, latencies.0));
            }
            let starved = self.active.contains(&Trouble::Starved { observer });
            issuer.observe(&buckets, if starved { STARVED_MS } else { 0 }, now_ms);
            issuer.renew(number, (!cut).then_some(&mut self.database), now_ms);
            let database = (!cut).then_some(&mut self.database);
            decisions.extend(issuer.step(self.plan.peak_calls_per_s, database, now_ms));
            if issuer.deciding.as_ref().is_some_and(|deciding| deciding.epoch() > 0)
                && let Some(view) = issuer.published(&self.view)
            {
                self.view = view;
            }
        }
        decisions
    }

    /// Clients and observers learn what was decided.
    fn learn(&mut self, now_us: u64) {
        for number in 0..self.clients.len() {
            if self.clients[number].asks_us > now_us {
                continue;
            }
            let over = self.dice.from(0, self.relays.len() as u64) as usize;
            let dumb = matches!(self.faults[over], Some((Fault::Crashes | Fault::Stands | Fault::Hangs, _)));
            if !dumb {
                self.clients[number].see(&self.relays[over].view);
            }
            self.clients[number].asked(now_us, &mut self.dice);
        }
        self.take_aim();
    }

    /// The issuer that decides.
    pub(crate) fn leader(&self) -> Option<&Deciding> {
        let alive = self.issuers.iter().filter_map(|issuer| issuer.deciding.as_ref());
        alive.filter(|deciding| deciding.epoch() > 0).max_by_key(|deciding| deciding.epoch())
    }

    fn take_aim(&mut self) {
        let mut aims = std::mem::take(&mut self.aims);
        if let Some(deciding) = self.leader() {
            // Where nothing is suspect nobody is near a suspect, which takes long to find out.
            let quiet = !deciding.judgement().units.values().any(|judged| judged.suspect);
            for (aim, id) in aims.iter_mut().zip(&self.units) {
                let Some(unit) = deciding.policy().units().get(id) else { continue };
                let usual = quiet && unit.state == State::Healthy && deciding.policy().may_probe(id);
                let every_ms = if usual { None } else { Some(deciding.probe_every_ms(unit)) };
                aim.every_us = every_ms.map_or(SLOW_PROBES_US, |ms| u64::from(ms) * 1_000);
                aim.threshold_us = deciding.threshold_us(id);
            }
        }
        self.aims = aims;
    }
}
