"""nginx as a reverse proxy in front of the playground: HTTP/1.1 with connections kept, and HTTP/1.0, its default."""

import contextlib
import subprocess
import time

from measure.processes import Failure, free_address

from . import children
from .curl import curl
from .expected import ENDLESS, HELLO, MIB, PROBLEM, noise, stream
from .tap import tapped

KEPT_MAX = 8
# One process, whose temporary files stay in its folder.
CONFIGURATION = """daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
    log_format whole '$status $upstream_status $upstream_bytes_received $request_uri';
    access_log access.log whole;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_body_buffer_size 2m;
    keepalive_requests 1000000;
    upstream playground {{
        server {playground};
        keepalive {kept};
        keepalive_requests 1000000;
    }}
    server {{
        listen {address} backlog=1024;
        location / {{
            proxy_pass http://playground;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            location ~ ^/(stream|echo) {{
                proxy_pass http://playground;
                proxy_buffering off;
                proxy_request_buffering off;
            }}
        }}
        location /plain/ {{
            proxy_pass http://playground/;
        }}
    }}
}}
"""


def version():
    return children.version([children.find("nginx", "nginx"), "-v"])


class Proxy:
    def __init__(self, process, address, folder):
        self.process, self.folder = process, folder
        self.address = "{}:{}".format(*address)
        self.origin = f"http://{self.address}"
        children.until(self._answers, children.START_SECONDS_MAX, "nginx answers")

    def _answers(self):
        if self.process.poll() is not None:
            raise Failure(f"nginx ends: {self.complaints()}")
        return curl(f"{self.origin}/plaintext").returncode == 0

    def complaints(self):
        return (self.folder / "error.log").read_text()


@contextlib.contextmanager
def in_front_of(address, folder):
    folder = folder / "nginx"
    folder.mkdir()
    ours = free_address()
    configuration = CONFIGURATION.format(playground="{}:{}".format(*address), kept=KEPT_MAX, address="{}:{}".format(*ours))
    (folder / "nginx.conf").write_text(configuration)
    command = [children.find("nginx", "nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with (folder / "error.log").open("wb") as log:
        with children.started(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            yield Proxy(process, ours, folder)


def check(playground, report, folder):
    with tapped(playground) as tap, in_front_of(tap.address, folder) as proxy:
        through(proxy.origin, report)
        uploads(proxy.origin, report)
        report.check("one request at a time, one connection to the server", 1, tap.connections)
        load(proxy.origin, report)
        report.check_between("so many connections to the server for 5,000 requests", 1, KEPT_MAX + 1, tap.connections)
        default_version(proxy.origin, report)
        report.check("nginx complains of nothing", "", proxy.complaints())
        going_away(proxy.origin, report)
        report.check("nginx itself made no answer", [], made_by_nginx(proxy))


def through(origin, report):
    report.check("GET", HELLO.encode(), curl(f"{origin}/plaintext").stdout)
    done = curl("-I", "-w", "%{stderr}%{http_code}", f"{origin}/plaintext")
    report.check("HEAD", (b"200", 1), (done.stderr, done.stdout.lower().count(b"content-length: 13\r\n")))
    done = curl("-i", f"{origin}/stream/50000")
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    report.check("a stream, not buffered", (1, stream(50_000)), (head.lower().count("transfer-encoding: chunked"), body))
    done = curl("-w", "%{stderr}%{http_code} %{content_type}", f"{origin}/panic")
    report.check("a panic", f"500 {PROBLEM}", done.stderr.decode())
    done = curl("-w", "%{stderr}%{http_code}", f"{origin}/nothing")
    report.check("no such route", ("404 Not Found\n", "404"), (done.stdout.decode(), done.stderr.decode()))


def uploads(origin, report):
    sent = noise(MIB, seed=5)
    done = curl("--data-binary", "@-", f"{origin}/echo", stdin=sent)
    report.check("1 MiB with a length come back", sent, done.stdout)
    done = curl("-X", "POST", "-T", "-", f"{origin}/echo", stdin=sent)
    report.check("1 MiB in chunks come back", sent, done.stdout)


def load(origin, report):
    done = children.succeed(["h2load", "--h1", "-n", "5000", "-c", str(KEPT_MAX), "-t", "1", f"{origin}/plaintext"])
    report.check("5,000 requests", "5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout",
                 line_after(done, "requests: "))


def line_after(text, start):
    return next((line.removeprefix(start) for line in text.splitlines() if line.startswith(start)), "")


def default_version(origin, report):
    report.check("HTTP/1.0 to the server", HELLO.encode(), curl(f"{origin}/plain/plaintext").stdout)
    report.check("HTTP/1.0 to the server, a stream", stream(5_000).encode(), curl(f"{origin}/plain/stream/5000").stdout)
    sent = noise(MIB, seed=6)
    done = curl("--data-binary", "@-", f"{origin}/plain/echo", stdin=sent)
    report.check("HTTP/1.0 to the server, an upload", sent, done.stdout)


def going_away(origin, report):
    done = curl("--max-time", "1", "-o", "/dev/null", f"{origin}/stream/{ENDLESS}")
    report.check("a download without end, left", 28, done.returncode)
    report.check("after that", HELLO.encode(), curl(f"{origin}/plaintext").stdout)


def made_by_nginx(proxy):
    """The requests that nginx answered otherwise than the server did, or without it."""
    time.sleep(0.2)
    rows = [line.split() for line in (proxy.folder / "access.log").read_text().splitlines()]
    return [" ".join(row) for row in rows if row[0] != row[1]]
