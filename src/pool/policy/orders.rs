//! Operators' orders: each is carried out or refused with the reason, and none makes the pool forget what it
//! knows.

use super::{
    Alarm, Floor, Key, Kind, Note, Policy, Rule, Turn, UNITS_MAX, Unit, Unproved, WORDS_BYTES_MAX,
    back_off_s,
    description::Description,
    floor::units_are,
    order::{Operator, Order, Request},
    unit::{Lease, State, Why},
};
use crate::pool::evidence::UnitId;

/// What is said of a unit that is registered again under its penalties, or with probations that it failed.
const CAME_BACK: &str = "; its slot and its box were evicted before, or failed probations, so it comes back \
                         as a unit that did";

/// What is said of one that was forgotten before it had proved itself.
const HAS_TO_PROVE: &str =
    "; its slot and its box were forgotten before they had proved themselves, so it begins with that";

/// What is said of one that was well when it was forgotten, and was not forgiven yet.
const COUNTS_ON: &str = "; its next back-off is longer for what its slot and its box did before";

/// What speaks against a unit that is registered.
fn what_counts(unit: &Unit) -> &'static str {
    match (unit.state, unit.evictions) {
        (State::Evicted, 0) => HAS_TO_PROVE,
        (State::Evicted, _) => CAME_BACK,
        (State::Joining, 1..) => COUNTS_ON,
        _ => "",
    }
}

/// How a unit stands that is forgotten at this second.
fn unproved(unit: &Unit, second: u64) -> Unproved {
    let Unit { state, evictions, traffic_red, resume, back_off_until, .. } = *unit;
    let well = match state {
        State::Evicted | State::Probation | State::Quarantined => false,
        State::Drained => resume == State::Joining,
        _ => true,
    };
    let since = if well { back_off_until } else { back_off_until.max(second) };
    Unproved { evictions, traffic_red, well, since }
}

impl Policy {
    /// While the database is away, no order can be put on record, so none is carried out.
    pub(super) fn refuse_all(&self, turn: &mut Turn<'_>, orders: &[&Order]) {
        for order in orders {
            let reason = "the database is away: no order can be put on record".to_owned();
            self.refuse(turn, order, Rule::B1, &reason);
        }
    }

    fn refuse(&self, turn: &mut Turn<'_>, order: &Order, rule: Rule, reason: &str) {
        let name = order.request.name();
        let said = format!("{} ordered {name}: {reason}", order.by);
        turn.say(order.request.unit(), None, Note::new(Kind::Refuse(name.to_owned()), rule, said));
    }

    /// Carries an order out, or says why not.
    pub(super) fn obey(&mut self, turn: &mut Turn<'_>, order: &Order) {
        let by = &order.by;
        let done = match &order.request {
            Request::Register(about) => self.register(turn, by, about),
            Request::Unregister { unit, reason } => self.unregister(turn, by, unit, reason),
            Request::Drain { unit, reason } => self.drain(turn, by, unit, reason),
            Request::Undrain { unit } => self.undrain(turn, by, unit),
            Request::SignOff { unit, intervention } => self.sign_off(turn, by, unit, intervention.as_ref()),
            Request::Override { unit, reason, seconds } => {
                self.override_quarantine(turn, by, unit, (reason, *seconds))
            }
            Request::PauseProbes { unit, seconds } => self.pause_probes(turn, by, unit, *seconds),
            Request::ResumeProbes { unit } => self.resume_probes(turn, by, unit),
            Request::Drill { unit, fault, seconds } => self.drill(turn, by, unit, (*fault, *seconds)),
            Request::StopDrill { unit } => self.stop_drill(turn, by, unit),
            Request::Absolve { attribute, intervention } => {
                self.absolve(turn, by, attribute, intervention.as_ref())
            }
        };
        if let Err(reason) = done {
            self.refuse(turn, order, Rule::O1, &reason);
        }
    }

    pub(super) fn known(&self, id: &UnitId) -> Result<&Unit, String> {
        self.units.get(id).ok_or_else(|| format!("{id} is not registered"))
    }

