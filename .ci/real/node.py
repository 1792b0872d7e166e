"""fetch() of Node (undici) against the playground."""

import json
from pathlib import Path

from . import children
from .expected import JSON
from .tap import tapped

FETCH = Path(__file__).with_name("fetch.js").read_text()


def version():
    node = children.find("node", "nodejs")
    undici = children.succeed([node, "-p", "process.versions.undici"]).strip()
    return f"{children.version([node, '--version'])} (undici {undici})"


def evaluated(call):
    program = f"{FETCH}\n{call}.then((value) => console.log(JSON.stringify(value)));"
    return json.loads(children.succeed(["node", "-"], program.encode()))


def check(playground, report, _folder):
    with tapped(playground) as tap:
        report.check("100 requests in turn", [JSON], evaluated(f"inTurn({json.dumps(tap.origin)}, 100)"))
        # undici makes two against Node's own server as well.
        report.check_between("100 requests in turn, so many connections", 1, 2, tap.connections)
    report.checks(evaluated(f"all({json.dumps(playground.origin)}, true)"))
