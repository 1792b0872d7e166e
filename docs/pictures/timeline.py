#!/usr/bin/env python3
"""Takes the pictures of timelines: runs of the zoo that fail, as `view` writes them, opened in headless Chromium.

It takes the binary that is there (`cargo build -p mainspring-zoo --bin zoo`), and writes beside itself. Names of pictures as arguments
choose some of them."""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / ".ci")]
sys.dont_write_bytecode = True

from real import chromium  # noqa: E402

ZOO = ROOT / "target/debug/zoo"
WIDTH, HEIGHT = 1280, 720

# Of each picture: the scenario and its seed, the colours, and what is done before it is taken.
PICTURES = {
    "timeline-waits": (["deadline-chain", "11"], "light", "0"),
    "timeline-path": (["accept-loop", "2"], "light", "timeline.togglePath()"),
    "timeline-dark": (["dead-connections", "0"], "dark", "0"),
}


def take(it, page, scheme, script):
    before = [
        ("Emulation.setDeviceMetricsOverride", {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}),
        ("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
    ]
    session = it.open(page.as_uri(), before)
    frames = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(0))))"
    it.evaluate(session, f"(async () => {{ await ({script}); await {frames}; return 0; }})()")
    return base64.b64decode(it.ask("Page.captureScreenshot", session, format="png")["data"])


def main():
    chosen = sys.argv[1:] or list(PICTURES)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        with chromium.browser(folder) as it:
            for name in chosen:
                (scenario, seed), scheme, script = PICTURES[name]
                page = folder / f"{name}.html"
                subprocess.run([ZOO, "view", "--scenario", scenario, "--seed", seed, "--output", page], check=True)
                png = take(it, page, scheme, script)
                (HERE / f"{name}.png").write_bytes(png)
                print(f"{name}.png: {len(png) // 1000} kB")


if __name__ == "__main__":
    main()
