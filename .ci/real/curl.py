"""curl against the playground."""

import subprocess
import time

from . import children
from .expected import ENDLESS, HELLO, JSON, MIB, PROBLEM, noise, stream
from .tap import tapped

SECONDS_MAX = "20"
TIMED_OUT = 28
EACH = "%{stderr}%{http_code} %{num_connects} %{size_download}\n"


def version():
    return children.version([children.find("curl", "curl"), "--version"])


def curl(*arguments, stdin=b""):
    return children.run(["curl", "-sS", "--max-time", SECONDS_MAX, *arguments], stdin)


def check(playground, report, folder):
    origin = playground.origin
    answers(origin, report)
    nothing_after_head(playground, report)
    uploads(origin, report, folder)
    one_connection(origin, report, folder)
    old_version(origin, report)
    many_at_once(origin, report)
    going_away(origin, report)


def answers(origin, report):
    done = curl(f"{origin}/plaintext")
    report.check("GET", (0, HELLO.encode()), (done.returncode, done.stdout))
    got, head = curl("-i", f"{origin}/json").stdout, curl("-I", f"{origin}/json").stdout
    fields, _, body = got.partition(b"\r\n\r\n")
    report.check("GET has its body after the head", JSON.encode(), body)
    report.check("HEAD has the fields of GET and no body", undated(fields), undated(head.removesuffix(b"\r\n\r\n")))
    done = curl("--compressed", "-w", "%{stderr}%{content_type}", f"{origin}/json")
    report.check("--compressed is answered as it stands", (JSON.encode(), b"application/json"), (done.stdout, done.stderr))
    done = curl("-w", "%{stderr}%{http_code} %{content_type}", f"{origin}/panic")
    report.check("a panic is a problem with status 500", f"500 {PROBLEM}".encode(), done.stderr)
    report.check("a stream of 100,000 pieces", stream(100_000).encode(), curl(f"{origin}/stream/100000").stdout)


def nothing_after_head(playground, report):
    """Clients do not say what they throw away."""
    with tapped(playground) as tap:
        done = curl("-I", f"{tap.origin}/plaintext")
        children.until(lambda: tap.answered == 1, children.CLOSE_SECONDS_MAX, "the server closes after the client")
        report.check("HEAD, no byte after the head", len(done.stdout), tap.received)


def undated(head):
    return [line for line in head.decode().split("\r\n") if not line.lower().startswith("date:")]


def uploads(origin, report, folder):
    sent = folder / "2m"
    sent.write_bytes(noise(2 * MIB))
    # Who is never told to continue waits longer than it may take altogether.
    expect = ["-v", "-H", "Expect: 100-continue", "--expect100-timeout", "60"]
    done = curl(*expect, "--data-binary", f"@{sent}", f"{origin}/echo")
    report.check("2 MiB after 100 (Continue)", (0, 1), (done.returncode, done.stderr.count(b"< HTTP/1.1 100 Continue")))
    report.check("2 MiB come back", sent.read_bytes(), done.stdout)
    done = curl(*expect, "-w", "%{stderr}%{http_code} %{size_upload}", "--data-binary", f"@{sent}", f"{origin}/nothing")
    report.check("a refused body is not sent", b"404 0", done.stderr.split(b"\n")[-1])
    report.check("a refused body is not asked for", 0, done.stderr.count(b"< HTTP/1.1 100"))
    body = noise(8 * MIB, seed=2)
    done = curl("-v", "-X", "POST", "-T", "-", f"{origin}/echo", stdin=body)
    report.check("8 MiB from a pipe go in chunks", 1, done.stderr.count(b"> Transfer-Encoding: chunked"))
    report.check("8 MiB in chunks come back", body, done.stdout)
    done = curl("-d", "", f"{origin}/echo")
    report.check("an empty body comes back", (0, b""), (done.returncode, done.stdout))


