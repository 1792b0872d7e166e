"""h2load over HTTP/1.1 against the playground: as many answers and bytes as requests."""

import re

from . import children
from .expected import HELLO, noise
from .nginx import line_after


def version():
    return children.version([children.find("h2load", "nghttp2-client"), "--version"])


def check(playground, report, folder):
    body = folder / "16k"
    body.write_bytes(noise(16 * 1024, seed=7))
    for what, count, connections, bytes_each, arguments in (
        ("32 connections", 20_000, 32, len(HELLO), [f"{playground.origin}/plaintext"]),
        ("8 connections, 16 pipelined", 20_000, 8, len(HELLO), ["-m", "16", f"{playground.origin}/plaintext"]),
        ("16 connections, echo of 16 KiB", 2_000, 16, 16 * 1024, ["-d", str(body), f"{playground.origin}/echo"]),
        ("300 connections", 3_000, 300, len(HELLO), [f"{playground.origin}/plaintext"]),
    ):
        text = children.succeed(["h2load", "--h1", "-t", "1", "-n", str(count), "-c", str(connections), *arguments])
        report.check(f"{what}: {count} requests",
                     f"{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout",
                     line_after(text, "requests: "))
        report.check(f"{what}: their statuses", f"{count} 2xx, 0 3xx, 0 4xx, 0 5xx", line_after(text, "status codes: "))
        data = re.search(r"\((\d+)\) data$", line_after(text, "traffic: "))
        report.check(f"{what}: their bytes", count * bytes_each, int(data[1]) if data else None)
