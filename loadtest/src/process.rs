//! What a process has used so far, read from /proc: no figure of another process is in it.

use std::{
    fs, io,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// The kernel's unit of CPU time in /proc, fixed for user space at a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);
/// How often a running child is looked at: its peak of memory is gone once it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// CPU time that a process has used in all its threads, those that have ended included.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    stat(pid).map(|(_, cpu)| cpu)
}

/// The most memory that a process has had at a time, in bytes.
pub(crate) fn peak_rss_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).map(|kib| kib * 1024).ok_or_else(|| gone(pid))
}

fn gone(pid: u32) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has ended"))
}

/// The state letter and the CPU time of a process; a zombie still has both.
fn stat(pid: u32) -> io::Result<(char, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, and may hold spaces.
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let state = fields.next().and_then(|state| state.chars().next());
    let mut ticks = fields.skip(10).map_while(|field| field.parse::<u32>().ok());
    match (state, ticks.next(), ticks.next()) {
        (Some(state), Some(user), Some(system)) => Ok((state, TICK * (user + system))),
        _ => Err(gone(pid)),
    }
}

/// What a child used from its start to its end.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_bytes: u64,
}

/// Waits for a child that was started at `started`, and says what it used.
pub(crate) fn watch(mut child: Child, started: Instant) -> io::Result<Finished> {
    let mut peak_rss = 0;
    loop {
        let (state, cpu) = stat(child.id())?;
        if state == 'Z' {
            let wall = started.elapsed();
            return Ok(Finished { status: child.wait()?, wall, cpu, peak_rss_bytes: peak_rss });
        }
        peak_rss = peak_rss_bytes(child.id()).unwrap_or(peak_rss);
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_childs_time_and_memory_are_seen_to_its_end() {
        // Counting to some hundred thousand takes a shell long enough to be seen at it.
        let started = Instant::now();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exit 7";
        let child = Command::new("sh").args(["-c", script]).spawn().expect("there is a shell");
        let finished = watch(child, started).expect("it is ours");
        assert_eq!(finished.status.code(), Some(7));
        assert!(
            finished.cpu > Duration::ZERO && finished.cpu <= finished.wall + 2 * TICK,
            "{:?}",
            finished.cpu
        );
        assert!((100 << 10..1 << 30).contains(&finished.peak_rss_bytes), "{}", finished.peak_rss_bytes);
    }

    #[test]
    fn the_own_process_uses_memory_and_a_dead_one_is_an_error() {
        assert!(peak_rss_bytes(std::process::id()).expect("we are alive") > 1 << 20);
        assert!(cpu(u32::MAX).is_err());
    }
}
