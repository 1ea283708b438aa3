//! What a person is to do about a unit now: what a pool does by itself is the outlook's to say.

use super::{Known, words::time_of};
use crate::pool::{
    judgement::Verdict,
    policy::{Alarm, Kind, Lease, Rule, State, Unit},
};

/// What is to be done about one whose process gave its lease back.
const START_IT: &str = "start its process, unless it was stopped on purpose: it gave its lease back, and \
                        comes back by itself once it runs";

impl Known<'_> {
    /// What is to be done about it, and by whom it is done if not by the pool itself.
    pub(super) fn action(&self, unit: &Unit) -> String {
        let id = unit.id();
        if self.issuer.frozen {
            return "bring the database back. Until then nobody is let in or taken out, and the only way to \
                    keep calls from a sick unit is to stop its process"
                .to_owned();
        }
        if unit.elsewhere.is_some() {
            return "end one of the two processes that serve as it: ELSEWHERE, below, says how".to_owned();
        }
        if unit.drills.now.is_some() {
            let stop = format!("`todoke pool drill {id} --stop`");
            return match unit.state.serves() && (self.fails_with_all(unit) || self.must_be_kept(unit)) {
                true => format!("end its drill now: {stop}. Callers fail, and no well unit can carry them"),
                false => format!("nothing, if its drill is the cause: {stop} ends that"),
            };
        }
        if let (State::Joining | State::Probation, Some(until)) = (unit.state, unit.probes_paused_until) {
            return format!(
                "`todoke pool pause-probes {id} --resume`: until {} it is not probed, and cannot come back",
                time_of(until)
            );
        }
        match unit.state {
            State::Joining | State::Evicted => self.while_out(unit),
            State::Healthy | State::Suspect | State::Returning(_) => self.while_in_use(unit),
            State::Draining => match unit.drain {
                Some((_, State::Drained)) => "wait until it is DRAINED, then work on it".to_owned(),
                Some((_, State::Quarantined)) => "find the cause: once drained it is QUARANTINED".to_owned(),
                _ => self.while_out(unit),
            },
            State::Probation => self.at_once("it comes back by itself if its probes pass", unit),
            State::Quarantined => self.signing(unit),
            State::Drained => format!("`todoke pool undrain {id}` once the work on it is done"),
        }
    }

    fn while_out(&self, unit: &Unit) -> String {
        match (unit.state, unit.lease) {
            (State::Joining, Lease::Live) => "nothing: it is let in by itself if its probes pass".to_owned(),
            (_, Lease::Released) => START_IT.to_owned(),
            (State::Draining, _) | (_, Lease::Live) => self.at_once("it comes back by itself", unit),
            (_, Lease::Lapsed) if self.reports() => self.at_once("it comes back by itself", unit),
            (_, Lease::Lapsed) if unit.why.rule == Rule::J2 => START_IT.to_owned(),
            (_, Lease::Lapsed) => {
                "look whether its process runs and reaches the issuers: once it asks for a \
                                   lease it comes back by itself"
                    .to_owned()
            }
        }
    }

    fn while_in_use(&self, unit: &Unit) -> String {
        let id = unit.id();
        if unit.lease == Lease::Released {
            return START_IT.to_owned();
        }
        if self.fails_with_all(unit) {
            return "look at what is behind all units: issuers, database, network; then at what all share"
                .to_owned();
        }
        if self.must_be_kept(unit) {
            return "add a unit, or shed load: it is sick, and too few others are in full use to take it out"
                .to_owned();
        }
        let judged = self.judgement.units.get(id).filter(|judged| judged.beyond >= 0.0);
        if judged.is_some_and(|judged| judged.hearsay) {
            return format!(
                "judge for yourself, as complaints alone evict nobody: look at the box, or \
                 `todoke pool drain {id} --reason …` takes it out by hand"
            );
        }
        let unheard = unit.state == State::Suspect && self.is_raised(Alarm::FewObservers);
        if unheard || judged.is_some_and(|judged| !judged.sick) {
            return format!(
                "judge for yourself, as too few observers have a vote to evict it: `todoke pool drain {id} \
                 --reason …` takes it out by hand"
            );
        }
        match unit.state {
            _ if judged.is_some() => "nothing at once: it is about to be taken out by itself".to_owned(),
            State::Suspect => format!(
                "nothing at once: it is evicted, or comes back, by itself. If it stays SUSPECT, look at the \
                 box; `todoke pool drain {id} --reason …` takes it out by hand"
            ),
            State::Returning(_) => self.at_once("it comes back by itself if its calls go well", unit),
            _ => self.at_once("all is well", unit),
        }
    }

    /// Nothing at once; but a cause that nobody has found is to be looked for.
    fn at_once(&self, itself: &str, unit: &Unit) -> String {
        if let Some(until) = unit.override_until {
            return format!("find the cause: at {} its override ends, and it is QUARANTINED", time_of(until));
        }
        match unit.state {
            State::Healthy if self.raised(unit.id()).is_empty() => "nothing".to_owned(),
            State::Healthy => self
                .look_at_the_observer()
                .filter(|_| {
                    self.raised(unit.id()).iter().all(|one| one.kind == Kind::Alarm(Alarm::SickObserver))
                })
                .unwrap_or_else(|| "nothing about this unit by itself: see the alarms below".to_owned()),
            State::Evicted | State::Draining => {
                let suspects: Vec<String> =
                    self.suspects(unit).into_iter().map(|suspect| suspect.attribute).collect();
                let such = match suspects.is_empty() {
                    true => String::new(),
                    false => format!(" ({} is suspect)", suspects.join(", ")),
                };
                format!("nothing at once: {itself}. Look for the cause{such} before it fails again")
            }
            _ => format!("nothing: {itself}"),
        }
    }

    /// Whom to look at while one observer sees what nobody else does.
    fn look_at_the_observer(&self) -> Option<String> {
        if !self.is_raised(Alarm::SickObserver) {
            return None;
        }
        Some(match &self.judgement.verdict {
            Verdict::Observer { observer, link: None } => format!(
                "look at {observer}, its host and its network: it alone sees failures. Nothing about this \
                 unit by itself"
            ),
            Verdict::Observer { observer, link: Some(unit) } => format!(
                "look at the way between {observer} and {unit}: network, certificates, addresses. The units \
                 themselves are well, as all others see"
            ),
            _ => return None,
        })
    }

    fn signing(&self, unit: &Unit) -> String {
        let id = unit.id();
        match &unit.approval {
            None => format!(
                "find the cause, and change what it may be. Then an operator signs `todoke pool sign-off \
                 {id} --changed … --hypothesis …`, and a second one `todoke pool sign-off {id}`. With no \
                 cause found: `todoke pool override {id} --reason …`, for a day"
            ),
            Some(first) if unit.other_approvals.is_empty() => {
                format!("an operator other than {} must sign too: `todoke pool sign-off {id}`", first.by)
            }
            Some(_) => {
                let all: Vec<String> = unit.signatures().map(|one| one.by.to_string()).collect();
                format!(
                    "another operator signs the same as one of {}: `todoke pool sign-off {id} --changed … \
                     --hypothesis …`",
                    all.join(", ")
                )
            }
        }
    }
}