    /// Whether a unit may be registered as this now.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_register(&self, about: &Description) -> Result<(), String> {
        let faults = about.faults();
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let id = &about.id;
        let other = self.units.values().find(|unit| {
            unit.id() != id && (unit.about.slot == about.slot || unit.about.serial == about.serial)
        });
        if let Some(other) = other {
            let other = other.id();
            return Err(format!(
                "{other} has that slot or that serial: `todoke pool unregister {other}` first, if it is gone"
            ));
        }
        match self.units.get(id) {
            None if self.units.len() >= UNITS_MAX => Err(format!(
                "{UNITS_MAX} units are registered, and no more are allowed: `todoke pool unregister` \
                     those that are gone"
            )),
            Some(Unit { about: known, state, .. })
                if known != about && (state.serves() || *state == State::Draining) =>
            {
                Err(format!("{id} is {state}: drain it before it is changed"))
            }
            _ => Ok(()),
        }
    }

    fn register(&mut self, turn: &mut Turn<'_>, by: &Operator, about: &Description) -> Result<(), String> {
        self.may_register(about)?;
        let id = &about.id;
        if self.units.get(id).is_some_and(|unit| unit.about == *about) {
            return Ok(());
        }
        let is_new = !self.units.contains_key(id);
        let states = self.describe(turn, by, about);
        let mut reason = format!("{by} registered {id}");
        if is_new {
            reason += what_counts(&self.units[id]);
        }
        let shared = self.history.suspects_of(about);
        if !shared.is_empty() {
            reason += ": adds capacity, not diversity; shares suspect attribute ";
            reason += &shared.join(", ");
        }
        turn.say(Some(id), Some(states), Note::new(Kind::Register, Rule::O1, reason).about(shared));
        if states.1 != State::Quarantined && self.damping.quarantines(about) {
            let reason =
                format!("the slot or the box of {id} is in quarantine: two operators must sign it off");
            self.shift(turn, id, State::Quarantined, Note::new(Kind::Quarantine, Rule::Q1, reason));
        }
        Ok(())
    }

    /// Puts a description in its place, and returns the unit's states before and after.
    fn describe(&mut self, turn: &Turn<'_>, by: &Operator, about: &Description) -> (State, State) {
        let id = &about.id;
        if !self.units.contains_key(id) {
            let unit = self.newcomer(turn, by, about);
            let state = unit.state;
            self.units.insert(id.clone(), unit);
            return (state, state);
        }
        let unit = self.units.get_mut(id).expect("it is known");
        let from = unit.state;
        unit.about = about.clone();
        unit.state = if from == State::Probation { State::Evicted } else { from };
        unit.begin_anew();
        if from == State::Joining {
            unit.why = Why { rule: Rule::O1, words: format!("{by} registered it anew") };
        }
        unit.generation += 1;
        (unit.lease, unit.elsewhere) = (Lease::Lapsed, None);
        (from, unit.state)
    }

    /// A unit that was not known. One that was forgotten begins as it would have gone on, and so does one
    /// whose slot, box and image together failed lately: to forget it and register it anew is no short cut.
    fn newcomer(&mut self, turn: &Turn<'_>, by: &Operator, about: &Description) -> Unit {
        let key = Key::of(about);
        let penalties = self.damping.at(&key, turn.second, &self.parameters);
        let penalised = penalties.evictions(&self.parameters);
        let why = Why { rule: Rule::O1, words: format!("{by} registered it") };
        let mut unit = Unit::new(about.clone(), turn.second, why);
        unit.generation += self.retired;
        match self.damping.take_unproved(&key, turn.second, &self.parameters) {
            Some(Unproved { evictions, traffic_red, well: true, since }) => {
                (unit.evictions, unit.traffic_red, unit.back_off_until) = (evictions, traffic_red, since);
            }
            Some(Unproved { evictions, traffic_red, .. }) => {
                unit.state = State::Evicted;
                (unit.evictions, unit.traffic_red) = (evictions.max(penalised), traffic_red);
            }
            None if penalised > 0 => (unit.state, unit.evictions) = (State::Evicted, penalised),
            None => (),
        }
        if unit.state == State::Evicted {
            let back_off = back_off_s(&self.parameters, &about.id, unit.evictions);
            unit.back_off_until = turn.second.saturating_add(back_off);
        }
        unit.why.words += what_counts(&unit);
        unit
    }

    /// Why a unit cannot be forgotten now, and what is to be done first. One whose process runs is not: where
    /// relays register themselves it is known again by its next report, without what an operator had ordered
    /// of it; where they do not, it would run on, and be in no list.
    fn why_not_unregistered(&self, turn: &Turn<'_>, unit: &Unit) -> Option<String> {
        let (id, state) = (unit.id(), unit.state);
        let asks = unit.lease == Lease::Live;
        if asks && self.is_kept(id) {
            return Some(format!(
                "{id} is {state} and in use all the same, as nobody else is: stop it first"
            ));
        }
        match state {
            State::Joining | State::Probation if asks => Some(format!(
                "{id} is {state} and its process runs: `todoke pool drain {id}`, or stop it, first"
            )),
            State::Draining => Some(format!("{id} is {state}: wait until that is over")),
            state if state.serves() => {
                Some(format!("{id} is {state} and takes calls: `todoke pool drain {id}` first"))
            }
            _ if unit.override_until.is_some() => {
                Some(format!("{id} is let back by an override: wait until it is over"))
            }
            _ if unit.drills.now.is_some() => Some(format!("{id} plays a fault: end its drill first")),
            _ if turn.reports.contains(id) => Some(format!(
                "{id} is {state} and its process reports: stop it first. It is gone once nothing was heard \
                 of it for 15 s, or for 3 s after it gave its lease back"
            )),
            _ => None,
        }
    }

    fn unregister(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
        why: &str,
    ) -> Result<(), String> {
        if why.trim().is_empty() || why.len() > WORDS_BYTES_MAX {
            return Err(format!("say why, in 1 to {WORDS_BYTES_MAX} bytes"));
        }
        let unit = self.known(id)?;
        if let Some(refused) = self.why_not_unregistered(turn, unit) {
            return Err(refused);
        }
        let (state, generation) = (unit.state, unit.generation);
        let (key, unproved) = (Key::of(&unit.about), unproved(unit, turn.second));
        let of_it = self.alarms.values().filter(|raised| raised.unit.as_ref() == Some(id));
        for kind in of_it.map(|raised| raised.kind.clone()).collect::<Vec<_>>() {
            self.lower_now(turn, &kind, Some(id));
        }
        self.units.remove(id);
        self.last_usable.retain(|last| last != id);
        self.retired = self.retired.max(generation);
        self.damping.leave(&key, unproved, turn.second, &self.parameters);
        let mut reason =
            format!("{by} unregistered {id}: {why}; what its slot and its box did is remembered");
        if self.units.is_empty() {
            reason += "; it was the last: the view that names it stays published, as none is empty, until \
                       another unit is registered";
        }
        turn.say(Some(id), Some((state, state)), Note::new(Kind::Unregister, Rule::O1, reason));
        Ok(())
    }

    fn drain(&mut self, turn: &mut Turn<'_>, by: &Operator, id: &UnitId, why: &str) -> Result<(), String> {
        if why.trim().is_empty() || why.len() > WORDS_BYTES_MAX {
            return Err(format!("say why, in 1 to {WORDS_BYTES_MAX} bytes"));
        }
        let (floor, state) = (self.floor(), self.known(id)?.state);
        match state {
            State::Quarantined | State::Drained | State::Draining => {
                return Err(format!("{id} is {state}: it takes no calls anyway"));
            }
            State::Healthy | State::Suspect | State::Returning(_) if !floor.allows(state) => {
                let Floor { peak_calls_per_s, needed, full, .. } = floor;
                let need = match peak_calls_per_s {
                    0 => "one must stay".to_owned(),
                    peak => format!("the peak of {peak} calls/s needs {needed}"),
                };
                return Err(format!("{} in full use and {need}", units_are(full)));
            }
            _ => {}
        }
        let second = turn.second;
        let until = second.saturating_add(self.parameters.drain_s);
        let to = if state.serves() { State::Draining } else { State::Drained };
        let note = Note::new(Kind::Drain, Rule::O1, format!("{by} drains {id}: {why}"));
        // Of what is not judged now nobody can say so.
        let is_clean = turn.judged(id).is_some_and(|now| !(now.soft || now.sick || now.suspect));
        if let Some(unit) = self.units.get_mut(id) {
            let well = matches!(state, State::Healthy | State::Joining);
            unit.graced = well && is_clean && !unit.traffic_red;
            unit.resume = if well { State::Joining } else { State::Evicted };
            unit.drain = Some((until, State::Drained));
        }
        self.shift(turn, id, to, note);
        Ok(())
    }

    fn undrain(&mut self, turn: &mut Turn<'_>, by: &Operator, id: &UnitId) -> Result<(), String> {
        let unit = self.known(id)?;
        match unit.state {
            State::Drained => {}
            State::Draining if unit.drain.is_some_and(|(_, to)| to == State::Drained) => {}
            State::Quarantined => return Err(self.why_quarantined(unit)),
            state if state.serves() => {
                return Err(format!(
                    "{id} is {state}: no operator has drained it, so nothing is to be undone"
                ));
            }
            state => {
                let why = &unit.why.words;
                return Err(format!("no operator has drained {id}; it is {state} for another reason: {why}"));
            }
        }
        let to = unit.resume;
        let reason = format!("{by} lets {id} back: it must prove itself");
        self.shift(turn, id, to, Note::new(Kind::Undrain, Rule::O1, reason));
        self.units.entry(id.clone()).and_modify(|unit| unit.undrained = to == State::Joining);
        Ok(())
    }

    fn pause_probes(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
        seconds: u64,
    ) -> Result<(), String> {
        let longest = self.parameters.probe_pause_max_s;
        self.known(id)?;
        if seconds == 0 || seconds > longest {
            return Err(format!("probes are paused for 1 to {longest} s, not for {seconds} s"));
        }
        let until = turn.second.saturating_add(seconds);
        self.units.entry(id.clone()).and_modify(|unit| unit.probes_paused_until = Some(until));
        let note =
            Note::new(Kind::PauseProbes, Rule::V6, format!("{by} pauses the probes of {id} for {seconds} s"));
        turn.say(Some(id), None, note.count("seconds", seconds));
        Ok(())
    }

    fn resume_probes(&mut self, turn: &mut Turn<'_>, by: &Operator, id: &UnitId) -> Result<(), String> {
        self.known(id)?;
        if self.may_probe(id) {
            return Err(format!("the probes of {id} are not paused"));
        }
        self.units.entry(id.clone()).and_modify(|unit| unit.probes_paused_until = Some(turn.second));
        let note = Note::new(Kind::ResumeProbes, Rule::V6, format!("{by} lets {id} be probed again"));
        turn.say(Some(id), None, note);
        let kind = Kind::Alarm(Alarm::ProbeInduced);
        self.lower_now(turn, &kind, Some(id));
        Ok(())
    }
}
