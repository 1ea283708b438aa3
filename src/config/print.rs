//! Shows the effective configuration as TOML that can be loaded again, each key with where it was said;
//! passwords are hidden.

use std::collections::BTreeMap;

use figment::value::Value;

use super::{load::Role, problem::Problem, tree};

const NOT_SET: &str = "not set";

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// The key.
    pub key: String,
    /// The value as TOML has it; `not set` where there is none.
    pub value: String,
    /// `default`, or the file, variable or flag; `required` where one of them has to say it. Then which of
    /// them said what is refused and does not count.
    pub origin: String,
}

/// Every key with its value and origin, in order.
pub(super) fn effective<T: Role>(
    tree: &Value,
    origins: &BTreeMap<String, String>,
    problems: &[Problem],
) -> Vec<Effective> {
    let one = |(key, value): (String, &Value)| {
        let missing = tree::is_unset(value) && T::REQUIRED.iter().any(|(known, _)| *known == key);
        let shown = match value.as_str() {
            _ if missing => NOT_SET.to_owned(),
            Some(url) if T::SECRETS.contains(&key.as_str()) => tree::show(&hidden(url).into()),
            _ => tree::show(value),
        };
        let told = if missing { None } else { origins.get(&key).map(String::as_str) };
        let mut origin = told.unwrap_or(if missing { "required" } else { "default" }).to_owned();
        // A value that is in force and nevertheless wrong stands here itself.
        let refused = |problem: &&Problem| problem.key == key && Some(problem.origin.as_str()) != told;
        for Problem { origin: place, .. } in problems.iter().filter(refused) {
            if !place.is_empty() {
                origin = format!("{origin}; {place} is refused");
            }
        }
        Effective { key, value: shown, origin }
    };
    tree::leaves(tree).into_iter().map(one).collect()
}

/// One line of a file; a key without a value is a comment.
#[must_use]
pub fn line(effective: &Effective) -> String {
    let Effective { key, value, origin } = effective;
    let mark = if value == NOT_SET { "# " } else { "" };
    format!("{mark}{key} = {value}  # {origin}")
}

/// A database's address without its password, wherever it stands in it.
fn hidden(url: &str) -> String {
    const MASK: &str = "***";
    let mut shown = url.to_owned();
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The last @ ends the user's part: a password may hold others that were not escaped.
        if let Some((user, host)) = authority.rsplit_once('@') {
            let name = user.split(':').next().unwrap_or_default();
            let mask = if user.contains(':') { format!(":{MASK}") } else { String::new() };
            shown = format!("{scheme}://{name}{mask}@{host}{tail}");
        }
    }
    let Some((head, query)) = shown.split_once('?') else { return shown };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    format!("{head}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        for (url, shown) in [
            ("sqlite:issuer.db", "sqlite:issuer.db"),
            ("postgres://todoke:s3cret@db:5432/todoke", "postgres://todoke:***@db:5432/todoke"),
            ("postgres://todoke:a@b:c@db/t?sslmode=require", "postgres://todoke:***@db/t?sslmode=require"),
            ("postgres://todoke@db/t", "postgres://todoke@db/t"),
            ("postgres://db/t?user=a&password=s3cret", "postgres://db/t?user=a&password=***"),
        ] {
            assert_eq!(hidden(url), shown);
        }
    }
}
