"""One live line for long jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def progress(method: Any, stream=None) -> Callable[[dict], None]:
    """A callback that shows the iteration, the log-likelihood, the expected gain and the largest gradient element.

    On a terminal the line is rewritten in place; elsewhere each iteration is a line.
    """
    stream = stream or sys.stderr
    name = method if isinstance(method, str) else type(method).__name__
    live = bool(getattr(stream, "isatty", lambda: False)())

    def show(entry: dict) -> None:
        line = (
            f"{name}: iteration {entry['iteration']:4d}  loglik {entry['loglik']:.6f}  "
            f"expected gain {entry['decrement']:.2e}  largest gradient {entry['gradient']:.2e}"
        )
        stream.write(f"\r{line}" if live else f"{line}\n")
        stream.flush()

    return show
