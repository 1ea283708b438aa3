//! Nothing leaves quarantine because somebody wants it back: two operators sign what was changed and what
//! that tests, or an override lets it back for a day. Nor does suspicion leave an attribute otherwise.

use super::{
    Key, Kind, Note, Policy, Rule, Turn, Unit, WORDS_BYTES_MAX,
    order::{Intervention, Operator},
    unit::{Approval, State},
};
use crate::pool::{evidence::UnitId, judgement::Verdict};

const NEEDED: &str = "a release needs an intervention record (what was changed, which hypothesis it tests) \
                      and a second operator";

/// Signatures in different words that wait at once; the oldest is no longer waited for then, and stays in the
/// record.
const SIGNATURES_MAX: usize = 4;

/// What others signed, which is another thing.
fn in_other_words(others: &[Approval]) -> String {
    let words = |one: &Approval| {
        let Approval { by, intervention: Intervention { changed, hypothesis } } = one;
        format!("; {by} signed other words: {changed}, to test: {hypothesis}")
    };
    others.iter().map(words).collect()
}

/// What an operator's signature comes to.
enum Signature {
    /// It waits for another operator's under the same.
    First(Intervention),
    /// It is the second; this was the first.
    Second(Approval),
}

/// Holds a signature against those that wait, the newest last. Who says nothing signs what the newest says.
///
/// # Errors
/// Why it does not count, in words; `unsigned` if there is nothing to sign.
fn signature(
    by: &Operator,
    record: Option<&Intervention>,
    waiting: &[Approval],
    unsigned: impl FnOnce() -> String,
) -> Result<Signature, String> {
    if record.is_some_and(|record| !record.is_complete()) {
        return Err(format!(
            "the record needs both parts, each of 1 to {WORDS_BYTES_MAX} bytes: what was changed, and which \
             hypothesis that tests"
        ));
    }
    let Some(record) = record.or(waiting.last().map(|newest| &newest.intervention)) else {
        return Err(unsigned());
    };
    let same = || waiting.iter().filter(|one| one.intervention == *record);
    match same().find(|one| one.by != *by) {
        Some(first) => Ok(Signature::Second(first.clone())),
        None if same().next().is_none() => Ok(Signature::First(record.clone())),
        None => Err(format!("{by} has signed already: the second signature is another operator's")),
    }
}

impl Policy {
    /// Why a unit in quarantine is not let back.
    pub(super) fn why_quarantined(&self, unit: &Unit) -> String {
        format!("{} is QUARANTINED: {}; {NEEDED}", unit.id(), unit.why.words)
    }

    fn quarantined(&self, id: &UnitId) -> Result<&Unit, String> {
        let unit = self.known(id)?;
        match unit.state {
            State::Quarantined => Ok(unit),
            state => Err(format!("{id} is {state}, not QUARANTINED")),
        }
    }

    pub(super) fn sign_off(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
        intervention: Option<&Intervention>,
    ) -> Result<(), String> {
        let unit = self.quarantined(id)?;
        let waiting: Vec<Approval> = unit.signatures().cloned().collect();
        let unsigned = || {
            let override_it = "with no cause found, only an override lets it back, and for a day";
            format!("{}; {override_it}", self.why_quarantined(unit))
        };
        match signature(by, intervention, &waiting, unsigned)? {
            Signature::First(record) => self.sign(turn, by, id, record),
            Signature::Second(first) => self.release(turn, by, id, first),
        }
        Ok(())
    }

    /// A signature that waits for another. What others signed in other words waits beside it.
    fn sign(&mut self, turn: &mut Turn<'_>, by: &Operator, id: &UnitId, record: Intervention) {
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.other_approvals.extend(unit.approval.take());
        unit.other_approvals.retain(|one| one.by != *by);
        let more = unit.other_approvals.len().saturating_sub(SIGNATURES_MAX - 1);
        unit.other_approvals.drain(..more);
        let Intervention { changed, hypothesis } = &record;
        let reason =
            format!("{by} signed {id} off: {changed}, to test: {hypothesis}; another operator must sign too");
        let reason = reason + &in_other_words(&unit.other_approvals);
        unit.approval = Some(Approval { by: by.clone(), intervention: record });
        turn.say(Some(id), None, Note::new(Kind::SignOff, Rule::Q2, reason));
    }

    fn release(&mut self, turn: &mut Turn<'_>, by: &Operator, id: &UnitId, first: Approval) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let mut others = std::mem::take(&mut unit.other_approvals);
        others.extend(unit.approval.take());
        others.retain(|one| *one != first);
        let Approval { by: first_by, intervention } = first;
        let reason = format!(
            "{first_by} and {by} released {id}: {}, to test: {}{}",
            intervention.changed,
            intervention.hypothesis,
            in_other_words(&others)
        );
        unit.intervention = Some(intervention);
        unit.back_off_until = turn.second;
        let about = unit.about.clone();
        self.damping.release(&about);
        let slow = self.damping.at(&Key::of(&about), turn.second, &self.parameters).slow;
        let note = Note::new(Kind::Release, Rule::Q2, reason).with("slow", slow);
        self.shift(turn, id, State::Evicted, note);
    }

