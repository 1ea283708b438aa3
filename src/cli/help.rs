//! Lists the sub-commands by who uses them: clap itself knows no groups.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

/// Who uses which sub-commands, in the order of work.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Municipalities",
        &["import", "resume", "status", "rejects", "reconcile", "prove", "verify", "card", "abort", "repair"],
    ),
    ("Municipalities, press and post", &["application", "mail"]),
    ("Operators, press and municipalities", &["production"]),
    ("Services", &["issuer", "relay"]),
    ("Operators", &["config", "migrate", "pki", "pool", "report", "restore", "store", "vault"]),
    ("Trying it out", &["demo", "dev", "sample"]),
    ("Shell", &["completions"]),
];

const AFTER: &str = "\
Examples:
  todoke sample --municipality 131229 --records 5000 --out cards.csv
  todoke import cards.csv --endpoints dev/endpoints.json --as municipality/131229
  todoke verify cards.csv.receipt --file cards.csv --key dev/pki/receipt.pub

Exit codes: 0 done and proved, 1 failed, 2 wrong usage, 64 bad configuration;
3 gaps left (import, resume), 4 totals disagree (import, resume, verify, store), shelves do not
fit (mail), a lot does not close (production) or stored data is damaged (report, vault), 75 try
again later.
`todoke COMMAND --help` says more.";

/// The whole command line, with its help in groups.
pub(crate) fn command<C: CommandFactory>() -> Command {
    let command = C::command();
    let list = list(&command);
    command
        .help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{list}\nOptions:\n{{options}}{{after-help}}"
        ))
        .after_help(AFTER)
}

/// In how many groups a sub-command is.
#[cfg(test)]
pub(crate) fn groups_of(name: &str) -> usize {
    GROUPS.iter().flat_map(|(_, names)| names.iter()).filter(|known| **known == name).count()
}

fn list(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let known: Vec<&Command> = names.iter().filter_map(|name| command.find_subcommand(name)).collect();
        if known.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{heading}:");
        for sub in known {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            // One line each: what stands behind a semicolon is for the command's own help.
            let about = about.split("; ").next().unwrap_or_default();
            let _ = writeln!(text, "  {:12} {about}", sub.get_name());
        }
    }
    text
}
