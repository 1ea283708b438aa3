//! What a process has used so far, read from /proc: no figure of another process is in it.

use std::{
    fs, io,
    process::{Child, ExitStatus},
    thread,
    time::Duration,
};

/// The kernel's unit of CPU time in /proc, fixed for user space at a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);
/// How often a running child is looked at: its peak of memory is gone once it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// CPU time that a process has used in all its threads, those that have ended included.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    stat(pid).map(|stat| stat.used)
}

/// The same of a process with its children, those that have ended included, as long as it waits for them.
pub(crate) fn cpu_with_children(pid: u32) -> io::Result<Duration> {
    let own = stat(pid)?;
    let mut all = own.used + own.of_ended_children;
    for entry in fs::read_dir("/proc")? {
        let other = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        // One that has ended meanwhile is counted by its parent the next time.
        let child = other.and_then(|other| stat(other).ok()).filter(|other| other.parent == pid);
        all += child.map_or(Duration::ZERO, |child| child.used);
    }
    Ok(all)
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

/// What the kernel tells of a process.
struct Stat {
    /// One letter.
    state: char,
    parent: u32,
    used: Duration,
    /// Of those that it has waited for.
    of_ended_children: Duration,
}

/// The state and the CPU time of a process; a zombie still has both.
fn stat(pid: u32) -> io::Result<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, and may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u32>().ok());
    let state = fields.first().and_then(|state| state.chars().next());
    match (state, number(1), number(11), number(12), number(13), number(14)) {
        (Some(state), Some(parent), Some(user), Some(system), Some(their_user), Some(their_system)) => {
            let of_ended_children = TICK * (their_user + their_system);
            Ok(Stat { state, parent, used: TICK * (user + system), of_ended_children })
        }
        _ => Err(gone(pid)),
    }
}

/// What a child used from its start to its end.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_bytes: u64,
}

/// Waits for a child, and says what it used.
pub(crate) fn watch(mut child: Child) -> io::Result<Finished> {
    let mut peak_rss = 0;
    loop {
        let Stat { state, used: cpu, .. } = stat(child.id())?;
        if state == 'Z' {
            return Ok(Finished { status: child.wait()?, cpu, peak_rss_bytes: peak_rss });
        }
        peak_rss = peak_rss_bytes(child.id()).unwrap_or(peak_rss);
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Instant};

    use super::*;

    #[test]
    fn a_childs_time_and_memory_are_seen_to_its_end() {
        // Counting to some hundred thousand takes a shell long enough to be seen at it.
        let started = Instant::now();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exit 7";
        let child = Command::new("sh").args(["-c", script]).spawn().expect("there is a shell");
        let finished = watch(child).expect("it is ours");
        assert_eq!(finished.status.code(), Some(7));
        assert!(
            finished.cpu > Duration::ZERO && finished.cpu <= started.elapsed() + 2 * TICK,
            "{:?}",
            finished.cpu
        );
        assert!((100 << 10..1 << 30).contains(&finished.peak_rss_bytes), "{}", finished.peak_rss_bytes);
    }

    #[test]
    fn a_childs_time_counts_while_it_runs_and_after_it_was_waited_for() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        let (us, used) = (std::process::id(), Duration::from_millis(50));
        let begun = Instant::now();
        while cpu(child.id()).expect("it runs") < used {
            assert!(begun.elapsed() < Duration::from_secs(30), "it has no CPU");
            thread::yield_now();
        }
        assert!(cpu_with_children(us).expect("we are alive") >= used);
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        let (own, all) = (cpu(us).expect("we are alive"), cpu_with_children(us).expect("we are alive"));
        assert!(all >= own + used, "{all:?} and {own:?}");
    }

    #[test]
    fn the_own_process_uses_memory_and_a_dead_one_is_an_error() {
        assert!(peak_rss_bytes(std::process::id()).expect("we are alive") > 1 << 20);
        assert!(cpu(u32::MAX).is_err());
    }
}
