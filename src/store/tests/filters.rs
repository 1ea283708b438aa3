//! Which tables a text of SQL reads or writes without saying of which municipality.
//!
//! It understands the forms that this store uses, and counts whatever it does not understand as no filter.
//! A table is filtered by `municipality_code = $n`, or by the `municipality_code` of a table that is, where
//! that condition stands in the table's own SELECT, UPDATE or DELETE, under no OR and no NOT; that of
//! a LEFT JOIN filters only the table that is joined. What is inserted is filtered if that column is given
//! first, by a parameter or from a table that is filtered. Arrays of parameters that are unnested with that
//! column first are such a table: each of its rows says which municipality it is of. So is what a WITH makes
//! of an array of JSON, with that column first.

use std::{
    array::from_fn,
    collections::{HashMap, HashSet},
};

/// A table that a statement touches for all municipalities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Loose {
    pub(super) table: String,
    /// It is changed or locked.
    pub(super) writes: bool,
}

const CODE: &str = "municipality_code";

/// A table in a SELECT of its own: which one, and the name it goes by there.
type Place = (usize, String);

/// A name as it stands in a SELECT; without one it is the only table there.
type Named = (usize, Option<String>);

/// A pair of brackets, and the clauses in it before.
type Part = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    From,
    Condition { joined_left: bool },
    Other,
}

/// What a pair of brackets is in: which SELECT, and which of its clauses.
#[derive(Debug, Clone)]
struct Level {
    scope: usize,
    clause: Clause,
    part: Part,
}

/// A condition: who is filtered if the other is. `None` is a parameter.
#[derive(Debug)]
struct Condition {
    said: Part,
    filtered: Named,
    by: Option<Named>,
    /// The only table that it can filter.
    only: Option<Place>,
}

#[derive(Debug, Default)]
struct Read {
    words: Vec<String>,
    parents: Vec<Option<usize>>,
    /// Where a table stands, which one it is, and whether it is changed or locked.
    tables: Vec<(Place, String, bool)>,
    conditions: Vec<Condition>,
    /// Names that a WITH gives to such rows.
    rows_named: HashSet<String>,
    /// Unnested rows that each say of which municipality they are.
    of_rows: HashSet<Place>,
    above: HashMap<Part, Part>,
    /// Where a condition need not hold.
    open: HashSet<Part>,
    /// What is inserted into, and what gives its municipality; `Some(None)` is a parameter.
    inserted: Vec<(String, Option<Option<Named>>)>,
}

/// Returns which of the tables `of_municipalities` a text touches without a filter.
pub(super) fn loose(text: &str, of_municipalities: &[&str]) -> Vec<Loose> {
    let mut read = Read { words: words(text), ..Read::default() };
    read.walk();
    let filtered = read.filtered();
    let mut found: Vec<Loose> = Vec::new();
    for (place, table, writes) in &read.tables {
        if !filtered.contains(place) {
            found.push(Loose { table: table.clone(), writes: *writes });
        }
    }
    for (table, from) in &read.inserted {
        let given = from.as_ref().is_some_and(|from| read.is_filtered(from.as_ref(), &filtered));
        if !given {
            found.push(Loose { table: table.clone(), writes: true });
        }
    }
    found.retain(|one| of_municipalities.contains(&one.table.as_str()));
    found.sort();
    found.dedup();
    found
}

/// The words, numbers of parameters, and signs; what stands in quotes is one sign.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        let mut word = String::from(first);
        if first == '\'' {
            while rest.next().is_some_and(|next| next != '\'') {}
        } else if first.is_alphanumeric() || first == '_' || first == '$' {
            while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if first.is_whitespace() {
            continue;
        } else if matches!(first, '<' | '>' | '!') {
            word.extend(rest.next_if(|next| matches!(next, '=' | '>')));
        }
        words.push(word);
    }
    words
}

