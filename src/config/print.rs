//! Shows the effective configuration as TOML that can be loaded again, each key with where it was said;
//! passwords are hidden.

use super::{
    load::{Loaded, Role},
    tree,
};

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Effective {
    /// The key.
    pub key: String,
    /// The value as TOML has it; `not set` where there is none.
    pub value: String,
    /// `default`, or the file, variable or flag.
    pub origin: String,
}

impl<T: Role> Loaded<T> {
    /// Every key with its value and origin, in order.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let one = |(key, value): (String, &figment::value::Value)| {
            let shown = if T::SECRETS.contains(&key.as_str()) {
                tree::show(&value.as_str().map_or_else(|| value.clone(), |text| hidden(text).into()))
            } else {
                tree::show(value)
            };
            let origin = self.origins.get(&key).cloned().unwrap_or_else(|| "default".to_owned());
            Effective { key, value: shown, origin }
        };
        tree::leaves(&self.tree).into_iter().map(one).collect()
    }
}

/// One line of a file; a key without a value is a comment.
#[must_use]
pub fn line(effective: &Effective) -> String {
    let Effective { key, value, origin } = effective;
    let mark = if value == "not set" { "# " } else { "" };
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
