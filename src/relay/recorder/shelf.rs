//! Bundles stand in a folder, each whole or not there, so many and no more; a folder that cannot be used
//! costs the bundle and nothing else.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{pool::policy::BUNDLES_MAX, runtime::clock::Clock, telemetry::names};

/// The shortest time between two bundles: a lease that comes and goes must not push the first one out.
const EVERY_MIN: Duration = Duration::from_secs(30);

/// What a whole bundle ends in.
const SUFFIX: &str = ".jsonl";

/// Where bundles are left.
pub(in crate::relay) struct Shelf {
    dir: PathBuf,
    /// How the names of all of this unit begin.
    prefix: String,
    bytes_max: usize,
    kept: usize,
    clock: Clock,
    /// Names and sizes of the last ones.
    left: Mutex<Vec<(String, u64)>>,
    last: Mutex<Option<Instant>>,
    busy: AtomicBool,
}

/// The turn to leave a bundle; whatever becomes of it, the next one can be left after that.
pub(super) struct Turn(Arc<Shelf>);

impl Turn {
    /// Writes the bundle, and says how that went.
    pub(super) fn leave(self, bytes: &[u8], made_ms: i64) {
        self.0.leave(bytes, made_ms);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.store(false, Release);
    }
}

impl Shelf {
    pub(in crate::relay) fn new(
        dir: &Path,
        unit: &str,
        (bytes_max, kept): (usize, u32),
        clock: Clock,
    ) -> Self {
        for outcome in ["written", "failed"] {
            metrics::counter!(names::RELAY_BUNDLES, names::OUTCOME => outcome).increment(0);
        }
        Self {
            dir: dir.to_owned(),
            prefix: format!("bundle-{unit}-"),
            bytes_max,
            kept: kept.max(1) as usize,
            clock,
            left: Mutex::default(),
            last: Mutex::default(),
            busy: AtomicBool::new(false),
        }
    }

    /// Runs what may block in a thread that nobody waits for, not even the end of the process.
    pub(super) fn aside(job: impl FnOnce() + Send + 'static) {
        if let Err(error) = std::thread::Builder::new().name("bundle".to_owned()).spawn(job) {
            metrics::counter!(names::RELAY_BUNDLES, names::OUTCOME => "failed").increment(1);
            tracing::error!(%error, "no thread for a bundle: {error}");
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The turn of another one, if it is to be left now; then it counts as left. None is while one is being
    /// written: a disk that hangs would collect threads.
    pub(super) fn turn(self: &Arc<Self>) -> Option<Turn> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = last.is_some_and(|last| last.elapsed() < EVERY_MIN);
        if soon || self.busy.swap(true, AcqRel) {
            tracing::warn!("no bundle is left: another one was, a moment ago");
            return None;
        }
        *last = Some(Instant::now());
        Some(Turn(Arc::clone(self)))
    }

    /// The last ones, the newest last, as they are reported.
    pub(super) fn left(&self) -> Vec<String> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect()
    }

    fn set_left(&self, mut all: Vec<(u64, String, u64)>) {
        all.drain(..all.len().saturating_sub(BUNDLES_MAX));
        let left = all.into_iter().map(|(_, name, bytes)| (name, bytes)).collect();
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Finds those that an earlier process left.
    pub(super) fn recall(&self) {
        if let Ok(all) = self.all() {
            self.set_left(all);
        }
    }

    fn leave(&self, bytes: &[u8], made_ms: i64) {
        let written = self.write(bytes, made_ms);
        let outcome = if written.is_ok() { "written" } else { "failed" };
        metrics::counter!(names::RELAY_BUNDLES, names::OUTCOME => outcome).increment(1);
        let dir = self.dir.display();
        match written {
            Ok(name) => tracing::warn!(%name, "{name}, {} bytes, is left in {dir}", bytes.len()),
            Err(error) => {
                tracing::error!(%error, "no bundle is left in {dir}: {error}; make room there, or set \
                    relay.bundle_dir to a folder that this process may write to");
            }
        }
    }

    fn write(&self, bytes: &[u8], made_ms: i64) -> io::Result<String> {
        fs::create_dir_all(&self.dir)?;
        // By its name it is the newest, though the clock may have been set back since the last one.
        let last = self.all()?.last().map_or(0, |(made, ..)| made.saturating_add(1));
        let made = u64::try_from(made_ms).unwrap_or(0).max(last);
        let name = format!("{}{made:013}{SUFFIX}", self.prefix);
        let (part, whole) = (self.dir.join(format!("{name}.part")), self.dir.join(&name));
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, &whole)
        };
        if let Err(error) = write() {
            let _ = fs::remove_file(&part); // half a bundle only takes room
            return Err(error);
        }
        let mut all = self.all()?;
        for (_, old, _) in all.drain(..all.len().saturating_sub(self.kept)) {
            unless_gone(fs::remove_file(self.dir.join(old)))?;
        }
        self.set_left(all);
        Ok(name)
    }

    /// All of this unit with the numbers in their names and their sizes, the oldest first.
    fn all(&self) -> io::Result<Vec<(u64, String, u64)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let made = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
            // Of `relay-1` must not be taken what is of `relay-1-b`.
            let digits = made.filter(|made| made.bytes().all(|b| b.is_ascii_digit()));
            let Some(made) = digits.and_then(|digits| digits.parse().ok()) else { continue };
            if let Some(about) = unless_gone(entry.metadata())?.filter(fs::Metadata::is_file) {
                all.push((made, name, about.len()));
            }
        }
        all.sort();
        Ok(all)
    }
}

