"""Latency at one fixed rate for all servers: an open loop, interleaved, each request charged from when it was due."""

import json
import subprocess
import tempfile

from .cases import check
from .processes import Failure, child_setup, end, run_first, schedstat, stolen, tell
from .servers import BENCH, cargo_build, started, target_dir
from .tables import NONE, table
from .throughput import calmest, measure_once, spread
from .wrk import watch

# The client asks with GET and expects small answers of one length, one request in flight a connection.
CASES = ("plaintext", "plaintext1024", "json")
CLIENT = "open-loop"
# The client's own part, of which it warms up for the first second.
WARM_UP_SECONDS = 1


def build_client(name=CLIENT):
    tell(f"building {name}")
    cargo_build(name, ["--locked", "-p", name], BENCH)


def ask(server, case, rate, options):
    with started(server, options.server_core) as (process, address):
        check(server, case, address)
        run = ask_at_rate(process, case, address, rate, options)
    return {**run, "wait": max(run["server_wait"], run["client_wait"], run["steal"])}


def ask_at_rate(process, case, address, rate, options, *more, first=False):
    """One run of the client against a server that runs, and which shares of it each of them waited for its core. `first`: the
    client is run before all others of its core."""
    cores = (options.server_core, options.client_core)
    seconds = options.seconds + WARM_UP_SECONDS
    command = [str(target_dir() / "release" / CLIENT), f"{address[0]}:{address[1]}", case.path, str(rate),
               str(case.connections or options.connections), str(options.seconds), *more]
    with tempfile.TemporaryFile() as log:
        ran, waited = schedstat(process.pid)
        steal = stolen(cores)
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  preexec_fn=child_setup(options.client_core))
        if first:
            run_first(client.pid)
        try:
            _, client_wait = watch(client, seconds, command)
        finally:
            end(client)
        ran, waited = (after - before for after, before in zip(schedstat(process.pid), (ran, waited)))
        steal = max(after - before for after, before in zip(stolen(cores), steal))
        log.seek(0)
        said = log.read().decode(errors="replace")
    if client.returncode != 0:
        raise Failure(f"{case.name} at {rate}/s: {said}")
    return {**json.loads(said), "server_busy": ran / seconds, "server_wait": waited / seconds,
            "client_wait": client_wait, "steal": steal / seconds}


def rate_of(case, servers, options):
    """What the user asked for, or half of what the reference does in one run of wrk."""
    if options.rate is not None:
        return options.rate
    reference = next((server for server in servers if server.name == options.reference), None)
    if reference is None:
        raise Failure(f"half of {options.reference}'s load is the rate: have it among --servers, or give --rate")
    return round(calmest(lambda: measure_once(reference, case, options))["req_per_s"] / 2)


def latency(case, servers, options):
    if case.name not in CASES:
        raise Failure(f"--latency has the cases {', '.join(CASES)}")
    able = [server for server in servers if case.name in server.cases]
    rate = rate_of(case, able, options)
    runs = {server.name: [] for server in able}
    for turn in range(options.rounds):
        for server in able:
            run = calmest(lambda: ask(server, case, rate, options))
            runs[server.name].append(run)
            tell(f"{case.name} {turn + 1}/{options.rounds} {server.name} at {rate:,}/s: p50 {run['p50_us']:.1f} µs"
                 f"{', disturbed' if run['disturbed'] else ''}")
    result = {"mode": "latency", "case": case.name, "rate": rate,
              "servers": {server.name: None for server in servers}}
    for name, its in runs.items():
        result["servers"][name] = {
            **spread(its, "p50_us", "p99_us", "p999_us", "max_us", "late_us", "server_busy"),
            "worst_wait": max(run["wait"] for run in its),
            "disturbed": sum(run["disturbed"] for run in its),
            "runs": its,
        }
    return result


def latency_table(result):
    rows = [["server", "asked/s", "p50 µs", "min–max", "p99 µs", "min–max", "p99.9 µs", "max µs", "client late µs",
             "server busy", "worst wait", "disturbed"]]
    for name, its in result["servers"].items():
        if its is None:
            rows.append([name, *[NONE] * (len(rows[0]) - 1)])
            continue
        cells = [name, f"{result['rate']:,}"]
        for key in ("p50_us", "p99_us"):
            cells += [f"{its[key]['median']:.1f}", f"{its[key]['min']:.1f}–{its[key]['max']:.1f}"]
        cells += [f"{its[key]['median']:,.0f}" for key in ("p999_us", "max_us", "late_us")]
        rows.append([*cells, f"{its['server_busy']['median']:.2f}", f"{its['worst_wait']:.2f}",
                     str(its["disturbed"])])
    return table(rows)
