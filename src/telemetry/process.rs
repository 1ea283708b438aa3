//! What the system says of this process, under the names that dashboards expect; absent where there is no
//! `/proc`.

use std::{fmt::Write as _, fs};

use super::names::{self, Metric};

/// Clock ticks a second in `/proc`: USER_HZ, which Linux fixes at 100 for all programs (proc(5)).
const TICKS: f64 = 100.0;

/// What the system says of this process now; what it does not say is missing.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Figures {
    /// User and system time of all threads.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<f64>,
    /// Open file descriptors, sockets included.
    pub open_fds: Option<f64>,
    /// And the most there may be.
    pub max_fds: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
}

/// Reads them.
#[must_use]
pub fn figures() -> Figures {
    Figures {
        cpu_seconds: cpu_seconds(),
        resident_bytes: resident_bytes(),
        open_fds: open_fds(),
        max_fds: max_fds(),
        threads: threads(),
    }
}

/// What does not change while the process lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    /// Seconds since the Unix epoch.
    started: Option<f64>,
}

impl Process {
    pub(super) fn started() -> Self {
        Self { started: started() }
    }

    /// Adds one sample of each figure that can be read now.
    pub(super) fn render_to(self, text: &mut String) {
        for (name, value) in [
            (names::PROCESS_CPU, cpu_seconds()),
            (names::PROCESS_MEMORY, resident_bytes()),
            (names::PROCESS_FDS, open_fds()),
            (names::PROCESS_FDS_MAX, max_fds()),
            (names::PROCESS_THREADS, threads()),
            (names::PROCESS_START, self.started),
        ] {
            let (Some(value), Some(metric)) = (value, Metric::named(name)) else { continue };
            let (kind, help) = (metric.kind.as_str(), metric.help.trim());
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
                .expect("a String takes whatever is written");
        }
    }
}

/// Returns a field of `/proc/self/stat` by its number in proc(5). The second, the command, may hold anything
/// and ends at the last parenthesis.
fn stat(number: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// User and system time of all threads.
fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS)
}

fn threads() -> Option<f64> {
    stat(20)
}

fn started() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat(22)? / TICKS)
}

fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    // The folder that is being read is open itself.
    let count = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    Some(f64::from(count.saturating_sub(1)))
}

fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test compares with the machine's own clock")]
    fn now() -> f64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.expect("after 1970").as_secs_f64()
    }

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().expect("a number")
    }

    #[test]
    fn the_figures_are_those_of_this_process() {
        let render = || {
            let mut text = String::new();
            Process::started().render_to(&mut text);
            text
        };
        let before = render();
        let files: Vec<fs::File> =
            (0..20).map(|_| fs::File::open("/proc/self/stat").expect("is there")).collect();
        let held = vec![1u8; 64 << 20];
        let mut spins = 0u64;
        while cpu_seconds() < Some(value(&before, names::PROCESS_CPU) + 0.05) {
            spins = std::hint::black_box(spins + 1);
        }
        let after = render();
        let grown = |name| value(&after, name) - value(&before, name);
        assert!(grown(names::PROCESS_FDS) >= 15.0, "{} files are open", files.len());
        assert!(grown(names::PROCESS_MEMORY) >= 32e6, "{} bytes are held", held.len());
        assert!(grown(names::PROCESS_CPU) >= 0.05, "{spins}");
        assert!(value(&after, names::PROCESS_FDS_MAX) >= value(&after, names::PROCESS_FDS));
        assert!(value(&after, names::PROCESS_THREADS) >= 1.0);
        assert!(grown(names::PROCESS_START).abs() < 0.001);
        let age = now() - value(&after, names::PROCESS_START);
        assert!((0.0..3600.0).contains(&age), "started {age} s ago");
        assert!(after.contains("# TYPE process_cpu_seconds_total counter"), "{after}");
    }
}
