//! Promise: the real binary does what its help says, and says what to do when it is used wrongly.

mod codes;
mod config;
mod database;
mod help;
mod memory;
mod migrate;
mod results;
mod roles;
mod sample;

use std::process::{Command, Output};

/// The binary, without any variable of ours that the machine may have.
fn todoke(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
    let ours = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(|name| name.starts_with("TODOKE_")));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.args(words);
    command
}

/// How a run ended: its code, standard output, standard error.
fn run(words: &[&str]) -> (i32, String, String) {
    ended(todoke(words).output().expect("the binary runs"))
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}
