"""A client for counting: rounds in which each of its connections sends one batch, and then all answers are read.

The same requests meet the server in the same order each time. Where `hold` is asked for, the server is stopped while
the batches of a round are sent, so that they also are all there when it looks: how many of them one wait brings does
not depend on who is the faster. It speaks of no time.
"""

import contextlib
import os
import select
import signal
import socket

from .processes import Failure, await_states

PATIENCE = 60
PIECE = 256 * 1024


class Rounds:
    """Its connections, open and idle."""

    def __init__(self, server, case, address, connections, length):
        if length is None:
            raise Failure(f"{server.name}, {case.name}: an answer in chunks, whose length may vary, is not counted")
        self.name = f"{server.name}, {case.name}"
        self.payload, self.batch, self.expected = case.request() * case.batch, case.batch, length * case.batch
        self.stack = contextlib.ExitStack()
        self.poll = select.epoll()
        self.connections = {}
        with self.stack:
            for _ in range(connections):
                connection = self.stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.setblocking(False)
                self.poll.register(connection, select.EPOLLIN)
                self.connections[connection.fileno()] = connection
            # Open until the end: from here on it is `__exit__` that closes them.
            self.stack = self.stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.poll.close()
        self.stack.close()

    def run(self, rounds, held=None):
        """So many rounds; `held` is the process to stop while a round is sent. Gives the number of requests."""
        for _ in range(rounds):
            with stopped(held) if held is not None else contextlib.nullcontext():
                unsent = {fd: self.send(fd, memoryview(self.payload)) for fd in self.connections}
            self.exchange({fd: rest for fd, rest in unsent.items() if rest})
        return rounds * len(self.connections) * self.batch

    def send(self, fd, what):
        """Sends what the socket takes and gives the rest."""
        with contextlib.suppress(BlockingIOError):
            while what:
                what = what[self.connections[fd].send(what):]
        return what

    def exchange(self, unsent):
        """Reads all answers of a round and sends what is left of its batches."""
        for fd in unsent:
            self.poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        received = {fd: bytearray() for fd in self.connections}
        open_ends = len(received)
        while open_ends:
            events = self.poll.poll(PATIENCE)
            if not events:
                raise Failure(f"{self.name}: no answer for {PATIENCE} s")
            for fd, event in events:
                if event & select.EPOLLOUT:
                    unsent[fd] = self.send(fd, unsent[fd])
                    if not unsent[fd]:
                        self.poll.modify(fd, select.EPOLLIN)
                if event & ~select.EPOLLOUT:
                    piece = self.connections[fd].recv(PIECE)
                    received[fd] += piece
                    if not piece or len(received[fd]) > self.expected:
                        raise Failure(f"{self.name}: hung up, or too long an answer: {bytes(received[fd][:80])!r}")
                    open_ends -= len(received[fd]) == self.expected
        for answers in received.values():
            if answers.count(b"HTTP/1.1 200 ") != self.batch:
                raise Failure(f"{self.name}: an answer was not 200: {bytes(answers[:80])!r}")


@contextlib.contextmanager
def stopped(pid):
    """Stops a process that has nothing to do, and lets it go on when the block is left."""
    await_states(pid, "S")
    os.kill(pid, signal.SIGSTOP)
    try:
        # A traced one says "t".
        await_states(pid, "Tt")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
