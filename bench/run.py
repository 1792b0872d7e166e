#!/usr/bin/env python3
"""Measures Mainspring against its peers on this machine; README.md says what the figures mean."""

import argparse
import contextlib
import ctypes
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
CASES = ("plaintext", "pipeline16", "json", "echo1k")
HELLO = b"Hello, World!"
KIBIBYTE = b"0123456789abcdef" * 64
# A run in which the server, wrk or the machine under them waited longer than this share for its core is repeated.
MAX_WAIT = 0.05
RETRIES = 2
WARM_UP_SECONDS = 1
# Instructions: the difference of two runs of so many requests a connection leaves the start-up out.
INSTRUCTION_ROUNDS = (20, 120)
INSTRUCTION_CONNECTIONS = 64
# perf counts these by name, and all others together: taking hundreds of tracepoints down again lasts many seconds.
NAMED_CALLS = """accept accept4 bind brk clock_gettime clock_nanosleep close connect epoll_ctl epoll_pwait epoll_pwait2
    epoll_wait eventfd2 fcntl futex getpeername getrandom getsockname getsockopt gettimeofday io_uring_enter ioctl
    madvise mmap mprotect munmap nanosleep openat poll ppoll pread64 read readv recvfrom recvmsg rt_sigprocmask
    sched_yield sendfile sendmsg sendto setsockopt shutdown socket splice timerfd_settime write writev""".split()
TRACEFS = (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Something the user has to know and that ends the run."""


# --- what is measured -----------------------------------------------------------------------------------------------


class Server:
    """How to build and start one server."""

    def __init__(self, name, build, folder, binary, args=()):
        self.name, self.build, self.folder, self.binary, self.args = name, build, folder, binary, args

    def command(self, address):
        return [str(target_dir() / "release" / self.binary), "--listen", address, *self.args]


def target_dir():
    return Path(os.environ.get("CARGO_TARGET_DIR") or BENCH / "target").resolve()


def known_servers():
    """Mainspring's playground and every folder of peers/: `peers/x` holds the package and binary `peer-x`."""
    playground = ["-p", "mainspring", "--example", "playground"]
    servers = [Server("mainspring", playground, ROOT, "examples/playground", ("--workers", "1"))]
    for folder in sorted((BENCH / "peers").iterdir(), key=lambda it: (it.name != "hyper", it.name)):
        if (folder / "Cargo.toml").exists():
            package = f"peer-{folder.name}"
            servers.append(Server(folder.name, ["--locked", "-p", package], BENCH, package))
    return {server.name: server for server in servers}


def build(servers):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target_dir())}
    for server in servers:
        tell(f"building {server.name}")
        command = ["cargo", "build", "--release", "--quiet", *server.build]
        if subprocess.run(command, cwd=server.folder, env=environment).returncode != 0:
            raise Failure(f"{server.name} does not build: {' '.join(command)}, in {server.folder}")


# --- processes ------------------------------------------------------------------------------------------------------


def die_with_parent():
    """Asks the kernel, between fork and exec, to end the child with this process, whatever happens to that."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def child_setup(core):
    """The same for a child that has a core to itself."""

    def setup():
        os.sched_setaffinity(0, {core})
        die_with_parent()

    return setup


def end(process, by=signal.SIGTERM, patience=5):
    """Ends a child by its PID and waits for it."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()


@contextlib.contextmanager
def started(server, core, under=()):
    """The server, listening on a free loopback port; ended when the block is left."""
    host, port = free_address()
    command = server.command(f"{host}:{port}")
    if not Path(command[0]).exists():
        raise Failure(f"{server.name} is not built: there is no {command[0]}")
    command = [*under, *command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=child_setup(core))
        try:
            deadline = time.monotonic() + (60 if under else 10)
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection((host, port), timeout=1).close()
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read()[-2000:].decode(errors="replace")
                    raise Failure(f"{server.name} does not listen on {host}:{port}: {' '.join(command)}\n{said}")
                time.sleep(0.02)
            yield process, (host, port)
            if process.poll() is not None:
                log.seek(0)
                said = log.read()[-2000:].decode(errors="replace")
                raise Failure(f"{server.name} ended during the run with {process.returncode}\n{said}")
        finally:
            end(process)


def schedstat(pid):
    """Seconds all threads of a process have run, and have waited for a core while they could run."""
    ran = waited = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = (thread / "schedstat").read_text().split()
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9


