#!/usr/bin/env python3
"""Measures Mainspring's executor beside tokio, smol, monoio and compio; README.md says what the figures mean."""

import argparse
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import processes
from measure.processes import Failure, end, output_of, pinned, tell
from measure.servers import BENCH, target_dir
from measure.syscalls import count_with_perf, count_with_strace
from measure.tables import machine, table
from measure.throughput import MAX_WAIT

FOLDER = BENCH / "executor"
# What is measured has the first core; the client of a server, and a second thread where there is one, the other.
SERVER_CORE, CLIENT_CORE = 0, 1
CORES = frozenset({SERVER_CORE, CLIENT_CORE})
CONNECTIONS = (1, 64)
MESSAGE = b"128 bytes, there and back again." * 4
IDLE_CONNECTIONS = 10
IDLE_SECONDS = 2
# No single program takes so long, on any machine; one that does is ended, and the run goes on without it.
PATIENCE_SECONDS = 120


class Peer:
    """One runtime, set up one way: the program it is in and the name it has there."""

    def __init__(self, name, program, variant, cores=frozenset({SERVER_CORE}), has_tasks=True):
        self.name, self.program, self.variant = name, program, variant
        # What its tasks may run on; as a server all have one core.
        self.cores = cores
        self.has_tasks = has_tasks

    def command(self, case, samples):
        program = "monoio-sync" if (self.program, case) == ("monoio", "foreign_wake") else self.program
        arguments = [self.variant, case, str(samples)] if self.variant else []
        return [str(binary(program)), *arguments]


PEERS = {peer.name: peer for peer in (
    Peer("mainspring", "mainspring", "shard"),
    Peer("tokio-current", "tokio", "current"),
    Peer("tokio-multi", "tokio", "multi", cores=CORES),
    Peer("smol", "smol", "local"),
    Peer("monoio", "monoio", "uring"),
    # The same tasks on another driver: a server only.
    Peer("monoio-legacy", "monoio", "legacy", has_tasks=False),
    Peer("compio", "compio", "uring"),
    Peer("epoll", "epoll", None, has_tasks=False),
)}

# Row of the table: the program's case that gives it, how it is called, what its figure is divided by.
ROWS = {
    "spawn_join": ("spawn_join", "spawn and join, a task", 1),
    "yield_1": ("yield_1", "yield, 1 task", 1),
    "yield_1000": ("yield_1000", "yield, 1,000 tasks", 1),
    "pingpong": ("pingpong", "ping-pong, async-channel, a round trip", 1),
    "pingpong_own": ("pingpong_own", "ping-pong, own channel", 1),
    "channel_1024": ("channel_1024", "bounded(1024), async-channel, a message", 1),
    "channel_1024_own": ("channel_1024_own", "bounded(1024), own channel", 1),
    "timer_create": ("timers", "timer set, 1,000,000 live", 1),
    "timer_cancel": ("timers", "timer dropped, 1,000,000 live", 1),
    "timer_churn": ("timer_churn", "timer set and dropped, no other live", 1),
    "foreign_wake": ("foreign_wake", "wake from another thread and back, p50, µs", 1000),
    "task_bytes": ("memory", "bytes a task, 64 of them the future's", 1),
    "task_allocations": ("memory", "allocations a task", 1),
}
CASES = (*ROWS, "echo", "idle")
# Rows of which a program measures as many stretches as it is told.
COUNTABLE = [row for row, (case, _, _) in ROWS.items() if row == case and row != "foreign_wake"]
INSTRUCTION_SAMPLES = 5


# --- building -------------------------------------------------------------------------------------------------------


def binary(program):
    return target_dir() / "executor" / f"executor-{program}"


def build(peers):
    """Each program alone, with one peer's feature: what another asks of a crate they share is not in it."""
    programs = {"client", *(peer.program for peer in peers)}
    if "monoio" in programs:
        programs.add("monoio-sync")
    for program in sorted(programs):
        tell(f"building {program}")
        name = f"executor-{program.removesuffix('-sync')}"
        features = [] if program in ("client", "epoll") else ["--features", program]
        command = ["cargo", "build", "--release", "--quiet", "--bin", name, *features]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(target_dir())}
        if subprocess.run(command, cwd=FOLDER, env=environment).returncode != 0:
            raise Failure(f"{program} does not build: {' '.join(command)}, in {FOLDER}")
        # The next build of the same program with another feature takes its place.
        binary(program).parent.mkdir(exist_ok=True)
        shutil.copy2(target_dir() / "release" / name, binary(program))


