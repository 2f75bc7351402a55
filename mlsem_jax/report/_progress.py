"""Live lines for long jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable


def progress(stream=None) -> Callable[[dict], None]:
    """A callback that shows the iteration, its kind, the log-likelihood, the expected gain and the largest gradient element.

    On a terminal the line is rewritten in place; elsewhere each iteration is a line.
    """
    stream = stream or sys.stderr
    live = bool(getattr(stream, "isatty", lambda: False)())

    def show(entry: dict) -> None:
        line = (
            f"iteration {entry['iteration']:4d} ({entry['step']})  loglik {entry['loglik']:.6f}  "
            f"expected gain {entry['decrement']:.2e}  largest gradient {entry['gradient']:.2e}"
        )
        # on a terminal a shorter line leaves nothing of a longer one
        stream.write(f"\r{line}\x1b[K" if live else f"{line}\n")
        stream.flush()

    return show


def bar(done: int, total: int, stream=None) -> None:
    """A bar on stderr, drawn again at every call and ended with its line when all is done."""
    stream, width = stream or sys.stderr, 30
    filled = width * done // max(total, 1)
    end = "\n" if done >= total else ""
    stream.write(f"\r[{'=' * filled}{' ' * (width - filled)}] {done}/{total}{end}")
    stream.flush()
