//! A configuration as a tree of values: the tree of the defaults is the schema, so no key is named twice.

use std::time::Duration;

use figment::value::{Num, Value};

use super::duration;

/// What a default looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table of further keys.
    Table,
    /// A time span, which serde has as seconds and nanoseconds.
    Span,
    /// Anything else.
    Leaf,
}

pub(super) fn shape(value: &Value) -> Shape {
    match value.as_dict() {
        Some(_) if span(value).is_some() => Shape::Span,
        Some(_) => Shape::Table,
        None => Shape::Leaf,
    }
}

/// The time span that a value holds.
pub(super) fn span(value: &Value) -> Option<Duration> {
    let parts = value.as_dict().filter(|parts| parts.len() == 2)?;
    let seconds = parts.get("secs")?.to_u128().and_then(|secs| u64::try_from(secs).ok())?;
    let nanos = parts.get("nanos")?.to_u128().and_then(|nanos| u32::try_from(nanos).ok())?;
    Some(Duration::new(seconds, nanos))
}

/// The value below a dotted key.
pub(super) fn find<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |value, part| value.as_dict()?.get(part))
}

/// Puts a value below a dotted key whose tables are there.
pub(super) fn set(tree: &mut Value, key: &str, new: Value) {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let Value::Dict(_, parts) = tree else { return };
    match rest {
        None => {
            parts.insert(first.to_owned(), new);
        }
        Some(rest) => {
            if let Some(below) = parts.get_mut(first) {
                set(below, rest, new);
            }
        }
    }
}

/// All keys that are no tables, with their values, in order.
pub(super) fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect("", tree, &mut found);
    found
}

fn collect<'a>(key: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value.as_dict().filter(|_| shape(value) == Shape::Table) {
        None => found.push((key.to_owned(), value)),
        Some(parts) => parts.iter().for_each(|(name, below)| collect(&join(key, name), below, found)),
    }
}

pub(super) fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// The same value with every text that is a time span as serde wants it, if any is.
pub(super) fn with_spans(value: &Value) -> Option<Value> {
    match value {
        Value::String(_, text) => Value::serialize(duration::parse(text).ok()?).ok(),
        Value::Array(tag, parts) => {
            let parts: Option<Vec<Value>> = parts.iter().map(with_spans).collect();
            Some(Value::Array(*tag, parts?))
        }
        _ => None,
    }
}

/// Whether a value is nothing: not set, or an empty text or list.
pub(super) fn is_unset(value: &Value) -> bool {
    let nothing = value.as_str() == Some("") || value.as_array().is_some_and(<[Value]>::is_empty);
    matches!(value, Value::Empty(..)) || nothing
}

/// Whether a value is the number 0 or no time at all, or a list with one of them in it.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        // A file's numbers are signed, a variable's are not.
        Value::Num(_, number) => number.to_u128() == Some(0) || number.to_i128() == Some(0),
        Value::Array(_, parts) => parts.iter().any(is_zero),
        _ => span(value) == Some(Duration::ZERO),
    }
}

/// Writes a value as TOML has it.
pub(super) fn show(value: &Value) -> String {
    if let Some(span) = span(value) {
        return quoted(&duration::show(span));
    }
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, letter) => quoted(&letter.to_string()),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => number_text(*number),
        Value::Empty(..) => "not set".to_owned(),
        Value::Array(_, parts) => {
            format!("[{}]", parts.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, parts) => {
            let one = |(name, value): (&String, &Value)| format!("{name} = {}", show(value));
            format!("{{ {} }}", parts.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

fn number_text(number: Num) -> String {
    let whole = number.to_u128().map(|n| n.to_string()).or_else(|| number.to_i128().map(|n| n.to_string()));
    whole.unwrap_or_else(|| number.to_f64().unwrap_or_default().to_string())
}

// A JSON string is a TOML basic string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
