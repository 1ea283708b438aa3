//! Loads a role's configuration from file, environment and flags, the later winning; either everything is
//! right or every problem is said.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    error::{Error, Kind},
    providers::{Format as _, Toml},
    value::Value,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    print::{self, Effective},
    problem::{Conflict, Problem, Problems},
    tree::{self, Shape},
};

/// What stands before the name of every variable of ours.
pub const PREFIX: &str = "TODOKE_";

/// The configuration of one role: its default is complete but for what nobody else can know.
pub trait Role: Serialize + DeserializeOwned + Default {
    /// The sub-command.
    const NAME: &'static str;
    /// Keys without a usable default, each with an example.
    const REQUIRED: &'static [(&'static str, &'static str)];
    /// Keys that name files which must be readable.
    const FILES: &'static [&'static str];
    /// Keys that may be 0; of every other it would mean that nothing is let through.
    const MAY_BE_ZERO: &'static [&'static str];
    /// Keys whose values may hold a password.
    const SECRETS: &'static [&'static str];

    /// What is wrong between keys that are right by themselves.
    fn conflicts(&self) -> Vec<Conflict>;
}

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// With its dashes.
    pub name: &'static str,
    /// The key that it overrides.
    pub key: &'static str,
    /// As it was given.
    pub value: String,
}

/// Where values come from, the weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables, of which those with our prefix count: `TODOKE_STORE__URL` is `store.url`.
    pub variables: Vec<(String, String)>,
    /// Names of ours that cannot be read, or whose values cannot, as they are no UTF-8.
    pub unreadable: Vec<String>,
    /// Flags.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The file, this process's environment, and the flags.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let mut sources = Self { file, flags, ..Self::default() };
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => sources.variables.push((name, value)),
                (name, _) => {
                    let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
                    sources.unreadable.extend(name.starts_with(PREFIX).then_some(name));
                }
            }
        }
        sources
    }
}

/// Loads the configuration of a role.
///
/// # Errors
/// [`Problems`], all at once.
pub fn load<T: Role>(sources: &Sources) -> Result<T, Problems> {
    let mut loading = Loading::<T>::read(sources);
    match loading.check() {
        Some(config) if loading.problems.is_empty() => Ok(config),
        _ => Err(Problems(loading.problems)),
    }
}

/// What the sources come to, right or wrong, for whoever wants to see it rather than to start.
#[derive(Debug)]
pub struct Survey {
    /// Every key, in order.
    pub values: Vec<Effective>,
    /// Everything for which [`load`] would refuse them.
    pub problems: Vec<Problem>,
}

/// Looks at everything that the sources say of a role.
#[must_use]
pub fn survey<T: Role>(sources: &Sources) -> Survey {
    let mut loading = Loading::<T>::read(sources);
    // What is wrong stands in the problems.
    let _ = loading.check();
    let values = print::effective::<T>(&loading.tree, &loading.origins, &loading.problems);
    Survey { values, problems: loading.problems }
}

/// Every key of a role, in order.
#[must_use]
pub fn keys<T: Role>() -> Vec<String> {
    tree::leaves(&defaults::<T>()).into_iter().map(|(key, _)| key).collect()
}

fn defaults<T: Role>() -> Value {
    Value::serialize(T::default()).expect("options are tables of plain values")
}

struct Loading<T> {
    defaults: Value,
    tree: Value,
    origins: BTreeMap<String, String>,
    problems: Vec<Problem>,
    role: std::marker::PhantomData<T>,
}

impl<T: Role> Loading<T> {
    fn new() -> Self {
        let defaults = defaults::<T>();
        let (tree, role) = (defaults.clone(), std::marker::PhantomData);
        Self { defaults, tree, origins: BTreeMap::new(), problems: Vec::new(), role }
    }

    fn read(sources: &Sources) -> Self {
        let mut loading = Self::new();
        if let Some(file) = &sources.file {
            loading.file(file);
        }
        loading.variables(&sources.variables);
        loading.problems.extend(sources.unreadable.iter().map(|name| Problem {
            key: name.clone(),
            origin: "variable".to_owned(),
            what: "is no UTF-8".to_owned(),
            remedy: "Write it anew, or take it out".to_owned(),
        }));
        for flag in &sources.flags {
            loading.text(flag.key, format!("flag {}", flag.name), &flag.value);
        }
        loading
    }