    pub(super) fn override_quarantine(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
        (why, lasts): (&str, Option<u64>),
    ) -> Result<(), String> {
        self.quarantined(id)?;
        if why.trim().is_empty() || why.len() > WORDS_BYTES_MAX {
            return Err(format!("say why, in 1 to {WORDS_BYTES_MAX} bytes"));
        }
        let longest = self.parameters.override_s;
        let lasts = lasts.unwrap_or(longest);
        if lasts > longest {
            return Err(format!("an override lasts {longest} s at most, not {lasts} s"));
        }
        let until = turn.second.saturating_add(lasts);
        let Some(unit) = self.units.get_mut(id) else { return Ok(()) };
        unit.override_until = Some(until);
        unit.back_off_until = turn.second;
        let about = unit.about.clone();
        self.damping.release(&about);
        let reason = format!("{by} lets {id} back with no cause found, for {lasts} s and no longer: {why}");
        let note = Note::new(Kind::Override, Rule::Q3, reason).count("seconds", lasts);
        self.shift(turn, id, State::Evicted, note);
        Ok(())
    }

    /// E3: an override that is over puts the quarantine back, as soon as the floor allows it.
    pub(super) fn end_overrides(&mut self, turn: &mut Turn<'_>) {
        let over = self.names(|unit| unit.override_until.is_some_and(|until| until <= turn.second));
        for id in over {
            let state = self.units[&id].state;
            if state.serves() && !self.floor().allows(state) {
                turn.kept_sick.push(id);
                continue;
            }
            if state.serves() && !self.may_evict_now(turn.second) {
                continue;
            }
            let until = turn.second.saturating_add(self.parameters.drain_s);
            let Some(unit) = self.units.get_mut(&id) else { continue };
            unit.override_until = None;
            let about = unit.about.clone();
            let open = state.serves() || state == State::Draining;
            unit.drain = open.then_some((until, State::Quarantined));
            if open {
                self.last_eviction = Some(turn.second);
            }
            self.damping.hold(&Key::of(&about));
            let to = if open { State::Draining } else { State::Quarantined };
            let reason =
                format!("the override for {id} is over and no cause was found: it is quarantined again");
            self.shift(turn, &id, to, Note::new(Kind::Quarantine, Rule::E3, reason));
        }
    }

    /// A suspect attribute is mended when two operators sign the same of it. If it was not, the next unit
    /// that fails with it makes it suspect again.
    pub(super) fn absolve(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        attribute: &str,
        intervention: Option<&Intervention>,
    ) -> Result<(), String> {
        let suspects = self.history.suspects();
        let Some(suspicion) = suspects.get(attribute) else {
            let all: Vec<&str> = suspects.keys().map(String::as_str).collect();
            let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
            return Err(format!("{attribute:.64} is not suspect; what is: {all}"));
        };
        if let Verdict::Attribute { attributes, units } = turn.verdict()
            && attributes.iter().any(|one| one == attribute)
        {
            let units: Vec<String> = units.iter().map(ToString::to_string).collect();
            return Err(format!(
                "{} are sick now, and are exactly those with {attribute}, so it would be suspect again at \
                 once: wait until they are well or out of use",
                units.join(", ")
            ));
        }
        let waiting: Vec<Approval> = suspicion.signed.iter().cloned().collect();
        let unsigned = || {
            format!(
                "nobody has signed that {attribute} is mended: say what was changed, and which hypothesis \
                 that tests; another operator signs the same"
            )
        };
        let about = vec![attribute.to_owned()];
        let words =
            |Intervention { changed, hypothesis }: &Intervention| format!("{changed}, to test: {hypothesis}");
        match signature(by, intervention, &waiting, unsigned)? {
            Signature::Second(first) => {
                self.history.absolve(attribute);
                let words = words(&first.intervention);
                let reason = format!("{} and {by} take the suspicion from {attribute}: {words}", first.by);
                turn.say(None, None, Note::new(Kind::Absolve, Rule::Q2, reason).about(about));
            }
            Signature::First(record) => {
                let reason = format!(
                    "{by} signed that {attribute} is mended: {}; another must sign too{}",
                    words(&record),
                    in_other_words(&waiting)
                );
                turn.say(None, None, Note::new(Kind::SignOff, Rule::Q2, reason).about(about));
                self.history.sign(attribute, Approval { by: by.clone(), intervention: record });
            }
        }
        Ok(())
    }
}
