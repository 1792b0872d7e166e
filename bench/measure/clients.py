"""Clients that know to the byte what became of each request of theirs; many of them in one thread.

A client is a generator. It yields seconds to sleep, or nothing to wait until its socket has something for it.
"""

import errno
import heapq
import itertools
import os
import select
import socket
import time

from .processes import Failure

PIECE_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
LENGTH = b"content-length: "
CLOSE = b"\r\nconnection: close\r\n"
BROKEN = (errno.ECONNRESET, errno.EPIPE)


class Ended(Exception):
    """The server has ended the connection."""


class Refused(Exception):
    """Nobody listens."""


class Loop:
    """Runs clients to their end, which has to come within some seconds."""

    def __init__(self, seconds_max):
        self.poll = select.epoll()
        self.by_socket, self.sleepers, self.tie = {}, [], itertools.count()
        self.live, self.seconds_max = 0, seconds_max

    def run(self, clients):
        deadline = time.monotonic() + self.seconds_max
        for client in clients:
            self.live += 1
            self.step(client)
        while self.live:
            if time.monotonic() > deadline:
                raise Failure(f"{self.live} clients are not at their end after {self.seconds_max} s")
            while self.sleepers and self.sleepers[0][0] <= time.monotonic():
                self.step(heapq.heappop(self.sleepers)[2])
            pause = max(0, self.sleepers[0][0] - time.monotonic()) if self.sleepers else 0.1
            for fd, _ in self.poll.poll(pause):
                client = self.by_socket.get(fd)
                if client is not None and not client.sleeps:
                    self.step(client)
        self.poll.close()

    def step(self, client):
        client.sleeps = False
        try:
            seconds = next(client.life)
        except StopIteration:
            self.live -= 1
            return
        if seconds is not None:
            client.sleeps = True
            heapq.heappush(self.sleepers, (time.monotonic() + seconds, next(self.tie), client))

    def add(self, client):
        self.by_socket[client.socket.fileno()] = client
        # Edges: who is woken tries again, and waits on where it was too early.
        self.poll.register(client.socket, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def remove(self, client):
        del self.by_socket[client.socket.fileno()]
        self.poll.unregister(client.socket)


class Client:
    """Plays its part on one connection after the other, until nobody listens any more.

    `unanswered` is how many requests it has begun and has no whole answer to; what became of all is in the tally.
    """

    def __init__(self, loop, address, play, tally):
        self.loop, self.address, self.play, self.tally = loop, address, play, tally
        self.sleeps, self.unanswered, self.socket = False, 0, None
        self.life = self.live()

    def live(self):
        while True:
            try:
                yield from self.connect()
            except Refused:
                return
            try:
                yield from self.play(self)
            except Ended:
                self.judge()
            self.disconnect()

    def connect(self):
        self.received = b""
        self.has_answer = self.is_last = self.is_reset = False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.socket.connect_ex(self.address)
        self.loop.add(self)
        if error == errno.EINPROGRESS:
            yield
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == errno.ECONNREFUSED:
            self.disconnect()
            raise Refused
        if error not in (0, errno.ECONNRESET):
            raise Failure(f"a client does not connect: {os.strerror(error)}")
        self.tally["established"] += 1
        # Made, and reset before a word.
        self.is_reset = error == errno.ECONNRESET

    def disconnect(self):
        self.loop.remove(self)
        self.socket.close()
        self.unanswered = 0

    def ask(self, requests, *bodies):
        """Sends one request or a batch, and hears the answers."""
        self.begin(len(bodies))
        yield from self.send(requests)
        yield from self.hear(*bodies)

    def begin(self, count):
        """So many requests begin now, if the server has not ended the connection meanwhile: who keeps one looks."""
        try:
            is_over = not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            is_over = False
        except ConnectionResetError:
            is_over = self.is_reset = True
        if is_over:
            raise Ended
        self.unanswered += count

    def send(self, what):
        """Sends all of it. Whether that came to anybody is for whoever reads to find out."""
        what = memoryview(what)
        while what:
            try:
                what = what[self.socket.send(what):]
            except BlockingIOError:
                yield
            except OSError as error:
                if error.errno not in BROKEN:
                    raise
                # After the server's FIN it is a broken pipe, else a reset; and it is told only once.
                self.is_reset |= error.errno == errno.ECONNRESET
                return

    def hear(self, *bodies):
        """An answer with each of these bodies. After one that says it is the last, the end is heard as well."""
        for body in bodies:
            if (yield from self.answer()) != body:
                self.tally["wrong"] += 1
            self.tally["answered"] += 1
            self.unanswered -= 1
            self.has_answer = True
            while self.is_last:
                yield from self.receive()

    def answer(self):
        while (head := self.received.find(HEAD_END)) < 0:
            yield from self.receive()
        fields = self.received[:head + 2].lower()
        begin = head + len(HEAD_END)
        self.is_last = CLOSE in fields
        if not fields.startswith(b"http/1.1 200 "):
            self.tally["wrong"] += 1
        at = fields.find(LENGTH)
        if at < 0:
            while (end := self.received.find(LAST_CHUNK, begin)) < 0:
                yield from self.receive()
            body, end = dechunked(self.received[begin:end + 2]), end + len(LAST_CHUNK)
        else:
            end = begin + int(fields[at + len(LENGTH):fields.index(b"\r", at)])
            while len(self.received) < end:
                yield from self.receive()
            body = self.received[begin:end]
        self.received = self.received[end:]
        return body

    def receive(self):
        while True:
            try:
                piece = self.socket.recv(PIECE_BYTES)
            except BlockingIOError:
                yield
                continue
            except ConnectionResetError:
                self.is_reset = True
                raise Ended from None
            if not piece:
                raise Ended
            self.received += piece
            return

    def judge(self):
        """The server has ended the connection: what was it that ended?"""
        if self.is_last:
            # It was told, and everything before that was answered. A reset could have overtaken the answer.
            self.tally["behind a close"] += self.unanswered
            self.tally["wrong"] += bool(self.received)
            self.tally["reset"] += self.is_reset
        elif self.received:
            self.tally["cut"] += 1
        elif self.is_reset:
            # Whether the server ever had it, only its own count can tell.
            self.tally["reset" if self.has_answer else "never accepted"] += 1
        elif self.unanswered:
            self.tally["crossed, kept" if self.has_answer else "crossed, new"] += self.unanswered


def dechunked(coded):
    """What chunks without extensions hold."""
    body, at = [], 0
    while at < len(coded):
        line = coded.index(b"\r\n", at)
        size = int(coded[at:line], 16)
        body.append(coded[line + 2:line + 2 + size])
        at = line + 2 + size + 2
    return b"".join(body)
