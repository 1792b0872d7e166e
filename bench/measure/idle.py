"""Resident bytes an idle keep-alive connection, each of which has sent one request."""

import contextlib
import socket
import time

from .cases import check, read_answer
from .processes import await_states, resident, tell
from .servers import started
from .tables import NONE, table

CONNECTIONS = (1_000, 10_000)
# Addresses the clients come from: a server may allow so many connections each and no more.
CLIENTS = [f"127.0.1.{host}" for host in range(1, 101)]
# What a server gives back when it has been idle for a moment does not count.
SETTLE_SECONDS = 0.5
# Chosen when it connects, and so from all ports that this address does not use towards the server yet.
IP_BIND_ADDRESS_NO_PORT = 24


def resident_each(server, case, counts, core):
    """Resident bytes before, and a connection at each of the (rising) counts."""
    with started(server, core) as (process, address), contextlib.ExitStack() as stack:
        check(server, case, address)
        before, each, opened = settled(process.pid), {}, 0
        for count in counts:
            while opened < count:
                stack.enter_context(served_once(case, address, CLIENTS[opened % len(CLIENTS)]))
                opened += 1
            each[count] = (settled(process.pid) - before) / count
    return before, each


def served_once(case, address, client):
    """A connection that has been answered and stays open."""
    connection = socket.socket()
    try:
        connection.settimeout(10)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((client, 0))
        connection.connect(address)
        connection.sendall(case.request())
        with connection.makefile("rb") as stream:
            read_answer(stream)
    except BaseException:
        connection.close()
        raise
    return connection


def settled(pid):
    time.sleep(SETTLE_SECONDS)
    await_states(pid, "S")
    return resident(pid)


def idle(case, servers, options):
    result = {"mode": "idle", "case": case.name, "servers": {}}
    for server in servers:
        result["servers"][server.name] = None
        if case.name in server.cases:
            before, each = resident_each(server, case, CONNECTIONS, options.server_core)
            result["servers"][server.name] = {"before_bytes": before, "bytes_each": each}
            tell(f"{case.name} {server.name}: "
                 f"{', '.join(f'{its:,.0f} bytes each at {count:,}' for count, its in each.items())}")
    return result


def idle_table(result):
    rows = [["server", "before", *(f"bytes each at {count:,}" for count in CONNECTIONS)]]
    for name, its in result["servers"].items():
        if its is None:
            rows.append([name, NONE, *(NONE for _ in CONNECTIONS)])
            continue
        rows.append([name, f"{its['before_bytes'] / 2**20:.1f} MiB",
                     *(f"{each:,.0f}" for each in its["bytes_each"].values())])
    return table(rows)
