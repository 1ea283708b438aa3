//! What a disk is sure to hold: only what was written before a sync began that has ended. Names count as
//! sure: those of a database are made once, before anything is acknowledged.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// What becomes of writes that were not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest {
    /// All are lost.
    Lost,
    /// Each is lost, whole, or whole up to some sector, by the dice of this seed.
    InParts(u64),
}

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug)]
enum What {
    Change(Change),
    /// Whatever was written before this time is sure.
    Sync {
        begun_us: u64,
    },
    Gone,
    /// It has this file's name from now on.
    Renamed(usize),
}

/// One call that ended.
#[derive(Debug)]
struct Step {
    done_us: u64,
    file: usize,
    what: What,
}

/// The calls of a process on some files.
pub(super) struct Log {
    names: Vec<String>,
    steps: Vec<Step>,
    /// How long each file is: what is written without a place is appended.
    lengths: Vec<usize>,
    /// What was written to standard output, and when that began.
    pub(super) said: Vec<(u64, Vec<u8>)>,
}

/// The two ends of a line that may be a hundred kilobytes long.
fn ends(text: &str) -> String {
    let (head, tail) =
        (text.floor_char_boundary(200), text.ceil_char_boundary(text.len().saturating_sub(300)));
    format!("{} … {}", &text[..head], &text[tail..])
}

impl Log {
    /// Reads what strace wrote about these files, by their paths.
    pub(super) fn read(text: &str, paths: &[String]) -> Self {
        let name =
            |path: &String| Path::new(path).file_name().expect("a file").to_string_lossy().into_owned();
        let names = paths.iter().map(name).collect();
        let mut log = Self { names, steps: Vec::new(), lengths: vec![0; paths.len()], said: Vec::new() };
        let (mut begun, mut open) = (HashMap::new(), HashMap::new());
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').expect("a thread");
            let (time, call) = rest.trim_start().split_once(' ').expect("a time");
            let at_us = micros(time);
            // `???(`: the thread was killed at the door of a call, which was therefore not made.
            if ["---", "+++", "???("].iter().any(|none| call.starts_with(none)) {
                continue;
            }
            if let Some(call) = call.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, (at_us, call));
            } else if call.starts_with("<...") {
                let (_, rest) = call.split_once(" resumed>").expect("what goes on");
                let (begun_us, call) = begun.remove(thread).expect("it was begun");
                log.call(&format!("{call}{rest}"), (begun_us, Some(at_us)), paths, &mut open);
            } else {
                log.call(call, (at_us, None), paths, &mut open);
            }
        }
        log.steps.sort_by_key(|step| step.done_us);
        log
    }

    /// Takes one whole call: `name(arguments) = result <seconds>`.
    fn call(
        &mut self,
        text: &str,
        (begun_us, resumed_us): (u64, Option<u64>),
        paths: &[String],
        open: &mut HashMap<i64, usize>,
    ) {
        let (call, ended) = text.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {}", ends(text)));
        let (result, took) = ended.rsplit_once(" <").unwrap_or_else(|| panic!("no time: {}", ends(text)));
        let done_us = resumed_us.unwrap_or(begun_us + micros(took.trim_end_matches('>')));
        let (name, arguments) = call.trim_end().split_once('(').expect("arguments");
        let arguments: Vec<&str> = arguments.trim_end_matches(')').split(", ").collect();
        let Ok(result) = result.trim().parse::<i64>() else { return }; // it failed and says why
        if result < 0 {
            return;
        }
        let named = |at: usize| paths.iter().position(|path| path.as_bytes() == unquoted(arguments[at]));
        let opened = arguments[0].parse().ok().and_then(|fd: i64| open.get(&fd).copied());
        let count = |at: usize| arguments[at].parse::<usize>().expect("a count");
        let (file, what) = match (name, opened) {
            ("openat", _) => {
                let Some(file) = named(1) else { return };
                open.insert(result, file);
                if !arguments[2].contains("O_TRUNC") {
                    return;
                }
                (file, What::Change(Change::Length(0)))
            }
            ("close", _) => {
                arguments[0].parse().ok().map(|fd: i64| open.remove(&fd));
                return;
            }
            ("unlink", _) => (named(0).expect("one of the files"), What::Gone),
            ("rename", _) => {
                (named(0).expect("one of the files"), What::Renamed(named(1).expect("another of them")))
            }
            ("write", None) if arguments[0] == "1" => {
                self.said.push((begun_us, unquoted(arguments[1])));
                return;
            }
            ("write" | "pwrite64", Some(file)) => {
                let bytes = unquoted(arguments[1]);
                assert_eq!(bytes.len(), usize::try_from(result).expect("a count"), "written whole: {name}");
                let offset = if name == "write" { self.lengths[file] } else { count(3) };
                (file, What::Change(Change::Write { offset, bytes }))
            }
            ("ftruncate", Some(file)) => (file, What::Change(Change::Length(count(1)))),
            ("fsync" | "fdatasync", Some(file)) => (file, What::Sync { begun_us }),
            _ => panic!("a call that the log cannot follow: {name}({})", arguments[0]),
        };
        self.step(Step { done_us, file, what });
    }

    fn step(&mut self, step: Step) {
        let file = step.file;
        match &step.what {
            What::Change(Change::Length(length)) => self.lengths[file] = *length,
            What::Change(Change::Write { offset, bytes }) => {
                self.lengths[file] = self.lengths[file].max(offset + bytes.len());
            }
            What::Gone => self.lengths[file] = 0,
            What::Renamed(to) => self.lengths[*to] = std::mem::take(&mut self.lengths[file]),
            What::Sync { .. } => (),
        }
        self.steps.push(step);
    }

    /// Returns the disk as it was at a time.
    pub(super) fn until(&self, at_us: u64) -> Disk {
        let mut disk = Disk { files: BTreeMap::new() };
        for step in self.steps.iter().take_while(|step| step.done_us <= at_us) {
            let file = disk.files.entry(self.names[step.file].clone()).or_default();
            match &step.what {
                What::Change(change) => file.waiting.push((step.done_us, change.clone())),
                What::Sync { begun_us } => file.sync(*begun_us),
                What::Gone => drop(disk.files.remove(&self.names[step.file])),
                What::Renamed(to) => {
                    let moved = std::mem::take(file);
                    disk.files.remove(&self.names[step.file]);
                    disk.files.insert(self.names[*to].clone(), moved);
                }
            }
        }
        disk
    }
}

