//! The evidence in words: what is weighed now, and what was when a unit was evicted, by kind of call, span
//! and left-out observer.

use super::{
    Explanation, Told,
    words::{percent, span, time_of, verdict_words},
};
use crate::{
    domain::municipality::MunicipalityCode,
    pool::{
        evidence::{Class, Observer, UnitId},
        judgement::{Bet, UnitJudgement, Verdict},
        policy::{Decision, Rule, State, grouped},
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

/// S of the bet that decides, and its limit.
pub(super) fn nearest(judged: &UnitJudgement) -> (f64, f64) {
    decisive(&judged.bets).map_or((judged.s, judged.s - judged.beyond), |bet| (bet.s, bet.limit))
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
            "  S rises while WORSE BY is above {} (p0, which is tolerated), and falls otherwise.",
            percent(p0)
        ),
        "  WORSE BY is its share of bad calls, minus the others' share, minus a margin for chance."
            .to_owned(),
        format!(
            "  A call is bad if it failed for a reason that a relay can cause, or took longer than {} ms.",
            grouped((threshold_us / 1_000) as f64)
        ),
        "  traffic: callers' calls; probes: deep probes (test calls through it to an issuer); both: together."
            .to_owned(),
    ];
    if let Some(caller) = left_out_caller {
        lines.push(format!(
            "  Municipality {caller} had the most bad calls on it. Its calls are left out, as no caller \
             alone may evict."
        ));
    }
    lines
}

/// The bets, which of them decides, and who is left out of them, if that makes a difference.
fn table(unit: &UnitId, bets: &[Bet]) -> Vec<String> {
    let mut rows: Vec<(&Bet, bool, String)> = Vec::new();
    let (mut decides, mut is_compared) = (false, false);
    for (at, bet) in bets.iter().enumerate() {
        decides |= decisive(bets).is_some_and(|one| std::ptr::eq(one, bet));
        let beside = bets.get(at + 1).filter(|_| is_beside(bets, at + 1));
        // Where leaving somebody out changes nothing, what all have seen says more.
        if beside.is_none_or(|all| !is_same(all, bet)) {
            let whom = if is_compared { "nobody; not counted".to_owned() } else { named(&bet.left_out) };
            rows.push((bet, std::mem::take(&mut decides), whom));
            is_compared = beside.is_some();
        }
    }
    let most = rows.iter().map(|(bet, ..)| bet.left_out.len()).max().unwrap_or(0);
    let head = if most == 0 { HEADER.to_owned() } else { format!("{HEADER}  WITHOUT OBSERVER") };
    let all = rows.into_iter().map(|(bet, decides, whom)| match most {
        0 => row(bet, decides),
        _ => format!("{}  {whom}", row(bet, decides)),
    });
    std::iter::once(head).chain(all).chain(without(unit, bets, most)).collect()
}

