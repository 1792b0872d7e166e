"""One run of wrk, the closed-loop client: as many requests as it can make."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time

from .processes import Failure, child_setup, end, schedstat
from .servers import BENCH

ERRORS = ("connect", "read", "write", "status", "timeout")


def run_wrk(case, address, seconds, connections, core):
    """Gives wrk's report with its own busy and waiting shares and the sum of its errors."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(BENCH / "lua" / f"{case.script}.lua"),
               f"http://{address[0]}:{address[1]}"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "BENCH_LUA": str(BENCH / "lua")},
                                   preexec_fn=child_setup(core))
        try:
            busy, wait = watch(process, seconds, command)
        finally:
            end(process)
        log.seek(0)
        said = log.read().decode(errors="replace")
    line = re.search(r"^report (\{.*\})$", said, re.MULTILINE)
    if process.returncode != 0 or line is None:
        raise Failure(f"wrk failed with {process.returncode}: {' '.join(command)}\n{said}")
    report = json.loads(line.group(1))
    if report["requests"] == 0:
        raise Failure(f"wrk got no answer: {' '.join(command)}\n{said}")
    return {**report, "busy": busy, "wait": wait, "errors": sum(report[kind] for kind in ERRORS)}


def watch(process, seconds, command):
    """Waits for the end of a client; gives the shares of its time that it ran, and could have run but did not."""
    begin = time.monotonic()
    ran = waited = elapsed = 0.0
    while process.poll() is None:
        if time.monotonic() > begin + seconds + 20:
            raise Failure(f"the client does not end: {' '.join(command)}")
        # Its threads take their counts with them when they end: the last sample has to do.
        with contextlib.suppress(OSError):
            sample = schedstat(process.pid)
            if sample[0] >= ran and elapsed < seconds:
                (ran, waited), elapsed = sample, time.monotonic() - begin
        time.sleep(0.1)
    return ran / max(elapsed, 1e-9), waited / max(elapsed, 1e-9)
