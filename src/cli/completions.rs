//! `todoke completions SHELL`: writes the completions of every command and flag for a shell.

use std::io::Write as _;

use clap::Args;
use clap_complete::{Shell, generate};

use super::Error;
use crate::runtime::exit;

/// Writes completions for a shell.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
                        todoke completions bash > ~/.local/share/bash-completion/completions/todoke\n  \
                        todoke completions zsh > ~/.zfunc/_todoke\n  \
                        todoke completions fish > ~/.config/fish/completions/todoke.fish")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own; a reader that has gone is no error.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command) -> Result<u8, Error> {
    let mut script = Vec::new();
    generate(args.shell, command, "todoke", &mut script);
    let _ = std::io::stdout().lock().write_all(&script);
    Ok(exit::DONE)
}