fn is_parameter(word: &str) -> bool {
    word == "?" || word.strip_prefix('$').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_name(word: &str) -> bool {
    word.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
}

impl Read {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    fn scope(&mut self, parent: Option<usize>) -> usize {
        self.parents.push(parent);
        self.parents.len() - 1
    }

    fn walk(&mut self) {
        let scope = self.scope(None);
        let mut levels = vec![Level { scope, clause: Clause::Other, part: (0, 0) }];
        let (mut brackets, mut target) = (0, None);
        for at in 0..self.words.len() {
            let mut level = levels.pop().expect("brackets match");
            match self.word(at) {
                "(" => {
                    brackets += 1;
                    let inner = Level { part: (brackets, 0), ..level.clone() };
                    self.above.insert(inner.part, level.part);
                    if self.word(at.wrapping_sub(1)) == "NOT" {
                        self.open.insert(inner.part);
                    }
                    levels.push(level);
                    level = inner;
                }
                ")" => level = levels.pop().expect("brackets match"),
                "SELECT" => {
                    // Within brackets it sees what is around them; after an INSERT or a UNION it does not.
                    let parent = levels.last().map(|outer| outer.scope);
                    level.scope = self.scope(parent);
                    next(&mut level, Clause::Other);
                    self.insert(&mut target, at + 1, level.scope);
                }
                "WITH" => self.with(at),
                "VALUES" => self.insert(&mut target, at + 2, level.scope),
                "INTO" => target = Some(at + 1),
                "FROM" | "JOIN" | "USING" => {
                    next(&mut level, Clause::From);
                    self.table(at + 1, &level, self.word(at.wrapping_sub(1)) == "DELETE");
                }
                "," if level.clause == Clause::From => self.table(at + 1, &level, false),
                "UPDATE" if !matches!(self.word(at.wrapping_sub(1)), "FOR" | "KEY" | "DO") => {
                    self.table(at + 1, &level, true);
                    next(&mut level, Clause::Other);
                }
                "UPDATE" | "SHARE" if self.word(at - 1) != "DO" => {
                    let locked = level.scope;
                    let all = self.tables.iter_mut().filter(|((scope, _), ..)| *scope == locked);
                    all.for_each(|(_, _, writes)| *writes = true);
                }
                "WHERE" => next(&mut level, Clause::Condition { joined_left: false }),
                "ON" if self.word(at + 1) != "CONFLICT" => {
                    let joined_left = self.joined_left(at);
                    next(&mut level, Clause::Condition { joined_left });
                }
                "ON" | "SET" | "GROUP" | "ORDER" | "HAVING" | "LIMIT" | "RETURNING" | "UNION" => {
                    next(&mut level, Clause::Other);
                }
                "OR" => drop(self.open.insert(level.part)),
                "=" => self.equal(at, &level),
                _ => {}
            }
            levels.push(level);
        }
    }

    /// Whether the JOIN before is one that keeps what is on its left.
    fn joined_left(&self, at: usize) -> bool {
        let join = self.words[..at].iter().rposition(|word| word == "JOIN");
        join.is_some_and(|join| {
            matches!(self.word(join.wrapping_sub(1)), "LEFT" | "RIGHT" | "FULL" | "OUTER")
        })
    }

    /// Notes the name of rows that a WITH makes of an array of JSON.
    fn with(&mut self, at: usize) {
        let [name, "(", CODE] = from_fn(|i| self.word(at + 1 + i)) else { return };
        let end = self.words[at..].iter().position(|word| word == ")").map_or(at, |end| at + end);
        let made = self.words[end..].iter().position(|word| word == "FROM").map_or(end, |from| end + from);
        let is_select = matches!(from_fn(|i| self.word(end + i)), [")", "AS", "(", "SELECT", "value"]);
        let array = from_fn(|i| self.word(made + i));
        if is_select && matches!(array, ["FROM", "json_each", "(", "$1", ")", ")"]) {
            self.rows_named.insert(name.to_owned());
        }
    }

    fn table(&mut self, at: usize, level: &Level, writes: bool) {
        let name = self.word(at).to_owned();
        if name == "UNNEST" {
            let brackets = self.words[at..].iter().position(|word| word == ")").map(|end| at + end);
            let named = brackets.map(|end| from_fn(|i| self.word(end + i)));
            let Some([")", "AS", alias, "(", CODE]) = named else { return };
            let place = (level.scope, alias.to_owned());
            self.of_rows.insert(place.clone());
            self.tables.push((place, name, false));
            return;
        }
        if !is_name(&name) {
            return;
        }
        if self.rows_named.contains(&name) {
            self.of_rows.insert((level.scope, name.clone()));
        }
        let alias = match self.word(at + 1) {
            "AS" => self.word(at + 2).to_owned(),
            _ => name.clone(),
        };
        self.tables.push(((level.scope, alias), name, writes));
    }

    /// Which table a name means, here or further out.
    fn place(&self, (scope, alias): &Named) -> Option<Place> {
        let mut here = self.tables.iter().map(|(place, ..)| place).filter(|(of, _)| of == scope);
        let Some(alias) = alias else {
            return here.next().filter(|_| here.next().is_none()).cloned();
        };
        match (here.find(|(_, name)| name == alias), self.parents[*scope]) {
            (Some(found), _) => Some(found.clone()),
            (None, parent) => self.place(&(parent?, Some(alias.clone()))),
        }
    }

    /// Notes `x.municipality_code = …` of a condition.
    fn equal(&mut self, at: usize, level: &Level) {
        let Clause::Condition { joined_left } = level.clause else { return };
        if at == 0 || self.word(at - 1) != CODE {
            return;
        }
        let alias = (at > 2 && self.word(at - 2) == ".").then(|| self.word(at - 3).to_owned());
        let left = (level.scope, alias);
        let right = match (self.word(at + 1), self.word(at + 2), self.word(at + 3)) {
            (parameter, ..) if is_parameter(parameter) => None,
            (CODE, ..) => Some((level.scope, None)),
            (alias, ".", CODE) => Some((level.scope, Some(alias.to_owned()))),
            _ => return,
        };
        let of_level = |(place, ..): &&(Place, String, bool)| place.0 == level.scope;
        let last = self.tables.iter().rfind(of_level).map(|(place, ..)| place.clone());
        let (said, only) = (level.part, last.filter(|_| joined_left));
        if let Some(right) = right.clone() {
            let by = Some(left.clone());
            self.conditions.push(Condition { said, filtered: right, by, only: only.clone() });
        }
        self.conditions.push(Condition { said, filtered: left, by: right, only });
    }

    /// Notes what is inserted, whose first value stands at `value`.
    fn insert(&mut self, target: &mut Option<usize>, value: usize, scope: usize) {
        let Some(into) = target.take() else { return };
        let given = (self.word(into + 1), self.word(into + 2)) == ("(", CODE);
        let (first, column) = (self.word(value), self.word(value + 2));
        let is_row = |three: &[String]| is_parameter(&three[0]) && three[1] == "AS" && three[2] == column;
        let from = match self.word(value + 1) {
            "." if column == CODE => Some(Some((scope, Some(first.to_owned())))),
            "." if self.words.windows(3).any(is_row) => Some(None),
            _ if first == CODE => Some(Some((scope, None))),
            _ => is_parameter(first).then_some(None),
        };
        self.inserted.push((self.word(into).to_owned(), from.filter(|_| given)));
    }

    fn must_hold(&self, mut part: Part) -> bool {
        while !self.open.contains(&part) {
            match self.above.get(&part) {
                Some(above) => part = *above,
                None => return true,
            }
        }
        false
    }

    fn is_filtered(&self, by: Option<&Named>, filtered: &HashSet<Place>) -> bool {
        by.is_none_or(|by| self.place(by).is_some_and(|by| filtered.contains(&by)))
    }

    fn filtered(&self) -> HashSet<Place> {
        let mut filtered = self.of_rows.clone();
        loop {
            let before = filtered.len();
            for one in self.conditions.iter().filter(|one| self.must_hold(one.said)) {
                // It filters what stands in its own SELECT.
                let place = self.place(&one.filtered).filter(|place| place.0 == one.filtered.0);
                let place = place.filter(|place| one.only.as_ref().is_none_or(|only| only == place));
                if let Some(place) = place.filter(|_| self.is_filtered(one.by.as_ref(), &filtered)) {
                    filtered.insert(place);
                }
            }
            if filtered.len() == before {
                return filtered;
            }
        }
    }
}

fn next(level: &mut Level, clause: Clause) {
    level.part.1 += 1;
    level.clause = clause;
}

#[path = "filters_tests.rs"]
mod tests;
