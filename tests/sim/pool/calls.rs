//! Calls and probes on their way, in the order of time: what becomes of each is known when it begins, and is
//! counted when it happens.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    SECOND_US,
    client::{Chosen, Client},
    eyes::Fate,
    plan::Trouble,
    relay::Outcome,
    world::World,
};

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Somebody calls.
    Arrives,
    /// A call is tried again.
    Again { call: u64 },
    /// An attempt is older than its relay bears.
    Old { attempt: u64 },
    /// An attempt is older than its client is used to.
    Slow { attempt: u64 },
    /// An attempt is answered, or given up.
    Ends { attempt: u64 },
    /// An observer begins a probe of a unit.
    Probe { observer: usize, unit: usize },
    /// Its outcome is known.
    Probed { observer: usize, unit: usize, bad: bool, took_us: u64 },
}

/// A call.
struct Call {
    caller: usize,
    attempts: u32,
    avoid: Vec<usize>,
    out: Vec<u64>,
    /// The unit over which it failed last, until somebody was told of it.
    complaint: Option<usize>,
}

/// An attempt of a call.
struct Attempt {
    call: u64,
    chosen: Chosen,
    began_us: u64,
    /// When its client has its answer; `None`: it is given up before.
    answered: Option<bool>,
    counted: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Flights {
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    calls: BTreeMap<u64, Call>,
    attempts: BTreeMap<u64, Attempt>,
    /// Calls of callers that failed in the end, and all.
    pub(crate) failed: u64,
    pub(crate) all: u64,
}

impl Flights {
    /// Has this happen then.
    pub(crate) fn push(&mut self, at_us: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((at_us, self.number, event)));
    }

    /// What happens next, if that is before `end_us`.
    fn next(&mut self, end_us: u64) -> Option<(u64, Event)> {
        let Reverse((at_us, ..)) = self.queue.peek()?;
        if *at_us >= end_us {
            return None;
        }
        self.queue.pop().map(|Reverse((at_us, _, event))| (at_us, event))
    }
}

impl World {
    /// Everything that happens before `end_us`.
    pub(crate) fn play(&mut self, end_us: u64) {
        while let Some((now_us, event)) = self.flights.next(end_us) {
            match event {
                Event::Arrives => self.arrives(now_us),
                Event::Again { call } => self.try_once(call, now_us),
                Event::Old { attempt } => self.old(attempt),
                Event::Slow { attempt } => self.slow(attempt, now_us),
                Event::Ends { attempt } => self.ends(attempt, now_us),
                Event::Probe { observer, unit } => self.probe(observer, unit, now_us),
                Event::Probed { observer, unit, bad, took_us } => {
                    self.eyes(observer).count(unit, bad, took_us);
                }
            }
        }
    }

    fn arrives(&mut self, now_us: u64) {
        let wait_s = self.dice.exponential(1.0 / self.calls_per_s());
        self.flights.push(now_us + (wait_s * SECOND_US as f64) as u64 + 1, Event::Arrives);
        let caller = self.who_calls();
        self.clients[caller].earn();
        self.flights.all += 1;
        let call = self.flights.all;
        let begun = Call { caller, attempts: 0, avoid: Vec::new(), out: Vec::new(), complaint: None };
        self.flights.calls.insert(call, begun);
        self.try_once(call, now_us);
    }

    fn is_broken(&self, caller: usize) -> Option<Option<usize>> {
        self.active.iter().find_map(|trouble| match trouble {
            Trouble::Broken { caller: broken, pinned } if *broken == caller => Some(*pinned),
            _ => None,
        })
    }

    /// Makes one attempt of a call.
    fn try_once(&mut self, number: u64, now_us: u64) {
        let Some(call) = self.flights.calls.get_mut(&number) else { return };
        let caller = call.caller;
        let (avoid, complaint) = (std::mem::take(&mut call.avoid), call.complaint.take());
        let broken = self.is_broken(caller);
        let chosen = match broken {
            Some(Some(unit)) => Client::pinned(unit),
            _ => self.clients[caller].choose(&avoid, now_us),
        };
        let unit = chosen.unit;
        let (mut outcome, is_there) = self.meet(unit, true, now_us);
        if is_there && let (Some(about), true) = (complaint, self.clients[caller].is_ours()) {
            self.relays[unit].complaint(about, caller);
        }
        if broken.is_some() && is_there {
            outcome = Outcome { takes_us: Some(2_000), good: false, passed_on: true };
        }
        if let (true, Some(issuer)) = (outcome.passed_on && is_there, self.relays[unit].way) {
            self.issuers[issuer].passed_on[unit] += 1;
        }
        let (slow_us, given_up_us) = self.clients[caller].patience_us();
        let takes_us = outcome.takes_us.unwrap_or(u64::MAX);
        let ends_us = takes_us.min(given_up_us);
        self.flights.number += 1;
        let attempt = self.flights.number;
        let old_us = self.relays[unit].threshold_us;
        if is_there && old_us < ends_us {
            self.flights.push(now_us + old_us + 1, Event::Old { attempt });
        }
        if let Some(slow_us) = slow_us.filter(|slow| *slow < ends_us) {
            self.flights.push(now_us + slow_us, Event::Slow { attempt });
        }
        self.flights.push(now_us + ends_us, Event::Ends { attempt });
        let answered = (takes_us <= given_up_us).then_some(outcome.good);
        let counted = !is_there;
        let call = self.flights.calls.get_mut(&number).expect("it was there");
        (call.avoid, call.attempts) = (avoid, call.attempts + 1);
        call.out.push(attempt);
        let begun = Attempt { call: number, chosen, began_us: now_us, answered, counted };
        self.flights.attempts.insert(attempt, begun);
    }

