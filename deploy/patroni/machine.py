"""What `local` asks of the machine it runs on: processes, ports, programs, and to wait."""

import contextlib
import glob
import os
import pathlib
import shutil
import signal
import socket
import time

# How long anything is waited for, in seconds: a loaded machine takes its time.
LIMIT = 120


class Failed(Exception):
    """What did not work, and where to look."""


def stat(pid):
    """What the kernel says of a process, from its state on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()


def born(pid):
    """When a process began, in the kernel's ticks; None if it is gone, or ended and nobody collected it."""
    try:
        fields = stat(pid)
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def runs(process):
    """Whether a process that was begun runs still, and is not another that has its number now."""
    return bool(process.get("born")) and born(process["pid"]) == process["born"]


def family(process, *more):
    """What runs of a process that was begun: itself, its session, and what these and others started."""
    leader, table = process.get("pid"), {}
    for place in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = stat(place[6:])
            table[int(place[6:])] = fields[0], int(fields[1]), int(fields[3])
    # A number that another process has by now leads to nobody of ours.
    ours = leader is not None and born(leader) in (None, process["born"])
    found = {pid for pid, (_, _, session) in table.items() if ours and session == leader} | set(more)
    while True:
        grown = found | {pid for pid, (_, parent, _) in table.items() if parent in found}
        if grown == found:
            return [pid for pid in found if pid in table and table[pid][0] not in "ZX"]
        found = grown


def kill(pids):
    """Kills processes and waits until they are gone; one that is gone already needs nothing."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait(f"{pids} to be gone", [], lambda: not any(map(born, pids)), 30)


@contextlib.contextmanager
def undisturbed():
    """Signals wait until what was begun is written down."""
    held, which = [], [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(one, lambda number, _: held.append(number)) for one in which]
    try:
        yield
    finally:
        for one, handler in zip(which, before):
            signal.signal(one, handler)
        for number in held:
            signal.raise_signal(number)


def wait(what, logs, holds, limit=LIMIT):
    """Waits until something holds; if it never does, says what is missing, and how the logs end."""
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            tails = [f"{log}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                     for log in logs if log.exists()]
            raise Failed("\n".join([f"waited {limit} s for {what}; look at", *tails]))
        time.sleep(0.1)


def free_ports(count):
    """Ports of loopback that nobody listens on at this moment."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def needed(program):
    """The path of a program."""
    path = shutil.which(program) or shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if not path:
        raise Failed(f"{program} is missing: apt-get install patroni etcd-server postgresql openssl, and "
                     "stop what that starts: systemctl disable --now etcd postgresql")
    return path


def postgres_bin():
    """The folder of the newest PostgreSQL's programs."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    newest = max(found, key=lambda path: int(path.split("/")[4]), default=None)
    return os.path.dirname(newest or os.path.realpath(needed("initdb")))


def memory_left_by(postmaster_pid_file):
    """The segment by which a killed PostgreSQL would have seen, at its next start, that it was killed."""
    with contextlib.suppress(OSError, IndexError):
        key, segment = pathlib.Path(postmaster_pid_file).read_text().splitlines()[6].split()
        for line in pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[:2] == [key, segment] and fields[6] == "0":
                yield segment
