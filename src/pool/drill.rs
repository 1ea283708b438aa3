//! A fault that a unit plays on purpose, so that operators see what the pool does about it before that is
//! needed.

use std::{fmt, str::FromStr, time::Duration};

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Calls are never answered.
    Hang,
    /// So many of a hundred calls fail with UNAVAILABLE.
    Fail(u8),
    /// Every call waits so long first.
    Slow(Duration),
    /// All calls fail for so many seconds, then none for so many.
    Flap(u8, u8),
}

/// The text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be hang, fail:PERCENT (1 to 100), slow:MILLISECONDS (1 to 60000) or flap:BAD/GOOD seconds (1 to 60)"
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
}

impl Fault {
    /// What becomes of a call, so long after the drill began; `chance` is from 0 to 1, another for each call.
    #[must_use]
    pub fn play(self, since: Duration, chance: f64) -> Played {
        match self {
            Fault::Hang => Played::Hang,
            Fault::Fail(percent) if chance * 100.0 < f64::from(percent) => Played::Fail,
            Fault::Slow(wait) => Played::Wait(wait),
            Fault::Flap(bad, good) if since.as_secs() % u64::from(bad + good) < u64::from(bad) => {
                Played::Fail
            }
            Fault::Fail(_) | Fault::Flap(..) => Played::Nothing,
        }
    }
}

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let number =
            |text: &str, max: u32| text.parse::<u32>().ok().filter(|n| (1..=max).contains(n)).ok_or(NoFault);
        let small = |text: &str, max| Ok(u8::try_from(number(text, max)?).expect("it is below 256"));
        match text.split_once(':') {
            None if text == "hang" => Ok(Fault::Hang),
            Some(("fail", percent)) => Ok(Fault::Fail(small(percent, 100)?)),
            Some(("slow", ms)) => Ok(Fault::Slow(Duration::from_millis(number(ms, 60_000)?.into()))),
            Some(("flap", times)) => {
                let (bad, good) = times.split_once('/').ok_or(NoFault)?;
                Ok(Fault::Flap(small(bad, 60)?, small(good, 60)?))
            }
            _ => Err(NoFault),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Hang => f.write_str("hang"),
            Fault::Fail(percent) => write!(f, "fail:{percent}"),
            Fault::Slow(wait) => write!(f, "slow:{}", wait.as_millis()),
            Fault::Flap(bad, good) => write!(f, "flap:{bad}/{good}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_its_text_and_nothing_else_is_one() {
        for text in ["hang", "fail:1", "fail:100", "slow:60000", "flap:2/3", "flap:60/60"] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "hang:1", "fail", "fail:0", "fail:101", "slow:60001", "flap:2", "flap:0/1", "flap:61/1"]
        {
            assert_eq!(text.parse::<Fault>(), Err(NoFault), "{text}");
        }
    }

    #[test]
    fn as_many_calls_fail_as_was_said_and_a_flap_comes_and_goes() {
        let fails =
            |fault: Fault, since, chance| fault.play(Duration::from_secs(since), chance) == Played::Fail;
        assert!(fails(Fault::Fail(30), 0, 0.299) && !fails(Fault::Fail(30), 0, 0.3));
        let flap = (0..7).map(|second| fails(Fault::Flap(2, 3), second, 0.9)).collect::<Vec<_>>();
        assert_eq!(flap, [true, true, false, false, false, true, true]);
    }
}
