//! Keys and personal data stay out of core dumps: after this call the process leaves none, whatever the
//! machine is set to, and no other process of the same user can read its memory.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process and of those that it starts, and attaching to it.
///
/// # Errors
/// What the system said; nothing then keeps memory out of a dump.
pub fn forbid_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn the_process_leaves_no_core_dump_and_lets_nobody_attach() {
        forbid_core_dumps().expect("a limit can always be lowered");
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().ok(), Some(DumpableBehavior::NotDumpable));
    }
}
