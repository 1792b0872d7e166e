#!/usr/bin/env python3
"""Measures Mainspring's simulator beside turmoil, turmoil-net, madsim and moonpool; README.md says what the figures mean."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys

from measure.processes import Failure, output_of, tell
from measure.servers import BENCH, target_dir
from measure.tables import NONE, machine, table

FOLDER = BENCH / "simulation"
CORE = 0
# No single program takes so long; one that does is ended, and the run goes on without it.
PATIENCE_SECONDS = 120
PEERS = ("mainspring", "turmoil", "turmoil-net", "madsim", "moonpool")
# What a program's symbols are chosen by where a feature is not enough.
FLAGS = {"madsim": "--cfg madsim"}
# Row of the table: its arguments, and who can do it. Peers that are slow with many clients do fewer requests.
ROWS = {
    "gets10": (("gets", 10, 1000), ("mainspring", "turmoil", "moonpool")),
    "raw10": (("raw", 10, 1000), ("mainspring", "turmoil-net", "madsim", "moonpool")),
    "gets100": (("gets", 100, 100), ("mainspring", "turmoil", "moonpool")),
    "raw100": (("raw", 100, 100), ("mainspring", "turmoil-net", "madsim", "moonpool")),
    "gets1000": (("gets", 1000, 20), ("mainspring", "moonpool")),
    "raw1000": (("raw", 1000, 20), ("mainspring", "madsim", "moonpool")),
    "gets10000": (("gets", 10_000, 5), ("mainspring", "moonpool")),
    "idle": (("idle", 10_000, 24), ("mainspring",)),
    "seeds": (("seeds", 2000), ("mainspring",)),
}
NAMES = {
    "gets": "{1:,} clients with {2:,} GETs, an HTTP client",
    "raw": "{1:,} clients with {2:,} GETs, raw bytes",
    "idle": "{1:,} idle connections for {2} virtual hours",
    "seeds": "{1:,} rough rooms of ten clients with ten GETs, over links that lose, delay and repeat",
}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; default %(default)s")
    parser.add_argument("--peer", default=",".join(PEERS), help="comma-separated; default all")
    parser.add_argument("--case", default=",".join(ROWS), help="comma-separated; default all")
    parser.add_argument("--json", action="store_true", help="print JSON, every run in it, instead of Markdown")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    options = parser.parse_args()
    for name, known in (("peer", PEERS), ("case", ROWS)):
        chosen = getattr(options, name).split(",")
        if unknown := set(chosen) - set(known):
            parser.error(f"--{name} has {', '.join(known)}, not {', '.join(sorted(unknown))}")
        setattr(options, name, chosen)
    return options


def binary(peer):
    return target_dir() / "simulation" / peer / "release" / f"simulation-{peer}"


def build(peer):
    """Each in a folder of its own: what one asks of a crate that another shares with it stays out of the other."""
    tell(f"building {peer}")
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--bin", f"simulation-{peer}", "--features", peer]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target_dir() / "simulation" / peer)}
    if peer in FLAGS:
        environment["RUSTFLAGS"] = FLAGS[peer]
    if subprocess.run(command, cwd=FOLDER, env=environment).returncode != 0:
        raise Failure(f"{peer} does not build: {' '.join(command)}, in {FOLDER}")


def measure(peer, arguments):
    """What one run says of itself."""
    return output_of([str(binary(peer)), *map(str, arguments)], {CORE}, PATIENCE_SECONDS)


def measure_all(options):
    pairs = [(case, peer) for case in options.case for peer in options.peer if peer in ROWS[case][1]]
    runs = {pair: [] for pair in pairs}
    for turn in range(options.rounds):
        for pair in pairs:
            runs[pair].append(measure(pair[1], ROWS[pair[0]][0]))
        tell(f"round {turn + 1} of {options.rounds}")
    return runs


def median(runs, figure):
    return statistics.median(figure(run) for run in runs)


def print_table(runs):
    rows = [["", "simulator", "requests / CPU s", "min–max", "events / CPU s", "virtual s / CPU s", "resident MiB"]]
    for (case, peer), its in runs.items():
        arguments = ROWS[case][0]
        rates = [run["requests"] / run["cpu_seconds"] for run in its]
        events = NONE
        if its[0]["events"] is not None:
            events = f"{median(its, lambda run: run['events'] / run['cpu_seconds']):,.0f}"
        rows.append([NAMES[arguments[0]].format(*arguments), peer, f"{statistics.median(rates):,.0f}",
                     f"{min(rates):,.0f}–{max(rates):,.0f}", events,
                     f"{median(its, lambda run: run['virtual_seconds'] / run['cpu_seconds']):,.0f}",
                     f"{median(its, lambda run: run['resident_kib']) / 1024:,.1f}"])
    print(table(rows))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    if not options.no_build:
        for peer in options.peer:
            build(peer)
    runs = measure_all(options)
    if options.json:
        figures = [{"case": case, "simulator": peer, "runs": its} for (case, peer), its in runs.items()]
        print(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    else:
        print_table(runs)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    try:
        main()
    except Failure as failure:
        sys.exit(f"simulation: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
