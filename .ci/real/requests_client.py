"""requests (on urllib3) against the playground: a program of its own, for the interpreter that has requests.

`requests_client.py versions`, or `requests_client.py ORIGIN`, which prints a list of what, expected, actual.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import requests
import urllib3

from expected import ENDLESS, HELLO, MIB, PROBLEM, noise, stream

SECONDS_MAX = 20


def connections(session):
    """How many connections urllib3 ever opened for this session."""
    pools = session.get_adapter("http://").poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())


def in_turn(origin):
    session = requests.Session()
    options = {"timeout": SECONDS_MAX}
    answer = session.get(f"{origin}/plaintext", **options)
    yield "GET", [200, HELLO], [answer.status_code, answer.text]
    answer = session.head(f"{origin}/plaintext", **options)
    yield "HEAD", [200, "13", ""], [answer.status_code, answer.headers["content-length"], answer.text]
    yield "JSON", {"message": HELLO}, session.get(f"{origin}/json", **options).json()
    sent = noise(2 * MIB)
    yield "2 MiB with a length come back", True, session.post(f"{origin}/echo", data=sent, **options).content == sent
    pieces = (sent[at:at + 4_096] for at in range(0, len(sent), 4_096))
    answer = session.post(f"{origin}/echo", data=pieces, **options)
    yield "a generator goes in chunks", "chunked", answer.request.headers["transfer-encoding"]
    yield "2 MiB of a generator come back", True, answer.content == sent
    answer = session.post(f"{origin}/echo", files={"file": ("name", sent)}, **options)
    yield "a form comes back", True, answer.content == answer.request.body
    answer = session.get(f"{origin}/stream/20000", stream=True, **options)
    yield "a stream, line by line", stream(20_000).splitlines(), list(answer.iter_lines(chunk_size=777))
    answer = session.get(f"{origin}/panic", **options)
    yield "a panic", [500, PROBLEM, 500], [answer.status_code, answer.headers["content-type"], answer.json()["status"]]
    yield "50 more", [200] * 50, [session.get(f"{origin}/plaintext", **options).status_code for _ in range(50)]
    yield "all on one connection", 1, connections(session)


def going_away(origin):
    session = requests.Session()
    with session.get(f"{origin}/stream/{ENDLESS}", stream=True, timeout=SECONDS_MAX) as answer:
        yield "the first line of a stream without end", "chunk 0", next(answer.iter_lines()).decode()
    try:
        session.get(f"{origin}/sleep/5000", timeout=0.2)
        raised = "nothing"
    except requests.Timeout as error:
        raised = type(error).__name__
    yield "an answer that is late", "ReadTimeout", raised
    yield "after that", 200, session.get(f"{origin}/plaintext", timeout=SECONDS_MAX).status_code


def at_once(origin):
    session = requests.Session()
    with ThreadPoolExecutor(8) as threads:
        def ask(n):
            return session.get(f"{origin}/sleep/{n % 10}", timeout=SECONDS_MAX).text
        texts = list(threads.map(ask, range(200)))
    yield "200 requests of 8 threads", [f"slept {n % 10} ms\n" for n in range(200)], texts
    yield "8 connections at most", True, connections(session) <= 8


def plain(value):
    """Bytes as text: what is printed is JSON."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def main():
    if sys.argv[1] == "versions":
        print(f"{requests.__version__} (urllib3 {urllib3.__version__})")
        return
    made = [check for part in (in_turn, going_away, at_once) for check in part(sys.argv[1])]
    print(json.dumps(plain([list(check) for check in made])))


if __name__ == "__main__":
    main()