def user_system(pid):
    """User and system seconds, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def stolen(cores):
    """Seconds the hypervisor kept from each of the cores."""
    lines = Path("/proc/stat").read_text().splitlines()
    steals = {line.split()[0]: int(line.split()[8]) for line in lines if line.startswith("cpu")}
    return [steals[f"cpu{core}"] / os.sysconf("SC_CLK_TCK") for core in cores]


# --- the client -----------------------------------------------------------------------------------------------------


def run_wrk(case, address, seconds, connections, core):
    """Runs wrk; gives its report with its own busy and waiting shares."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(BENCH / "lua" / f"{case}.lua"),
               f"http://{address[0]}:{address[1]}"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "BENCH_LUA": str(BENCH / "lua")},
                                   preexec_fn=child_setup(core))
        begin = time.monotonic()
        ran = waited = elapsed = 0.0
        try:
            while process.poll() is None:
                if time.monotonic() > begin + seconds + 20:
                    raise Failure(f"wrk does not end: {' '.join(command)}")
                # Its threads take their counts with them when they end: the last sample has to do.
                with contextlib.suppress(OSError):
                    sample = schedstat(process.pid)
                    if sample[0] >= ran and elapsed < seconds:
                        (ran, waited), elapsed = sample, time.monotonic() - begin
                time.sleep(0.1)
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
    report["busy"], report["wait"] = ran / max(elapsed, 1e-9), waited / max(elapsed, 1e-9)
    return report


def request_of(case):
    """The bytes of one request and how many of them a batch has, as the Lua scripts send them."""
    host = b"Host: 127.0.0.1\r\n"
    if case == "echo1k":
        head = b"POST /echo HTTP/1.1\r\n" + host + b"Content-Type: application/octet-stream\r\n"
        return head + b"Content-Length: 1024\r\n\r\n" + KIBIBYTE, 1
    path = b"/json" if case == "json" else b"/plaintext"
    return b"GET " + path + b" HTTP/1.1\r\n" + host + b"\r\n", 16 if case == "pipeline16" else 1


def read_response(stream):
    """One response: status, headers by lower-case name, body."""
    status = stream.readline().split(b" ")
    if len(status) < 2 or status[0] != b"HTTP/1.1":
        raise Failure(f"not a response: {b' '.join(status)[:80]!r}")
    headers = {}
    while (line := stream.readline().strip()):
        name, _, value = line.partition(b":")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while (size := int(stream.readline().partition(b";")[0], 16)):
            body += stream.read(size)
            stream.readline()
        while stream.readline().strip():
            pass
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    return int(status[1]), headers, body


def check(server, case, address):
    """Two batches on one connection have to be answered right: it is the same work that is compared."""
    request, batch = request_of(case)
    kind = {"json": "application/json", "echo1k": ""}.get(case, "text/plain")
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            connection.sendall(request * batch)
            for _ in range(batch):
                try:
                    status, headers, body = read_response(stream)
                except (OSError, ValueError) as error:
                    raise Failure(f"{server.name}, {case}: no whole response: {error!r}") from error
                if case == "json":
                    with contextlib.suppress(ValueError):
                        body = json.loads(body)
                wanted = {"json": {"message": HELLO.decode()}, "echo1k": KIBIBYTE}.get(case, HELLO)
                if status != 200 or body != wanted:
                    raise Failure(f"{server.name}, {case}: status {status}, body {body!r:.80}")
                if not headers.get("content-type", "").startswith(kind):
                    raise Failure(f"{server.name}, {case}: content-type {headers.get('content-type')!r}")
                for name in ("server", "date"):
                    if not headers.get(name):
                        raise Failure(f"{server.name}, {case}: no {name} header")


# --- measuring: throughput and CPU ----------------------------------------------------------------------------------


def measure_once(server, case, options):
    cores = (options.server_core, options.client_core)
    with started(server, options.server_core) as (process, address):
        check(server, case, address)
        run_wrk(case, address, WARM_UP_SECONDS, options.connections, options.client_core)
        ran, waited = schedstat(process.pid)
        user, system = user_system(process.pid)
        steal = stolen(cores)
        wrk = run_wrk(case, address, options.seconds, options.connections, options.client_core)
        ran, waited = (after - before for after, before in zip(schedstat(process.pid), (ran, waited)))
        user, system = (after - before for after, before in zip(user_system(process.pid), (user, system)))
        steal = max(after - before for after, before in zip(stolen(cores), steal))
    seconds, requests = wrk["duration_us"] / 1e6, wrk["requests"]
    # The ticks only divide what schedstat has counted.
    user_share = user / (user + system) if user + system else 0.0
    return {
        "requests": requests,
        "req_per_s": requests / seconds,
        "cpu_us": ran / requests * 1e6,
        "user_us": ran * user_share / requests * 1e6,
        "system_us": ran * (1 - user_share) / requests * 1e6,
        "p50_us": wrk["p50_us"],
        "p99_us": wrk["p99_us"],
        "server_busy": ran / seconds,
        "wrk_busy": wrk["busy"],
        "wait": max(waited / seconds, wrk["wait"], steal / seconds),
        "errors": sum(wrk[kind] for kind in ("connect", "read", "write", "status", "timeout")),
    }


