"""The cases: what is asked, what has to come back, and a check that it does."""

import contextlib
import json
import socket
import threading
from typing import NamedTuple, Optional

from .processes import Failure

HELLO = b"Hello, World!"
SIXTEEN = b"0123456789abcdef"
TIMEOUT = 10


class Case(NamedTuple):
    """One request, how many of them a batch has, and its answer."""

    name: str
    script: str
    path: str
    content_type: str = "text/plain"
    batch: int = 1
    body: bytes = b""
    # None where the user says how many.
    connections: Optional[int] = None

    def request(self):
        """One request, byte for byte as wrk sends it for the Lua script."""
        head = f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if self.body:
            head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body

    def answered_by(self, body):
        if self.path == "/json":
            with contextlib.suppress(ValueError):
                return json.loads(body) == {"message": HELLO.decode()}
            return False
        return body == (self.body or HELLO)


CASES = {case.name: case for case in (
    Case("plaintext", "plaintext", "/plaintext"),
    Case("plaintext1024", "plaintext", "/plaintext", connections=1024),
    Case("pipeline16", "pipeline16", "/plaintext", batch=16),
    Case("json", "json", "/json", "application/json"),
    Case("echo1k", "echo1k", "/echo", "", body=SIXTEEN * 64),
    Case("echo1m", "echo1m", "/echo", "", body=SIXTEEN * 64 * 1024),
)}


class Answer(NamedTuple):
    status: int
    # By lower-case name.
    headers: dict
    body: bytes
    # Bytes of head and body; None where the body came in chunks, which may differ from one to the next.
    length: Optional[int]


def read_answer(stream):
    line = stream.readline()
    status = line.split(b" ")
    if len(status) < 2 or status[0] != b"HTTP/1.1":
        raise Failure(f"not a response: {line[:80]!r}")
    length, headers = len(line), {}
    while (line := stream.readline()).strip():
        length += len(line)
        name, _, value = line.partition(b":")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    length += len(line)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(int(status[1]), headers, read_chunks(stream), None)
    body = stream.read(int(headers.get("content-length", 0)))
    return Answer(int(status[1]), headers, body, length + len(body))


def read_chunks(stream):
    body = b""
    while (size := int(stream.readline().partition(b";")[0], 16)):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body


def check(server, case, address):
    """Two batches on one connection have to be answered right: it is the same work that is compared.

    Gives the bytes of one answer, or None where they may vary.
    """
    with socket.create_connection(address, timeout=TIMEOUT) as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            # A big body comes back before all of it is sent.
            sender = threading.Thread(target=send_quietly, args=(connection, case.request() * case.batch))
            sender.start()
            try:
                for _ in range(case.batch):
                    answer = read_answer(stream)
                    check_answer(server, case, answer)
            except (OSError, ValueError) as error:
                raise Failure(f"{server.name}, {case.name}: no whole response: {error!r}") from error
            finally:
                sender.join()
    return answer.length


def send_quietly(connection, what):
    # What fails here fails the reader as well.
    with contextlib.suppress(OSError):
        connection.sendall(what)


def check_answer(server, case, answer):
    if answer.status != 200 or not case.answered_by(answer.body):
        raise Failure(f"{server.name}, {case.name}: status {answer.status}, body {answer.body!r:.80}")
    if not answer.headers.get("content-type", "").startswith(case.content_type):
        raise Failure(f"{server.name}, {case.name}: content-type {answer.headers.get('content-type')!r}")
    for name in ("server", "date"):
        if not answer.headers.get(name):
            raise Failure(f"{server.name}, {case.name}: no {name} header")
