"""A relay in front of a server that counts connections and the bytes of answers.

Knows nothing of HTTP: bytes and ends go through as they come.
"""

import contextlib
import socket
import threading

PIECE_BYTES = 64 * 1024


class Tap:
    """`connections` have been made; of these, `answered` have had all that the server sends."""

    def __init__(self, target):
        self.target = target
        self.connections = self.answered = 0
        # Bytes from the server.
        self.received = 0
        self.counting = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.listener.getsockname()
        self.origin = "http://{}:{}".format(*self.address)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self.target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=pump, args=(client, server, lambda _: None), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _answer(self, server, client):
        pump(server, client, self._count)
        with self.counting:
            self.answered += 1

    def _count(self, length):
        with self.counting:
            self.received += length


def pump(source, sink, count):
    """One direction, to its end. A direction that breaks ends the other one too."""
    try:
        while piece := source.recv(PIECE_BYTES):
            count(len(piece))
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tapped(server):
    tap = Tap(server.address)
    try:
        yield tap
    finally:
        # Wakes the thread that accepts; what still goes through ends with its client.
        tap.listener.shutdown(socket.SHUT_RDWR)
        tap.listener.close()
