//! `todoke completions SHELL`: writes the completions of every command and flag for a shell.

use std::io::Write as _;

use clap::{Args, Command};
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
pub fn run(args: &CompletionsArgs, command: &Command) -> Result<u8, Error> {
    let mut script = Vec::new();
    generate(args.shell, &mut offered(command), "todoke", &mut script);
    let _ = std::io::stdout().lock().write_all(&script);
    Ok(exit::DONE)
}

/// The command as far as it is offered: without what is hidden in its help, too.
fn offered(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned();
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).map(offered);
    // This process writes one script and ends, and clap wants names that live as long.
    let name: &'static str = command.get_name().to_owned().leak();
    let mut visible = Command::new(name).args(arguments).subcommands(commands);
    if let Some(about) = command.get_about() {
        visible = visible.about(about.clone());
    }
    visible
}
