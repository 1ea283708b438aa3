//! The evidence in words: what is weighed now, and what was when a unit was evicted, by kind of call, span
//! and left-out observer.

use super::{
    Explanation, Told,
    words::{percent, time_of, verdict_words},
};
use crate::{
    domain::municipality::MunicipalityCode,
    pool::{
        evidence::{Class, Observer},
        judgement::{Bet, UnitJudgement},
        policy::{Rule, State},
    },
};

/// Two S of which people see no difference.
fn is_same(one: &Bet, other: &Bet) -> bool {
    (one.s - other.s).abs() < 0.05
}

/// Whether a bet is only there to show its neighbour's with nobody left out.
fn is_beside(bets: &[Bet], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bets.get(before));
    before.is_some_and(|before| (before.class, before.scale) == (bets[at].class, bets[at].scale))
}

/// The bet that decides: the one that is nearest to its limit, or farthest beyond.
pub(super) fn decisive(bets: &[Bet]) -> Option<&Bet> {
    let counts = bets.iter().enumerate().filter(|(at, _)| !is_beside(bets, *at));
    // Of equals the first: `max_by` alone would take the last.
    counts.rev().map(|(_, bet)| bet).max_by(|a, b| (a.s - a.limit).total_cmp(&(b.s - b.limit)))
}

/// The observers without whom the evidence is less: nobody, if that makes no difference.
pub(super) fn left_out(bets: &[Bet]) -> &[Observer] {
    let Some(least) = decisive(bets) else { return &[] };
    let at = bets.iter().position(|bet| std::ptr::eq(bet, least));
    let with_all = at.and_then(|at| bets.get(at + 1).filter(|_| is_beside(bets, at + 1)));
    if with_all.is_some_and(|all| !is_same(all, least)) { &least.left_out } else { &[] }
}

/// What a call had to be to count as bad, and whose calls did not count.
fn terms(p0: f64, threshold_us: u64, left_out_caller: Option<MunicipalityCode>) -> Vec<String> {
    let mut lines = vec![
        format!(
            "  It rises while the share of bad calls exceeds the others' by more than {} (p0), and falls \
             again when it does not.",
            percent(p0)
        ),
        format!(
            "  A call is bad if it failed for a reason that a relay can cause, or is older than {} ms.",
            threshold_us / 1_000
        ),
    ];
    if let Some(caller) = left_out_caller {
        lines.push(format!("  Calls of municipality {caller} are left out: one caller cannot evict."));
    }
    lines
}

/// The bets, and which of them decides.
fn table(bets: &[Bet]) -> Vec<String> {
    let mut lines = vec![
        "    CALLS    LAST (scale)  EVIDENCE (S)   LIMIT  BAD OF CALLS  OTHERS' BAD OF CALLS  WORSE BY (d)  \
         OBSERVERS LEFT OUT"
            .to_owned(),
    ];
    let mut decides = false;
    for (at, bet) in bets.iter().enumerate() {
        decides |= decisive(bets).is_some_and(|one| std::ptr::eq(one, bet));
        let beside = bets.get(at + 1).filter(|_| is_beside(bets, at + 1));
        // Where leaving somebody out changes nothing, what all have seen says more.
        if beside.is_none_or(|all| !is_same(all, bet)) {
            lines.push(row(bet, std::mem::take(&mut decides)));
        }
    }
    lines
}

fn row(bet: &Bet, decides: bool) -> String {
    let mark = if decides { '*' } else { ' ' };
    let class = match bet.class {
        Some(Class::Traffic) => "traffic",
        Some(Class::Probe) => "probe",
        None => "both",
    };
    let worse = if bet.played { percent(bet.d) } else { "too few".to_owned() };
    let left_out: Vec<String> = bet.left_out.iter().map(ToString::to_string).collect();
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
    format!(
        "  {mark} {class:7} {:>10} s {:>13.1} {:>7.1} {:>13} {:>21} {worse:>13}  {left_out}",
        bet.scale,
        bet.s,
        bet.limit,
        format!("{} of {}", bet.own.0, bet.own.1),
        format!("{} of {}", bet.peers.0, bet.peers.1)
    )
}

fn seconds_needed(judged: &UnitJudgement) -> String {
    match judged.seconds_to_sick {
        _ if judged.sick => "The limit is reached.".to_owned(),
        _ if judged.hearsay => {
            "The limit is reached by callers' complaints alone, which evict nobody: nothing \
                                else is worse than on its peers."
                .to_owned()
        }
        Some(seconds) => format!("At the present pace the limit is reached in {seconds} s."),
        None => "At the present pace the limit is never reached.".to_owned(),
    }
}

impl Explanation {
    pub(super) fn evidence(&self) -> Vec<String> {
        let Some(judged) = &self.evidence else { return self.no_evidence() };
        let (s, limit) = match self.decisive() {
            Some(bet) => (bet.s, bet.limit),
            None => (judged.s, judged.s - judged.beyond),
        };
        let (steer_at, back_below) = (self.limits.steer_at, self.limits.back_below);
        let mut lines = vec![
            format!(
                "Evidence against it (S): {s:.1}; new calls are steered away at {steer_at:.1}, come back \
                 below {back_below:.1}, and it is evicted at {limit:.1}"
            ),
            format!("  {} The line marked * decides.", seconds_needed(judged)),
        ];
        lines.extend(terms(self.limits.p0, judged.threshold_us, judged.left_out_caller));
        lines.extend(table(&judged.bets));
        lines
    }

    /// Of a unit that takes no calls: what it was evicted on, if that is why it takes none.
    fn no_evidence(&self) -> Vec<String> {
        let state = self.state;
        let mut lines =
            vec![format!("Evidence against it: none is weighed while it is {state}, without callers")];
        let is_out = !matches!(self.stands.state, State::Joining);
        if let Some(told) = self.evicted_by.as_ref().filter(|_| is_out) {
            lines.extend(evicted_by(told));
        }
        lines
    }
}

/// The decision that evicted it, with its verdict, and the evidence of that second.
fn evicted_by(told: &Told) -> Vec<String> {
    let Told { number, decision } = told;
    let (time, rule, reason) = (time_of(decision.second), decision.rule, &decision.reason);
    let mut lines = vec![
        format!("  Evicted by decision {number}, {time}, {rule:?}: {reason}"),
        format!("    Verdict then: {}", verdict_words(&decision.verdict, 0)),
    ];
    if let Some(kept) = &decision.evidence {
        lines.push(match rule {
            Rule::E1 => "    Evidence in that second (S), of which the line marked * decided:".to_owned(),
            _ => "    Evidence in that second (S), which is not why; * was nearest to its limit:".to_owned(),
        });
        let all = terms(kept.p0, kept.threshold_us, kept.left_out_caller).into_iter();
        lines.extend(all.chain(table(&kept.bets)).map(|line| format!("    {line}")));
    }
    lines
}
