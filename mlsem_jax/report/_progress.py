"""Live lines for long jobs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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


# the bar of tqdm that is on the screen
_SHOWN: list = []


def bar(done: int, total: int, stream=None) -> None:
    """A bar on stderr, drawn again at every call and ended when all is done: tqdm's where that is installed, which tells the time
    that is left and is a widget in notebooks, and otherwise one of characters.
    """
    if stream is None and (tqdm := _tqdm()) is not None:
        _by_tqdm(tqdm, done, total)
        return
    stream, width = stream or sys.stderr, 30
    filled = width * done // max(total, 1)
    end = "\n" if done >= total else ""
    stream.write(f"\r[{'=' * filled}{' ' * (width - filled)}] {done}/{total}{end}")
    stream.flush()


def _tqdm():
    """tqdm's class of bars, None where it is not installed; in a notebook its widget, where there are widgets."""
    try:
        if _in_notebook():
            import ipywidgets  # noqa: F401
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:
        try:
            from tqdm import tqdm
        except ImportError:
            return None
    return tqdm


def _by_tqdm(tqdm, done: int, total: int) -> None:
    if _SHOWN and (_SHOWN[0].total != total or _SHOWN[0].n > done):  # of a job that was stopped
        _SHOWN.pop().close()
    if not _SHOWN:
        _SHOWN.append(tqdm(total=total, mininterval=0.0))
    _SHOWN[0].update(done - _SHOWN[0].n)
    if done >= total:
        _SHOWN.pop().close()


# seconds after which a call says that it is at work
PATIENCE = 1.0
# whether a call has the word already: what it calls itself leaves it to it
_AT_WORK: list[bool] = []
# shorter than the lines of a terminal, where it is wiped away
NOTICE = "mlsem_jax: at work (a first call compiles, a hard search takes long) ..."


@contextmanager
def notice_if_slow(stream=None) -> Iterator[None]:
    """A word to whoever waits at a terminal or a notebook where what is inside takes more than a second: nothing to scripts, whose
    output goes to files. A terminal's line is gone when the work is done.
    """
    stream = stream or sys.stderr
    terminal = bool(getattr(stream, "isatty", lambda: False)())
    if _AT_WORK or not (terminal or _in_notebook()):
        yield
        return
    _AT_WORK.append(True)
    said = threading.Event()

    def say() -> None:
        said.set()
        stream.write(NOTICE if terminal else f"{NOTICE}\n")
        stream.flush()

    timer = threading.Timer(PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        _AT_WORK.pop()
        timer.cancel()
        timer.join()
        if said.is_set() and terminal:
            stream.write("\r\x1b[K")
            stream.flush()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
