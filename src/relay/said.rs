//! What issuers said of a relay's right to serve, and what follows from all that they said.

use std::time::Duration;

use tokio::time::Instant;

use super::fence::Standing;
use crate::pool::notes::Lease;

/// For how long an issuer's order to stop holds after it was heard last, as long as a lease would: one that
/// is gone must not keep this relay out for ever.
const STOP_LIVES: Duration = Duration::from_secs(15);

/// What one issuer last said.
pub(super) enum Said {
    Nothing,
    /// It keeps no pool.
    NoPool,
    /// It gave this lease.
    Lease(Lease, Instant),
    /// It said that this relay is not to serve.
    Stop {
        why: String,
        heard: Instant,
        /// For how long calls that come all the same are to be taken.
        grace: Duration,
    },
}

/// Makes one standing of what all issuers said: an order to stop of any that was heard lately, with the least
/// grace that any of them gives, else the live lease of the latest epoch, else what there was.
pub(super) fn settle(said: &[&Said]) -> Option<Standing> {
    let now = Instant::now();
    let best = said.iter().filter_map(|said| match said {
        Said::Lease(lease, until) if *until > now => Some((lease.epoch, *until, lease.generation)),
        _ => None,
    });
    let stops = said.iter().filter_map(|said| match said {
        Said::Stop { why, heard, grace } if *heard + STOP_LIVES > now => Some((why, *grace)),
        _ => None,
    });
    let why = stops.clone().next().map(|(why, _)| why.clone());
    let grace = stops.map(|(_, grace)| grace).min().unwrap_or_default();
    match (why, best.max()) {
        (Some(why), _) => Some(Standing::Ordered { why, grace }),
        (None, Some((_, until, generation))) => Some(Standing::Leased { until, generation }),
        (None, None) => {
            let none = said.iter().all(|said| matches!(said, Said::NoPool));
            none.then_some(Standing::Unbound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(epoch: u64, generation: u64, seconds: u64) -> Said {
        let unit = "relay-1".parse().expect("a name");
        let lease = Lease { unit, generation, epoch, from_ms: 0, until_ms: 0 };
        Said::Lease(lease, Instant::now() + Duration::from_secs(seconds))
    }

    fn generation(said: &[Said]) -> Option<u64> {
        match settle(&Vec::from_iter(said))? {
            Standing::Leased { generation, .. } => Some(generation),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_to_stop_holds_for_as_long_as_a_lease_though_another_issuer_gives_one() {
        let stop = Said::Stop { why: "drained".to_owned(), heard: Instant::now(), grace: Duration::ZERO };
        let said = [stop, lease(3, 7, 60)];
        tokio::time::advance(STOP_LIVES - Duration::from_secs(1)).await;
        assert!(
            matches!(settle(&Vec::from_iter(&said)), Some(Standing::Ordered { why, .. }) if why == "drained")
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(generation(&said), Some(7), "who said it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn of_leases_that_of_the_latest_controller_counts_and_none_that_is_over() {
        assert_eq!(generation(&[lease(3, 7, 10), lease(4, 8, 5), Said::NoPool, Said::Nothing]), Some(8));
        let said = [lease(3, 7, 10), lease(4, 8, 5)];
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(generation(&said), Some(7));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(settle(&Vec::from_iter(&said)).is_none(), "it stays as it is, and ends by its own time");
    }

    #[tokio::test]
    async fn of_issuers_that_say_stop_the_least_grace_counts_and_none_that_is_over() {
        let stop = |why: &str, age_s, ms| {
            let heard = Instant::now() - Duration::from_secs(age_s);
            Said::Stop { why: why.to_owned(), heard, grace: Duration::from_millis(ms) }
        };
        let said = [stop("long ago", 15, 0), stop("drained", 1, 1_000), stop("sick", 0, 300)];
        let Some(Standing::Ordered { why, grace }) = settle(&Vec::from_iter(&said)) else {
            panic!("two say stop")
        };
        assert_eq!((why.as_str(), grace), ("drained", Duration::from_millis(300)));
    }

    #[test]
    fn only_where_no_issuer_keeps_a_pool_is_no_lease_needed() {
        assert!(matches!(settle(&[&Said::NoPool, &Said::NoPool]), Some(Standing::Unbound)));
        assert!(settle(&[&Said::NoPool, &Said::Nothing]).is_none());
    }
}
