"""System calls a request by name, over one run of wrk."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from .cases import check
from .counted import strace_counts
from .processes import Failure, die_with_parent, end, tell
from .servers import started
from .tables import NONE, table
from .wrk import run_wrk

# perf counts these by name, and all others together: taking hundreds of tracepoints down again lasts many seconds.
NAMED_CALLS = """accept accept4 bind brk clock_gettime clock_nanosleep close connect epoll_ctl epoll_pwait epoll_pwait2
    epoll_wait eventfd2 fcntl futex getpeername getrandom getsockname getsockopt gettimeofday io_uring_enter ioctl
    madvise mmap mprotect munmap nanosleep openat poll ppoll pread64 read readv recvfrom recvmsg rt_sigprocmask
    sched_yield sendfile sendmsg sendto setsockopt shutdown socket splice timerfd_settime write writev""".split()
TRACEFS = (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))


def count_syscalls(server, case, options):
    """System calls by name over one run of wrk, connecting included, and the requests it made."""
    with started(server, options.server_core) as (process, address):
        check(server, case, address)

        def load():
            connections = case.connections or options.connections
            return run_wrk(case, address, options.seconds, connections, options.client_core)

        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "counts"
            if shutil.which("perf") is not None:
                counted = count_with_perf(process.pid, output, load)
                if counted is not None:
                    return "perf", *counted
            if shutil.which("strace") is not None:
                return "strace", *count_with_strace(process.pid, output, load)
    raise Failure("neither perf's tracepoints nor strace work here: apt-get install linux-perf strace, run as root")


def count_with_perf(pid, output, load):
    """Exact and cheap; None where the tracepoints may not be used."""
    events = next((folder for folder in TRACEFS if (folder / "raw_syscalls/sys_enter").is_dir()), None)
    if events is None:
        return None
    prefix = "syscalls:sys_enter_"
    named = [prefix + name for name in NAMED_CALLS if (events / "syscalls" / f"sys_enter_{name}").is_dir()]
    commands, answers = os.pipe(), os.pipe()
    command = ["perf", "stat", "-x;", "-o", str(output), "-D", "-1", "-e", ",".join(["raw_syscalls:sys_enter", *named]),
               "-p", str(pid), "--control", f"fd:{commands[0]},{answers[1]}"]
    perf = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            pass_fds=(commands[0], answers[1]), preexec_fn=die_with_parent)
    try:
        os.close(commands[0])
        os.close(answers[1])
        # It answers "ack" once it counts; if it cannot, it ends and so closes the pipes.
        with contextlib.suppress(BrokenPipeError):
            os.write(commands[1], b"enable\n")
        readable, _, _ = select.select([answers[0]], [], [], 60)
        if not readable or not os.read(answers[0], 16).startswith(b"ack"):
            return None
        wrk = load()
    finally:
        end(perf, signal.SIGINT, patience=60)
        os.close(commands[1])
        os.close(answers[0])
    counts = {}
    for line in output.read_text().splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].isdigit():
            counts[fields[2].removeprefix(prefix)] = int(fields[0])
    total = counts.pop("raw_syscalls:sys_enter", 0)
    if total == 0:
        return None
    counts["others"] = total - sum(counts.values())
    return {name: count for name, count in counts.items() if count > 0}, wrk


def count_with_strace(pid, output, load):
    """Slows the server down many times: how many requests meet in one wait is then not what it would be."""
    command = ["strace", "-f", "-c", "-o", str(output), "-p", str(pid)]
    with tempfile.TemporaryFile() as log:
        strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  preexec_fn=die_with_parent)
        try:
            deadline = time.monotonic() + 10
            while b"attached" not in os.pread(log.fileno(), 4096, 0):
                if strace.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"strace may not attach: {os.pread(log.fileno(), 500, 0).decode()}")
                time.sleep(0.05)
            wrk = load()
        finally:
            end(strace, signal.SIGINT)
    return strace_counts(output.read_text()), wrk


def syscalls(case, servers, options):
    result = {"mode": "syscalls", "case": case.name, "servers": {}}
    for server in servers:
        result["servers"][server.name] = None
        if case.name not in server.cases:
            continue
        by, counts, wrk = count_syscalls(server, case, options)
        each = {name: count / wrk["requests"] for name, count in sorted(counts.items(), key=lambda it: -it[1])}
        result["servers"][server.name] = {"by": by, "requests": wrk["requests"], "wrk_busy": wrk["busy"],
                                          "errors": wrk["errors"], "per_request": sum(each.values()), "calls": each}
        tell(f"{case.name} {server.name}: {sum(each.values()):.3f} system calls a request")
    return result


def syscalls_table(result):
    rows = [["server", "calls/req", "of which", "requests", "wrk busy", "counted by", "errors"]]
    for name, its in result["servers"].items():
        if its is None:
            rows.append([name, *[NONE] * (len(rows[0]) - 1)])
            continue
        # What rounds to nothing a request is start and connecting.
        parts = [f"{call} {each:.3f}" for call, each in its["calls"].items() if each >= 0.0005]
        rows.append([name, f"{its['per_request']:.3f}", ", ".join(parts), f"{its['requests']:,}",
                     f"{its['wrk_busy']:.2f}", its["by"], str(its["errors"])])
    return table(rows)
