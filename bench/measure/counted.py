"""Counts a request that no clock is in: user instructions, allocations, system calls.

Each is the difference of two whole lives of the server under a tool that counts, over the requests that one life had
more: what starting, connecting and ending cost is in both.
"""

import re
import tempfile
import time
from pathlib import Path

from .cases import check
from .processes import Failure, tell
from .rounds import Rounds
from .servers import started
from .tables import NONE, table

CONNECTIONS = 64
ROUNDS = (20, 120)
# A life under valgrind in which 64 connections sent 120 MiB each would last for minutes.
BIG_CONNECTIONS, BIG_ROUNDS, BIG_BODY = 8, (2, 6), 64 * 1024
MANY_ROUNDS = (2, 8)
# Two lives agree that differ by at most this share; after so many lives the least is taken as it is.
AGREEMENT = 0.01
LIVES_MAX = 5


class Cachegrind:
    """User instructions, of all threads."""

    package = "valgrind"

    def under(self, output):
        return ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={output}"]

    def counts(self, said):
        found = re.search(r"^summary:\s*(\d+)", said, re.MULTILINE)
        return found and {"instructions": int(found.group(1))}


class Memcheck:
    """Calls of the allocator and the bytes they asked for; what was given back is not taken off."""

    package = "valgrind"

    def under(self, output):
        return ["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no", f"--log-file={output}"]

    def counts(self, said):
        found = re.search(r"total heap usage: ([\d,]+) allocs, [\d,]+ frees, ([\d,]+) bytes", said)
        return found and {name: int(count.replace(",", ""))
                          for name, count in zip(("allocations", "bytes"), found.groups())}


class Strace:
    """System calls by name."""

    package = "strace"

    def under(self, output):
        # The server is our child and strace its tracer on the side, so that the PID is the server's.
        return ["strace", "-D", "-f", "-c", "-o", str(output)]

    def counts(self, said):
        # The last line comes with the others or not at all.
        return strace_counts(said) if re.search(r"\btotal$", said, re.MULTILINE) else None


def strace_counts(said):
    counts = {}
    for line in said.splitlines():
        # % time, seconds, usecs/call, calls, [errors,] name
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found.group(2) != "total":
            counts[found.group(2)] = int(found.group(1))
    return counts


def shape(case):
    """Connections of a life, and the rounds of the short and the long one."""
    if len(case.body) > BIG_BODY:
        return BIG_CONNECTIONS, BIG_ROUNDS
    return (case.connections, MANY_ROUNDS) if case.connections else (CONNECTIONS, ROUNDS)


def life(server, case, tool, rounds, core):
    """Counts of a whole life, and the requests in it."""
    connections, _ = shape(case)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        with started(server, core, tool.under(output)) as (process, address):
            length = check(server, case, address)
            with Rounds(server, case, address, connections, length) as client:
                # A body that no socket's buffer holds cannot be sent to a process that is stopped.
                requests = client.run(rounds, None if len(case.body) > BIG_BODY else process.pid)
        # strace writes after the server has ended.
        deadline = time.monotonic() + 10
        while (counts := tool.counts(output.read_text() if output.exists() else "")) is None:
            if time.monotonic() > deadline:
                raise Failure(f"no count of {server.name} was left: does it end in time on SIGTERM?")
            time.sleep(0.05)
    return counts, requests


def calm_life(server, case, tool, rounds, core):
    """The least of some lives: as many as it takes until the two least agree.

    What a tool slows down may last too long for the server, which says so at length: Mainspring's watchdog reads the
    whole program's symbols, once. A life in which that happened has more of everything, and never less.
    """
    lives = []
    while len(lives) < LIVES_MAX:
        lives.append(life(server, case, tool, rounds, core))
        lives.sort(key=lambda it: sum(it[0].values()))
        least, next_to_it, *_ = [sum(counts.values()) for counts, _ in lives] + [None]
        if next_to_it is not None and next_to_it - least <= least * AGREEMENT:
            break
    return lives[0]


def per_request(server, case, tool, core):
    """Each count of the tool a request, and of how many requests."""
    _, (few, many) = shape(case)
    (less, less_requests), (more, more_requests) = (
        calm_life(server, case, tool, rounds, core) for rounds in (few, many))
    requests = more_requests - less_requests
    each = {name: (count - less.get(name, 0)) / requests for name, count in more.items()}
    return each, requests


def instructions(case, servers, options):
    return counted("instructions", Cachegrind(), case, servers, options)


def allocations(case, servers, options):
    return counted("allocations", Memcheck(), case, servers, options)


def counted(mode, tool, case, servers, options):
    result = {"mode": mode, "case": case.name, "servers": {}}
    for server in servers:
        result["servers"][server.name] = None
        if case.name in server.cases:
            each, requests = per_request(server, case, tool, options.server_core)
            result["servers"][server.name] = {**each, "requests": requests}
            tell(f"{case.name} {server.name}: "
                 f"{', '.join(f'{count:,.2f} {name}' for name, count in each.items())} a request")
    return result


def instructions_table(result):
    rows = [["server", "user instructions/req", "requests"]]
    for name, its in result["servers"].items():
        rows.append([name, f"{its['instructions']:,.1f}", f"{its['requests']:,}"] if its else [name, NONE, NONE])
    return table(rows)


def allocations_table(result):
    rows = [["server", "allocations/req", "bytes/req", "requests"]]
    for name, its in result["servers"].items():
        rows.append([name, f"{its['allocations']:.2f}", f"{its['bytes']:,.1f}", f"{its['requests']:,}"] if its
                    else [name, NONE, NONE, NONE])
    return table(rows)
