"""Markdown tables, and the machine they are of."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

# What a server does not do, or a tool does not tell.
NONE = "–"


def percentile(spread):
    # wrk has none for some pipelined runs, and says 0.
    return f"{spread['median']:.0f}" if spread["min"] else NONE


def ratio(value):
    return NONE if value is None else f"{value:.2f}"


def table(rows):
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|---|{'---:|' * (len(rows[0]) - 1)}", *rest])


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(), "rustc": rustc.stdout.strip(),
            "load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
