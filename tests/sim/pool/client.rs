//! Callers: ours choose by the real picker and send again what is slow or failed; stock clients go round the
//! relays of the view and try again what was refused.

use std::{collections::VecDeque, time::Duration};

use todoke::{
    client::picker::{Picked, Picker, Use},
    pool::{ads, notes::Member},
};
use tokio::time::Instant;

use super::{SECOND_US, issuer::Published, relay::unit_id};
use crate::random::Random;

/// Of our own client: attempts of one call, and the limits of the age at which one is taken for slow.
const OWN_ATTEMPTS: u32 = 4;
const SLOW_US: (u64, u64) = (250_000, 10 * SECOND_US);
const UNKNOWN_US: u64 = 2 * SECOND_US;
/// Calls that it remembers, and how many it needs.
const REMEMBERED: (usize, usize) = (128, 8);
/// How often it asks for the view, and how soon after a failure.
const VIEW_US: (u64, u64) = (10 * SECOND_US, SECOND_US);
/// The tokens of its budget: how many, and what a call earns; one grows back each second.
const TOKENS: (f64, f64) = (10.0, 0.1);
/// Of a stock client.
const STOCK_ATTEMPTS: u32 = 3;
const STOCK_DEADLINE_US: u64 = 5 * SECOND_US;

/// A caller.
pub(crate) struct Client {
    number: usize,
    ours: Option<Ours>,
    /// The units of the view, and whose turn it is.
    round: Vec<usize>,
    turn: usize,
    version: (u64, u64),
    pub(crate) asks_us: u64,
}

/// What our own client knows.
struct Ours {
    picker: Picker,
    begun: Instant,
    latencies: VecDeque<u64>,
    usual_us: u64,
    tokens: f64,
    tokens_us: u64,
}

/// A relay that was chosen for an attempt.
pub(crate) struct Chosen {
    pub(crate) unit: usize,
    picked: Option<Picked>,
}

impl Client {
    pub(crate) fn new(number: usize, is_ours: bool, units: usize, dice: &mut Random) -> Self {
        let begun = Instant::now();
        let names = (0..units).map(|unit| unit_id(unit).as_str().to_owned());
        let ours = is_ours.then(|| Ours {
            picker: Picker::new(names, dice.next(), begun),
            begun,
            latencies: VecDeque::new(),
            usual_us: UNKNOWN_US,
            tokens: TOKENS.0,
            tokens_us: 0,
        });
        let turn = dice.from(0, units as u64) as usize;
        Self { number, ours, round: (0..units).collect(), turn, version: (0, 0), asks_us: 0 }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Goes by a view from now on, if it is a newer one.
    pub(crate) fn see(&mut self, view: &Published) {
        if (view.epoch, view.version) <= self.version {
            return;
        }
        self.version = (view.epoch, view.version);
        if let Some(ours) = &self.ours {
            for (unit, share) in view.shares.iter().enumerate() {
                ours.picker.regard(unit, Use::Share(*share));
            }
        }
        let node = format!("client-{}", self.number);
        let is_among = |unit: usize, share: u8| {
            let (id, address) = (unit_id(unit), String::new());
            ads::is_among(&Member { unit: id, address, share_percent: share, generation: 1 }, &node)
        };
        let usable: Vec<usize> = (0..view.shares.len()).filter(|unit| view.shares[*unit] > 0).collect();
        self.round = usable.iter().copied().filter(|unit| is_among(*unit, view.shares[*unit])).collect();
        if self.round.is_empty() {
            self.round = usable;
        }
    }

    /// When it asks for the view next; a stock client is told at once.
    pub(crate) fn asked(&mut self, now_us: u64, dice: &mut Random) {
        let wait = if self.ours.is_some() { VIEW_US.0 as f64 * (0.9 + 0.2 * dice.share()) } else { 0.0 };
        self.asks_us = now_us + wait as u64;
    }

    /// Chooses a relay that is not among these, if there is another.
    pub(crate) fn choose(&mut self, avoid: &[usize], now_us: u64) -> Chosen {
        if let Some(ours) = &self.ours {
            let picked = ours.picker.pick(avoid, ours.at(now_us));
            return Chosen { unit: picked.index(), picked: Some(picked) };
        }
        let mut unit = self.next();
        for _ in 0..self.round.len() {
            if !avoid.contains(&unit) {
                break;
            }
            unit = self.next();
        }
        Chosen { unit, picked: None }
    }

    fn next(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.round[self.turn % self.round.len()]
    }

    /// One that it was told to use, whatever it thinks.
    pub(crate) fn pinned(unit: usize) -> Chosen {
        Chosen { unit, picked: None }
    }

    /// A call begins.
    pub(crate) fn earn(&mut self) {
        if let Some(ours) = &mut self.ours {
            ours.tokens = (ours.tokens + TOKENS.1).min(TOKENS.0);
        }
    }

    /// Takes a token of the budget, if there is one.
    pub(crate) fn may_send_again(&mut self, now_us: u64) -> bool {
        let Some(ours) = &mut self.ours else { return true };
        let grown = (now_us - ours.tokens_us) as f64 / SECOND_US as f64;
        (ours.tokens, ours.tokens_us) = ((ours.tokens + grown).min(TOKENS.0), now_us);
        let may = ours.tokens >= 1.0;
        ours.tokens -= f64::from(u8::from(may));
        may
    }

    /// Attempts of one call.
    pub(crate) fn attempts_max(&self) -> u32 {
        if self.ours.is_some() { OWN_ATTEMPTS } else { STOCK_ATTEMPTS }
    }

    /// The age at which an attempt is sent again beside, if ever, and the one at which it is given up.
    pub(crate) fn patience_us(&self) -> (Option<u64>, u64) {
        match &self.ours {
            Some(ours) => (Some(ours.usual_us), 2 * ours.usual_us),
            None => (None, STOCK_DEADLINE_US),
        }
    }

    /// An attempt was answered.
    pub(crate) fn learn(&mut self, chosen: &Chosen, took_us: u64, now_us: u64) {
        let Some(ours) = &mut self.ours else { return };
        if let Some(picked) = &chosen.picked {
            picked.answered(ours.at(now_us));
        }
        if ours.latencies.len() == REMEMBERED.0 {
            ours.latencies.pop_front();
        }
        ours.latencies.push_back(took_us);
        if ours.latencies.len() >= REMEMBERED.1 {
            let mut sorted: Vec<u64> = ours.latencies.iter().copied().collect();
            sorted.sort_unstable();
            let p99 = sorted[(sorted.len() * 99).div_ceil(100) - 1];
            ours.usual_us = (2 * p99).clamp(SLOW_US.0, SLOW_US.1);
        }
    }

    /// An attempt failed, or is slow.
    pub(crate) fn failed(&mut self, chosen: &Chosen, now_us: u64) {
        let Some(ours) = &self.ours else { return };
        if let Some(picked) = &chosen.picked {
            picked.failed(ours.at(now_us));
        }
        self.asks_us = self.asks_us.min(now_us + VIEW_US.1);
    }
}

impl Ours {
    fn at(&self, now_us: u64) -> Instant {
        self.begun + Duration::from_micros(now_us)
    }
}