def measure_calmly(server, case, options):
    """One run; a disturbed one is repeated, and the calmest kept."""
    runs = []
    for _ in range(1 + RETRIES):
        runs.append(measure_once(server, case, options))
        if runs[-1]["wait"] <= MAX_WAIT:
            break
    best = min(runs, key=lambda run: run["wait"])
    return {**best, "disturbed": best["wait"] > MAX_WAIT}


def measure(case, servers, options):
    runs = {server.name: [] for server in servers}
    for turn in range(options.rounds):
        for server in servers:
            run = measure_calmly(server, case, options)
            runs[server.name].append(run)
            tell(f"{case} {turn + 1}/{options.rounds} {server.name}: {run['req_per_s']:,.0f} req/s, "
                 f"{run['cpu_us']:.3f} µs{', disturbed' if run['disturbed'] else ''}")
    summaries = {name: summary(its) for name, its in runs.items()}
    reference = summaries.get(options.reference)
    for its in summaries.values():
        its["throughput_ratio"] = reference and its["req_per_s"]["median"] / reference["req_per_s"]["median"]
        its["efficiency_ratio"] = reference and reference["cpu_us"]["median"] / its["cpu_us"]["median"]
    return {"mode": "throughput", "case": case, "reference": options.reference, "servers": summaries}


def summary(runs):
    spread = {}
    for key in ("req_per_s", "cpu_us", "user_us", "system_us", "p50_us", "p99_us", "server_busy", "wrk_busy"):
        values = [run[key] for run in runs]
        spread[key] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {
        **spread,
        "worst_wait": max(run["wait"] for run in runs),
        "disturbed": sum(run["disturbed"] for run in runs),
        "errors": sum(run["errors"] for run in runs),
        "runs": runs,
    }


def throughput_table(result):
    reference = result["reference"]
    rows = [["server", "req/s", "min–max", f"/ {reference}", "CPU µs/req", "min–max", "user", "system",
             f"efficiency / {reference}", "p50 µs", "p99 µs", "server busy", "wrk busy", "worst wait", "disturbed",
             "errors"]]
    for name, its in result["servers"].items():
        rate, cpu = its["req_per_s"], its["cpu_us"]
        rows.append([
            name, f"{rate['median']:,.0f}", f"{rate['min']:,.0f}–{rate['max']:,.0f}", ratio(its["throughput_ratio"]),
            f"{cpu['median']:.3f}", f"{cpu['min']:.3f}–{cpu['max']:.3f}", f"{its['user_us']['median']:.3f}",
            f"{its['system_us']['median']:.3f}", ratio(its["efficiency_ratio"]),
            percentile(its["p50_us"]), percentile(its["p99_us"]), f"{its['server_busy']['median']:.2f}",
            f"{its['wrk_busy']['median']:.2f}", f"{its['worst_wait']:.2f}", str(its["disturbed"]), str(its["errors"]),
        ])
    return table(rows)


# --- measuring: system calls ----------------------------------------------------------------------------------------


def count_syscalls(server, case, options):
    """System calls by name over one run of wrk, connecting included, and the requests it made."""
    with started(server, options.server_core) as (process, address):
        check(server, case, address)

        def load():
            return run_wrk(case, address, options.seconds, options.connections, options.client_core)

        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "counts"
            if shutil.which("perf") is not None:
                counted = count_with_perf(process.pid, output, load)
                if counted is not None:
                    return "perf", *counted
            if shutil.which("strace") is not None:
                return "strace", *count_with_strace(process.pid, output, load)
    raise Failure("neither perf's tracepoints nor strace work here: apt-get install linux-perf strace, run as root")


