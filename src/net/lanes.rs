//! No lane takes a place that is kept for those above it, however many calls come: a call that finds no place
//! is refused at once, and has taken nothing from anybody.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::domain::lane::{Lane, Shares};

/// Places for calls of every lane.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// For each lane the calls in it and in all below.
    taken: [AtomicUsize; Lane::ALL.len()],
    limits: [usize; Lane::ALL.len()],
}

impl Lanes {
    /// So many places, of which each lane has its share.
    pub(crate) fn new(places: usize, shares: Shares) -> Self {
        Self { taken: Default::default(), limits: shares.limits(places) }
    }

    /// Takes a place; `false` if the lane, or one above that it counts in, has all it may have.
    /// [`Lanes::leave`] must follow.
    ///
    /// The own lane is looked at first: a flood of reports is turned back there, where no other lane looks.
    pub(crate) fn enter(&self, lane: Lane) -> bool {
        let own = lane as usize;
        for level in (0..=own).rev() {
            if self.taken[level].fetch_add(1, Relaxed) >= self.limits[level] {
                self.take_back(level..=own);
                return false;
            }
        }
        true
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, lane: Lane) {
        self.take_back(0..=lane as usize);
    }

    fn take_back(&self, levels: std::ops::RangeInclusive<usize>) {
        self.taken[levels].iter().for_each(|taken| {
            taken.fetch_sub(1, Relaxed);
        });
    }

    /// How many calls of this lane and of those below there may be.
    pub(crate) fn max(&self, lane: Lane) -> usize {
        self.limits[lane as usize]
    }

    /// How many calls of this lane there are.
    pub(crate) fn in_use(&self, lane: Lane) -> usize {
        let own = lane as usize;
        let below = self.taken.get(own + 1).map_or(0, |taken| taken.load(Relaxed));
        self.taken[own].load(Relaxed).saturating_sub(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    /// Takes places of a lane until there is none, and returns how many there were.
    fn flood(lanes: &Lanes, lane: Lane) -> usize {
        std::iter::repeat_with(|| lanes.enter(lane)).take_while(|entered| *entered).count()
    }

    #[test]
    fn every_method_has_a_lane_or_is_one_of_the_pools() {
        let mut seen = 0;
        for path in wire::paths() {
            let of_pool = path.starts_with("/todoke.v1.PoolService/");
            assert_eq!(Lane::listed(path).is_none(), of_pool, "{path}: give it a lane in domain/lane.rs");
            assert_eq!(Lane::of_path(path), Lane::listed(path), "{path}");
            seen += 1;
        }
        assert!(seen > 50, "the methods are being read");
    }

    #[test]
    fn a_flood_of_a_lane_leaves_all_those_above_what_is_kept_for_them() {
        for (at, flooded) in Lane::ALL.into_iter().enumerate() {
            let lanes = Lanes::new(100, Shares::OF_ALL);
            assert_eq!(flood(&lanes, flooded), [100, 75, 50, 35, 10][at], "its own and those below");
            for above in Lane::ALL[..at].iter().rev() {
                let share = [25, 25, 15, 25][*above as usize];
                assert_eq!(flood(&lanes, *above), share, "{above:?} beside {flooded:?}");
            }
        }
    }

    #[test]
    fn whoever_is_lower_has_nothing_while_those_above_have_all() {
        let lanes = Lanes::new(100, Shares::OF_ALL);
        assert_eq!(flood(&lanes, Lane::CounterActivation), 100, "nobody else is there");
        for lane in Lane::ALL {
            assert!(!lanes.enter(lane), "{lane:?}");
        }
        lanes.leave(Lane::CounterActivation);
        assert!(lanes.enter(Lane::Reports), "a free place is anybody's within his share");
        assert!(!lanes.enter(Lane::Reports));
        lanes.leave(Lane::Reports);
        assert!(lanes.enter(Lane::CounterActivation), "and comes back");
    }

    #[test]
    fn what_was_refused_has_taken_nothing() {
        let lanes = Lanes::new(100, Shares::OF_ALL);
        assert_eq!(flood(&lanes, Lane::Reports), 10);
        assert!((0..1_000).all(|_| !lanes.enter(Lane::Reports)));
        assert_eq!(Lane::ALL.map(|lane| lanes.in_use(lane)), [0, 0, 0, 0, 10]);
        assert_eq!(flood(&lanes, Lane::Import), 25, "reports have theirs");
        assert_eq!(flood(&lanes, Lane::CounterActivation), 65);
        (0..10).for_each(|_| lanes.leave(Lane::Reports));
        assert_eq!(Lane::ALL.map(|lane| lanes.in_use(lane)), [65, 0, 0, 25, 0]);
        assert_eq!(flood(&lanes, Lane::CounterLookUp), 10, "what others left");
    }
}
