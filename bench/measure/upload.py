"""What a server's memory does while a client pushes a body faster than its handler takes it."""

import select
import socket
import time
from pathlib import Path

from .cases import read_answer
from .processes import Failure, resident
from .servers import playground, started
from .tables import table

BODY_BYTES = 1024**3
PIECE = bytes(256 * 1024)
# By how much the process may grow.
GROWTH_BYTES_MAX = 1024**2
SAMPLE_SECONDS = 0.05
# So long may the server take nothing, whatever the rate.
SILENCE_SECONDS_MAX = 30
# The handler's rate counts from its first piece, and it takes one more before it waits.
AHEAD_BYTES = 256 * 1024


def upload(options):
    """Pushes until all is sent and answered, or until `options.seconds` are over; gives what was seen."""
    rate, errors = options.bytes_per_second, []
    with started(playground(), options.server_core) as (process, address):
        # What the first upload of all needs for good is there before: code, and buffers that go round.
        with begin_upload(address, rate, len(PIECE)) as connection:
            connection.sendall(PIECE)
            expect_answer(connection, len(PIECE))
        memory = Memory(process.pid)
        with begin_upload(address, rate, BODY_BYTES) as connection:
            begin = time.monotonic()
            pushed = push(connection, memory, begin, options.seconds)
            elapsed = time.monotonic() - begin
            if pushed == BODY_BYTES:
                # What the kernel still holds takes its time as well.
                connection.settimeout(SILENCE_SECONDS_MAX + kernel_bytes_max() / rate)
                expect_answer(connection, BODY_BYTES)
                elapsed = time.monotonic() - begin
            memory.look()
    if memory.growth >= GROWTH_BYTES_MAX:
        errors.append(f"the process has grown by {memory.growth:,} bytes")
    if pushed > (taken := rate * elapsed + AHEAD_BYTES) + kernel_bytes_max():
        errors.append(f"{pushed:,} bytes are taken, of which the handler has read {taken:,.0f} at most: who holds the rest?")
    return {"rate": rate, "pushed": pushed, "seconds": elapsed, "is_whole": pushed == BODY_BYTES, "before": memory.before,
            "growth": memory.growth, "samples": memory.samples, "errors": errors}


class Memory:
    """The resident bytes of a process: at the beginning, and by how many there were more at most."""

    def __init__(self, pid):
        self.pid, self.before, self.growth, self.samples = pid, resident(pid), 0, 0

    def look(self):
        self.growth = max(self.growth, resident(self.pid) - self.before)
        self.samples += 1


def begin_upload(address, rate, length):
    connection = socket.create_connection(address, timeout=SILENCE_SECONDS_MAX)
    connection.sendall(b"POST /upload?bytes_per_second=%d HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
                       % (rate, length))
    return connection


def expect_answer(connection, length):
    with connection.makefile("rb") as stream:
        answer = read_answer(stream)
    if (answer.status, answer.body) != (200, b"%d bytes\n" % length):
        raise Failure(f"the upload is answered with {answer.status}: {answer.body!r:.200}")


def push(connection, memory, begin, seconds):
    """As much as the socket takes, and at once; gives how much that was."""
    connection.setblocking(False)
    pushed, progress, next_look = 0, begin, begin
    while pushed < BODY_BYTES:
        now = time.monotonic()
        if seconds is not None and now - begin >= seconds:
            break
        if now >= next_look:
            memory.look()
            next_look = now + SAMPLE_SECONDS
        if now - progress > SILENCE_SECONDS_MAX:
            raise Failure(f"the server has taken nothing for {SILENCE_SECONDS_MAX} s after {pushed:,} bytes")
        readable, writable, _ = select.select([connection], [connection], [], SAMPLE_SECONDS)
        if readable:
            raise Failure(f"the server does not wait for the end, after {pushed:,} bytes: {connection.recv(500)!r}")
        if writable:
            pushed += connection.send(PIECE[:BODY_BYTES - pushed])
            progress = now
    return pushed


def kernel_bytes_max():
    """What the kernel may hold of one direction of a connection over loopback."""
    return sum(int(Path(f"/proc/sys/net/ipv4/{name}").read_text().split()[2]) for name in ("tcp_rmem", "tcp_wmem"))


def upload_table(result):
    mib = 1024**2
    return table([
        ["of one upload of 1 GiB", ""],
        ["the handler's rate", f"{result['rate'] / mib:g} MiB/s"],
        ["the client's body", f"{result['pushed'] / mib:,.1f} MiB in {result['seconds']:,.1f} s, "
                              f"{'answered' if result['is_whole'] else 'then it was left'}"],
        ["resident before", f"{result['before'] / mib:.2f} MiB"],
        ["**more at most**", f"**{result['growth'] / 1024:,.0f} KiB**, of {result['samples']:,} samples"],
    ])
