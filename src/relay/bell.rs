//! Every call of a shard can be woken at once, so that the end of a drain is answered and not just cut.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Waker,
};

/// The wakers of all calls in flight. Only one thread uses it, so that its lock is free.
#[derive(Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; give it back with [`Bell::leave`].
    pub(super) fn sit(&self, waker: &Waker) -> usize {
        let mut seats = self.lock();
        match seats.free.pop() {
            Some(seat) => {
                seats.wakers[seat] = Some(waker.clone());
                seat
            }
            None => {
                seats.wakers.push(Some(waker.clone()));
                seats.wakers.len() - 1
            }
        }
    }

    /// Gives a seat back.
    pub(super) fn leave(&self, seat: usize) {
        let mut seats = self.lock();
        seats.wakers[seat] = None;
        seats.free.push(seat);
    }

    /// Whether it was rung.
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Relaxed)
    }

    /// Wakes every call; each sees that the bell was rung and ends.
    pub(super) fn ring(&self) {
        self.rung.store(true, Relaxed);
        let wakers: Vec<Waker> = self.lock().wakers.iter().flatten().cloned().collect();
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

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
        let first = bell.sit(&waker);
        let second = bell.sit(&waker);
        bell.leave(first);
        assert_eq!(bell.sit(&waker), first);
        bell.leave(second);
        assert!(!bell.is_rung());
        bell.ring();
        assert!(bell.is_rung());
        assert_eq!(count.0.load(Relaxed), 1);
    }
}
