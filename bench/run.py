#!/usr/bin/env python3
"""Measures Mainspring against its peers on this machine; README.md says what the figures mean."""

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Callable, NamedTuple

from measure.cases import CASES
from measure.cold import cold, cold_table
from measure.counted import allocations, allocations_table, instructions, instructions_table
from measure.idle import idle, idle_table
from measure.latency import CASES as LATENCY_CASES
from measure.latency import build_client, latency, latency_table
from measure.processes import Failure, raise_descriptors
from measure.servers import known_servers
from measure.syscalls import syscalls, syscalls_table
from measure.tables import machine
from measure.throughput import throughput, throughput_table


class Mode(NamedTuple):
    """What is measured; the first column of `tools` names a command, the second its package."""

    measure: Callable
    table: Callable
    tools: dict
    help: str = ""
    # A client that waits for the server must not take its core.
    on_client_core: bool = False
    all_cases: tuple = tuple(CASES)


THROUGHPUT = Mode(throughput, throughput_table, {"wrk": "wrk"})
MODES = {
    "latency": Mode(latency, latency_table, {"wrk": "wrk"}, "latency at a fixed rate", all_cases=LATENCY_CASES),
    "syscalls": Mode(syscalls, syscalls_table, {"wrk": "wrk"}, "system calls a request"),
    "instructions": Mode(instructions, instructions_table, {"valgrind": "valgrind"}, "user instructions a request",
                         on_client_core=True),
    "allocations": Mode(allocations, allocations_table, {"valgrind": "valgrind"}, "allocations and bytes a request",
                        on_client_core=True),
    "idle": Mode(idle, idle_table, {}, "resident bytes an idle connection", on_client_core=True),
    "cold": Mode(cold, cold_table, {}, "milliseconds from exec to the first answer", on_client_core=True),
}


def parse_options(known):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="plaintext", help=f"one or more of {','.join(CASES)}, or all")
    parser.add_argument("--servers", default=",".join(known), help="which, in which order; default %(default)s")
    parser.add_argument("--reference", default="hyper", help="whom the ratios are to; default %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; default %(default)s")
    parser.add_argument("--seconds", type=int, default=5, help="length of one run; default %(default)s")
    parser.add_argument("--connections", type=int, default=64, help="but of plaintext1024; default %(default)s")
    parser.add_argument("--rate", type=int, help="requests a second of --latency; default: half of the reference's")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    instead = parser.add_mutually_exclusive_group()
    for name, mode in MODES.items():
        instead.add_argument(f"--{name}", action="store_const", const=name, dest="mode", help=f"{mode.help}, instead")
    parser.add_argument("--json", action="store_true", help="print JSON, every run in it, instead of Markdown")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    options = parser.parse_args()
    mode = MODES.get(options.mode, THROUGHPUT)
    options.cases = list(mode.all_cases) if options.case == "all" else options.case.split(",")
    options.chosen = options.servers.split(",")
    if unknown := [case for case in options.cases if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}")
    if unknown := [name for name in options.chosen if name not in known]:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(known)}")
    if min(options.rounds, options.seconds, options.connections, options.rate or 1) < 1:
        parser.error("--rounds, --seconds, --connections and --rate are at least 1")
    return options, mode


def require_tools(options, mode):
    missing = [package for tool, package in mode.tools.items() if shutil.which(tool) is None]
    if options.mode == "syscalls" and not (shutil.which("perf") or shutil.which("strace")):
        missing += ["linux-perf", "strace"]
    if missing:
        raise Failure(f"missing tools: apt-get install {' '.join(missing)}")
    allowed = os.sched_getaffinity(0)
    if not {options.server_core, options.client_core} <= allowed:
        raise Failure(f"cores {options.server_core} and {options.client_core} are wanted, there are {sorted(allowed)}")
    if options.server_core == options.client_core:
        raise Failure("server and client need a core each")
    if not Path("/proc/self/schedstat").exists():
        raise Failure("the kernel has no /proc/PID/schedstat (CONFIG_SCHED_INFO)")


def build(servers, options):
    for server in servers:
        server.build()
    if options.mode == "latency":
        build_client()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    known = known_servers()
    options, mode = parse_options(known)
    require_tools(options, mode)
    raise_descriptors()
    servers = [known[name] for name in options.chosen]
    if not options.no_build:
        build(servers, options)
    if mode.on_client_core:
        os.sched_setaffinity(0, {options.client_core})
    what = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds,
            "connections": options.connections}
    results = []
    for case in options.cases:
        results.append(mode.measure(CASES[case], servers, options))
        if not options.json:
            print(f"### {case}\n\n{mode.table(results[-1])}\n", flush=True)
    if options.json:
        print(json.dumps({**what, "results": results}, indent=1))
    failed = sum(its.get("errors", 0) for result in results for its in filter(None, result["servers"].values()))
    if failed:
        raise Failure(f"{failed} requests went wrong: the figures do not count")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
