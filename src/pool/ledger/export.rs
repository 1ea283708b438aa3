//! The lines of a time, as they can be run again: from the `start` line before it to its last second.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::{LINE_BYTES_MAX, check, files};

/// About as many bytes are handed out at once.
const PART_BYTES: usize = 64 * 1024;

/// Reads the lines of a time. It reads files: not for a thread of the runtime.
pub struct Export {
    files: VecDeque<PathBuf>,
    open: Option<BufReader<File>>,
    to_s: u64,
    /// A second with what was read of it so far, until its check.
    group: Vec<u8>,
}

impl Export {
    /// Opens a time in a folder; `None` if nothing is kept of it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(folder: &Path, from_s: u64, to_s: u64) -> io::Result<Option<Self>> {
        let pieces = match files::list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            pieces => pieces?,
        };
        let first = pieces.iter().rposition(|piece| piece.from_s <= from_s).unwrap_or(0);
        let within = pieces.into_iter().skip(first).filter(|piece| piece.from_s <= to_s);
        let files: VecDeque<PathBuf> = within.map(|piece| piece.path).collect();
        let found = !files.is_empty();
        Ok(found.then(|| Self { files, open: None, to_s, group: Vec::new() }))
    }

    /// The next whole lines; `None` at the end.
    ///
    /// # Errors
    /// What the file system says, and a line that is too long.
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut lines = Vec::new();
        while lines.len() < PART_BYTES {
            let Some(file) = self.file()? else { break };
            let mut line = Vec::new();
            file.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
            if line.len() > LINE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            if line.last() != Some(&b'\n') {
                // What was cut off, or is being written, counts for nothing with its second.
                self.group.clear();
                self.open = None;
                continue;
            }
            if second_of(&line).is_some_and(|second| second > self.to_s) {
                self.files.clear();
                self.open = None;
                break;
            }
            let ends = line.starts_with(check::BEGINS);
            self.group.append(&mut line);
            if ends {
                lines.append(&mut self.group);
            }
        }
        Ok((!lines.is_empty()).then_some(lines))
    }

    /// The file that is read; one that made room for others meanwhile is passed over.
    fn file(&mut self) -> io::Result<Option<&mut BufReader<File>>> {
        while self.open.is_none() {
            let Some(path) = self.files.pop_front() else { return Ok(None) };
            match File::open(path) {
                Ok(file) => self.open = Some(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.open.as_mut())
    }
}

/// The second of a `second` line.
pub(super) fn second_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"second\":{\"second\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> String {
        format!("{{\"second\":{{\"second\":{n}}}}}\n{{\"decision\":{n}}}\n{{\"check\":{n}}}\n")
    }

    fn exported(folder: &Path, from_s: u64, to_s: u64) -> Option<String> {
        let mut export = Export::open(folder, from_s, to_s).expect("the folder is read")?;
        let mut text = String::new();
        while let Some(lines) = export.read().expect("it is read") {
            text.push_str(std::str::from_utf8(&lines).expect("text"));
        }
        Some(text)
    }

    #[test]
    fn a_time_begins_with_the_start_before_it_and_ends_with_its_last_second() {
        let dir = tempfile::tempdir().expect("a folder");
        let of = |from: u64, to: u64| (from..to).map(second).collect::<String>();
        let start = "{\"start\":{}}\n{\"check\":0}\n";
        for from in [100, 200, 300] {
            let seconds: String = of(from as u64, from as u64 + 100);
            // A second without its check, and one that was cut in its first line.
            let cut = ["{\"second\":{\"second\":200}}\n", "{\"second\":{\"sec", ""][from / 100 - 1];
            let path = dir.path().join(format!("ledger-{from:011}-00.jsonl"));
            std::fs::write(path, format!("{start}{seconds}{cut}")).expect("it is written");
        }
        let text = exported(dir.path(), 250, 309).expect("it is kept");
        assert_eq!(text, format!("{start}{}{start}{}", of(200, 300), of(300, 310)));
        let all = exported(dir.path(), 0, u64::MAX).expect("it is kept");
        assert_eq!(all, format!("{start}{}{start}{}{start}{}", of(100, 200), of(200, 300), of(300, 400)));
        assert_eq!(exported(dir.path(), 0, 99), None, "nothing is kept of that time");
        assert_eq!(exported(&dir.path().join("none"), 0, 9), None);
    }
}