def count_with_perf(pid, output, load):
    """Exact and cheap; None where the tracepoints may not be used."""
    events = next((folder for folder in TRACEFS if (folder / "raw_syscalls/sys_enter").is_dir()), None)
    if events is None:
        return None
    prefix = "syscalls:sys_enter_"
    named = [prefix + name for name in NAMED_CALLS if (events / "syscalls" / f"sys_enter_{name}").is_dir()]
    commands, answers = os.pipe(), os.pipe()
    command = ["perf", "stat", "-x;", "-o", str(output), "-D", "-1", "-e", ",".join(["raw_syscalls:sys_enter", *named]),
               "-p", str(pid), "--control", f"fd:{commands[0]},{answers[1]}"]
    perf = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            pass_fds=(commands[0], answers[1]), preexec_fn=die_with_parent)
    try:
        os.close(commands[0])
        os.close(answers[1])
        # It answers "ack" once it counts; if it cannot, it ends and so closes the pipes.
        with contextlib.suppress(BrokenPipeError):
            os.write(commands[1], b"enable\n")
        readable, _, _ = select.select([answers[0]], [], [], 60)
        if not readable or not os.read(answers[0], 16).startswith(b"ack"):
            return None
        wrk = load()
    finally:
        end(perf, signal.SIGINT, patience=60)
        os.close(commands[1])
        os.close(answers[0])
    counts = {}
    for line in output.read_text().splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].isdigit():
            counts[fields[2].removeprefix(prefix)] = int(fields[0])
    total = counts.pop("raw_syscalls:sys_enter", 0)
    if total == 0:
        return None
    counts["others"] = total - sum(counts.values())
    return {name: count for name, count in counts.items() if count > 0}, wrk


def count_with_strace(pid, output, load):
    """Slows the server down many times: how many requests meet in one wait is then not what it would be."""
    command = ["strace", "-f", "-c", "-o", str(output), "-p", str(pid)]
    with tempfile.TemporaryFile() as log:
        strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  preexec_fn=die_with_parent)
        try:
            deadline = time.monotonic() + 10
            while b"attached" not in os.pread(log.fileno(), 4096, 0):
                if strace.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"strace may not attach: {os.pread(log.fileno(), 500, 0).decode()}")
                time.sleep(0.05)
            wrk = load()
        finally:
            end(strace, signal.SIGINT)
    counts = {}
    for line in output.read_text().splitlines():
        # % time, seconds, usecs/call, calls, [errors,] name
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found.group(2) != "total":
            counts[found.group(2)] = int(found.group(1))
    return counts, wrk


def syscalls(case, servers, options):
    result = {"mode": "syscalls", "case": case, "servers": {}}
    for server in servers:
        by, counts, wrk = count_syscalls(server, case, options)
        each = {name: count / wrk["requests"] for name, count in sorted(counts.items(), key=lambda it: -it[1])}
        errors = sum(wrk[kind] for kind in ("connect", "read", "write", "status", "timeout"))
        result["servers"][server.name] = {"by": by, "requests": wrk["requests"], "wrk_busy": wrk["busy"],
                                          "errors": errors, "per_request": sum(each.values()), "calls": each}
        tell(f"{case} {server.name}: {sum(each.values()):.3f} system calls a request")
    return result


def syscalls_table(result):
    rows = [["server", "calls/req", "of which", "requests", "wrk busy", "counted by", "errors"]]
    for name, its in result["servers"].items():
        # What rounds to nothing a request is start and connecting.
        parts = [f"{call} {each:.3f}" for call, each in its["calls"].items() if each >= 0.0005]
        rows.append([name, f"{its['per_request']:.3f}", ", ".join(parts), f"{its['requests']:,}",
                     f"{its['wrk_busy']:.2f}", its["by"], str(its["errors"])])
    return table(rows)


# --- measuring: instructions ----------------------------------------------------------------------------------------


def count_instructions(server, case, rounds, options):
    """User instructions of a whole life of the server in which each connection sends so many batches."""
    request, batch = request_of(case)
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        under = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={counts}"]
        with started(server, options.server_core, under) as (_, address), contextlib.ExitStack() as stack:
            check(server, case, address)
            connections = [stack.enter_context(socket.create_connection(address, timeout=60))
                           for _ in range(INSTRUCTION_CONNECTIONS)]
            streams = [stack.enter_context(connection.makefile("rb")) for connection in connections]
            for _ in range(rounds):
                for connection in connections:
                    connection.sendall(request * batch)
                for stream in streams:
                    for _ in range(batch):
                        if read_response(stream)[0] != 200:
                            raise Failure(f"{server.name}, {case}: an answer under valgrind was not 200")
        found = re.search(r"^summary:\s*(\d+)", counts.read_text() if counts.exists() else "", re.MULTILINE)
        if found is None:
            raise Failure(f"valgrind has left no count of {server.name}: does it end in time on SIGTERM?")
        return int(found.group(1)), rounds * INSTRUCTION_CONNECTIONS * batch