def one_connection(origin, report, folder):
    """Answers of every framing, one after the other: each must leave the connection where the next request begins."""
    sent = folder / "100k"
    sent.write_bytes(noise(100_000, seed=3))
    paths = ["plaintext", "json", "stream/0", "stream/3", "panic", "nothing", "sleep/1"]
    common = ["-sS", "--max-time", SECONDS_MAX, "-w", EACH]
    command = [*common, *(f"{origin}/{path}" for path in paths)]
    command += ["--next", *common, "-I", f"{origin}/plaintext"]
    command += ["--next", *common, "--data-binary", f"@{sent}", f"{origin}/echo"]
    command += ["--next", *common, "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{sent}", f"{origin}/echo"]
    command += ["--next", *common, f"{origin}/json"]
    done = children.run(["curl", *command])
    rows = [line.split() for line in done.stderr.decode().splitlines()]
    statuses = " ".join(row[0] for row in rows)
    report.check("11 requests, their statuses", "200 200 200 200 500 404 200 200 200 200 200", statuses)
    report.check("11 requests, one connection", [1] + [0] * 10, [int(row[1]) for row in rows])
    sizes = [int(row[2]) for row in rows]
    report.check("11 requests, their bytes", [13, 27, 0, 24, 11, 0, 100_000, 100_000, 27], sizes[:4] + sizes[6:])
    report.check("the body after ten others", JSON.encode(), done.stdout[-len(JSON):])


def old_version(origin, report):
    done = curl("--http1.0", "-w", EACH, f"{origin}/plaintext", f"{origin}/plaintext")
    report.check("HTTP/1.0, a connection each", (HELLO * 2, "200 1 13\n" * 2), (done.stdout.decode(), done.stderr.decode()))
    done = curl("--http1.0", "-i", f"{origin}/stream/1000")
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    report.check("HTTP/1.0, a stream ends with the connection", (0, stream(1000)), (done.returncode, body))
    report.check("HTTP/1.0, no chunks", 0, head.lower().count("transfer-encoding"))
    body = noise(100_000, seed=4)
    report.check("HTTP/1.0, an upload", body, curl("--http1.0", "--data-binary", "@-", f"{origin}/echo", stdin=body).stdout)
    done = curl("--http1.0", "-H", "Connection: keep-alive", "-w", EACH, *[f"{origin}/json"] * 3)
    report.check("HTTP/1.0 with keep-alive, one connection", "200 1 27\n200 0 27\n200 0 27\n", done.stderr.decode())
    report.check("HTTP/1.0 with keep-alive, the bodies", JSON * 3, done.stdout.decode())


def many_at_once(origin, report):
    # In parallel it says on standard error how far it is, quiet or not.
    each = EACH.removeprefix("%{stderr}")
    done = curl("-Z", "--parallel-max", "20", "-w", each, "-o", "/dev/null", f"{origin}/sleep/[101-200]")
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    report.check("100 answers, 20 at once", ["200"] * 100, [row[0] for row in rows])
    report.check("100 answers, each as long as it should be", 100 * len("slept 100 ms\n"), sum(int(row[2]) for row in rows))
    report.check_between("100 answers, a connection for each that runs at once", 1, 20, sum(int(row[1]) for row in rows))


def going_away(origin, report):
    done = curl("--max-time", "1", "-o", "/dev/null", f"{origin}/stream/{ENDLESS}")
    report.check("a download without end, left", TIMED_OUT, done.returncode)
    done = curl("--max-time", "1", "--limit-rate", "200k", "--data-binary", "@-", f"{origin}/echo", stdin=noise(4 * MIB))
    report.check("an upload with a length, left", TIMED_OUT, done.returncode)
    command = ["curl", "-sS", "-X", "POST", "-T", "-", f"{origin}/echo"]
    with children.started(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(noise(MIB))
        process.stdin.flush()
        time.sleep(0.2)
        report.check("an upload in chunks is under way", None, process.poll())
        process.kill()
    report.check("after all this it answers", HELLO.encode(), curl(f"{origin}/plaintext").stdout)
