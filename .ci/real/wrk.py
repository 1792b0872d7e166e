"""wrk against the playground: load in which every answer is compared."""

import re
from pathlib import Path

from measure.processes import Failure

from . import children
from .expected import HELLO, stream

SCRIPT = Path(__file__).with_name("wrk.lua")
# A machine that is busy elsewhere still answers more than these.
ANSWERS_MIN = 500
NONE_WRONG = {"wrong": 0, "connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}


def version():
    return children.version([children.find("wrk", "wrk"), "--version"])


def check(playground, report, _folder):
    # Pipelined requests, bytes that are echoed, the body that is expected otherwise.
    for what, connections, path, arguments in (
        ("64 connections", 64, "/plaintext", ["1", "0", HELLO]),
        ("8 connections, 16 pipelined", 8, "/plaintext", ["16", "0", HELLO]),
        ("16 connections, a stream of 10 pieces", 16, "/stream/10", ["1", "0", stream(10)]),
        ("16 connections, a stream of none", 16, "/stream/0", ["1", "0"]),
        ("16 connections, echo of 1 KiB", 16, "/echo", ["1", "1024"]),
        ("8 connections, echo of 256 KiB", 8, "/echo", ["1", str(256 * 1024)]),
    ):
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", "1", "--timeout", "10", "-s", SCRIPT]
        found = counts(children.succeed([*command, playground.origin + path, "--", *arguments]))
        answers = found.pop("answers")
        report.check(f"{what}: no answer is wrong", NONE_WRONG, found)
        report.check_between(f"{what}: {answers} answers", ANSWERS_MIN, None, answers)


def counts(text):
    line = re.search(r"^REPORT (.*)$", text, re.MULTILINE)
    if line is None:
        raise Failure(f"wrk reports nothing: {text}")
    return {name: int(count) for name, count in (pair.split("=") for pair in line[1].split())}