def instructions(case, servers, options):
    result = {"mode": "instructions", "case": case, "servers": {}}
    for server in servers:
        (few, few_requests), (many, many_requests) = (
            count_instructions(server, case, rounds, options) for rounds in INSTRUCTION_ROUNDS)
        requests = many_requests - few_requests
        each = (many - few) / requests
        result["servers"][server.name] = {"per_request": each, "requests": requests}
        tell(f"{case} {server.name}: {each:,.1f} instructions a request")
    return result


def instructions_table(result):
    rows = [["server", "user instructions/req", "requests"]]
    for name, its in result["servers"].items():
        rows.append([name, f"{its['per_request']:,.1f}", f"{its['requests']:,}"])
    return table(rows)


# --- output ---------------------------------------------------------------------------------------------------------


def tell(what):
    print(what, file=sys.stderr, flush=True)


def percentile(spread):
    # wrk has none for some pipelined runs, and says 0.
    return f"{spread['median']:.0f}" if spread["min"] else "–"


def ratio(value):
    return "–" if value is None else f"{value:.2f}"


def table(rows):
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|---|{'---:|' * (len(rows[0]) - 1)}", *rest])


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(), "rustc": rustc.stdout.strip(),
            "load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def parse_options(known):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="plaintext", help=f"one or more of {','.join(CASES)}, or all")
    parser.add_argument("--servers", default=",".join(known), help="which, in which order; default %(default)s")
    parser.add_argument("--reference", default="hyper", help="whom the ratios are to; default %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; default %(default)s")
    parser.add_argument("--seconds", type=int, default=5, help="length of one run; default %(default)s")
    parser.add_argument("--connections", type=int, default=64, help="default %(default)s")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--syscalls", action="store_true", help="count system calls a request instead")
    parser.add_argument("--instructions", action="store_true", help="count user instructions a request instead")
    parser.add_argument("--json", action="store_true", help="print JSON, every run in it, instead of Markdown")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    options = parser.parse_args()
    options.cases = CASES if options.case == "all" else options.case.split(",")
    options.chosen = options.servers.split(",")
    if unknown := [case for case in options.cases if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}")
    if unknown := [name for name in options.chosen if name not in known]:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(known)}")
    if min(options.rounds, options.seconds, options.connections) < 1:
        parser.error("--rounds, --seconds and --connections are at least 1")
    if options.syscalls and options.instructions:
        parser.error("--syscalls or --instructions, not both")
    return options


def require_tools(options):
    if options.instructions:
        wanted = {"valgrind": "valgrind"}
    else:
        wanted = {"wrk": "wrk"}
    missing = [package for tool, package in wanted.items() if shutil.which(tool) is None]
    if options.syscalls and not (shutil.which("perf") or shutil.which("strace")):
        missing += ["linux-perf", "strace"]
    if missing:
        raise Failure(f"missing tools: apt-get install {' '.join(missing)}")
    allowed = os.sched_getaffinity(0)
    if not {options.server_core, options.client_core} <= allowed:
        raise Failure(f"cores {options.server_core} and {options.client_core} are wanted, there are {sorted(allowed)}")
    if options.server_core == options.client_core:
        raise Failure("server and client need a core each")
    if not Path("/proc/self/schedstat").exists():
        raise Failure("the kernel has no /proc/PID/schedstat (CONFIG_SCHED_INFO)")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    known = known_servers()
    options = parse_options(known)
    require_tools(options)
    servers = [known[name] for name in options.chosen]
    if not options.no_build:
        build(servers)
    mode, show = measure, throughput_table
    if options.syscalls:
        mode, show = syscalls, syscalls_table
    elif options.instructions:
        mode, show = instructions, instructions_table
    what = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds,
            "connections": INSTRUCTION_CONNECTIONS if options.instructions else options.connections}
    results = []
    for case in options.cases:
        results.append(mode(case, servers, options))
        if not options.json:
            print(f"### {case}\n\n{show(results[-1])}\n", flush=True)
    if options.json:
        print(json.dumps({**what, "results": results}, indent=1))
    failed = sum(its.get("errors", 0) for result in results for its in result["servers"].values())
    if failed:
        raise Failure(f"{failed} requests went wrong: the figures do not count")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
