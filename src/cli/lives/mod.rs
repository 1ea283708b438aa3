//! What is alike in the commands about envelopes, applications and cards: each is an item with a state,
//! fields and a history, and all of them are changed, listed and shown in one way.

pub(super) mod change;
pub(super) mod list;
pub(super) mod show;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{
    domain::{date, life::evidence::Document},
    wire::convert::millis,
};

/// An item with a life of its own, as it is shown.
pub(super) trait Item: Default {
    /// Its name for programs; with an s behind it, that of how many there are.
    const NAME: &'static str;
    /// The same of what was recorded of it.
    const EVENT: &'static str;
    /// Columns that the names of its fields take.
    const COLUMNS: usize;
    /// What was recorded of it.
    type Event;

    /// All of it, by name; what is empty is not shown to people.
    fn fields(&self) -> Vec<(&'static str, String)>;
    /// All of it for programs.
    fn json(&self) -> Value;
    /// Where it stands after a change.
    fn stands(&self) -> String;
    /// What people have to know beside that, in lines of our own.
    fn warning(&self) -> Option<String> {
        None
    }
    /// An event as it is shown.
    fn event(event: &Self::Event) -> Event<'_>;
}

/// What was recorded of an item, as it is shown.
pub(super) struct Event<'a> {
    pub(super) position: u32,
    pub(super) kind: &'a str,
    pub(super) occurred: Option<&'a Timestamp>,
    pub(super) recorded: Option<&'a Timestamp>,
    pub(super) actor: &'a str,
    pub(super) request_id: &'a str,
    /// What else there may be to say of it.
    pub(super) remark: Option<Remark<'a>>,
}

/// What there may be to say of an event.
pub(super) struct Remark<'a> {
    /// Its name for programs.
    pub(super) name: &'static str,
    /// What stands before it for people.
    pub(super) before: &'static str,
    pub(super) words: &'a str,
}

impl Event<'_> {
    fn json(&self) -> Value {
        let mut value = json!({
            "position": self.position,
            "kind": self.kind,
            "occurred_time": time(self.occurred),
            "record_time": time(self.recorded),
            "actor": self.actor,
            "request_id": self.request_id,
        });
        if let Some(Remark { name, words, .. }) = self.remark {
            value[name] = words.into();
        }
        value
    }

    fn line(&self) -> String {
        let Self { position, kind, actor, .. } = self;
        let line = format!("{position:>4}  {}  {kind:20}  {actor}", time(self.occurred));
        match self.remark {
            Some(Remark { before, words, .. }) if !words.is_empty() => format!("{line}  {before}{words}"),
            _ => line,
        }
    }
}

/// A time of the wire in UTC; empty if there is none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map(|time| date::utc(millis(time))).unwrap_or_default()
}

/// A name of the wire without the prefix that all names of its kind have.
pub(super) fn word(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// Takes one of these words and reads it by its name on the wire, which has this prefix.
pub(super) fn words<T: Clone + Send + Sync + 'static>(
    known: impl IntoIterator<Item = &'static str> + 'static,
    prefix: &'static str,
    read: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(known)
        .map(move |word| read(&format!("{prefix}{word}")).expect("the wire has every word, by test"))
}

/// Takes the name of a document that somebody can show.
pub(super) fn documents() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(Document::ALL.iter().map(|document| document.as_str()))
}
