//! Which relay a call goes over: the less loaded of two random ones. A relay that hangs fills up and is left
//! alone; one that fails counts as slow for a while, so that quick failures attract nothing.
//!
//! Source: M. Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::retry::Dice;

/// A penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// What one failure weighs, in calls in flight.
const FAILURE: f64 = 8.0;
/// What is left of a penalty below this is forgotten.
const FORGOTTEN: f64 = 0.1;
/// The most that failures can weigh together.
const PENALTY_MAX: f64 = 64.0;

#[derive(Debug)]
struct Standing {
    name: String,
    in_flight: AtomicU32,
    penalty: Mutex<(f64, Instant)>,
    /// Whether it said what turned out to be untrue.
    lied: AtomicBool,
}

/// Chooses among relays by what this client itself has seen of them.
#[derive(Debug, Clone)]
pub struct Picker {
    relays: Arc<Vec<Standing>>,
    dice: Arc<Mutex<Dice>>,
}

/// A relay in use; it counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Picked {
    relays: Arc<Vec<Standing>>,
    index: usize,
}

impl Picker {
    /// Returns a picker over the relays of these names, which must not be empty.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>, seed: u64, now: Instant) -> Self {
        let relays = names
            .into_iter()
            .map(|name| Standing {
                name,
                in_flight: AtomicU32::new(0),
                penalty: Mutex::new((0.0, now)),
                lied: AtomicBool::new(false),
            })
            .collect();
        Self { relays: Arc::new(relays), dice: Arc::new(Mutex::new(Dice::new(seed))) }
    }

    /// Picks a relay that is not in `avoid` and has not lied, as far as there is one.
    #[must_use]
    pub fn pick(&self, avoid: &[usize], now: Instant) -> Picked {
        let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..self.relays.len()).filter(|index| wanted(*index)).collect()
        };
        let honest = |index: usize| !self.relays[index].lied.load(Ordering::Relaxed);
        let mut choice = of(&|index| honest(index) && !avoid.contains(&index));
        if choice.is_empty() {
            choice = of(&honest);
        }
        if choice.is_empty() {
            choice = of(&|index| !avoid.contains(&index));
        }
        if choice.is_empty() {
            choice = of(&|_| true);
        }
        let mut dice = locked(&self.dice);
        let first = choice.swap_remove(dice.below(choice.len()));
        let index = if choice.is_empty() {
            first
        } else {
            let second = choice[dice.below(choice.len())];
            if self.relays[second].load(now) < self.relays[first].load(now) { second } else { first }
        };
        self.relays[index].in_flight.fetch_add(1, Ordering::Relaxed);
        Picked { relays: self.relays.clone(), index }
    }

    /// How many relays there are to choose from: those that have not lied, or all of them.
    #[must_use]
    pub fn relay_count(&self) -> usize {
        let honest = self.relays.iter().filter(|relay| !relay.lied.load(Ordering::Relaxed)).count();
        if honest == 0 { self.relays.len() } else { honest }
    }

    /// How many relays there are.
    #[must_use]
    pub fn all_count(&self) -> usize {
        self.relays.len()
    }

    /// Takes nothing over this relay any more while there is another: it said what was not true.
    pub fn distrust(&self, index: usize) {
        let Some(relay) = self.relays.get(index) else { return };
        relay.lied.store(true, Ordering::Relaxed);
        tracing::warn!(relay = relay.name, "{} said what the issuer did not: it is left alone", relay.name);
    }
}

impl Standing {
    fn load(&self, now: Instant) -> f64 {
        f64::from(self.in_flight.load(Ordering::Relaxed)) + decayed(*locked(&self.penalty), now)
    }
}

impl Picked {
    /// Its place in the list of relays.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.relays[self.index].name
    }

    /// Remembers against the relay that it failed or did not answer.
    pub fn failed(&self, now: Instant) {
        let mut penalty = locked(&self.relays[self.index].penalty);
        *penalty = ((decayed(*penalty, now) + FAILURE).min(PENALTY_MAX), now);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.relays[self.index].in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn decayed((penalty, since): (f64, Instant), now: Instant) -> f64 {
    let half_lives = now.saturating_duration_since(since).as_secs_f64() / HALF_LIFE.as_secs_f64();
    let left = penalty * 0.5f64.powf(half_lives);
    // Forgotten at last: otherwise it would lose every tie for ever.
    if left < FORGOTTEN { 0.0 } else { left }
}

// A panic elsewhere leaves plain numbers behind, which are good enough to go on with.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(now: Instant) -> Picker {
        Picker::new((1..=4).map(|n| format!("relay-{n}")), 42, now)
    }

    #[test]
    fn calls_spread_over_all_relays() {
        let now = Instant::now();
        let picker = four(now);
        let held: Vec<Picked> = (0..100).map(|_| picker.pick(&[], now)).collect();
        for relay in 0..4 {
            let share = held.iter().filter(|picked| picked.index() == relay).count();
            assert!((15..=35).contains(&share), "relay {relay} has {share} of 100");
        }
        drop(held);
        assert!(picker.relays.iter().all(|relay| relay.in_flight.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_hanging_relay_is_left_alone_after_a_handful_of_calls() {
        let now = Instant::now();
        let picker = four(now);
        let mut hanging = Vec::new();
        for _ in 0..400 {
            let picked = picker.pick(&[], now);
            if picked.index() == 1 {
                hanging.push(picked); // never answered; the others answer at once
            }
        }
        assert!(hanging.len() <= 4, "{} of 400 calls hang", hanging.len());
    }

    #[test]
    fn a_failing_relay_attracts_nothing_until_its_penalty_is_gone() {
        let now = Instant::now();
        let picker = four(now);
        let failing = loop {
            let picked = picker.pick(&[], now);
            if picked.index() == 2 {
                break picked;
            }
        };
        failing.failed(now);
        drop(failing);
        assert!((0..200).all(|_| picker.pick(&[], now).index() != 2));
        let later = now + Duration::from_secs(600);
        let back = (0..400).filter(|_| picker.pick(&[], later).index() == 2).count();
        assert!(back > 0, "a penalty is not for ever");
    }

    #[test]
    fn a_relay_that_lied_is_taken_only_when_all_of_them_did() {
        let now = Instant::now();
        let picker = four(now);
        (0..3).for_each(|index| picker.distrust(index));
        assert_eq!(picker.relay_count(), 1);
        assert!((0..50).all(|_| picker.pick(&[3], now).index() == 3), "rather one to avoid than a liar");
        picker.distrust(3);
        assert_eq!(picker.relay_count(), 4);
        assert!((0..50).all(|_| picker.pick(&[3], now).index() != 3));
    }

    #[test]
    fn avoided_relays_are_taken_only_when_there_is_no_other() {
        let now = Instant::now();
        let picker = four(now);
        assert!((0..50).all(|_| picker.pick(&[0, 1, 3], now).index() == 2));
        assert!(picker.pick(&[0, 1, 2, 3], now).index() < 4);
    }
}
