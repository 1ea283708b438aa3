//! Memory that is free goes back to the system at once: a busy process stays as small as an idle one, nearly.

use std::{env, os::unix::process::CommandExt as _, process::Command};

/// How long mimalloc keeps memory that is free, in milliseconds, and what it calls this.
///
/// Its own default is a second, in which an import or a relay under load gives nothing back: a relay that
/// carried 1,000,000 records had 21.0 MiB at its peak, and has 19.5 with 10 ms (loadtest/README).
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

/// Makes this process start anew, as the same process, with a shorter wait; call it first in `main`.
///
/// mimalloc reads its options before `main`, and from the environment only. What is set there already is left
/// as it is, also for those that this process starts. If it cannot be done, all goes on as it was.
pub fn give_back_at_once() {
    let (name, value) = PURGE_DELAY;
    if env::var_os(name).is_some() {
        return;
    }
    let mut words = env::args_os();
    // The file's own path, as `/proc/self/exe` would be the name that `ps` shows.
    if let (Some(called), Ok(program)) = (words.next(), env::current_exe()) {
        let _not_done = Command::new(program).arg0(called).args(words).env(name, value).exec();
    }
}
