"""The latency of honest requests beside a crowd that holds connections and says or takes as little as it can.

Runs without and with the crowd take turns, each on a server of its own, and which of the two comes first alternates.
"""

import contextlib
import json
import subprocess
import tempfile
import time

from .cases import CASES, check
from .latency import ask_at_rate
from .processes import Failure, child_setup, end, resident, run_first, tell
from .servers import playground, started, target_dir
from .tables import table
from .throughput import spread

ABUSER = "abuser"
KINDS = ("idle", "slowloris", "uploads", "readers")
# Who was cut is back in a moment: this share of the crowd holds a connection at any time.
UP_SHARE_MIN = 0.95
ARRIVAL_SECONDS_MAX = 30
# From when all are there: by then each slow head has been cut once, and their coming and going is even.
SETTLE_SECONDS = 12
# How long the crowd lasts beyond the run that it disturbs, at most: it ends by itself if nobody ends it.
SPARE_SECONDS = 30
# What the server may hold for each: of an answer that nobody takes 64 KiB and the memory that they grew in; else no buffer.
BYTES_EACH_MAX = {"idle": 4096, "slowloris": 4096, "uploads": 4096, "readers": 192 * 1024}
# A run in which the server waited for its core, or the hypervisor took one away, for more than this share.
MAX_WAIT = 0.05
STAMPS = "stamps"


class Crowd:
    """The crowd's process, and the last that it said."""

    def __init__(self, process, log, sizes):
        self.process, self.log, self.sizes = process, log, sizes

    def says(self):
        self.log.seek(0)
        said = self.log.read().decode(errors="replace")
        if self.process.poll() is not None:
            raise Failure(f"the crowd ends with {self.process.returncode}: {said[-500:]}")
        lines = said.rsplit("\n", 2)
        return json.loads(lines[-2]) if len(lines) > 1 and lines[-2] else dict.fromkeys(KINDS, 0)

    def is_up(self):
        says = self.says()
        return all(says[kind] >= size * UP_SHARE_MIN for kind, size in self.sizes.items())

    def expect_up(self):
        if not self.is_up():
            raise Failure(f"the crowd is not as big as it should be: {self.says()}")


@contextlib.contextmanager
def crowd_around(address, options):
    """The crowd, all of it there; ended when the block is left."""
    sizes = dict(zip(KINDS, (options.idle, options.slowloris, options.uploads, options.readers)))
    lasts = round(ARRIVAL_SECONDS_MAX + options.settle + options.seconds + SPARE_SECONDS)
    command = [str(target_dir() / "release" / ABUSER), f"{address[0]}:{address[1]}", *map(str, sizes.values()), str(lasts)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=child_setup(options.client_core))
        try:
            it, deadline = Crowd(process, log, sizes), time.monotonic() + ARRIVAL_SECONDS_MAX
            while not it.is_up():
                if time.monotonic() > deadline:
                    raise Failure(f"the crowd does not get to its size: {it.says()}")
                time.sleep(0.2)
            time.sleep(options.settle)
            yield it
        finally:
            end(process)


def measure_once(options, with_crowd):
    case = CASES["plaintext"]
    with started(playground(), options.server_core) as (process, address), contextlib.ExitStack() as stack:
        check(playground(), case, address)
        run_first(process.pid)
        case = case._replace(path=options.path)
        if not with_crowd:
            run = ask_at_rate(process, case, address, options.rate, options, STAMPS, first=True)
            return {**run, "resident": resident(process.pid), "each": 0.0, **dict.fromkeys(KINDS, 0), "cut_per_s": 0.0}
        without = resident(process.pid)
        crowd = stack.enter_context(crowd_around(address, options))
        crowd.expect_up()
        before, begin = crowd.says(), time.monotonic()
        run = ask_at_rate(process, case, address, options.rate, options, STAMPS, first=True)
        crowd.expect_up()
        after, elapsed = crowd.says(), time.monotonic() - begin
        held = resident(process.pid)
        return {**run, "resident": held, "each": (held - without) / sum(crowd.sizes.values()),
                **{kind: after[kind] for kind in KINDS}, "cut_per_s": (after["cut"] - before["cut"]) / elapsed}


def crowd(options):
    runs = {"alone": [], "crowd": []}
    for turn in range(options.rounds):
        names = list(runs) if turn % 2 == 0 else list(reversed(runs))
        for name in names:
            run = measure_once(options, name == "crowd")
            run["disturbed"] = max(run["server_wait"], run["steal"]) > MAX_WAIT
            runs[name].append(run)
            tell(f"{turn + 1}/{options.rounds} {name}: p50 {run['p50_us']:.1f} µs, p99 {run['p99_us']:.1f} µs"
                 f"{', disturbed' if run['disturbed'] else ''}")
    result = {"path": options.path, "rate": options.rate, "connections": options.connections}
    for name, its in runs.items():
        result[name] = {**spread(its, "p50_us", "p99_us", "slice_p99_us", "p999_us", "max_us", "late_us",
                                 "server_busy", "resident", "each", "cut_per_s", *KINDS),
                        "disturbed": sum(run["disturbed"] for run in its), "runs": its}
    for key in ("p99_us", "slice_p99_us"):
        result[key.replace("_us", "_ratio")] = result["crowd"][key]["median"] / result["alone"][key]["median"]
    sizes = {kind: getattr(options, kind) for kind in KINDS}
    each, most = result["crowd"]["each"]["max"], sum(sizes[kind] * BYTES_EACH_MAX[kind] for kind in KINDS) / sum(sizes.values())
    result["errors"] = [f"{each:,.0f} bytes are held for each of the crowd, not {most:,.0f}"] if each > most else []
    return result


def crowd_table(result):
    rows = [[result["path"], "asked/s", "p50 µs", "min–max", "p99 µs", "min–max", "p99 of a slice µs", "min–max",
             "p99.9 µs", "max µs", "client late µs", "server busy", "resident MiB", "cut/s", "disturbed"]]
    for name in ("alone", "crowd"):
        its = result[name]
        cells = [f"{name} of {sum(int(its[kind]['median']) for kind in KINDS):,}" if name == "crowd" else name,
                 f"{result['rate']:,}"]
        for key in ("p50_us", "p99_us", "slice_p99_us"):
            cells += [f"{its[key]['median']:.1f}", f"{its[key]['min']:.1f}–{its[key]['max']:.1f}"]
        cells += [f"{its[key]['median']:,.0f}" for key in ("p999_us", "max_us", "late_us")]
        rows.append([*cells, f"{its['server_busy']['median']:.2f}", f"{its['resident']['median'] / 2**20:.1f}",
                     f"{its['cut_per_s']['median']:,.0f}", str(its["disturbed"])])
    each = result["crowd"]["each"]
    return (f"{table(rows)}\n\np99 beside the crowd / alone: {result['p99_ratio']:.3f}, of a slice: "
            f"{result['slice_p99_ratio']:.3f}; resident bytes for each of the crowd: "
            f"{each['median']:,.0f} ({each['min']:,.0f}–{each['max']:,.0f})")
