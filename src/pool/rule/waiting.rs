//! Evidence of one second waits for its judgement; in what order it came in is forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::evidence::{Class, Observer};
use crate::domain::municipality::MunicipalityCode;

/// Words that one observer may say of one second: sixteen on each of 64 units.
const WORDS_MAX: usize = 1024;

/// What was heard of one second, by who said it. The caller is the last of the key, so that a unit's and
/// class's evidence stands together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    said: BTreeMap<Observer, Vec<Word>>,
}

/// One word of one observer: of which unit (by place), of what kind of calls and of whose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) unit: u8,
    pub(super) class: Class,
    pub(super) caller: Option<MunicipalityCode>,
    pub(super) n: u32,
    pub(super) bad: u32,
}

impl Word {
    fn key(&self) -> (u8, Class, Option<MunicipalityCode>) {
        (self.unit, self.class, self.caller)
    }
}

impl Waiting {
    /// Adds a word; words on the same are added up. False if there are too many observers or words.
    pub(super) fn add(&mut self, observer: &Observer, word: Word, observers_max: usize) -> bool {
        if self.said.len() >= observers_max && !self.said.contains_key(observer) {
            return false;
        }
        let words = self.said.entry(observer.clone()).or_default();
        if words.len() >= WORDS_MAX {
            return false;
        }
        insert(words, word);
        true
    }

    /// No more callers than so many are told apart: those with the fewest bad calls, and of equals those with
    /// the highest code, become others.
    pub(super) fn merge_callers(&mut self, callers_max: usize) {
        let mut bad: BTreeMap<MunicipalityCode, u64> = BTreeMap::new();
        for word in self.said.values().flatten() {
            if let Some(caller) = word.caller {
                *bad.entry(caller).or_default() += u64::from(word.bad);
            }
        }
        if bad.len() <= callers_max {
            return;
        }
        let mut ranked: Vec<(u64, MunicipalityCode)> =
            bad.into_iter().map(|(code, bad)| (bad, code)).collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let kept: Vec<MunicipalityCode> = ranked[..callers_max].iter().map(|(_, code)| *code).collect();
        for words in self.said.values_mut() {
            for mut word in std::mem::take(words) {
                word.caller = word.caller.filter(|caller| kept.contains(caller));
                insert(words, word);
            }
        }
    }

    /// Forgets what was said of a unit.
    pub(super) fn forget_unit(&mut self, unit: u8) {
        for words in self.said.values_mut() {
            words.retain(|word| word.unit != unit);
        }
    }

    /// What was said, by observers in the order of their names.
    pub(super) fn into_said(self) -> impl Iterator<Item = (Observer, Vec<Word>)> {
        self.said.into_iter()
    }
}

fn insert(words: &mut Vec<Word>, word: Word) {
    match words.binary_search_by_key(&word.key(), Word::key) {
        Ok(at) => {
            words[at].n = words[at].n.saturating_add(word.n);
            words[at].bad = words[at].bad.saturating_add(word.bad);
        }
        Err(at) => words.insert(at, word),
    }
}
