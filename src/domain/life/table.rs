//! Reads a table of the legal steps and proves that a life is exactly that table.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::{BadWord, IllegalTransition, Why};

/// Proves that `after` takes each step of the table and refuses every other pair.
///
/// A row is a state and its legal steps, `COMMAND>STATE`; a state without any is a row by itself. `commands`
/// are all commands with what lets them through, by label; a label is the command's word, or that word, `:`
/// and what it is about.
pub(super) fn decides<S, C>(
    table: &str,
    states: &[S],
    words: &[&str],
    commands: &[(&str, C)],
    word: impl Fn(&C) -> &'static str,
    after: impl Fn(S, &C) -> Result<S, IllegalTransition>,
) where
    S: Copy + Eq + Ord + Display + std::fmt::Debug + FromStr<Err = BadWord>,
{
    let mut listed: Vec<&str> =
        commands.iter().map(|(label, _)| label.split(':').next().expect("a word")).collect();
    for ((_, command), listed) in commands.iter().zip(&listed) {
        assert_eq!(word(command), *listed);
    }
    listed.dedup();
    assert_eq!(listed, words, "every command is tried");

    let mut legal: BTreeMap<(S, &str), S> = BTreeMap::new();
    let mut rows = Vec::new();
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let mut cells = row.split_whitespace();
        let state: S = cells.next().expect("a state").parse().expect(row);
        rows.push(state);
        for cell in cells {
            let (label, next) = cell.split_once('>').expect(cell);
            let (label, _) = commands.iter().find(|(known, _)| *known == label).expect(cell);
            assert_eq!(legal.insert((state, label), next.parse().expect(cell)), None, "{row}");
        }
    }
    assert_eq!(rows, states, "every state has its row, in the order of the life");

    for &state in states {
        assert_eq!(state.to_string().parse(), Ok(state));
        for (label, command) in commands {
            match (legal.get(&(state, label)), after(state, command)) {
                (Some(next), found) => assert_eq!(found, Ok(*next), "{state} {label}"),
                (None, Ok(next)) => panic!("{state} {label} is not in the table and leads to {next}"),
                (None, Err(illegal)) => {
                    assert_eq!(illegal.why, Why::State, "{state} {label}");
                    let said = illegal.to_string();
                    let names = said.contains(&state.to_string()) && said.contains(word(command));
                    assert!(names, "{said}");
                }
            }
        }
    }
}
