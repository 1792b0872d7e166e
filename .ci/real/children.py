"""The programs that are started: how they are waited for, and what of theirs has to be there. Knows no client."""

import contextlib
import http.client
import re
import shutil
import subprocess
import time
from pathlib import Path

from measure.processes import Failure, die_with_parent, end

ADDRESS = re.compile(r"http://([0-9.]+):([0-9]+)")
START_SECONDS_MAX = 20
RUN_SECONDS_MAX = 40
# From when the last client has ended: the server lingers 2 s on connections that it closed first.
CLOSE_SECONDS_MAX = 15


def version(command):
    """The first number with a dot in what a program says of itself."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=RUN_SECONDS_MAX)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "?"


def run(command, stdin=b""):
    """Runs a program to its end. What it wrote is bytes; whoever runs it looks at its exit status."""
    return subprocess.run(command, input=stdin, capture_output=True, timeout=RUN_SECONDS_MAX, preexec_fn=die_with_parent)


def succeed(command, stdin=b""):
    """The standard output, as text, of a program that must exit with 0."""
    done = run(command, stdin)
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name} exits with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def find(tool, package="", by="apt-get install"):
    path = shutil.which(tool)
    if path is None:
        raise Failure(f"{tool} is missing: {by} {package}".rstrip())
    return path


@contextlib.contextmanager
def started(command, **options):
    """A program that runs beside, ended by its id."""
    process = subprocess.Popen(command, preexec_fn=die_with_parent, **options)
    try:
        yield process
    finally:
        end(process)


def until(holds, seconds, what):
    """Waits until `holds()` is true and gives what it is."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


class Playground:
    """The server that all this is about, with what can be seen of it from outside."""

    def __init__(self, process, log):
        self.process, self.log = process, log
        found = until(self._says_where, START_SECONDS_MAX, "the playground says where it listens")
        self.address = (found[1], int(found[2]))
        self.origin = found[0]
        self.descriptors_without_clients = self._descriptors_with_one_client() - 1

    def _says_where(self):
        if self.process.poll() is not None:
            raise Failure(f"the playground ends with {self.process.returncode}: {self.log.read_text()}")
        return ADDRESS.search(self.log.read_text())

    def _descriptors_with_one_client(self):
        """It says where it will listen before it does; who has an answer knows that all of it is there."""
        connection = http.client.HTTPConnection(*self.address, timeout=START_SECONDS_MAX)
        until(lambda: self._accepts(connection), START_SECONDS_MAX, "the playground listens")
        connection.request("GET", "/plaintext")
        connection.getresponse().read()
        count = self.descriptors()
        connection.close()
        return count

    def _accepts(self, connection):
        try:
            connection.connect()
        except ConnectionRefusedError:
            return False
        return True

    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def check(self, report):
        """After the last client: it runs, holds nothing of theirs, ends at SIGTERM, panicked only when told to."""
        report.check("still runs", None, self.process.poll())
        deadline = time.monotonic() + CLOSE_SECONDS_MAX
        while self.descriptors() > self.descriptors_without_clients and time.monotonic() < deadline:
            time.sleep(0.05)
        report.check("holds no descriptor of a client", self.descriptors_without_clients, self.descriptors())
        end(self.process, patience=10)
        report.check("exits with 0 at SIGTERM", 0, self.process.returncode)
        log = self.log.read_text()
        told = log.count("panics when it is told to")
        report.check("panicked only when it was told to", told, log.count(" panicked at "))


@contextlib.contextmanager
def playground(binary, folder):
    if not binary.is_file():
        raise Failure(f"no {binary}: cargo build --release -p mainspring --example playground")
    path = folder / "playground.log"
    with path.open("wb") as log:
        command = [binary, "--listen", "127.0.0.1:0"]
        with started(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            yield Playground(process, path)
