//! Which relay a call goes over: the less loaded of two random ones that take part, by their share in the
//! pool's view. A relay that hangs fills up and is left alone; one that fails counts as slow for a while, so
//! that quick failures attract nothing.
//!
//! Source: M. Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};

use super::retry::Dice;

/// A penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// What one failure weighs, in calls in flight.
const FAILURE: f64 = 8.0;
/// What is left of a penalty below this is forgotten.
const FORGOTTEN: f64 = 0.1;
/// The most that failures can weigh together.
const PENALTY_MAX: f64 = 64.0;
/// The share of a relay that is to be used like any other, in per cent.
pub const WHOLE: u8 = 100;
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
    penalty: Mutex<(f64, Instant)>,
    /// Whether it said what turned out to be untrue.
    lied: AtomicBool,
    /// Per cent, or [`GONE`].
    share: AtomicU8,
}

/// Chooses among relays by what this client itself has seen of them, and by what the view says of them.
#[derive(Debug, Clone)]
pub struct Picker {
    /// Only ever added to, so that a relay keeps its index.
    relays: Arc<ArcSwap<Vec<Arc<Standing>>>>,
    dice: Arc<Mutex<Dice>>,
    failures: Arc<Notify>,
    /// Whether anything was ever sent, and who waits for that.
    first: Arc<(AtomicBool, Notify)>,
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
    /// share takes part in so many draws of a hundred.
    #[must_use]
    pub fn pick(&self, avoid: &[usize], now: Instant) -> Picked {
        if !self.first.0.swap(true, Ordering::Relaxed) {
            self.first.1.notify_one();
        }
        let relays = self.relays.load();
        let mut choice = candidates(&relays, now);
        if choice.iter().any(|index| !avoid.contains(index)) {
            choice.retain(|index| !avoid.contains(index));
        }
        let mut dice = locked(&self.dice);
        let takes_part = |index: &usize| dice.below(WHOLE.into()) < relays[*index].share().into();
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
        choice.iter().filter(|index| relays[**index].share() == WHOLE).count().max(1)
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
        self.first.1.notified().await;
    }

    /// Whether a relay was ever picked.
    pub(super) fn was_used(&self) -> bool {
        self.first.0.load(Ordering::Relaxed)
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
    let failed = |index: &usize| decayed(*locked(&relays[*index].penalty), now) >= FAILURE / 2.0;
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
            penalty: Mutex::new((0.0, now)),
            lied: AtomicBool::new(false),
            share: AtomicU8::new(share),
        }
    }

    fn load(&self, now: Instant) -> f64 {
        // Not to be used weighs like a failure, so that one failure of the others is no reason to try it.
        let unused = if self.share.load(Ordering::Relaxed) == 0 { FAILURE } else { 0.0 };
        f64::from(self.in_flight.load(Ordering::Relaxed)) + decayed(*locked(&self.penalty), now) + unused
    }

    /// In per cent; who is tried without a share is tried like any other.
    fn share(&self) -> u8 {
        let share = self.share.load(Ordering::Relaxed);
        if (1..=WHOLE).contains(&share) { share } else { WHOLE }
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
        let mut penalty = locked(&self.relay.penalty);
        *penalty = ((decayed(*penalty, now) + FAILURE).min(PENALTY_MAX), now);
        self.failures.notify_one();
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.relay.in_flight.fetch_sub(1, Ordering::Relaxed);
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
    use std::collections::BTreeSet;

    use super::*;

    fn four(now: Instant) -> Picker {
        Picker::new((1..=4).map(|n| format!("relay-{n}")), 42, now)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_use_is_waited_for_and_may_have_been_before() {
        let picker = Picker::new(["a".to_owned()], 7, Instant::now());
        let waited = tokio::time::timeout(Duration::from_secs(9), picker.first_use()).await;
        assert!(waited.is_err(), "nothing was picked");
        drop(picker.pick(&[], Instant::now()));
        drop(picker.pick(&[], Instant::now()));
        picker.first_use().await;
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
        assert!(picker.relays.load().iter().all(|relay| relay.in_flight.load(Ordering::Relaxed) == 0));
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
    fn a_relay_gets_its_share_of_calls_also_while_the_others_are_busy() {
        let now = Instant::now();
        for count in [2, 4] {
            let picker = Picker::new((1..=count).map(|n| format!("relay-{n}")), 42, now);
            picker.regard(1, Use::Share(5));
            assert_eq!((picker.relay_count(), picker.whole_count()), (count, count - 1));
            let busy: Vec<Picked> = (0..20).map(|_| picker.pick(&[1], now)).collect();
            let calls = (0..10_000).filter(|_| picker.pick(&[], now).index() == 1).count();
            // Of two it is the less loaded one each time that it takes part; of four half of the times.
            let expected = [500, 250][usize::from(count == 4)];
            assert!(calls.abs_diff(expected) < expected / 4, "{calls} of 10,000 calls to one of {count}");
            drop(busy);
        }
    }

    #[test]
    fn a_relay_without_share_is_tried_only_when_all_others_have_just_failed_and_one_that_is_gone_never() {
        let now = Instant::now();
        let picker = four(now);
        picker.regard(0, Use::Share(0));
        picker.regard(1, Use::Gone);
        let seen = |avoid: &[usize], now| -> BTreeSet<usize> {
            (0..200).map(|_| picker.pick(avoid, now).index()).collect()
        };
        assert_eq!((seen(&[], now), picker.relay_count()), (BTreeSet::from([2, 3]), 2));
        assert_eq!(seen(&[2, 3], now), BTreeSet::from([2, 3]), "rather one to avoid");
        picker.pick(&[3], now).failed(now);
        assert_eq!(seen(&[], now), BTreeSet::from([3]));
        picker.pick(&[2], now).failed(now);
        assert_eq!(seen(&[], now + HALF_LIFE / 5), BTreeSet::from([2, 3]), "rather one that failed once");
        (2..4).for_each(|index| picker.pick(&[0, 1, 5 - index], now).failed(now));
        assert!(seen(&[], now).contains(&0), "a view may be old");
        assert_eq!(seen(&[2, 3], now), BTreeSet::from([0]));
        let later = now + Duration::from_secs(60);
        assert_eq!(seen(&[], later), BTreeSet::from([2, 3]), "what they did is forgotten");
    }

    #[test]
    fn a_relay_that_is_added_is_used_once_it_has_a_share() {
        let now = Instant::now();
        let picker = four(now);
        assert_eq!(picker.add("relay-5".to_owned(), now), 4);
        assert!((0..200).all(|_| picker.pick(&[], now).index() < 4));
        picker.regard(4, Use::Share(WHOLE));
        assert!((0..200).any(|_| picker.pick(&[], now).name() == "relay-5"));
        assert_eq!((picker.relay_count(), picker.all_count()), (5, 5));
    }

    #[test]
    fn avoided_relays_are_taken_only_when_there_is_no_other() {
        let now = Instant::now();
        let picker = four(now);
        assert!((0..50).all(|_| picker.pick(&[0, 1, 3], now).index() == 2));
        assert!(picker.pick(&[0, 1, 2, 3], now).index() < 4);
    }
}
