"""The servers: how each is built, started on a free port, and ended."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .cases import CASES, read_answer
from .processes import Failure, child_setup, end, free_address, tell

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
# nginx answers from its configuration: it serialises nothing and echoes nothing.
NGINX_CASES = ("plaintext", "plaintext1024", "pipeline16")
NGINX_CONFIGURATION = """daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{
    worker_connections 16384;
    multi_accept on;
}}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    tcp_nodelay on;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {address} backlog=4096;
        location = /plaintext {{
            return 200 "Hello, World!";
        }}
    }}
}}
"""


class Server:
    """A server that cargo builds."""

    cases = tuple(CASES)

    def __init__(self, name, build, folder, binary, args=()):
        self.name, self.cargo, self.folder, self.binary, self.args = name, build, folder, binary, args

    def build(self):
        tell(f"building {self.name}")
        cargo_build(self.name, self.cargo, self.folder)

    def command(self, address, _folder):
        """How to start it; the folder is its own, for as long as it runs."""
        return [str(target_dir() / "release" / self.binary), "--listen", address, *self.args]


class Nginx:
    """nginx as the distribution has it, in one process, with a configuration made for each start."""

    name = "nginx"
    cases = NGINX_CASES

    def build(self):
        if shutil.which("nginx") is None:
            raise Failure("missing tools: apt-get install nginx, or leave it out with --servers")

    def command(self, address, folder):
        (Path(folder) / "nginx.conf").write_text(NGINX_CONFIGURATION.format(address=address))
        return [shutil.which("nginx") or "nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"]


def target_dir():
    return Path(os.environ.get("CARGO_TARGET_DIR") or BENCH / "target").resolve()


def cargo_build(name, what, folder):
    command = ["cargo", "build", "--release", "--quiet", *what]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target_dir())}
    if subprocess.run(command, cwd=folder, env=environment).returncode != 0:
        raise Failure(f"{name} does not build: {' '.join(command)}, in {folder}")


def playground(workers=1, *more):
    what = ["--locked", "-p", "mainspring", "--example", "playground"]
    return Server("mainspring", what, ROOT, "examples/playground", ("--workers", str(workers), *more))


def known_servers():
    """Mainspring's playground, nginx, and every folder of peers/: `peers/x` holds the package and binary `peer-x`."""
    peers = []
    for folder in (BENCH / "peers").iterdir():
        if (folder / "Cargo.toml").exists():
            package = f"peer-{folder.name}"
            peers.append(Server(folder.name, ["--locked", "-p", package], BENCH, package))
    peers.append(Nginx())
    peers.sort(key=lambda it: (it.name != "hyper", it.name))
    return {server.name: server for server in [playground(), *peers]}


@contextlib.contextmanager
def started(server, core, under=(), patience=10):
    """The server, answering on a free loopback port; ended when the block is left.

    `under` is a command that runs it, such as valgrind's, in the same process.
    """
    with launched(server, core, under) as (process, address, said):
        deadline = time.monotonic() + (60 if under else patience)
        while not answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{server.name} does not answer on {address[0]}:{address[1]}:\n{said()}")
            time.sleep(0.02)
        yield process, address
        if process.poll() is not None:
            raise Failure(f"{server.name} ended during the run with {process.returncode}\n{said()}")


def answers(address):
    """Whether a first request is answered. That it connects says little: a server may listen and think again."""
    with contextlib.suppress(OSError, Failure), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(CASES["plaintext"].request())
        with connection.makefile("rb") as stream:
            return read_answer(stream).status == 200
    return False


@contextlib.contextmanager
def launched(server, core, under=(), setup=None):
    """The server from its exec on, whether it listens already or not; `setup` is the last thing before exec."""
    host, port = free_address()
    pinned = child_setup(core)

    def before_exec():
        pinned()
        if setup is not None:
            setup()

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        command = server.command(f"{host}:{port}", folder)
        if not Path(command[0]).exists():
            raise Failure(f"{server.name} is not built: there is no {command[0]}")

        def said():
            return os.pread(log.fileno(), 2000, max(0, os.fstat(log.fileno()).st_size - 2000)).decode(errors="replace")

        process = subprocess.Popen([*under, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=before_exec)
        try:
            yield process, (host, port), said
        finally:
            end(process)
