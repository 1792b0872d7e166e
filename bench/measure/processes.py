"""Child processes: how they start, what they used, how they end. Knows nothing of HTTP."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# Descriptors of this process and of each child: the idle case has 10,000 connections.
DESCRIPTORS = 20_000


class Failure(Exception):
    """Something the user has to know and that ends the run."""


def tell(what):
    print(what, file=sys.stderr, flush=True)


def die_with_parent():
    """Asks the kernel, between fork and exec, to end the child with this process, whatever happens to that."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pinned(cores):
    """What a child does between fork and exec: keep to its cores, if they are not None, and end with this process."""

    def setup():
        if cores is not None:
            os.sched_setaffinity(0, cores)
        die_with_parent()

    return setup


def child_setup(core):
    """The same for a child that has a core to itself; None is any core."""
    return pinned(None if core is None else {core})


def run_first(pid):
    """Has the threads of a process run before all others of their cores, if this process may say so: that takes root."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(1))


def raise_descriptors():
    """Children inherit it. Beyond the hard limit it takes root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        hard = hard if hard == resource.RLIM_INFINITY else max(hard, DESCRIPTORS)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
        except (OSError, ValueError) as error:
            raise Failure(f"{DESCRIPTORS} descriptors are wanted: {error}") from error


def end(process, by=signal.SIGTERM, patience=5):
    """Ends a child by its PID and waits for it."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def output_of(command, cores, patience):
    """The last line that a program says, from JSON. It is ended if it takes longer than `patience` seconds."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=pinned(cores))
    try:
        said, complaint = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"did not end within {patience} s: {' '.join(command)}") from error
    finally:
        end(process, signal.SIGKILL)
    if process.returncode != 0:
        raise Failure(f"failed with {process.returncode}: {' '.join(command)}\n{complaint[:1000]}")
    return json.loads(said.splitlines()[-1])


def free_address():
    """A port of a loopback address that is this run's own: nobody else takes it between now and the server's bind."""
    pid = os.getpid()
    with socket.socket() as probe:
        probe.bind((f"127.{64 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255}", 0))
        return probe.getsockname()


def schedstat(pid):
    """Seconds all threads of a process have run, and have waited for a core while they could run."""
    ran = waited = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (thread / "schedstat").read_text().split()
        except OSError:
            continue
        ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9


def user_system(pid):
    """User and system seconds, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def stolen(cores):
    """Seconds the hypervisor kept from each of the cores."""
    lines = Path("/proc/stat").read_text().splitlines()
    steals = {line.split()[0]: int(line.split()[8]) for line in lines if line.startswith("cpu")}
    return [steals[f"cpu{core}"] / os.sysconf("SC_CLK_TCK") for core in cores]


def resident(pid):
    """Resident bytes of a process: its own memory and what it has mapped of files."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise Failure("the kernel has no Rss in /proc/PID/smaps_rollup")


def await_states(pid, states, patience=10):
    """Waits until each thread of a process is in one of the states that /proc/PID/stat knows."""
    deadline = time.monotonic() + patience
    while True:
        found = []
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.append((thread / "stat").read_text().rpartition(")")[2].split()[0])
        if all(state in states for state in found):
            return
        if time.monotonic() > deadline:
            raise Failure(f"process {pid} is {''.join(found)} and should be {states}")
        time.sleep(0.0005)
