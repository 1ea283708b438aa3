//! Imports between rooms go one way: the table that `src/lib.rs` shows, and nothing beside it.

use super::{
    Finding,
    source::{Source, closing, is_name, line_of, words},
};

const EVERYTHING: &str = "*";

/// Each room and the rooms it may import.
const ROOMS: [(&str, &[&str]); 16] = [
    ("crash", &[]),
    ("domain", &[]),
    ("telemetry", &[]),
    ("sample", &["domain"]),
    ("runtime", &["telemetry"]),
    ("wire", &["domain"]),
    ("net", &["domain", "wire", "runtime", "telemetry"]),
    ("vault", &["domain"]),
    ("store", &["domain", "vault", "pool", "runtime", "telemetry", "crash"]),
    ("issuance", &["domain", "wire", "vault", "store", "net", "pool", "runtime", "telemetry", "crash"]),
    ("relay", &["domain", "wire", "net", "pool", "runtime", "telemetry", "crash"]),
    ("client", &["domain", "wire", "net", "runtime", "telemetry", "crash"]),
    ("pool", &["domain", "wire", "net", "runtime", "telemetry"]),
    ("ops", &["domain", "store", "telemetry"]),
    ("config", &["issuance", "net", "ops", "pool", "relay", "store", "telemetry"]),
    ("cli", &[EVERYTHING]),
];

/// Crates that a room must do without, in tests too, as its promise depends on it.
const FOREIGN: [(&str, &[&str], &str); 3] = [
    ("domain", &["tokio::", "tonic::", "sqlx::", "std::fs", "std::net"], "the domain is pure"),
    ("sample", &["tokio::", "tonic::", "sqlx::"], "a sample file needs no service"),
    ("store", &["tonic::"], "the store does not know how it is called"),
];

pub(super) fn of(source: &Source) -> Vec<Finding> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![Finding::at(
            &source.path,
            1,
            format!("`{room}/` is no room of the design: add it to ROOMS with the arrows it needs"),
        )];
    };
    let mut found: Vec<Finding> = imports(source)
        .into_iter()
        .filter(|(_, other)| other != room && ROOMS.iter().any(|(name, _)| name == other))
        .filter(|(_, other)| !allowed.contains(&other.as_str()) && !allowed.contains(&EVERYTHING))
        .map(|(line, other)| Finding::at(&source.path, line, format!("`{room}/` may not import `{other}/`")))
        .collect();
    for (_, needles, why) in FOREIGN.iter().filter(|(name, ..)| *name == room) {
        for needle in *needles {
            found.extend(words(&source.code, needle).map(|at| {
                Finding::at(
                    &source.path,
                    line_of(&source.code, at),
                    format!("no `{needle}` in `{room}/`: {why}"),
                )
            }));
        }
    }
    found
}

/// Where the table that readers see says something else than [`ROOMS`].
pub(super) fn of_table(path: &str, text: &str) -> Vec<Finding> {
    let rows: Vec<(usize, &str, &str)> = text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let (room, cells) = line.strip_prefix("//! | [`")?.split_once("`] |")?;
            Some((at + 1, room, cells.trim_end_matches(" |").rsplit('|').next()?.trim()))
        })
        .collect();
    let mut found = Vec::new();
    for (room, allowed) in ROOMS {
        let held = match allowed {
            [] => "nothing".to_owned(),
            [EVERYTHING] => "everything".to_owned(),
            some => some.join(", "),
        };
        match rows.iter().find(|(_, name, _)| *name == room) {
            None => found.push(Finding::at(path, 1, format!("`{room}/` is not in the table of rooms"))),
            Some((line, _, said)) if *said != held => {
                found.push(Finding::at(path, *line, format!("what holds for `{room}/` is: {held}")));
            }
            Some(_) => {}
        }
    }
    let strange = rows.iter().filter(|(_, name, _)| ROOMS.iter().all(|(room, _)| room != name));
    found.extend(strange.map(|(line, name, _)| Finding::at(path, *line, format!("`{name}/` is no room"))));
    found
}

/// Every name directly under the crate's root that the file uses, with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in words(code, "crate::") {
        heads(code, at + "crate::".len(), &mut found);
    }
    for at in words(code, "super::").filter(|at| !code[..*at].ends_with("super::")) {
        let steps = code[at..].split("::").take_while(|part| *part == "super").count();
        let depth = source.depth() + usize::from(source.is_test(line_of(code, at)));
        if steps >= depth {
            heads(code, at + steps * "super::".len(), &mut found);
        }
    }
    found
}

/// The first names of the path or the `{…}` list that stands at `at`.
fn heads(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let name = |from: usize| -> String { code[from..].chars().take_while(|c| is_name(*c)).collect() };
    if !code[at..].starts_with('{') {
        found.push((line_of(code, at), name(at)));
        return;
    }
    let end = closing(code, at).unwrap_or(code.len());
    let (mut depth, mut fresh) = (0_usize, false);
    for (offset, c) in code[at..end].char_indices() {
        match c {
            '{' => (depth, fresh) = (depth + 1, true),
            '}' => depth -= 1,
            ',' => fresh = true,
            _ if fresh && is_name(c) => {
                if depth == 1 {
                    found.push((line_of(code, at + offset), name(at + offset)));
                }
                fresh = false;
            }
            _ => {}
        }
    }
}
