//! Names the field of a JSON text in which a reader stopped, so that a bad line can be mended without
//! counting characters.

/// The path of the field at a column, counted from 1, as `second.buckets[3].n`; `(the line)` if there is
/// none.
///
/// The text may be broken behind the column, and is not looked at there.
pub(super) fn at(text: &str, column: usize) -> String {
    let end = column.min(text.len());
    let bytes = &text.as_bytes()[..end];
    let mut path: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => path.push(Step::Key(String::new())),
            b'[' => path.push(Step::Place(0)),
            // What is wrong with a whole object is said at its end: then its own name is meant.
            b'}' | b']' => drop(path.pop()),
            b',' => match path.last_mut() {
                Some(Step::Place(place)) => *place += 1,
                Some(Step::Key(key)) => key.clear(),
                None => {}
            },
            b'"' => {
                let close = string_end(bytes, at);
                let is_key = matches!(path.last(), Some(Step::Key(key)) if key.is_empty());
                if is_key && let Some(Step::Key(key)) = path.last_mut() {
                    *key = String::from_utf8_lossy(&bytes[at + 1..close.min(bytes.len())]).into_owned();
                }
                at = close;
            }
            _ => {}
        }
        at += 1;
    }
    shown(&path)
}

enum Step {
    Key(String),
    Place(usize),
}

/// Where the string that begins at `at` has its closing quote; the end of the text if it has none.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while next < bytes.len() && bytes[next] != b'"' {
        next += if bytes[next] == b'\\' { 2 } else { 1 };
    }
    next.min(bytes.len())
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text = format!("{text}.{key}"),
            Step::Place(place) => text = format!("{text}[{place}]"),
        }
    }
    if text.is_empty() { "(the line)".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn the_field_at_a_column_is_named() {
        let text = r#"{"second":{"buckets":[{"n":1},{"n":"x, \"y\"","bad":2}],"second":7}}"#;
        let of = |needle: &str| text.find(needle).map(|at| at + needle.len()).unwrap_or_default();
        for (column, path) in [
            (of(r#""n":1"#), "second.buckets[0].n"),
            (of(r#""x, \"y\""#), "second.buckets[1].n"),
            (of(r#""bad":2"#), "second.buckets[1].bad"),
            (of(r#":7"#), "second.second"),
            (of(r#""bad":2}"#), "second.buckets[1]"),
            (0, "(the line)"),
            (text.len() + 9, "(the line)"),
        ] {
            assert_eq!(at(text, column), path, "{column}");
        }
        assert_eq!(at("not json", 4), "(the line)");
        assert_eq!(at(r#"{"a":"unclosed \"#, 99), "a");
    }
}
