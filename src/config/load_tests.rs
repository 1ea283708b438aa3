//! Promise: the later source wins, and whatever is wrong anywhere is said at once, with its key, its
//! place and what to do.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sketch {
    listen: SocketAddr,
    cert: PathBuf,
    crl: Option<PathBuf>,
    limits: Limits,
    log: Log,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Limits {
    name: String,
    workers: usize,
    lease: Duration,
    drain: Duration,
    retry: (Duration, Duration),
    url: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Log {
    Json,
    Pretty,
}

impl Default for Sketch {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let limits = Limits {
            name: "sketch-1".to_owned(),
            workers: 2,
            lease: seconds(10),
            drain: seconds(5),
            retry: (seconds(1), seconds(60)),
            url: String::new(),
        };
        Self { listen: ([127, 0, 0, 1], 0).into(), cert: PathBuf::new(), crl: None, limits, log: Log::Json }
    }
}

impl Role for Sketch {
    const NAME: &'static str = "sketch";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[("cert", "pki/sketch.pem")];
    const FILES: &'static [&'static str] = &["cert", "crl"];
    const MAY_BE_ZERO: &'static [&'static str] = &["limits.drain"];
    const SECRETS: &'static [&'static str] = &["limits.url"];

    fn conflicts(&self) -> Vec<Conflict> {
        let wrong = self.limits.retry.0 > self.limits.retry.1;
        let conflict = || Conflict::new("limits.retry", "is the wrong way round", "Swap them");
        wrong.then(conflict).into_iter().collect()
    }
}

struct Place {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Place {
    /// A file that holds `toml` and names a certificate that is there, unless it names one itself.
    fn with(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (cert, file) = (folder.path().join("c.pem"), folder.path().join("todoke.toml"));
        fs::write(&cert, "").expect("the folder is writable");
        let own = if toml.contains("cert") { String::new() } else { format!("cert = {cert:?}\n") };
        fs::write(&file, own + toml).expect("the folder is writable");
        Self { folder, sources: Sources { file: Some(file), ..Sources::default() } }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, name: &'static str, key: &'static str, value: &str) -> Self {
        self.sources.flags.push(Flag { name, key, value: value.to_owned() });
        self
    }

    fn loaded(&self) -> Sketch {
        load::<Sketch>(&self.sources).expect("nothing is wrong")
    }

    /// Every key as it is printed.
    fn printed(&self) -> String {
        let values = survey::<Sketch>(&self.sources).values;
        values.iter().map(super::super::line).collect::<Vec<_>>().join("\n")
    }

