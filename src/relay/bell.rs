//! Every call of a shard can be woken at once, so that the end of a drain is answered and not just cut, and
//! a call without an answer is noticed while it waits.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use super::open::Open;

/// The wakers of all calls in flight. Only one thread uses it but for who rings, so that its lock is free.
#[derive(Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    /// Calls that began before this, in ns since the relay started, are to end.
    cut_before_ns: AtomicU64,
    nudges: AtomicU32,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    taken: Vec<Option<(Waker, Arc<Open>)>>,
    free: Vec<usize>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; give it back with [`Bell::leave`].
    pub(super) fn sit(&self, waker: &Waker, open: &Arc<Open>) -> usize {
        let taken = Some((waker.clone(), Arc::clone(open)));
        let mut seats = self.lock();
        match seats.free.pop() {
            Some(seat) => {
                seats.taken[seat] = taken;
                seat
            }
            None => {
                seats.taken.push(taken);
                seats.taken.len() - 1
            }
        }
    }

    /// The calls that have one.
    pub(super) fn open(&self) -> Vec<Arc<Open>> {
        self.lock().taken.iter().flatten().map(|(_, open)| Arc::clone(open)).collect()
    }

    /// Gives a seat back.
    pub(super) fn leave(&self, seat: usize) {
        let mut seats = self.lock();
        seats.taken[seat] = None;
        seats.free.push(seat);
    }

    /// Whether it was rung for a call that began then.
    pub(super) fn is_rung(&self, began_ns: u64) -> bool {
        self.rung.load(Relaxed) || began_ns < self.cut_before_ns.load(Relaxed)
    }

    /// How often it was rung or nudged.
    pub(super) fn nudges(&self) -> u32 {
        self.nudges.load(Relaxed)
    }

    /// Wakes every call, to look how old it is.
    pub(super) fn nudge(&self) {
        self.nudges.fetch_add(1, Relaxed);
        let wakers: Vec<Waker> = self.lock().taken.iter().flatten().map(|(waker, _)| waker.clone()).collect();
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// Wakes every call; those that began before `ns` end.
    pub(super) fn cut(&self, ns: u64) {
        self.cut_before_ns.store(ns, Relaxed);
        self.nudge();
    }

    /// Wakes every call; each sees that the bell was rung and ends.
    pub(super) fn ring(&self) {
        self.rung.store(true, Relaxed);
        self.nudge();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::{super::open::Whose, *};
    use crate::domain::identity::Role;

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn whoever_sits_is_woken_and_seats_are_used_again() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let bell = Bell::default();
        let [one, two, three] = [1, 2, 3].map(|_| {
            let whose = Whose(Role::Municipality, "131229".parse().ok());
            Arc::new(Open::new(whose, None, tokio::time::Instant::now()))
        });
        let first = bell.sit(&waker, &one);
        let second = bell.sit(&waker, &two);
        bell.leave(first);
        assert_eq!(bell.sit(&waker, &three), first);
        bell.leave(second);
        let open = bell.open();
        assert!(open.len() == 1 && Arc::ptr_eq(&open[0], &three), "only who sits there is in flight");
        assert!(!bell.is_rung(0));
        bell.ring();
        assert!(bell.is_rung(u64::MAX));
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[test]
    fn a_cut_ends_what_began_before_it_and_nothing_later() {
        let bell = Bell::default();
        bell.cut(5);
        assert_eq!((bell.is_rung(4), bell.is_rung(5), bell.nudges()), (true, false, 1));
    }
}