    fn old(&mut self, number: u64) {
        let Some(attempt) = self.flights.attempts.get_mut(&number) else { return };
        if !std::mem::replace(&mut attempt.counted, true) {
            let caller = self.flights.calls[&attempt.call].caller;
            self.relays[attempt.chosen.unit].count(caller, true);
        }
    }

    /// Our own client sends it again over another relay, beside.
    fn slow(&mut self, number: u64, now_us: u64) {
        let Some(attempt) = self.flights.attempts.get(&number) else { return };
        let (call_number, unit) = (attempt.call, attempt.chosen.unit);
        let call = self.flights.calls.get_mut(&call_number).expect("its attempt is out");
        let client = &mut self.clients[call.caller];
        client.failed(&attempt.chosen, now_us);
        call.avoid.push(unit);
        let may = call.attempts < client.attempts_max() && call.out.len() < 2;
        if may && self.relays.len() > 1 && client.may_send_again(now_us) {
            call.complaint = Some(unit);
            self.try_once(call_number, now_us);
        }
    }

    fn ends(&mut self, number: u64, now_us: u64) {
        let Some(attempt) = self.flights.attempts.remove(&number) else { return };
        let took_us = now_us - attempt.began_us;
        let unit = attempt.chosen.unit;
        let call = self.flights.calls.get_mut(&attempt.call).expect("its attempt was out");
        call.out.retain(|out| *out != number);
        let caller = call.caller;
        if let Some(good) = attempt.answered {
            if !attempt.counted {
                self.relays[unit].count(caller, !good);
            }
            if good {
                self.relays[unit].answered(took_us);
                self.clients[caller].learn(&attempt.chosen, took_us, now_us);
                self.over(attempt.call, true);
                return;
            }
        }
        self.clients[caller].failed(&attempt.chosen, now_us);
        call.avoid.push(unit);
        call.complaint = Some(unit);
        let is_broken = self.is_broken(caller).is_some();
        let call = &self.flights.calls[&attempt.call];
        if !call.out.is_empty() {
            return;
        }
        let gone_on = attempt.answered.is_some() || self.clients[caller].is_ours();
        let may = gone_on && !is_broken && call.attempts < self.clients[caller].attempts_max();
        if may && self.clients[caller].may_send_again(now_us) {
            let wait = self.dice.from(1, 50_000);
            self.flights.push(now_us + wait, Event::Again { call: attempt.call });
        } else {
            self.over(attempt.call, is_broken);
        }
    }

    /// A call is over: what else of it is on its way is broken off, which says nothing.
    fn over(&mut self, number: u64, good: bool) {
        let Some(call) = self.flights.calls.remove(&number) else { return };
        for out in call.out {
            self.flights.attempts.remove(&out);
        }
        self.flights.failed += u64::from(!good);
    }

    fn probe(&mut self, observer: usize, unit: usize, now_us: u64) {
        let aim = self.aims[unit];
        let blind = self.active.iter().any(|trouble| match trouble {
            Trouble::Parted { observer: parted, unit: from } => (*parted, *from) == (observer, unit),
            _ => false,
        });
        let (outcome, _) = self.meet(unit, false, now_us);
        let share = self.active.iter().find_map(|trouble| match trouble {
            Trouble::Blind { observer: blind, share } if *blind == observer => Some(*share),
            Trouble::Starved { observer: starved } if *starved == observer => Some(0.5),
            _ => None,
        });
        let lost = blind || share.is_some_and(|share| self.dice.happens(share));
        let takes_us = outcome.takes_us.filter(|_| !lost);
        let fate = Fate::of(now_us, takes_us, outcome.good, aim);
        self.eyes(observer).begin(unit, now_us);
        let took_us = fate.known_us - now_us;
        self.flights.push(fate.known_us, Event::Probed { observer, unit, bad: fate.bad, took_us });
    }
}