# --- processes ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(peer):
    """The peer's echo server on a free loopback port, which it says; ended when the block is left."""
    command = peer.command("echo", 1)
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaint,
                                   preexec_fn=pinned({SERVER_CORE}))
        try:
            readable, _, _ = select.select([process.stdout], [], [], 10)
            said = process.stdout.readline() if readable else b""
            if not said.strip().isdigit():
                complaint.seek(0)
                raise Failure(f"{peer.name} does not say its port: {complaint.read(1000).decode(errors='replace')}")
            yield process, int(said)
            if process.poll() is not None:
                complaint.seek(0)
                raise Failure(f"{peer.name} ended by itself: {complaint.read(1000).decode(errors='replace')}")
        finally:
            end(process, signal.SIGKILL)
            process.stdout.close()


def client(process, port, connections, seconds):
    """The client's report. A tenth of the time warms up; what the server has used is of the rest."""
    numbers = [port, connections, int(seconds * 100), int(seconds * 1000), process.pid]
    command = [str(binary("client")), *map(str, numbers)]
    return output_of(command, {CLIENT_CORE}, seconds + 30)


# --- measuring: tasks, channels, timers -----------------------------------------------------------------------------


def measure_rows(rows, peers, options, problems):
    """A process for each peer, case and round, the peers taking turns: what drifts meets all of them."""
    figures = {row: {} for row in rows}
    programs = list(dict.fromkeys(ROWS[row][0] for row in rows))
    for case in programs:
        for turn in range(options.rounds):
            for peer in (peer for peer in peers if peer.has_tasks):
                cores = CORES if case == "foreign_wake" else peer.cores
                stolen = processes.stolen(cores)
                try:
                    said = output_of(peer.command(case, options.samples), cores, PATIENCE_SECONDS)
                except Failure as failure:
                    problems.append(f"{peer.name}, {case}: {failure}")
                    tell(problems[-1])
                    continue
                stolen = max(after - before for after, before in zip(processes.stolen(cores), stolen))
                # The kernel counts in ticks: a program that had nothing to do may not have run at all.
                wait = (said["waited_ns"] / 1e9 + stolen) / max(said["ran_ns"] / 1e9, 0.001)
                its = {"wait": wait, "disturbed": wait > MAX_WAIT}
                for row in rows:
                    if measured := said["rows"].get(row):
                        figure = statistics.median(measured["samples"])
                        figures[row].setdefault(peer.name, []).append({"figure": figure, **measured, **its})
                        tell(f"{turn + 1}/{options.rounds} {peer.name}: {row} {figure:,.2f}"
                             f"{', disturbed' if its['disturbed'] else ''}")
    return figures


def rows_table(figures, peers):
    names = [peer.name for peer in peers if peer.has_tasks]
    lines = [["ns: median (min–max)", *names]]
    for row, its in figures.items():
        _, title, divisor = ROWS[row]
        cells = []
        for name in names:
            values = [round_["figure"] / divisor for round_ in its.get(name, [])]
            cells.append(f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"
                         if values else "–")
        lines.append([title, *cells])
    return table(lines)


def short(value):
    """Three digits, or all before the point."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


# --- measuring: instructions ----------------------------------------------------------------------------------------


def count_instructions(rows, peers, problems):
    """User instructions an operation: the difference of a long and a short run leaves everything else out."""
    figures = {row: {} for row in rows}
    for row in rows:
        for peer in (peer for peer in peers if peer.has_tasks):
            try:
                with tempfile.TemporaryDirectory() as folder:
                    (few, _), (many, measured) = (
                        instructions_of(peer.command(row, samples), Path(folder) / "counts")
                        for samples in (1, 1 + INSTRUCTION_SAMPLES))
            except Failure as failure:
                problems.append(f"{peer.name}, {row}: {failure}")
                tell(problems[-1])
                continue
            if row in measured:
                count = (many - few) / INSTRUCTION_SAMPLES / measured[row]["operations"]
                figures[row][peer.name] = count
                tell(f"{peer.name}: {row} {count:,.0f} instructions")
    return figures


def instructions_of(command, counts):
    """All instructions of a program's life, and the rows it says."""
    under = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={counts}"]
    said = output_of([*under, *command], CORES, PATIENCE_SECONDS)
    found = re.search(r"^summary:\s*(\d+)", counts.read_text(), re.MULTILINE)
    if found is None:
        raise Failure(f"valgrind has left no count of {' '.join(command)}")
    return int(found.group(1)), said["rows"]


