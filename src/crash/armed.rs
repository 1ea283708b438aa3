//! The process dies at the point that its environment names, and at no other; a name that is no point's is an
//! error at the start.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Signal, getpid, kill_process};

use super::Point;

const AT: &str = "TEST_TODOKE_CRASH_AT";
const ONCE: &str = "TEST_TODOKE_CRASH_ONCE";
const SYNCS_SELDOM: &str = "TEST_TODOKE_CRASH_SYNCS_SELDOM";

/// What becomes of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Kill,
    Stop,
    Hang,
}

/// Where, at which passing, and what.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    point: Point,
    pass: u32,
    act: Act,
    once: PathBuf,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static PASSED: AtomicU32 = AtomicU32::new(0);

/// Reads from the environment where this process is to die. To be called before anything else.
///
/// # Errors
/// Which variable is wrong, and what it may be.
pub fn arm() -> Result<(), String> {
    if let Some(at) = variable(AT) {
        PLAN.get_or_init({
            let plan = parse(&at, variable(ONCE).as_deref())?;
            || plan
        });
    }
    Ok(())
}

/// The place of a point: a test may have this process end here.
pub fn point(point: Point) {
    let Some(plan) = PLAN.get().filter(|plan| plan.point == point) else { return };
    if plan.once.exists() {
        return; // it has happened; who takes the file away begins to count anew
    }
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == plan.pass && first(&plan.once) {
        act(plan.act);
    }
}

/// Whether the database is to sync as seldom as it takes to lose an acknowledged chunk: the control of the
/// test that it loses none.
#[must_use]
pub fn syncs_seldom() -> bool {
    variable(SYNCS_SELDOM).is_some()
}

#[expect(clippy::disallowed_methods, reason = "no configuration: it exists for tests only")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn parse(at: &str, once: Option<&str>) -> Result<Plan, String> {
    let (place, act) = at.split_once('=').unwrap_or((at, "kill"));
    let (name, pass) = place.split_once(':').unwrap_or((place, "1"));
    let known = || Point::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    let found = Point::ALL.iter().find(|(_, known)| *known == name);
    let (point, _) = found.ok_or_else(|| format!("{AT}: `{name}` is none of {}", known()))?;
    let pass = pass.parse().ok().filter(|pass| *pass > 0);
    let pass = pass.ok_or_else(|| format!("{AT}: behind `:` must stand a number from 1"))?;
    let act = match act {
        "kill" => Act::Kill,
        "stop" => Act::Stop,
        "hang" => Act::Hang,
        _ => return Err(format!("{AT}: `{act}` is none of kill, stop, hang")),
    };
    let once = once.ok_or_else(|| format!("{ONCE} must name a file that is made when it happens"))?;
    Ok(Plan { point: *point, pass, act, once: once.into() })
}

/// Makes the file that says it has happened; `false` if it had before.
fn first(once: &Path) -> bool {
    let made = File::create_new(once).and_then(|mut file| writeln!(file, "{}", std::process::id()));
    match made {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => panic!("{ONCE}: {}: {error}", once.display()),
    }
}

fn act(act: Act) {
    let signal = |signal| {
        kill_process(getpid(), signal).expect("a process may signal itself");
    };
    match act {
        Act::Stop => return signal(Signal::STOP),
        Act::Kill => signal(Signal::KILL),
        Act::Hang => (),
    }
    loop {
        std::thread::park(); // until SIGKILL comes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_name_a_passing_and_an_act() {
        let plan = |at| parse(at, Some("file"));
        let with = |pass, act| Plan { point: Point::ChunkStored, pass, act, once: "file".into() };
        assert_eq!(plan("chunk-stored"), Ok(with(1, Act::Kill)));
        assert_eq!(plan("chunk-stored:3"), Ok(with(3, Act::Kill)));
        assert_eq!(plan("chunk-stored:2=stop"), Ok(with(2, Act::Stop)));
        assert_eq!(plan("chunk-stored=hang"), Ok(with(1, Act::Hang)));
    }

    #[test]
    fn a_plan_that_could_never_come_true_is_an_error_that_says_what_may_stand_there() {
        let words = |at, once| parse(at, once).expect_err("it is wrong");
        let text = words("chunk-stroed", Some("file"));
        assert!(
            text.contains("`chunk-stroed`") && text.contains("chunk-stored, chunk-acknowledged"),
            "{text}"
        );
        assert!(words("chunk-stored:0", Some("file")).contains("a number from 1"));
        assert!(words("chunk-stored=kil", Some("file")).contains("kill, stop, hang"));
        assert!(words("chunk-stored", None).contains(ONCE));
    }

    #[test]
    fn it_happens_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let once = dir.path().join("once");
        assert!(first(&once) && !first(&once));
    }
}
