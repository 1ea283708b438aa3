//! A call that met a limit is told which one and how long to wait, and is counted under it.

use std::time::Duration;

use crate::{
    domain::lane::Lane,
    wire::fault::{Fault, Reason},
};

/// The key under which a fault names its limit.
const KEY: &str = "limit";
/// And the one under which it names the lane that is full.
const LANE: &str = "lane";

/// Which limit a call met; also the label of its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    CallerCalls,
    CallerRate,
    CallerResets,
    CallerConnections,
    CallerLane,
    Lane,
    AllCalls,
    UpstreamCalls,
}

impl Limit {
    pub(super) const ALL: [Limit; 8] = [
        Limit::CallerCalls,
        Limit::CallerRate,
        Limit::CallerResets,
        Limit::CallerConnections,
        Limit::CallerLane,
        Limit::Lane,
        Limit::AllCalls,
        Limit::UpstreamCalls,
    ];

    /// The limit that a fault is about, if it is about one.
    pub(super) fn of(fault: &Fault) -> Option<Self> {
        let name = fault.get(KEY)?;
        Self::ALL.into_iter().find(|limit| limit.as_str() == name)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Limit::CallerCalls => "caller_calls",
            Limit::CallerRate => "caller_rate",
            Limit::CallerResets => "caller_resets",
            Limit::CallerConnections => "caller_connections",
            Limit::CallerLane => "caller_lane",
            Limit::Lane => "lane",
            Limit::AllCalls => "all_calls",
            Limit::UpstreamCalls => "upstream_calls",
        }
    }

    /// Under which reason it is refused.
    pub(super) fn reason(self) -> Reason {
        match self {
            Limit::CallerCalls | Limit::CallerRate | Limit::CallerResets | Limit::CallerConnections => {
                Reason::TenantRateLimit
            }
            Limit::CallerLane => Reason::TerminalLimit,
            Limit::Lane | Limit::AllCalls | Limit::UpstreamCalls => Reason::LaneFull,
        }
    }
}

/// Why a call was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) limit: Limit,
    /// Of the call, if it stands in one.
    pub(super) lane: Option<Lane>,
    pub(super) max: u32,
    pub(super) wait: Duration,
}

impl Refusal {
    /// The fault that the caller sees.
    pub(super) fn fault(self) -> Fault {
        let Refusal { limit, lane, max, wait } = self;
        let name = lane.map_or("none", Lane::as_str);
        let words = match limit {
            Limit::CallerCalls => {
                format!("the caller has {max} calls in flight, its limit: wait and try again")
            }
            Limit::CallerRate => {
                format!("the caller starts more than {max} calls a second: wait and try again")
            }
            Limit::CallerResets => {
                format!("the caller breaks off more than {max} calls a second: wait and try again")
            }
            Limit::CallerConnections => {
                format!("the caller has {max} connections to this relay, its limit: use those")
            }
            Limit::CallerLane => {
                format!("the caller has {max} calls in lane {name} or below, its limit: wait until one ends")
            }
            Limit::Lane => {
                format!("the relay has {max} calls in lane {name} or below, its limit: wait and try again")
            }
            Limit::AllCalls => {
                format!("the relay has {max} calls in flight, its limit: wait and try again")
            }
            Limit::UpstreamCalls => {
                format!("all {max} places at the issuer stay taken: try again")
            }
        };
        // RetryInfo is read in milliseconds by some; never tell anybody to come back at once.
        let fault = Fault::new(limit.reason(), words).with(KEY, limit.as_str());
        let fault = match limit {
            Limit::CallerLane | Limit::Lane => fault.with(LANE, name),
            _ => fault,
        };
        fault.after(wait.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_which_limit_it_is_about() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
            let fault = Refusal { limit, lane: Some(Lane::Import), max: 5, wait: Duration::ZERO }.fault();
            assert_eq!(Limit::of(&fault), Some(limit));
            let of_lane = matches!(limit, Limit::CallerLane | Limit::Lane);
            assert_eq!(fault.get(LANE), of_lane.then_some("import"), "{fault:?}");
            assert!(fault.message.contains('5') && fault.retry_after.is_some(), "{fault:?}");
        }
        assert_eq!(Limit::of(&Fault::new(Reason::LaneFull, "of no limit of ours").with(KEY, "x")), None);
    }
}
