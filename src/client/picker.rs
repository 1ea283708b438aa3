//! Which relay a call goes over: the less loaded of two random ones that take part, by their share in the
//! pool's view. A relay that hangs fills up and is left alone; one that fails counts as slow for a while, so
//! that quick failures attract nothing.
//!
//! Source: M. Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};

use super::retry::Dice;
use crate::net::penalty::{FAILURE, Penalty};

/// The share of a relay that is to be used like any other, in per cent.
pub const WHOLE: u8 = 100;
/// Draws of which a relay takes part in some.
const DRAWS: usize = 10_000;
/// Stands in place of a share for [`Use::Gone`].
const GONE: u8 = u8::MAX;

/// What a relay is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// This share of what a whole relay gets, in per cent; with 0 it is tried only when every relay that has
    /// a share has just failed.
    Share(u8),
    /// Nothing: it is no relay of the pool any more.
    Gone,
}

#[derive(Debug)]
struct Standing {
    name: String,
    in_flight: AtomicU32,
    penalty: Mutex<Penalty>,
    /// Whether it said what turned out to be untrue.
    lied: AtomicBool,
    /// Per cent, or [`GONE`].
    share: AtomicU8,
}

/// Whether anything was ever sent, and who waits for that.
#[derive(Debug, Default)]
struct First {
    was: AtomicBool,
    told: Notify,
}

/// Chooses among relays by what this client itself has seen of them, and by what the view says of them.
#[derive(Debug, Clone)]
pub struct Picker {
    /// Only ever added to, so that a relay keeps its index.
    relays: Arc<ArcSwap<Vec<Arc<Standing>>>>,
    dice: Arc<Mutex<Dice>>,
    failures: Arc<Notify>,
    first: Arc<First>,
}

/// A relay in use; it counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Picked {
    relay: Arc<Standing>,
    index: usize,
    failures: Arc<Notify>,
}

impl Picker {
    /// Returns a picker over the relays of these names, which must not be empty.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>, seed: u64, now: Instant) -> Self {
        let relays = names.into_iter().map(|name| Arc::new(Standing::new(name, WHOLE, now))).collect();
        Self {
            relays: Arc::new(ArcSwap::from_pointee(relays)),
            dice: Arc::new(Mutex::new(Dice::new(seed))),
            failures: Arc::default(),
            first: Arc::default(),
        }
    }

    /// Picks a relay that is not in `avoid` and has not lied, as far as there is one. One with a part of a
    /// share, or that failed lately, takes part in as large a part of all draws.
    #[must_use]
    pub fn pick(&self, avoid: &[usize], now: Instant) -> Picked {
        if !self.first.was.swap(true, Ordering::Relaxed) {
            self.first.told.notify_one();
        }
        let relays = self.relays.load();
        let mut choice = candidates(&relays, now);
        if choice.iter().any(|index| !avoid.contains(index)) {
            choice.retain(|index| !avoid.contains(index));
        }
        let mut dice = locked(&self.dice);
        // Where all that have a share have just failed, the least loaded is taken, with one or without.
        let is_last_resort = choice.iter().any(|index| relays[*index].draws(now) == 0);
        let takes_part = |index: &usize| !is_last_resort && dice.below(DRAWS) < relays[*index].draws(now);
        let drawn: Vec<usize> = choice.iter().copied().filter(takes_part).collect();
        let mut choice = if drawn.is_empty() { choice } else { drawn };
        let first = choice.swap_remove(dice.below(choice.len()));
        let index = if choice.is_empty() {
            first
        } else {
            let second = choice[dice.below(choice.len())];
            if relays[second].load(now) < relays[first].load(now) { second } else { first }
        };
        let relay = Arc::clone(&relays[index]);
        relay.in_flight.fetch_add(1, Ordering::Relaxed);
        Picked { relay, index, failures: Arc::clone(&self.failures) }
    }

    /// How many relays there are to choose from now.
    #[must_use]
    pub fn relay_count(&self) -> usize {
        candidates(&self.relays.load(), Instant::now()).len()
    }

    /// How many of them are to be used like any other; at least 1.
    #[must_use]
    pub fn whole_count(&self) -> usize {
        let relays = self.relays.load();
        let choice = candidates(&relays, Instant::now());
        choice.iter().filter(|index| relays[**index].share.load(Ordering::Relaxed) == WHOLE).count().max(1)
    }

    /// How many relays there ever were.
    #[must_use]
    pub fn all_count(&self) -> usize {
        self.relays.load().len()
    }

    /// Takes nothing over this relay any more while there is another: it said what was not true.
    pub fn distrust(&self, index: usize) {
        let relays = self.relays.load();
        let Some(relay) = relays.get(index) else { return };
        relay.lied.store(true, Ordering::Relaxed);
        tracing::warn!(relay = relay.name, "{} said what the issuer did not: it is left alone", relay.name);
    }

    /// Uses a relay for this from now on; what is in flight over it goes on.
    pub fn regard(&self, index: usize, usage: Use) {
        let share = match usage {
            Use::Share(share) => share.min(WHOLE),
            Use::Gone => GONE,
        };
        if let Some(relay) = self.relays.load().get(index) {
            relay.share.store(share, Ordering::Relaxed);
        }
    }

    /// Adds a relay, which is used for nothing yet, and returns its index.
    pub(super) fn add(&self, name: String, now: Instant) -> usize {
        let relay = Arc::new(Standing::new(name, GONE, now));
        let before = self.relays.rcu(|relays| {
            let mut relays = Vec::clone(relays);
            relays.push(Arc::clone(&relay));
            relays
        });
        before.len()
    }

    /// Waits until a relay is picked for the first time. One waits at a time.
    pub(super) async fn first_use(&self) {
        self.first.told.notified().await;
    }

    /// Whether a relay was ever picked.
    pub(super) fn was_used(&self) -> bool {
        self.first.was.load(Ordering::Relaxed)
    }

    /// Waits until a call over any relay fails.
    pub(super) async fn failure(&self) {
        self.failures.notified().await;
    }
}