def instructions_table(figures, peers):
    names = [peer.name for peer in peers if peer.has_tasks]
    lines = [["user instructions", *names]]
    for row, its in figures.items():
        lines.append([ROWS[row][1], *(f"{its[name]:,.0f}" if name in its else "–" for name in names)])
    return table(lines)


# --- measuring: the echo server -------------------------------------------------------------------------------------


def measure_echo(connections, peers, options, problems):
    runs = {peer.name: [] for peer in peers}
    for turn in range(options.rounds):
        for peer in peers:
            try:
                with serving(peer) as (process, port):
                    before = processes.stolen(CORES)
                    its = client(process, port, connections, options.seconds)
                    stolen = max(after - start for after, start in zip(processes.stolen(CORES), before))
            except Failure as failure:
                problems.append(f"{peer.name}, echo: {failure}")
                tell(problems[-1])
                continue
            waits = (its["server_waited_s"], its["client_waited_s"], stolen)
            its["wait"] = max(waits) / its["seconds"]
            its["rate"] = its["round_trips"] / its["seconds"]
            its["busy"] = its["server_ran_s"] / its["seconds"]
            its["disturbed"] = its["wait"] > MAX_WAIT
            runs[peer.name].append(its)
            tell(f"{turn + 1}/{options.rounds} {peer.name}, C={connections}: {its['cpu_us']:.3f} µs, "
                 f"{its['rate']:,.0f} round trips/s{', disturbed' if its['disturbed'] else ''}")
    return runs


def count_syscalls(connections, peers, options, problems):
    """System calls by name, a round trip; connecting and warming up are in both."""
    calls = {}
    for peer in peers:
        try:
            with serving(peer) as (process, port), tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "counts"

                def load():
                    return client(process, port, connections, options.seconds)

                counted = count_with_perf(process.pid, output, load) if shutil.which("perf") else None
                by = "perf" if counted else "strace"
                counts, its = counted or count_with_strace(process.pid, output, load)
        except (Failure, FileNotFoundError) as failure:
            problems.append(f"{peer.name}, system calls: {failure}")
            tell(problems[-1])
            continue
        each = {name: count / its["all_round_trips"] for name, count in sorted(counts.items(), key=lambda it: -it[1])}
        calls[peer.name] = {"by": by, "per_round_trip": sum(each.values()), "calls": each}
        tell(f"{peer.name}, C={connections}: {sum(each.values()):.3f} system calls a round trip")
    return calls


def echo_table(runs, calls):
    """Ranked by the least CPU time a round trip: what others do on the machine only ever adds to it."""
    cpu = {name: sorted(its["cpu_us"] for its in rounds) for name, rounds in runs.items() if rounds}
    by_min = sorted(cpu, key=lambda name: cpu[name][0])
    by_median = sorted(cpu, key=lambda name: statistics.median(cpu[name]))
    lines = [["server", "CPU µs/round trip, min", "median", "max", "rank by min", "by median", "p50 µs",
              "round trips/s", "system calls/round trip", "of which", "worst wait", "disturbed"]]
    for name in by_min:
        rounds, counted = runs[name], calls.get(name)
        parts = counted and ", ".join(f"{call} {each:.2f}" for call, each in counted["calls"].items() if each >= 0.005)
        lines.append([
            name, f"{cpu[name][0]:.2f}", f"{statistics.median(cpu[name]):.2f}", f"{cpu[name][-1]:.2f}",
            str(by_min.index(name) + 1), str(by_median.index(name) + 1),
            f"{statistics.median(its['p50_us'] for its in rounds):.0f}",
            f"{statistics.median(its['rate'] for its in rounds):,.0f}",
            f"{counted['per_round_trip']:.2f}" if counted else "–", parts or "–",
            f"{max(its['wait'] for its in rounds):.2f}", str(sum(its["disturbed"] for its in rounds)),
        ])
    return table(lines)


# --- measuring: idle servers ----------------------------------------------------------------------------------------


def switches(pid):
    """How often the threads of a process have gone to sleep by themselves."""
    count = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
            count += int(fields["voluntary_ctxt_switches"])
    return count


