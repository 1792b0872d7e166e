"""http.client of Python's standard library against the playground, in this process."""

import http.client
import platform

from .expected import ENDLESS, HELLO, JSON, MIB, PROBLEM, noise, stream

SECONDS_MAX = 20


def version():
    return platform.python_version()


def ask(connection, method, path, body=None, fields=None, **options):
    connection.request(method, path, body, fields or {}, **options)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def check(playground, report, _folder):
    connection = http.client.HTTPConnection(*playground.address, timeout=SECONDS_MAX)
    connection.connect()
    # It opens another one by itself when the server closes, so that only this tells.
    first = connection.sock
    status, headers, body = ask(connection, "GET", "/plaintext")
    report.check("GET", (200, "text/plain", HELLO.encode()), (status, headers["content-type"], body))
    status, headers, body = ask(connection, "HEAD", "/plaintext")
    report.check("HEAD", (200, "13", b""), (status, headers["content-length"], body))
    status, headers, body = ask(connection, "GET", "/stream/10000")
    report.check("a stream is chunked", (200, "chunked"), (status, headers["transfer-encoding"]))
    report.check("a stream in chunks", stream(10_000).encode(), body)
    sent = noise(2 * MIB)
    report.check("2 MiB with a length come back", (200, sent), ask(connection, "POST", "/echo", sent)[::2])
    pieces = [sent[at:at + 10_000] for at in range(0, len(sent), 10_000)]
    status, _, body = ask(connection, "POST", "/echo", iter(pieces), encode_chunked=True)
    report.check("2 MiB in chunks come back", (200, sent), (status, body))
    status, headers, body = ask(connection, "GET", "/panic")
    report.check("a panic", (500, PROBLEM), (status, headers["content-type"]))
    report.check("no such route", 404, ask(connection, "GET", "/nothing")[0])
    answers = {ask(connection, "GET", "/json")[::2] for _ in range(200)}
    report.check("200 requests more", {(200, JSON.encode())}, answers)
    report.check("all on one connection", True, connection.sock is first)
    connection.close()
    check_going_away(playground, report)


def check_going_away(playground, report):
    connection = http.client.HTTPConnection(*playground.address, timeout=SECONDS_MAX)
    connection.request("GET", f"/stream/{ENDLESS}")
    answer = connection.getresponse()
    report.check("the first 100,000 bytes of a stream without end", stream(10_000).encode()[:100_000], answer.read(100_000))
    answer.close()
    connection.close()
    connection.putrequest("POST", "/echo")
    connection.putheader("Content-Length", str(MIB))
    connection.endheaders(b"x" * 1000)
    connection.close()
    report.check("after an upload that was left", (200, HELLO.encode()), ask(connection, "GET", "/plaintext")[::2])
    connection.close()
