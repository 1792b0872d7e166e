"""requests: finds the interpreter that has it, which need not be this one."""

import functools
import json
import sys
from pathlib import Path

from measure.processes import Failure

from . import children
from .tap import tapped

PROGRAM = str(Path(__file__).with_name("requests_client.py"))


@functools.cache
def interpreter():
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and children.run([python, "-c", "import requests"]).returncode == 0:
            return python
    raise Failure("requests is missing: apt-get install python3-requests")


def version():
    return children.succeed([interpreter(), PROGRAM, "versions"]).strip()


def check(playground, report, _folder):
    with tapped(playground) as tap:
        report.checks(json.loads(children.succeed([interpreter(), "-B", PROGRAM, tap.origin])))
        # One for what goes in turn; one for each request that was left and one after them; at most one a thread.
        report.check_between("so many connections for 270 requests", 1 + 3 + 1, 1 + 3 + 8, tap.connections)
