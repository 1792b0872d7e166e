#!/usr/bin/env python3
"""Draws docs/pictures/seam.svg: the crates, and the one seam between the program and its world.

Run it from anywhere; it writes beside itself."""

from pathlib import Path

WIDTH, HEIGHT = 860, 500
INK, DIM, LINE, PAPER = "#1c2330", "#5b6472", "#b9c1ce", "#ffffff"
SERVER, EXECUTOR, SEAM, OS, SIM = "#fdf0e1", "#e8f0fb", "#b4530a", "#eef1f5", "#e9f6ec"

parts = []


def box(x, y, w, h, fill, title, *lines):
    parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}" stroke="{LINE}"/>')
    parts.append(f'<text x="{x + 16}" y="{y + 26}" class="title">{title}</text>')
    for number, line in enumerate(lines):
        parts.append(f'<text x="{x + 16}" y="{y + 48 + 19 * number}" class="line">{line}</text>')


def arrow(x1, y1, x2, y2, label="", anchor="start"):
    parts.append(f'<path d="M{x1} {y1} L{x2} {y2}" class="arrow" marker-end="url(#head)"/>')
    if label:
        x, y = (x1 + x2) / 2 + (8 if anchor == "start" else -8), (y1 + y2) / 2 + 4
        parts.append(f'<text x="{x}" y="{y}" class="note" text-anchor="{anchor}">{label}</text>')


box(20, 20, 520, 64, PAPER, "your handlers", "async fn(Request) → impl IntoResponse")
box(20, 104, 520, 84, SERVER, "server", "serve: the loop that joins a socket with the protocol; limits, deadlines, drain",
    "http1: bytes in, events out; no I/O, no clock")
box(20, 208, 520, 84, EXECUTOR, "executor", "tasks, run queue, reactor, timers, scopes, net, files, signals",
    "one Shard a core; shards share nothing but listening addresses")
parts.append(f'<path d="M20 322 L840 322" stroke="{SEAM}" stroke-width="3" stroke-dasharray="10 6"/>')
box(20, 372, 255, 104, OS, "OsDriver", "executor/src/os", "epoll, or the polling crate", "real clock, real sockets")
box(285, 372, 255, 104, SIM, "SimDriver", "sim", "virtual clock and network", "one seed decides")
box(580, 20, 260, 168, PAPER, "tests", "scenarios: the same serve,", "many seeds, each run twice", "conformance: the same body",
    "on both drivers", "fuzz bodies, corpus replay")
box(580, 208, 260, 84, PAPER, "fuzz, bench", "cargo-fuzz targets;", "peers side by side")
arrow(147, 292, 147, 370)
arrow(412, 292, 412, 370)
arrow(710, 208, 710, 190)
arrow(580, 146, 542, 146)
parts.append(f'<path d="M840 104 L852 104 L852 424 L542 424" class="arrow" marker-end="url(#head)"/>')

# Last, so that its paper-coloured edge lies over the arrows.
parts.append(f'<text x="20" y="344" class="seam">trait Driver: time, entropy, sockets, readiness, jobs, signals, which task goes next</text>')

svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif">
<style>
.title {{ font-size: 16px; font-weight: 600; fill: {INK}; }}
.line, .note {{ font-size: 13px; fill: {DIM}; }}
.seam {{ font-size: 14px; font-weight: 600; fill: {SEAM}; paint-order: stroke; stroke: {PAPER}; stroke-width: 6; }}
.arrow {{ fill: none; stroke: {DIM}; stroke-width: 1.5; }}
</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L10 5 L0 10 z" fill="{DIM}"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>
{chr(10).join(parts)}
</svg>
"""
target = Path(__file__).with_name("seam.svg")
target.write_text(svg)
print(f"wrote {target.name}")