def measure_idle(peers, problems):
    """Threads, and the times they went to sleep, of servers whose clients have fallen silent."""
    figures = {}
    for peer in peers:
        try:
            with serving(peer) as (process, port), contextlib.ExitStack() as stack:
                for _ in range(IDLE_CONNECTIONS):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                    connection.sendall(MESSAGE)
                    if connection.recv(len(MESSAGE), socket.MSG_WAITALL) != MESSAGE:
                        raise Failure("the server echoes something else")
                time.sleep(0.5)
                before = switches(process.pid)
                time.sleep(IDLE_SECONDS)
                count = switches(process.pid) - before
                threads = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
        except (Failure, OSError) as failure:
            problems.append(f"{peer.name}, idle: {failure}")
            tell(problems[-1])
            continue
        figures[peer.name] = {"switches": count, "threads": threads, "seconds": IDLE_SECONDS}
        tell(f"{peer.name}, idle: {count} wake-ups in {IDLE_SECONDS} s")
    return figures


def idle_table(figures):
    lines = [["server", f"wake-ups in {IDLE_SECONDS} s", "threads"]]
    lines += [[name, str(its["switches"]), str(its["threads"])] for name, its in figures.items()]
    return table(lines)


# --- the whole ------------------------------------------------------------------------------------------------------


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="interleaved rounds; default 5")
    parser.add_argument("--case", default="all", help=f"one or more of {','.join(CASES)}; default all")
    parser.add_argument("--peer", default="all", help=f"one or more of {','.join(PEERS)}; default all")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--instructions", action="store_true",
                        help="count user instructions under valgrind instead; no clock is in it")
    parser.add_argument("--json", metavar="FILE", help="write all raw figures there")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are")
    options = parser.parse_args()
    options.rounds = options.rounds if options.rounds is not None else 1 if options.quick else 5
    options.samples, options.seconds = (51, 0.5) if options.quick else (201, 2.0)
    options.cases = CASES if options.case == "all" else options.case.split(",")
    options.peers = list(PEERS) if options.peer == "all" else options.peer.split(",")
    if unknown := [case for case in options.cases if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    return options


def caveat(runs):
    """How far the figures may be trusted."""
    disturbed = sum(its["disturbed"] for its in runs)
    if disturbed:
        return f"{disturbed} of {len(runs)} runs waited for their core; figures of such a run are not to be quoted.\n"
    return f"None of {len(runs)} runs waited for its core.\n"


def measure(options, problems):
    """Runs what was asked for, prints each table when it is there, and gives all figures."""
    peers = [PEERS[name] for name in options.peers]
    results = {}
    if options.instructions:
        rows = [row for row in COUNTABLE if row in options.cases]
        results["instructions"] = count_instructions(rows, peers, problems)
        print(f"### Instructions\n\n{instructions_table(results['instructions'], peers)}\n", flush=True)
        return results
    if rows := [row for row in ROWS if row in options.cases]:
        results["rows"] = measure_rows(rows, peers, options, problems)
        runs = [its for by_peer in results["rows"].values() for rounds in by_peer.values() for its in rounds]
        print(f"### Tasks, channels, timers\n\n{rows_table(results['rows'], peers)}\n\n{caveat(runs)}", flush=True)
    if "echo" in options.cases:
        results["echo"], results["system_calls"] = {}, {}
        for connections in CONNECTIONS:
            runs = measure_echo(connections, peers, options, problems)
            calls = count_syscalls(connections, peers, options, problems)
            results["echo"][connections], results["system_calls"][connections] = runs, calls
            plural = "s" if connections > 1 else ""
            print(f"### Echo of 128 bytes, {connections} connection{plural}\n\n{echo_table(runs, calls)}\n\n"
                  f"{caveat([its for rounds in runs.values() for its in rounds])}", flush=True)
    if "idle" in options.cases:
        results["idle"] = measure_idle(peers, problems)
        print(f"### {IDLE_CONNECTIONS} idle connections\n\n{idle_table(results['idle'])}\n", flush=True)
    return results


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    if not CORES <= os.sched_getaffinity(0):
        raise Failure(f"cores {sorted(CORES)} are wanted, there are {sorted(os.sched_getaffinity(0))}")
    if options.instructions and shutil.which("valgrind") is None:
        raise Failure("missing tools: apt-get install valgrind")
    if not options.no_build:
        build([PEERS[name] for name in options.peers])
    problems = []
    what = {"machine": machine(), "rounds": options.rounds, "samples": options.samples, "seconds": options.seconds}
    results = measure(options, problems)
    if options.json:
        Path(options.json).write_text(json.dumps({**what, **results, "problems": problems}, indent=1) + "\n")
    if problems:
        raise Failure("what is missing above: " + "\n".join(problems))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
