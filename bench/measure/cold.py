"""Milliseconds from a server's exec to the end of its first answer."""

import os
import socket
import statistics
import struct
import time

from .cases import check_answer, read_answer
from .processes import Failure, tell
from .servers import launched
from .tables import NONE, table

STARTS = 20
PATIENCE = 10
# Not the address of the server: who connects to a free port of his own address again and again may meet himself.
CLIENT = ("127.0.0.1", 0)


def start_once(server, case, core):
    reader, writer = os.pipe()
    try:
        def stamp():
            os.write(writer, struct.pack("q", time.monotonic_ns()))

        with launched(server, core, setup=stamp) as (process, address, said):
            deadline = time.monotonic() + PATIENCE
            # No pause: it would be in the figure.
            while (answer := ask(case, address)) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{server.name} does not start: {said()}")
            answered = time.monotonic_ns()
            check_answer(server, case, answer)
        return (answered - struct.unpack("q", os.read(reader, 8))[0]) / 1e6
    finally:
        os.close(reader)
        os.close(writer)


def ask(case, address):
    """One request; None where nobody listens, or who listens thinks again."""
    try:
        with socket.create_connection(address, PATIENCE, CLIENT) as connection, connection.makefile("rb") as stream:
            connection.sendall(case.request())
            return read_answer(stream)
    except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
        return None


def cold(case, servers, options):
    able = [server for server in servers if case.name in server.cases]
    starts = {server.name: [] for server in able}
    for _ in range(STARTS):
        for server in able:
            starts[server.name].append(start_once(server, case, options.server_core))
    result = {"mode": "cold", "case": case.name, "servers": {server.name: None for server in servers}}
    for name, its in starts.items():
        result["servers"][name] = {"median_ms": statistics.median(its), "min_ms": min(its), "max_ms": max(its),
                                   "starts_ms": its}
        tell(f"{case.name} {name}: {statistics.median(its):.1f} ms")
    return result


def cold_table(result):
    rows = [["server", "ms to first answer", "min–max", "starts"]]
    for name, its in result["servers"].items():
        rows.append([name, f"{its['median_ms']:.1f}", f"{its['min_ms']:.1f}–{its['max_ms']:.1f}",
                     str(len(its["starts_ms"]))] if its else [name, NONE, NONE, NONE])
    return table(rows)