/// The relays that have a share and have not lied; with those that have none if all of these have just
/// failed, since a view may be old; and liars only if there is nobody else.
fn candidates(relays: &[Arc<Standing>], now: Instant) -> Vec<usize> {
    let of = |wanted: &dyn Fn(&Standing) -> bool| -> Vec<usize> {
        (0..relays.len()).filter(|index| wanted(&relays[*index])).collect()
    };
    let honest = |relay: &Standing| !relay.lied.load(Ordering::Relaxed);
    let share = |relay: &Standing| relay.share.load(Ordering::Relaxed);
    let usable = |relay: &Standing| share(relay) != 0 && share(relay) != GONE;
    let choice = of(&|relay| honest(relay) && usable(relay));
    let failed = |index: &usize| locked(&relays[*index].penalty).left(now) >= FAILURE / 2.0;
    if choice.iter().any(|index| !failed(index)) {
        return choice;
    }
    let mut choice = of(&|relay| honest(relay) && share(relay) != GONE);
    if choice.is_empty() {
        choice = of(&|relay| share(relay) != GONE);
    }
    if choice.is_empty() { of(&|_| true) } else { choice }
}

impl Standing {
    fn new(name: String, share: u8, now: Instant) -> Self {
        Self {
            name,
            in_flight: AtomicU32::new(0),
            penalty: Mutex::new(Penalty::new(now)),
            lied: AtomicBool::new(false),
            share: AtomicU8::new(share),
        }
    }

    fn load(&self, now: Instant) -> f64 {
        // Not to be used weighs like a failure, so that one failure of the others is no reason to try it.
        let unused = if self.share.load(Ordering::Relaxed) == 0 { FAILURE } else { 0.0 };
        f64::from(self.in_flight.load(Ordering::Relaxed)) + locked(&self.penalty).left(now) + unused
    }

    /// Of [`DRAWS`], those that it takes part in, by its share and by what this client has seen of it; none
    /// without a share.
    fn draws(&self, now: Instant) -> usize {
        let share = match self.share.load(Ordering::Relaxed) {
            GONE => 0.0,
            share => f64::from(share.min(WHOLE)) / f64::from(WHOLE),
        };
        (DRAWS as f64 * share * locked(&self.penalty).trust(now)).ceil() as usize
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
        &self.relay.name
    }

    /// Remembers against the relay that it failed or did not answer.
    pub fn failed(&self, now: Instant) {
        locked(&self.relay.penalty).failed(now);
        self.failures.notify_one();
    }

    /// Remembers for the relay that it answered.
    pub fn answered(&self, now: Instant) {
        locked(&self.relay.penalty).answered(now);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.relay.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

// A panic elsewhere leaves plain numbers behind, which are good enough to go on with.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
