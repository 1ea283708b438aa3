//! A fault that a unit plays on purpose, so that operators see what the pool does about it before that is
//! needed.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// The longest drill, in seconds.
pub const SECONDS_MAX: u64 = 600;

/// The longest wait, and the longest half of a flap.
const SPAN_MAX: Duration = Duration::from_secs(60);

/// A share of calls, from a millionth to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// All calls.
    pub const ALL: Self = Self(1_000_000);

    /// Whether it is hit by a chance from 0 to 1.
    fn is_hit(self, chance: f64) -> bool {
        chance < f64::from(self.0) / 1e6
    }
}

impl FromStr for Share {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let share: f64 = text.parse().ok().filter(|_| digits).ok_or(NoFault)?;
        let millionths = (share * 1e6).round();
        if !(1.0..=1e6).contains(&millionths) {
            return Err(NoFault);
        }
        Ok(Self(millionths as u32))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1e6)
    }
}

/// What is played. Displays as operators write it, such as `slow:2s:0.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// Calls are never answered.
    Hang,
    /// So many calls fail with UNAVAILABLE.
    Fail(Share),
    /// So many calls wait so long first.
    Slow(Duration, Share),
    /// No call fails for so long, then all do for so long.
    Flap {
        /// The good time.
        good: Duration,
        /// And the bad one.
        bad: Duration,
    },
    /// The process ends at once, once.
    Crash,
    /// Connections to issuers are dropped, and no call gets through; probes do not, either.
    DropUpstream,
}

/// The text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be hang, fail:SHARE, slow:TIME[:SHARE], flap:GOOD:BAD, crash or drop-upstream, with shares over 0 \
     to 1 and times of 1ms to 60s: fail:0.3, slow:2s:0.3, flap:3s:2s"
)]
pub struct NoFault;

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Played {
    /// Nothing.
    Nothing,
    /// It is never answered.
    Hang,
    /// It fails.
    Fail,
    /// It waits first.
    Wait(Duration),
    /// No issuer is reached.
    Dropped,
}

impl Fault {
    /// What becomes of a call, so long after the drill began; `chance` is from 0 to 1, another for each call.
    #[must_use]
    pub fn play(self, since: Duration, chance: f64) -> Played {
        match self {
            Fault::Hang => Played::Hang,
            Fault::Fail(share) if share.is_hit(chance) => Played::Fail,
            Fault::Slow(wait, share) if share.is_hit(chance) => Played::Wait(wait),
            Fault::Flap { good, bad } if since.as_millis() % (good + bad).as_millis() >= good.as_millis() => {
                Played::Fail
            }
            Fault::DropUpstream => Played::Dropped,
            Fault::Fail(_) | Fault::Slow(..) | Fault::Flap { .. } | Fault::Crash => Played::Nothing,
        }
    }
}

/// Reads `1500ms` or `2s`.
fn span(text: &str) -> Result<Duration, NoFault> {
    let (number, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s').ok_or(NoFault)?, Duration::from_secs),
    };
    let digits = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let span = number.parse().ok().filter(|_| digits).map(unit).ok_or(NoFault)?;
    if span.is_zero() || span > SPAN_MAX { Err(NoFault) } else { Ok(span) }
}

/// Writes it as [`span`] reads it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let mut parts = text.split(':');
        let fault = match (parts.next(), parts.next(), parts.next()) {
            (Some("hang"), None, None) => Fault::Hang,
            (Some("crash"), None, None) => Fault::Crash,
            (Some("drop-upstream"), None, None) => Fault::DropUpstream,
            (Some("fail"), Some(share), None) => Fault::Fail(share.parse()?),
            (Some("slow"), Some(wait), None) => Fault::Slow(span(wait)?, Share::ALL),
            (Some("slow"), Some(wait), Some(share)) => Fault::Slow(span(wait)?, share.parse()?),
            (Some("flap"), Some(good), Some(bad)) => Fault::Flap { good: span(good)?, bad: span(bad)? },
            _ => return Err(NoFault),
        };
        if parts.next().is_some() { Err(NoFault) } else { Ok(fault) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Hang => f.write_str("hang"),
            Fault::Crash => f.write_str("crash"),
            Fault::DropUpstream => f.write_str("drop-upstream"),
            Fault::Fail(share) => write!(f, "fail:{share}"),
            Fault::Slow(wait, Share::ALL) => write!(f, "slow:{}", Span(wait)),
            Fault::Slow(wait, share) => write!(f, "slow:{}:{share}", Span(wait)),
            Fault::Flap { good, bad } => write!(f, "flap:{}:{}", Span(good), Span(bad)),
        }
    }
}

impl TryFrom<String> for Fault {
    type Error = NoFault;

    fn try_from(text: String) -> Result<Self, NoFault> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_its_text_and_nothing_else_is_one() {
        for text in [
            "hang",
            "crash",
            "drop-upstream",
            "fail:0.3",
            "fail:1",
            "fail:0.000001",
            "slow:2s",
            "slow:2s:0.3",
            "slow:1500ms:0.05",
            "flap:3s:2s",
            "flap:60s:1ms",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        for (text, short) in [("slow:2000ms:1.0", "slow:2s"), ("fail:.30", "fail:0.3")] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(short.to_owned()));
        }
        for text in [
            "",
            "hang:1",
            "crash:1s",
            "fail",
            "fail:0",
            "fail:1.1",
            "fail:30",
            "fail:nan",
            "fail:-0.3",
            "fail:0.3:0.3",
            "slow:2",
            "slow:61s",
            "slow:0s",
            "slow:60001ms",
            "slow:2s:0",
            "slow:2s:0.3:1",
            "flap:3s",
            "flap:0s:1s",
            "flap:3/2",
            "flap:3s:2s:1s",
        ] {
            assert_eq!(text.parse::<Fault>(), Err(NoFault), "{text}");
        }
    }

    #[test]
    fn as_many_calls_suffer_as_was_said_and_a_flap_comes_and_goes() {
        let fault = |text: &str| text.parse::<Fault>().expect("a fault");
        let fails =
            |text: &str, ms, chance| fault(text).play(Duration::from_millis(ms), chance) == Played::Fail;
        assert!(fails("fail:0.3", 0, 0.299) && !fails("fail:0.3", 0, 0.3) && fails("fail:1", 0, 0.999_999));
        let slow = |chance| fault("slow:2s:0.3").play(Duration::ZERO, chance);
        assert_eq!([slow(0.299), slow(0.3)], [Played::Wait(Duration::from_secs(2)), Played::Nothing]);
        let flap = (0..7).map(|second| fails("flap:3s:2s", second * 1000, 0.9)).collect::<Vec<_>>();
        assert_eq!(flap, [false, false, false, true, true, false, false]);
        assert!(!fails("flap:3s:2s", 2_999, 0.9) && fails("flap:3s:2s", 4_999, 0.9), "to the millisecond");
    }
}
