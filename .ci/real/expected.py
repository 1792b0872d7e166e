"""What the routes of the playground answer, as server/examples/playground.rs has it."""

import random

HELLO = "Hello, World!"
JSON = '{"message":"Hello, World!"}'
PROBLEM = "application/problem+json"
MIB = 1024 * 1024
# More pieces than anybody reads: for whoever goes away in the middle.
ENDLESS = 4_000_000_000


def stream(count):
    return "".join(f"chunk {n}\n" for n in range(count))


def noise(length, seed=1):
    """Bytes in which no piece looks like another one, the same in each run."""
    return random.Random(seed).randbytes(length)