/// Those who are left out of a bet.
fn named(left_out: &[Observer]) -> String {
    match left_out {
        [] => "-".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// That observers are left out, and why.
fn without(unit: &UnitId, bets: &[Bet], most: usize) -> Option<String> {
    let few = match most {
        0 => return None,
        1 => "no observer alone",
        2 => "no two observers together",
        _ => "no two groups of observers together",
    };
    let named: Vec<String> = left_out(bets).iter().map(ToString::to_string).collect();
    let (who, say) = match named.as_slice() {
        [] => ("Whoever stands under WITHOUT OBSERVER".to_owned(), "is left out of that line: it says"),
        [one] => (one.clone(), "is left out of S: it says"),
        _ => (named.join(", "), "are left out of S: they say"),
    };
    Some(format!("  {who} {say} most against {unit}, and {few} may evict."))
}

const HEADER: &str = "    CALLS    WITHIN      S  LIMIT  ITS BAD CALLS  OTHERS' BAD CALLS  WORSE BY";

fn row(bet: &Bet, decides: bool) -> String {
    let mark = if decides { '*' } else { ' ' };
    let class = match bet.class {
        Some(Class::Traffic) => "traffic",
        Some(Class::Probe) => "probes",
        None => "both",
    };
    let worse = if bet.played { percent(bet.d) } else { "too few".to_owned() };
    let of = |(bad, all): (u64, u64)| format!("{} of {}", grouped(bad as f64), grouped(all as f64));
    format!(
        "  {mark} {class:7}  {:>4} s  {:>5.1}  {:>5.1}  {:>13}  {:>17}  {worse:>8}",
        bet.scale,
        bet.s,
        bet.limit,
        of(bet.own),
        of(bet.peers)
    )
}

fn seconds_needed(judged: &UnitJudgement, frozen: bool) -> String {
    match judged.seconds_to_sick {
        _ if frozen => "Nobody is evicted until the database is back.".to_owned(),
        _ if judged.hearsay => {
            "That limit is reached by callers' complaints alone, which evict nobody: nothing else is worse \
             than on its peers."
                .to_owned()
        }
        _ if judged.sick || judged.beyond >= 0.0 => {
            "That limit is reached: Next, above, says what comes of it.".to_owned()
        }
        Some(seconds) => format!("If all goes on as now that limit is reached in {}.", span(seconds)),
        None => "If all goes on as now it is not evicted by this evidence.".to_owned(),
    }
}

impl Explanation {
    pub(super) fn evidence(&self) -> Vec<String> {
        let Some(judged) = &self.evidence else { return self.no_evidence() };
        let (s, limit) = nearest(judged);
        let frozen = self.issuer.frozen;
        let evicted = if frozen { "its limit is" } else { "evicted at" };
        let (steer_at, back_below) = (self.limits.steer_at, self.limits.back_below);
        let mut lines = vec![
            format!(
                "Evidence against it (S): {s:.1}. New calls go elsewhere from {steer_at:.1}, and come back \
                 below {back_below:.1}; {evicted} {limit:.1}"
            ),
            format!(
                "  {} The line marked * decides: it is nearest to its limit.",
                seconds_needed(judged, frozen)
            ),
        ];
        lines.extend(terms(self.limits.p0, judged.threshold_us, judged.left_out_caller));
        lines.extend(table(&self.unit, &judged.bets));
        lines
    }

    /// Of a unit that nobody judges: what it was evicted on, if it has not proved itself since.
    fn no_evidence(&self) -> Vec<String> {
        let state = &self.stands.words;
        let why = match self.stands.state.serves() {
            true => "none yet, as it has just come back into use".to_owned(),
            false => format!("none is weighed while it is {state}, without callers"),
        };
        let mut lines = vec![format!("Evidence against it: {why}")];
        let is_out = !matches!(self.stands.state, State::Joining);
        if let Some(told) = self.evicted_by.as_ref().filter(|_| is_out) {
            lines.extend(evicted_by(&self.unit, told));
        }
        lines
    }
}

/// Why it was evicted though nothing was wrong by the verdict.
fn unneeded(decision: &Decision) -> &'static str {
    match (&decision.verdict, decision.rule) {
        (Verdict::None, Rule::E2) => ". A burst of failures at a step of its return is enough to evict",
        (Verdict::None, Rule::E4) => ". A lease that is not renewed is enough to evict",
        _ => "",
    }
}

/// The decision that evicted it, with its verdict, and the evidence of that second.
fn evicted_by(unit: &UnitId, told: &Told) -> Vec<String> {
    let Told { number, decision } = told;
    let (time, rule, reason) = (time_of(decision.second), decision.rule, &decision.reason);
    let mut lines = vec![
        format!("  Last evicted by decision {number}, {time}, {rule:?}: {reason}"),
        format!("    Verdict then: {}{}", verdict_words(&decision.verdict, 0), unneeded(decision)),
    ];
    if let Some(kept) = &decision.evidence {
        lines.push(match rule {
            Rule::E1 => "    Evidence in that second (S); the line marked * decided:".to_owned(),
            _ => "    Evidence in that second (S). It was not the reason; the line marked * was nearest to \
                  its limit:"
                .to_owned(),
        });
        let all = terms(kept.p0, kept.threshold_us, kept.left_out_caller).into_iter();
        lines.extend(all.chain(table(unit, &kept.bets)).map(|line| format!("    {line}")));
    }
    lines
}

#[cfg(test)]
#[path = "weighed_tests.rs"]
mod tests;
