"""Chromium without a window: a page of the playground, and fetch() of that page.

It is told what to do over a pipe of its own (`--remote-debugging-pipe`: JSON messages, a NUL after each), because a page
of the playground has no script to bring along.
"""

import contextlib
import fcntl
import itertools
import json
import os
import select
import subprocess
import time

from measure.processes import Failure

from . import children
from .expected import HELLO, JSON
from .node import FETCH
from .tap import tapped

SECONDS_MAX = 60
# Chromium opens six to one host at most. Each of the two requests that are aborted costs one.
CONNECTIONS_MAX = 6 + 2
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--disable-quic", "--remote-debugging-pipe"]


def version():
    return children.version([children.find("chromium", "chromium"), "--version"])


class Browser:
    """The far end of the pipe."""

    def __init__(self, requests, events):
        self.requests, self.events, self.rest = requests, events, b""
        # What was heard beside what was waited for.
        self.heard = []
        self.ids = itertools.count(1)
        self.deadline = time.monotonic() + SECONDS_MAX

    def ask(self, method, session=None, **parameters):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self.requests, json.dumps(message).encode() + b"\0")
        answer = self.await_message(lambda message: message.get("id") == number)
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']}")
        return answer["result"]

    def await_message(self, wanted):
        while True:
            message, end, rest = self.rest.partition(b"\0")
            if end:
                self.rest = rest
                message = json.loads(message)
                if "method" in message:
                    self.heard.append(message)
                if wanted(message):
                    return message
                continue
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.events], [], [], left)[0]:
                raise Failure(f"the browser does not answer within {SECONDS_MAX} s")
            read = os.read(self.events, 1024 * 1024)
            if not read:
                raise Failure("the browser has ended")
            self.rest += read

    def open(self, url, before=()):
        """A page that has been loaded, with these methods called before it is; gives its session."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable", session)
        for method, parameters in before:
            self.ask(method, session, **parameters)
        self.ask("Page.navigate", session, url=url)
        self.await_message(lambda message: message.get("method") == "Page.loadEventFired")
        return session

    def evaluate(self, session, expression):
        """The value of a promise of the page."""
        found = self.ask("Runtime.evaluate", session, expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise Failure(f"in the page: {found['exceptionDetails']['exception'].get('description')}")
        return found["result"]["value"]


def moved(descriptor):
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def browser(folder):
    (theirs_in, requests), (events, theirs_out) = os.pipe(), os.pipe()
    # Away from 3 and 4, of which it would take one for the other.
    theirs_in, theirs_out = moved(theirs_in), moved(theirs_out)
    # It reads descriptor 3 and writes 4, whichever ours are.
    shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
    command = ["bash", "-c", shell, "bash", "chromium", *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "pass_fds": (theirs_in, theirs_out)}
        with children.started(command, **options) as process:
            os.close(theirs_in)
            os.close(theirs_out)
            try:
                yield Browser(requests, events)
            finally:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    os.write(requests, b'{"id":0,"method":"Browser.close"}\0')
                    process.wait(10)
                os.close(requests)
                os.close(events)


def check(playground, report, folder):
    with tapped(playground) as tap, browser(folder) as it:
        session = it.open(f"{tap.origin}/plaintext")
        dom = it.evaluate(session, "document.documentElement.outerHTML")
        report.check("the page is in the DOM", 1, dom.count(f">{HELLO}</pre>"))
        report.check("the page has its media type", "text/plain", it.evaluate(session, "document.contentType"))
        it.evaluate(session, f"{FETCH}\n0")
        before = tap.connections
        report.check("100 requests in turn", [JSON], it.evaluate(session, "inTurn(location.origin, 100)"))
        report.check("100 requests in turn, no new connection", before, tap.connections)
        report.checks(it.evaluate(session, "all(location.origin, false)"))
        report.check_between("so many connections for 160 requests", 1, CONNECTIONS_MAX, tap.connections)
