"""SIGTERM under load: what becomes of each request and of each connection, counted on both sides.

The server's counts say which connections it has accepted and which requests it has taken up, the clients' counts what
came of those. Only that they agree shows that nothing was lost; README.md has the definitions.
"""

import re
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter

from .clients import Client, Loop
from .processes import Failure, tell
from .servers import answers, launched, playground
from .tables import table

HOST = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
PLAINTEXT = b"GET /plaintext" + HOST + b"\r\n"
HELLO = b"Hello, World!"
BATCH = 16
UPLOAD = b"0123456789abcdef" * 4096
UPLOAD_HEAD = b"POST /echo" + HOST + b"Content-Length: %d\r\n\r\n" % len(UPLOAD)
STREAMED = 2_000
STREAM = b"".join(b"chunk %d\n" % number for number in range(STREAMED))
# Between two parts of a request, and the time of a slow handler.
PAUSE_SECONDS, HANDLER_MS = 0.003, 10

# The load before the signal: so long at least, and up to so much longer, at instants that are spread evenly.
LOAD_SECONDS, SPREAD_SECONDS, EVEN = 0.25, 0.15, 0.6180339887498949
START_SECONDS_MAX = 10
# From the start of the drain to the end of the process: what takes longer hangs.
END_SECONDS_MAX = 10
# Fewer requests in flight at the signal, in the median of all ends, are no load.
IN_FLIGHT_MIN = 50
SAYS_AT_ITS_END = re.compile(r"the playground ends: (\d+) connections, (\d+) requests, (\d+) rejected, (\d+) cut")
# What must not happen. The last two are where the counts of server and clients differ.
FAILURES = ("cut", "reset", "wrong", "requests lost", "connections lost")


def keep_asking(client):
    while True:
        yield from client.ask(PLAINTEXT, HELLO)


def ask_in_batches(client):
    while True:
        yield from client.ask(PLAINTEXT * BATCH, *[HELLO] * BATCH)


def upload(client):
    third = len(UPLOAD) // 3
    while True:
        client.begin(1)
        yield from client.send(UPLOAD_HEAD + UPLOAD[:third])
        yield PAUSE_SECONDS
        yield from client.send(UPLOAD[third:2 * third])
        yield PAUSE_SECONDS
        yield from client.send(UPLOAD[2 * third:])
        yield from client.hear(UPLOAD)


def download(client):
    while True:
        yield from client.ask(b"GET /stream/%d" % STREAMED + HOST + b"\r\n", STREAM)


def wait_for_handler(client):
    while True:
        yield from client.ask(b"GET /sleep/%d" % HANDLER_MS + HOST + b"\r\n", b"slept %d ms\n" % HANDLER_MS)


def ask_slowly(client):
    while True:
        client.begin(1)
        yield from client.send(PLAINTEXT[:9])
        yield PAUSE_SECONDS
        yield from client.send(PLAINTEXT[9:])
        yield from client.hear(HELLO)


def come_and_go(client):
    yield from client.ask(PLAINTEXT, HELLO)


# Who does what, and how many of them.
CROWD = ((keep_asking, 64), (ask_in_batches, 8), (upload, 16), (download, 8), (wait_for_handler, 32), (ask_slowly, 16),
         (come_and_go, 32))


def drained_once(number, options):
    """One server, from its start to its end under load."""
    server = playground(options.workers, "--lame-duck", str(options.lame_duck))
    core = options.server_core if options.workers == 1 else None
    tally = Counter()
    with launched(server, core) as (process, address, said):
        await_start(process, address, said, tally)
        loop = Loop(LOAD_SECONDS + SPREAD_SECONDS + options.lame_duck + END_SECONDS_MAX)
        clients = [Client(loop, address, play, tally) for play, count in CROWD for _ in range(count)]
        at_signal = terminated_under_load(process, loop, clients, tally, SPREAD_SECONDS * (number * EVEN % 1))
        accepted, requests, rejected, cut = counts_at_the_end(process, said)
        elapsed = time.monotonic() - at_signal["seconds"]
    tally["requests lost"] = abs(requests - tally["answered"]) + rejected
    tally["connections lost"] = abs(tally["established"] - tally["never accepted"] - accepted) + cut
    tally["after"] = tally["answered"] - at_signal["answered"]
    return {**tally, "in flight": at_signal["in flight"], "milliseconds": elapsed * 1e3}


def await_start(process, address, said, tally):
    """Waits for a first answer: one connection and one request, which the server counts as well."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"the playground does not start: {said()}")
        time.sleep(0.02)
    tally["established"] += 1
    tally["answered"] += 1


def terminated_under_load(process, loop, clients, tally, later):
    """Runs the clients to their end, with SIGTERM while they do; gives how things stood when it was sent."""
    at_signal = {}

    def terminate():
        at_signal.update({"seconds": time.monotonic(), "answered": tally["answered"],
                          "in flight": sum(client.unanswered for client in clients)})
        process.send_signal(signal.SIGTERM)

    # A thread of its own: between two steps of the clients would always be the same place.
    timer = threading.Timer(LOAD_SECONDS + later, terminate)
    timer.start()
    try:
        loop.run(clients)
    finally:
        timer.cancel()
        timer.join()
    if not at_signal:
        raise Failure("nobody listens though no signal was sent")
    return at_signal


def counts_at_the_end(process, said):
    """What the server has accepted, taken up, rejected and cut."""
    try:
        status = process.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Failure(f"the playground has no clients, and goes on for {END_SECONDS_MAX} s") from None
    found = SAYS_AT_ITS_END.search(said())
    if status != 0 or found is None:
        raise Failure(f"the playground ends with {status}: {said()}")
    return map(int, found.groups())


def drain(options):
    runs = []
    for number in range(options.ends):
        run = drained_once(number, options)
        runs.append(run)
        tell(f"{number + 1}/{options.ends}: {run['in flight']} requests in flight at SIGTERM, {run['after']} answered after it, "
             f"{failed(run)} failed")
    in_flight = statistics.median(run["in flight"] for run in runs)
    if in_flight < IN_FLIGHT_MIN:
        raise Failure(f"{in_flight:.0f} requests in flight when the signal comes: that is no load")
    return {"workers": options.workers, "lame_duck": options.lame_duck, "runs": runs, "errors": sum(map(failed, runs))}


def failed(run):
    return sum(run.get(name, 0) for name in FAILURES)


def drain_table(result):
    runs = result["runs"]

    def total(name):
        return f"{sum(run.get(name, 0) for run in runs):,}"

    def spread(name):
        values = [run[name] for run in runs]
        return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"

    rows = [["of the " + str(len(runs)) + " ends", ""],
            ["workers; lame duck", f"{result['workers']}; {result['lame_duck']} s"],
            ["connections accepted", f"{sum(run['established'] - run.get('never accepted', 0) for run in runs):,}"],
            ["requests answered whole", total("answered")],
            ["of these after SIGTERM", total("after")],
            ["requests in flight at SIGTERM: median (min–max)", spread("in flight")],
            ["from SIGTERM to the end, ms: median (min–max)", spread("milliseconds")],
            ["**failed**", total_failed(runs)],
            *([f"failed: {name}", total(name)] for name in FAILURES if any(run.get(name) for run in runs)),
            ["not taken up: crossed the FIN of a kept connection", total("crossed, kept")],
            ["not taken up: crossed the FIN of a new connection", total("crossed, new")],
            ["not taken up: pipelined behind an answer that says close", total("behind a close")],
            ["connections never accepted: reset with the listener", total("never accepted")]]
    return table(rows)


def total_failed(runs):
    return f"**{sum(map(failed, runs)):,}**"
