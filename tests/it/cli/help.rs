//! Promise: whoever is lost finds the way by `--help`, and wrong usage is code 2 with a remedy.

use super::run;

/// Every sub-command that the help lists.
fn commands() -> Vec<String> {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    let listed = help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !name.starts_with('-') && *name != "todoke").map(str::to_owned).collect()
}

#[test]
fn every_command_that_is_listed_explains_itself_with_an_example() {
    let commands = commands();
    assert!(commands.iter().any(|name| name == "import") && commands.len() > 8, "{commands:?}");
    for name in &commands {
        let (code, help, errors) = run(&[name, "--help"]);
        assert_eq!((code, errors.as_str()), (0, ""), "{name}");
        assert!(help.contains("Example") && help.contains(&format!("todoke {name}")), "{name}: {help}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let (code, text, _) = run(&["--version"]);
    assert_eq!((code, text.trim()), (0, concat!("todoke ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_is_code_2_with_a_remedy_on_standard_error() {
    refused(&[
        (&["imprt"][..], "similar subcommands exist: 'report', 'migrate', 'import'"),
        (&["import", "cards.csv"], "--as <ROLE/NAME>"),
        (&["import", "cards.csv", "--as", "x", "--chunk-records", "1000"], "a power of two"),
        (&["import", "cards.csv", "--as", "x", "--seal-by", "1"], "with its unit"),
        (&["import", "cards.csv", "--as", "x", "--seal-by", "0s"], "more than 0"),
        (&["import", "cards.csv", "--as", "x", "--policy", "some"], "all-or-nothing"),
        (&["import", "cards.csv", "--as", "x", "--sequence", "0"], "not in 1.."),
        (&["import", "cards.csv", "--as", "x", "--patience", "0s"], "more than 0"),
        (&["import", "cards.csv", "--as", "x", "--receipt", "gone/r"], "no folder gone"),
        (&["status", "--as", "x", "--batch", "7"], "`todoke status --as ROLE/NAME` lists"),
        (&["card", "list", "--as", "x", "--limit", "0"], "not in 1.."),
        (&["mail", "posted", "E-1", "--as", "x"], "--municipality <CODE>"),
        (&["mail", "posted", "E-1", "--as", "x", "--municipality", "131220"], "check digit of JIS X 0402"),
        (&["mail", "hand-over", "E 1", "--as", "x"], "1 to 64 visible ASCII characters"),
        (&["mail", "hand-over", "E-1", "--as", "x", "--at", "2026-11-20"], "a moment with its zone"),
        (&["mail", "hand-over", "E-1", "--as", "x", "--request-id", ""], "visible ASCII characters"),
        (&["mail", "propose-disposal", "E-1", "--as", "x", "--clerk", "佐藤"], "the office's short name"),
        (&["mail", "produced", "E-1", "--as", "x", "--municipality", "131229"], "--order-id <ID>"),
        (&["mail", "retention", "--as", "x", "--extend", "2026-02-30"], "a day that exists"),
        (&["mail", "retention", "--as", "x", "--request-id", "r"], "--extend <YYYY-MM-DD>"),
        (&["mail", "list", "--as", "x", "--state", "STORED", "--older-than", "30"], "with its unit"),
        (&["mail", "list", "--as", "x", "--older-than", "30d"], "--state <STATE>"),
        (&["mail", "list", "--as", "x", "--state", "LOST"], "MISSING"),
        (&["mail", "stocktake", "shelf.txt", "--as", "x"], "--office <NAME>"),
        (&["pool", "list"], "--as <ROLE/NAME>"),
        (&["pool", "explain", "a b", "--as", "x"], "the name must be 1 to 64"),
        (&["pool", "sign-off", "relay-2", "--as", "x", "--changed", "y"], "--hypothesis <TEXT>"),
        (
            &["pool", "drill", "relay-2", "--as", "x", "--fault", "hang", "--for", "11m"],
            "'--for <TIME>': must be 10m at the most",
        ),
        (
            &["mail", "produced", "E-1", "--as", "x", "--municipality", "131229", "--weight-mg", "1:2"],
            "21950:22000:900",
        ),
        (&["pool", "register", "relay-5", "--as", "x", "--address", "h:1", "--attribute", "B"], "NAME=VALUE"),
        (&["pool", "pause-probes", "relay-2", "--as", "x", "--for", "300"], "with its unit"),
        (&["pool", "drill", "relay-2", "--as", "x", "--fault", "burn"], "flap:GOOD:BAD"),
        (&["issuer", "--listen", "40301"], "--listen <IP:PORT>"),
        (&["sample", "--municipality", "131229", "--out", "x", "--control-totals", "x"], "name two"),
        (&["sample"], "--municipality <CODE>"),
        (&["sample", "--municipality", "131220"], "check digit of JIS X 0402"),
        (&["sample", "--municipality", "131229", "--district", "白鳥"], "NAME=N"),
        (&["sample", "--municipality", "131229", "--omit-district", "白馬"], "check the name"),
        (&["completions", "tcsh"], "bash"),
        (&["sample", "--municipality", "131229", "--encoding", "latin1"], "utf-8-bom"),
    ]);
}

#[test]
fn wrong_usage_of_applications_is_refused_likewise() {
    refused(&[
        (&["application", "form", "K 1", "--as", "x"], "1 to 64 visible ASCII characters"),
        (&["application", "submit", "--as", "x"], "--photo <REFERENCE>"),
        (&["application", "submit", "--as", "x", "--photo", "P", "--ages", "9-8"], "such as 30-45"),
        (&["application", "submit", "--as", "x", "--photo", "P", "--sex", "3"], "0, 1, 2 or 9"),
        (&["application", "submit", "--as", "x", "--photo", "P", "--session", "7"], "--session <UUID>"),
        (&["application", "review", "N", "--as", "x"], "--approve"),
        (&["application", "review", "N", "--as", "x", "--approve", "--defect", "y"], "cannot be used with"),
        (&["application", "review", "N", "--as", "x", "--no-swap", "AGE_OF_PHOTO"], "--clerk <NAME>"),
        (&["application", "review", "N", "--as", "x", "--no-swap", "NAME", "--clerk", "y"], "SEX_OF_PHOTO"),
        (&["application", "identity", "N", "--as", "x"], "--document <DOCUMENT>"),
        (&["application", "identity", "N", "--as", "x", "--document", "LIBRARY_CARD"], "PENSION_BOOK"),
        (&["application", "void", "N", "--as", "x", "--reason", "LOST"], "MIXED_UP"),
        (&["application", "list", "--as", "x", "--older-than", "30d"], "--state <STATE>"),
    ]);
}

fn refused(cases: &[(&[&str], &str)]) {
    for (words, remedy) in cases {
        let (code, text, errors) = run(words);
        assert_eq!((code, text.as_str()), (2, ""), "{words:?}");
        assert!(errors.contains(remedy), "{words:?}: {errors}");
    }
}

#[test]
fn completions_know_every_command_and_its_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        for name in commands() {
            assert!(script.contains(&name), "{shell} lacks {name}");
        }
        assert!(script.contains("wrong-check-digit") && script.contains("control-totals"), "{shell}");
        for hidden in ["exit-with-parent", "clock-ahead", "stop-after-records"] {
            assert!(!script.contains(hidden), "{shell} offers --{hidden}");
        }
    }
}