/// What somebody else took away meanwhile is no failure of ours.
fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(dir: &Path, unit: &str, kept: u32) -> Shelf {
        Shelf::new(dir, unit, (4_096, kept), Clock::fixed(1_790_000_000_123))
    }

    fn listed(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn so_many_are_kept_the_newest_ones_and_those_of_others_are_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("made/for/it");
        let other = shelf(&dir, "relay-1-b", 2);
        other.leave(b"theirs", 1);
        let own = shelf(&dir, "relay-1", 2);
        for n in 1..=4 {
            own.leave(&vec![b'x'; n], 1_790_000_000_000 + n as i64);
        }
        let kept = [3, 4].map(|n| format!("bundle-relay-1-179000000000{n}.jsonl"));
        let all = [&kept[..], &["bundle-relay-1-b-0000000000001.jsonl".to_owned()]].concat();
        assert_eq!(listed(&dir), all);
        let left = [format!("{} 3", kept[0]), format!("{} 4", kept[1])];
        assert_eq!(own.left(), left);
        let anew = shelf(&dir, "relay-1", 2);
        assert_eq!(anew.left(), Vec::<String>::new());
        anew.recall();
        assert_eq!(anew.left(), left, "a new process says what the last one left");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.join(&kept[0])).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for who runs the relay, and nobody else");
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_left_and_nothing_else_happens() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "no folder").expect("it is written");
        let nowhere = shelf(&file.join("below"), "relay-1", 2);
        nowhere.leave(b"x", 1);
        nowhere.recall();
        assert_eq!(nowhere.left(), Vec::<String>::new());
        let taken = shelf(dir.path(), "relay-1", 2);
        // Where the whole one should stand, a folder does: half of it must not stay.
        fs::create_dir_all(dir.path().join("bundle-relay-1-0000000000001.jsonl/x")).expect("it is made");
        taken.leave(b"x", 1);
        assert_eq!(listed(dir.path()), ["bundle-relay-1-0000000000001.jsonl", "file"]);
    }

    #[test]
    fn the_first_one_that_fails_is_a_rise() {
        let metrics = crate::telemetry::prometheus();
        let dir = tempfile::tempdir().expect("a folder");
        let _shelf = shelf(dir.path(), "relay-1", 2);
        for outcome in ["written", "failed"] {
            let sample = format!("{}{{outcome=\"{outcome}\"}} ", names::RELAY_BUNDLES);
            assert!(metrics.render().lines().any(|line| line.starts_with(&sample)), "no {sample}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_left_at_a_time_and_not_too_often() {
        let dir = tempfile::tempdir().expect("a folder");
        let shelf = Arc::new(shelf(dir.path(), "relay-1", 2));
        let first = shelf.turn().expect("it is the first one");
        tokio::time::advance(EVERY_MIN).await;
        assert!(shelf.turn().is_none(), "the first one is not written yet");
        first.leave(b"x", 1);
        shelf.turn().expect("the first one is written").leave(b"x", 2);
        tokio::time::advance(EVERY_MIN - Duration::from_millis(1)).await;
        assert!(shelf.turn().is_none(), "it is too soon");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(shelf.turn().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_no_thread_could_write_holds_up_none_after_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let shelf = Arc::new(shelf(dir.path(), "relay-1", 2));
        let turn = shelf.turn().expect("it is the first one");
        // As it is when the system gives no thread: what it was to do is dropped, undone.
        drop(move || turn.leave(b"x", 1));
        tokio::time::advance(EVERY_MIN).await;
        shelf.turn().expect("the recorder goes on").leave(b"x", 2);
        assert_eq!(shelf.left().len(), 1);
    }

    #[test]
    fn the_last_one_is_kept_though_the_clock_was_set_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let shelf = shelf(dir.path(), "relay-1", 2);
        for (bytes, made_ms) in [(1, 1_790_000_000_500), (2, 1_790_000_000_600), (3, 1_700_000_000_000)] {
            shelf.leave(&vec![b'x'; bytes], made_ms);
        }
        let kept = [(600, 2), (601, 3)].map(|(ms, n)| format!("bundle-relay-1-1790000000{ms}.jsonl {n}"));
        assert_eq!(shelf.left(), kept);
        shelf.leave(b"four", 10_000_000_000_000); // a digit more
        assert_eq!(shelf.left()[1], "bundle-relay-1-10000000000000.jsonl 4");
    }

    #[test]
    fn who_clears_the_folder_meanwhile_makes_no_bundle_fail() {
        let dir = tempfile::tempdir().expect("a folder");
        let shelf = shelf(dir.path(), "relay-1", 4);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let whole = listed(dir.path()).into_iter().filter(|name| name.ends_with(SUFFIX));
                    whole.for_each(|name| drop(fs::remove_file(dir.path().join(name))));
                }
            });
            let left: Vec<io::Result<String>> = (1..=500).map(|n| shelf.write(b"x", n)).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            let failed: Vec<_> = left.into_iter().filter_map(Result::err).collect();
            assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed[0]);
        });
    }
}
