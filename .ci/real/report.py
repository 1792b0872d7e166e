"""What was checked: one line each, and how many of them were not as they should be."""

import contextlib

SHOWN_MAX = 300


class Report:
    """Prints each check as it is made. Whoever makes one gives what it expects and what it found, never a verdict."""

    def __init__(self):
        self.client, self.passed, self.failed = "", 0, 0

    @contextlib.contextmanager
    def about(self, client):
        """What is checked inside is of this client. What it raises is a failed check, and the next client goes on."""
        self.client = client
        try:
            yield
        except Exception as error:
            self.check("runs to its end", "", f"{type(error).__name__}: {error}")

    def check(self, what, expected, actual):
        if expected == actual:
            self.passed += 1
            print(f"ok      {self.client}: {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {self.client}: {what}\n  expected: {shown(expected)}\n  actual:   {shown(actual)}", flush=True)

    def check_between(self, what, least, most, actual):
        """A count that varies between runs; None is no bound."""
        nearest = max(actual, least) if most is None else min(max(actual, least), most)
        self.check(what, nearest, actual)

    def checks(self, made):
        """Checks that a client made by itself: a list of what, expected, actual."""
        for what, expected, actual in made:
            self.check(what, expected, actual)


def shown(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}... ({len(text)} characters)"
