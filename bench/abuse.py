#!/usr/bin/env python3
"""Puts the playground under abuse on this machine, over loopback; README.md says what is looked at and what counts.

crowd: the latency of honest requests beside idle connections, slow heads, slow uploads and slow readers.
upload: the server's memory while a client pushes a body faster than its handler takes it.
drain: SIGTERM under load, again and again: no request that was taken up is lost.

The exit status is 1 if anything went wrong for who did nothing wrong.
"""

import argparse
import json
import os
import shutil
import signal
import sys

from measure.crowd import ABUSER, SETTLE_SECONDS, crowd, crowd_table
from measure.drain import drain, drain_table
from measure.latency import build_client
from measure.latency import CLIENT as OPEN_LOOP
from measure.processes import Failure, raise_descriptors
from measure.servers import playground
from measure.tables import machine
from measure.upload import upload, upload_table

MIB = 1024**2


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    for name, add in (("crowd", add_crowd), ("upload", add_upload), ("drain", add_drain)):
        mode = modes.add_parser(name)
        add(mode)
        mode.add_argument("--server-core", type=int, default=0)
        mode.add_argument("--client-core", type=int, default=1)
        mode.add_argument("--json", action="store_true", help="print JSON, every run in it, instead of Markdown")
        mode.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    return parser.parse_args()


def add_crowd(mode):
    mode.add_argument("--rounds", type=int, default=5, help="interleaved rounds; default %(default)s")
    mode.add_argument("--seconds", type=int, default=10, help="length of one run; default %(default)s")
    mode.add_argument("--settle", type=float, default=SETTLE_SECONDS,
                      help="seconds between the crowd's arrival and a run; default %(default)s")
    mode.add_argument("--rate", type=int, default=20_000, help="honest requests a second; default %(default)s")
    mode.add_argument("--path", default="/plaintext", help="what they ask for, with GET; default %(default)s")
    mode.add_argument("--connections", type=int, default=64, help="of these; default %(default)s")
    for name, size in (("idle", 10_000), ("slowloris", 5_000), ("uploads", 200), ("readers", 200)):
        mode.add_argument(f"--{name}", type=int, default=size, help="default %(default)s")


def add_upload(mode):
    mode.add_argument("--bytes-per-second", type=int, default=MIB, help="what the handler takes; default 1 MiB")
    length = mode.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=10, help="after which the client leaves; default %(default)s")
    length.add_argument("--whole", action="store_const", const=None, dest="seconds",
                        help="push the whole GiB instead, and hear the answer")


def add_drain(mode):
    mode.add_argument("--ends", type=int, default=50, help="how many servers are ended; default %(default)s")
    mode.add_argument("--workers", type=int, default=1, help="of each server; default %(default)s")
    mode.add_argument("--lame-duck", type=int, default=0, help="seconds; default %(default)s")


def build(options):
    playground().build()
    if options.mode == "crowd":
        for client in (OPEN_LOOP, ABUSER):
            build_client(client)


def run(options):
    """What was measured, its table, and what went wrong."""
    if options.mode == "crowd":
        # Any request that is not answered right has ended the run already.
        result = crowd(options)
        return result, crowd_table(result), result["errors"]
    if options.mode == "upload":
        result = upload(options)
        return result, upload_table(result), result["errors"]
    result = drain(options)
    return result, drain_table(result), [f"{result['errors']} requests or connections failed"] * bool(result["errors"])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    if not options.no_build and shutil.which("cargo") is None:
        raise Failure("cargo is missing; --no-build takes the binaries as they are")
    cores = {options.server_core, options.client_core}
    if len(cores) < 2 or not cores <= os.sched_getaffinity(0):
        raise Failure(f"server and client need a core each, and there are {sorted(os.sched_getaffinity(0))}")
    raise_descriptors()
    if not options.no_build:
        build(options)
    if options.mode != "drain" or options.workers == 1:
        # Children inherit it, but for a server that has a core of its own.
        os.sched_setaffinity(0, {options.client_core})
    result, table, errors = run(options)
    print(json.dumps({"machine": machine(), **result}, indent=1) if options.json else table, flush=True)
    if errors:
        raise Failure("; ".join(errors))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    try:
        main()
    except Failure as failure:
        sys.exit(f"abuse: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
