"""oha against the playground: as many answers and bytes as requests."""

import re

from . import children
from .expected import HELLO

COUNT = 20_000


def version():
    return children.version([children.find("oha", by="cargo install --locked oha"), "--version"])


def check(playground, report, _folder):
    text = children.succeed(["oha", "--no-tui", "-n", str(COUNT), "-c", "32", f"{playground.origin}/plaintext"])
    report.check(f"{COUNT} requests", {"200": COUNT},
                 {status: int(count) for status, count in re.findall(r"^\s*\[(\w+)\] (\d+) responses", text, re.MULTILINE)})
    report.check("no error", 0, text.count("Error distribution"))
    size = re.search(r"Size/request:\s*(.*)", text)
    report.check("their bytes", f"{len(HELLO)} B", size[1].strip() if size else None)