/// Files in two parts: what is sure, and what waits.
pub(super) struct Disk {
    files: BTreeMap<String, File>,
}

#[derive(Default)]
struct File {
    sure: Vec<u8>,
    waiting: Vec<(u64, Change)>,
}

impl File {
    fn sync(&mut self, begun_us: u64) {
        let waiting = std::mem::take(&mut self.waiting);
        for (done_us, change) in waiting {
            if done_us <= begun_us {
                apply(&mut self.sure, &change, None);
            } else {
                self.waiting.push((done_us, change));
            }
        }
    }
}

impl Disk {
    /// What a file is sure to hold.
    pub(super) fn sure(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], |file| file.sure.as_slice())
    }

    /// Writes the files into a folder, as they are after a power cut, and returns the path of the first.
    pub(super) fn write(&self, folder: &Path, rest: Rest) -> PathBuf {
        let mut dice = match rest {
            Rest::Lost => None,
            Rest::InParts(seed) => Some(seed.wrapping_add(1)),
        };
        for (name, file) in &self.files {
            let mut bytes = file.sure.clone();
            for (_, change) in &file.waiting {
                let Some(dice) = &mut dice else { continue };
                match roll(dice) % 3 {
                    0 => {}
                    1 => apply(&mut bytes, change, None),
                    _ => apply(&mut bytes, change, Some(roll(dice))),
                }
            }
            std::fs::write(folder.join(name), bytes).expect("it is written");
        }
        folder.join(self.files.keys().next().expect("a file"))
    }
}

/// Applies a change; with `torn` a write only up to some sector.
fn apply(file: &mut Vec<u8>, change: &Change, torn: Option<u64>) {
    match change {
        Change::Length(length) => file.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let sectors = (bytes.len() / SECTOR) as u64;
            let kept = torn
                .map_or(bytes.len(), |dice| usize::try_from(dice % (sectors + 1)).expect("small") * SECTOR);
            let end = offset + kept;
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*offset..end].copy_from_slice(&bytes[..kept]);
        }
    }
}

/// SplitMix64's step.
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Seconds with six decimals, as microseconds.
fn micros(text: &str) -> u64 {
    let (seconds, decimals) = text.split_once('.').expect("decimals");
    assert_eq!(decimals.len(), 6, "{text}");
    let number = |text: &str| text.parse::<u64>().expect("digits");
    number(seconds) * 1_000_000 + number(decimals)
}

/// The bytes of a text of strace in which each is written as `\xNN`.
fn unquoted(text: &str) -> Vec<u8> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("a whole text");
    hex::decode(inner.replace("\\x", "")).expect("each byte in hex")
}

#[test]
fn only_what_was_written_before_a_sync_is_sure() {
    let path = "/db".to_owned();
    let text = "\
        7 100.000000 openat(AT_FDCWD, \"\\x2f\\x64\\x62\", O_RDWR|O_CREAT, 0644) = 5 <0.000009>\n\
        7 100.000100 pwrite64(5, \"\\x61\\x61\", 2, 0) = 2 <0.000009>\n\
        7 100.000200 fsync(5 <unfinished ...>\n\
        8 100.000300 pwrite64(5, \"\\x62\\x62\", 2, 2) = 2 <0.000009>\n\
        7 100.000400 <... fsync resumed>)       = 0 <0.000200>\n";
    let log = Log::read(text, &[path]);
    let sure = |at_us| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::read(log.until(at_us).write(dir.path(), Rest::Lost)).expect("it is there")
    };
    assert_eq!(sure(100_000_399), b"", "the sync has not ended");
    assert_eq!(sure(100_000_400), b"aa", "the second write came after it had begun");
    let parts = (0..20).map(|seed| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::read(log.until(100_000_400).write(dir.path(), Rest::InParts(seed))).expect("it is there")
    });
    assert!(parts.into_iter().any(|file| file == b"aabb"), "what waited may be there, too");
}