    /// Every problem as it is shown, without the name of the temporary folder.
    fn problems(&self) -> Vec<String> {
        let Problems(problems) = load::<Sketch>(&self.sources).expect_err("something is wrong");
        let folder = format!("{}/", self.folder.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let place = Place::with("[limits]\nname = 'file'\nworkers = 3\nlease = '7s'\nretry = ['2s', '3m']\n")
        .variable("TODOKE_LIMITS__WORKERS", "4")
        .variable("TODOKE_LIMITS__NAME", "12")
        .variable("TODOKE_LIMITS__RETRY", "[5s, 6s]")
        .flag("--name", "limits.name", "flag");
    let Sketch { limits, .. } = place.loaded();
    assert_eq!((limits.name.as_str(), limits.workers, limits.lease), ("flag", 4, Duration::from_secs(7)));
    assert_eq!(limits.retry, (Duration::from_secs(5), Duration::from_secs(6)));
    assert_eq!(limits.drain, Sketch::default().limits.drain);
    let place = Place::with("[limits]\nretry = ['2s', '3m']\n").variable("TODOKE_LIMITS__NAME", "12");
    let Sketch { limits, .. } = place.loaded();
    assert_eq!((limits.name.as_str(), limits.retry.1), ("12", Duration::from_secs(180)));
}

#[test]
fn every_problem_is_said_at_once_with_its_place_and_its_remedy() {
    let place = Place::with(
        "cert = 'gone.pem'\nlisten = 'here'\nlog = 'loud'\n\
         [limits]\nworkers = 'many'\nlease = 5\nwrokers = 3\n",
    )
    .variable("TODOKE_LIMITS__DRAINS", "1s")
    .variable("TODOKE_LIMITS__WORKERS", "0")
    .flag("--drain", "limits.drain", "soon")
    .flag("--lease", "issuer.lease", "1s");
    let problems = place.problems();
    let expected = [
        ("issuer.lease (flag --lease)", "no such key", "Did you mean limits.lease?"),
        ("listen (todoke.toml)", "invalid socket address", "127.0.0.1:0"),
        ("log (todoke.toml)", "must be one of json, pretty", "default, log = \"json\""),
        ("limits.workers (todoke.toml)", "must be a whole number", "limits.workers = 2"),
        ("limits.workers (variable TODOKE_LIMITS__WORKERS)", "more than 0", "limits.workers = 2"),
        ("limits.lease (todoke.toml)", "time span such as", "limits.lease = \"10s\""),
        ("limits.wrokers (todoke.toml)", "no such key", "Did you mean limits.workers?"),
        ("limits.drains (variable TODOKE_LIMITS__DRAINS)", "no such key", "Did you mean limits.drain?"),
        ("limits.drain (flag --drain)", "time span such as", "limits.drain = \"5s\""),
        ("cert (todoke.toml)", "gone.pem cannot be read", "Check the name"),
    ];
    for (place, what, remedy) in expected {
        let said = |problem: &&String| {
            problem.starts_with(place) && problem.contains(what) && problem.contains(remedy)
        };
        assert_eq!(problems.iter().filter(said).count(), 1, "{place}: {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn what_is_required_is_named_with_an_example_and_its_variable() {
    let problems = load::<Sketch>(&Sources::default()).expect_err("nothing is set").to_string();
    for needle in ["1 problem\n", "cert: is not set", "cert = \"pki/sketch.pem\"", "TODOKE_CERT"] {
        assert!(problems.contains(needle), "{problems} lacks {needle}");
    }
}

#[test]
fn each_file_of_a_list_must_be_readable() {
    let place = Place::with("issuance.former_receipt_keys = [\"Cargo.toml\", \"gone.pub\"]\n");
    let problems = load::<crate::config::IssuerConfig>(&place.sources).expect_err("one is gone").to_string();
    for needle in ["issuance.former_receipt_keys", "gone.pub cannot be read"] {
        assert!(problems.contains(needle), "{problems} lacks {needle}");
    }
}

#[test]
fn a_file_that_is_gone_or_no_toml_is_a_problem_and_never_an_empty_one() {
    let mut place = Place::with("[limits\n");
    assert!(place.problems()[0].starts_with("--config (todoke.toml): is no TOML"), "{:?}", place.problems());
    place.sources.file = Some(place.folder.path().join("gone.toml"));
    assert!(
        place.problems()[0].starts_with("--config (gone.toml): cannot be read"),
        "{:?}",
        place.problems()
    );
    let place = Place::with("limits = 5\n");
    assert_eq!(
        place.problems(),
        ["limits (todoke.toml): must be a table. Write [limits] and its keys below"]
    );
}

#[test]
fn a_limit_of_none_is_refused_from_everywhere_but_where_it_means_something() {
    let place = Place::with("[limits]\nworkers = 0\nlease = '0s'\n").flag("--workers", "limits.workers", "0");
    assert_eq!(place.problems().iter().filter(|problem| problem.contains("more than 0")).count(), 3);
    let place = Place::with("[limits]\nretry = ['0ms', '1m']\n");
    assert!(place.problems()[0].starts_with("limits.retry (todoke.toml): must be more than 0"), "in a list");
    assert_eq!(Place::with("[limits]\ndrain = '0s'\n").loaded().limits.drain, Duration::ZERO);
}

#[test]
fn keys_that_do_not_fit_each_other_are_a_problem_of_the_key() {
    let place = Place::with("").variable("TODOKE_LIMITS__RETRY", "[9s, 1s]");
    assert_eq!(
        place.problems(),
        ["limits.retry (variable TODOKE_LIMITS__RETRY): is the wrong way round. Swap them"]
    );
}

#[test]
fn variables_that_are_not_ours_or_are_empty_say_nothing() {
    let place = Place::with("").variable("TODOKE_LIMITS__WORKERS", "").variable("PATH", "x");
    assert_eq!(place.loaded().limits, Sketch::default().limits);
}

#[test]
fn what_is_printed_loads_again_and_shows_no_password() {
    let place = Place::with("").variable("TODOKE_LIMITS__URL", "postgres://a:s3cret@db/t").flag(
        "--lease",
        "limits.lease",
        "90s",
    );
    let text = place.printed();
    assert!(text.contains("limits.lease = \"90s\"  # flag --lease"), "{text}");
    assert!(text.contains("limits.workers = 2  # default"), "{text}");
    assert!(text.contains("# crl = not set  # default"), "{text}");
    assert!(text.contains("postgres://a:***@db/t") && !text.contains("s3cret"), "{text}");
    let again = Place::with(&text).loaded();
    assert_eq!(again.limits.lease, Duration::from_secs(90));
    assert_eq!(again.limits.retry, place.loaded().limits.retry);
}

#[test]
fn what_is_incomplete_or_wrong_is_printed_whole_with_what_is_refused() {
    let nothing = survey::<Sketch>(&Sources::default());
    assert_eq!(nothing.values.len(), keys::<Sketch>().len());
    assert_eq!(nothing.problems.len(), 1, "{:?}", nothing.problems);
    let text = Place::with("cert = ''\n[limits]\nworkers = 3\ndrain = 'soon'\nretry = ['9s', '1s']\n")
        .variable("TODOKE_LIMITS__WORKERS", "0")
        .printed();
    for needle in [
        "# cert = not set  # required\n",
        "limits.workers = 3  # ",
        "; variable TODOKE_LIMITS__WORKERS is refused\n",
        "limits.drain = \"5s\"  # default; ",
        "limits.retry = [\"9s\", \"1s\"]  # ",
    ] {
        assert!(text.contains(needle), "{needle} is not in: {text}");
    }
    assert_eq!(text.matches("is refused").count(), 2, "{text}");
}

#[test]
fn no_problem_repeats_a_secret() {
    let place = Place::with("[limits]\nurl = ['s3cret']\n");
    let problems = place.problems();
    assert!(problems[0].starts_with("limits.url") && !problems[0].contains("s3cret"), "{problems:?}");
}