    fn file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let problem = |what: String, remedy: &str| Problem {
            key: "--config".to_owned(),
            origin: origin.clone(),
            what,
            remedy: remedy.to_owned(),
        };
        match fs::read_to_string(path) {
            Err(error) => {
                let what = format!("cannot be read: {error}");
                self.problems.push(problem(what, "Check the name, the folder and who may read it"));
            }
            Ok(text) => match Toml::from_str::<Value>(&text) {
                Err(error) => self.problems.push(problem(
                    format!("is no TOML: {}", error.to_string().trim().replace('\n', " ")),
                    "Mend this place; nothing else of the file was looked at",
                )),
                Ok(given) => self.table("", &given, &origin),
            },
        }
    }

    // Walks a table of a file beside the defaults, down to single keys.
    fn table(&mut self, key: &str, given: &Value, origin: &str) {
        let Some(parts) = given.as_dict() else {
            let (what, remedy) = ("must be a table".to_owned(), format!("Write [{key}] and its keys below"));
            self.problems.push(Problem { key: key.to_owned(), origin: origin.to_owned(), what, remedy });
            return;
        };
        for (name, value) in parts {
            let key = tree::join(key, name);
            match tree::find(&self.defaults, &key).map(tree::shape) {
                None => self.unknown(&key, origin),
                Some(Shape::Table) => self.table(&key, value, origin),
                Some(Shape::Span | Shape::Leaf) => {
                    let candidates = [Some(value.clone()), tree::with_spans(value)];
                    self.take(&key, origin.to_owned(), candidates.into_iter().flatten());
                }
            }
        }
    }

    fn variables(&mut self, variables: &[(String, String)]) {
        let mut ours: Vec<&(String, String)> =
            variables.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
        ours.sort();
        for (name, value) in ours {
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            let known = tree::find(&self.defaults, &key).is_some();
            // One environment may serve several roles; a key of none of them is a slip of the pen.
            if known || !super::is_key_of_any_role(&key) {
                self.text(&key, format!("variable {name}"), value);
            }
        }
    }

    // A text may stand for itself, or for a number, a list or a time span.
    fn text(&mut self, key: &str, origin: String, text: &str) {
        let Some(default) = tree::find(&self.defaults, key) else { return self.unknown(key, &origin) };
        if tree::shape(default) == Shape::Table {
            return self.unknown(key, &origin);
        }
        let parsed: Option<Value> = text.parse().ok();
        let raw = Value::from(text.to_owned());
        let spans = parsed.as_ref().and_then(tree::with_spans);
        let list =
            default.as_array().and_then(|_| Value::serialize(text.split(',').collect::<Vec<_>>()).ok());
        self.take(key, origin, [Some(raw), parsed, spans, list].into_iter().flatten());
    }

    // The first candidate that the role's own types take is the value.
    fn take(&mut self, key: &str, origin: String, candidates: impl Iterator<Item = Value>) {
        let mut first_error = None;
        for candidate in candidates {
            let mut trial = self.defaults.clone();
            tree::set(&mut trial, key, candidate.clone());
            match trial.deserialize::<T>() {
                Ok(_) => return self.put(key, origin, candidate),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        let secret = T::SECRETS.contains(&key);
        let is_span = tree::find(&self.defaults, key).is_some_and(|value| tree::shape(value) == Shape::Span);
        let what = match first_error {
            _ if is_span => {
                "must be a time span such as 250ms, 90s, 5m or 24h, in quotes, and 366d at the most"
                    .to_owned()
            }
            Some(error) if !secret => wrong(&error),
            _ => "is not of the right kind".to_owned(),
        };
        let remedy = self.example(key);
        self.problems.push(Problem { key: key.to_owned(), origin, what, remedy });
    }

    fn put(&mut self, key: &str, origin: String, value: Value) {
        let default = tree::find(&self.defaults, key);
        let zero = tree::is_zero(&value) && !default.is_some_and(tree::is_zero);
        if zero && !T::MAY_BE_ZERO.contains(&key) {
            let (what, remedy) = ("must be more than 0".to_owned(), self.example(key));
            self.problems.push(Problem { key: key.to_owned(), origin, what, remedy });
            return;
        }
        tree::set(&mut self.tree, key, value);
        self.origins.insert(key.to_owned(), origin);
    }

    fn example(&self, key: &str) -> String {
        let required = T::REQUIRED.iter().find(|(known, _)| *known == key);
        let default = tree::find(&self.defaults, key);
        if let Some((_, example)) = required {
            let list = default.is_some_and(|default| default.as_array().is_some());
            let example = if list { format!("[\"{example}\"]") } else { format!("\"{example}\"") };
            return format!("Write for example {key} = {example}");
        }
        match default {
            Some(default) if !tree::is_unset(default) => {
                format!("Leave it out for the default, {key} = {}", tree::show(default))
            }
            _ => "Leave it out to do without".to_owned(),
        }
    }

    fn unknown(&mut self, key: &str, origin: &str) {
        let known: Vec<String> = tree::leaves(&self.defaults).into_iter().map(|(key, _)| key).collect();
        // A key in the wrong table is meant sooner than one that is written alike.
        let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
        let moved = known.iter().filter(|other| last(other) == last(key));
        let moved = moved.min_by_key(|other| distance(key, other));
        let nearest = known.iter().min_by_key(|other| distance(key, other));
        let near = moved.or(nearest.filter(|other| distance(key, other) <= 1 + key.len() / 4));
        let remedy = match near {
            Some(other) => format!("Did you mean {other}?"),
            None => format!("Take it out; `todoke config print --role {}` lists every key", T::NAME),
        };
        let what = "there is no such key".to_owned();
        self.problems.push(Problem { key: key.to_owned(), origin: origin.to_owned(), what, remedy });
    }

    // Looks at everything together; a configuration comes out even of some that have problems.
    fn check(&mut self) -> Option<T> {
        for (key, _) in T::REQUIRED {
            let refused = self.problems.iter().any(|problem| problem.key == *key);
            if !refused && tree::find(&self.tree, key).is_none_or(tree::is_unset) {
                let (what, remedy) = ("is not set".to_owned(), self.how_to_set(key));
                self.problems.push(Problem { key: (*key).to_owned(), origin: String::new(), what, remedy });
            }
        }
        for key in T::FILES {
            let value = tree::find(&self.tree, key);
            let listed = value.and_then(Value::as_array).unwrap_or_default();
            let paths = value.into_iter().chain(listed).filter_map(Value::as_str);
            let mut named = paths.filter(|path| !path.is_empty());
            if let Some(what) = named.find_map(|path| unreadable(Path::new(path))) {
                let origin = self.origins.get(*key).cloned().unwrap_or_default();
                let remedy = "Check the name, the folder and who may read it".to_owned();
                self.problems.push(Problem { key: (*key).to_owned(), origin, what, remedy });
            }
        }
        match self.tree.deserialize::<T>() {
            Ok(config) => {
                for Conflict { key, what, remedy } in config.conflicts() {
                    let origin = self.origins.get(&key).cloned().unwrap_or_default();
                    // A key that is wrong by itself was put back to its default, which says nothing.
                    if self.problems.iter().all(|problem| problem.key != key) {
                        self.problems.push(Problem { key, origin, what, remedy });
                    }
                }
                Some(config)
            }
            Err(error) => {
                let (key, what) = (error.path.join("."), wrong(&error));
                let remedy = "Take the keys of this table out one by one".to_owned();
                self.problems.push(Problem { key, origin: String::new(), what, remedy });
                None
            }
        }
    }

    fn how_to_set(&self, key: &str) -> String {
        format!("{}, or set {}", self.example(key), variable(key))
    }
}

/// The variable that sets a key.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn unreadable(path: &Path) -> Option<String> {
    let shown = path.display();
    match fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(kind) if kind.is_dir() => Some(format!("{shown} is a folder")),
        Ok(_) => None,
        Err(error) => Some(format!("{shown} cannot be read: {error}")),
    }
}

fn wrong(error: &Error) -> String {
    let words = |expected: &str| match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        other => other.to_owned(),
    };
    match &error.kind {
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("must be {}, not {actual}", words(expected))
        }
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        other => other.to_string(),
    }
}

// Levenshtein's distance, to find what was meant.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
