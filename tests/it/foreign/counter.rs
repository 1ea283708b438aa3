//! Promise: with stock grpcio alone a person goes from an order to an active card, each party with its own
//! certificate, and what is wrong on the way is refused for a reason that a program can read.

use std::{fs, process::Command};

use super::{Dev, here, output, packages};

/// The order and the birth date of the first person of a sample who has a whole one.
fn somebody(file: &std::path::Path) -> (String, String) {
    let text = fs::read_to_string(file).expect("it was written");
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("it has a header");
    let at = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    let (order, birth) = (at("order_id"), at("birth_date"));
    let is_day = |row: &Vec<&str>| row.len() == header.len() && row[birth].len() == "2000-01-01".len();
    let row = rows.find(is_day).expect("somebody has a whole birth date");
    (row[order].to_owned(), row[birth].to_owned())
}

#[test]
fn python_takes_a_person_from_the_order_to_an_active_card() {
    let packages = packages();
    let dev = Dev::start(2, &[]);
    let file = dev.sample(21, 50);
    dev.todoke(&["import", &file.display().to_string()]);
    let (order, birth_date) = somebody(&file);
    let mut client = Command::new(packages.join("python/bin/python"));
    client.env("PYTHONDONTWRITEBYTECODE", "1").arg(here("python/counter.py"));
    client.args(["--order", &order, "--birth-date", &birth_date, "--endpoints"]).arg(dev.endpoints());
    let said = output(&mut client);
    for expected in [
        "another birth date: NOT_FOUND todoke/NOT_FOUND\n",
        "a notification card alone: FAILED_PRECONDITION todoke/IDENTITY_NOT_PROVED\n",
        "the press has the name to print: True\n",
        "another chip: FAILED_PRECONDITION todoke/CHIP_PROOF_INVALID\n",
        "steps: PREPARE_CHIP COMMIT_CHIP CONFIRM DONE\n",
        "the card is CARD_STATE_ACTIVE\n",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}\n{}", dev.log());
    }
}
