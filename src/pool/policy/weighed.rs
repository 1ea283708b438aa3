//! The evidence of the second in which a unit was evicted is kept with that decision, in a bounded size: a
//! moment later nobody weighs any, and an operator who is called then must still see what it was.

use serde::{Deserialize, Serialize};

use super::decision::rounded;
use crate::{
    domain::municipality::MunicipalityCode,
    pool::{
        evidence::UnitId,
        judgement::{Bet, Judgement},
    },
};

/// Most bets that are kept: two for each of three classes on two scales are all that there are.
const BETS_MAX: usize = 12;
/// Most observers of a bet that are named as left out.
const LEFT_OUT_MAX: usize = 16;

/// The evidence against a unit in one second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// p0: how much worse than its peers a unit might be.
    pub p0: f64,
    /// A call older than this was bad, in microseconds.
    pub threshold_us: u64,
    /// The municipality whose calls were left out, here and on the peers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_out_caller: Option<MunicipalityCode>,
    /// The bets, their S, limits and d rounded to thousandths.
    pub bets: Vec<Bet>,
}

impl Weighed {
    /// What was weighed against a unit; `None` if nothing was.
    pub(super) fn of(judgement: &Judgement, unit: &UnitId) -> Option<Self> {
        let judged = judgement.units.get(unit).filter(|judged| !judged.bets.is_empty())?;
        let kept = |bet: &Bet| Bet {
            left_out: bet.left_out.iter().take(LEFT_OUT_MAX).cloned().collect(),
            s: rounded(bet.s),
            limit: rounded(bet.limit),
            d: rounded(bet.d),
            ..bet.clone()
        };
        Some(Self {
            p0: rounded(judgement.p0),
            threshold_us: judged.threshold_us,
            left_out_caller: judged.left_out_caller,
            bets: judged.bets.iter().take(BETS_MAX).map(kept).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{Pool, id},
        *,
    };
    use crate::pool::evidence::Observer;

    #[test]
    fn what_is_kept_is_bounded_and_the_same_when_it_was_written_and_read() {
        let mut judgement = Pool::of(3).judgement();
        let judged = judgement.units.get_mut(&id(2)).expect("it is judged");
        let observer = |n| Observer::try_from(format!("relay/relay-{n}")).expect("an observer");
        let left_out: Vec<Observer> = (0..100).map(observer).collect();
        let bet = Bet { left_out, s: 1.0 / 3.0, d: f64::NAN, ..judged.bets[0].clone() };
        judged.bets = vec![bet; 20];
        let kept = Weighed::of(&judgement, &id(2)).expect("there is something");
        assert_eq!((kept.bets.len(), kept.bets[0].left_out.len()), (BETS_MAX, LEFT_OUT_MAX));
        assert_eq!((kept.bets[0].s, kept.bets[0].d), (0.333, 1e9));
        let text = serde_json::to_string(&kept).expect("plain data");
        assert!(text.len() < 16 << 10, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<Weighed>(&text).expect("it is whole"), kept);
        assert_eq!(Weighed::of(&judgement, &id(9)), None);
    }
}
