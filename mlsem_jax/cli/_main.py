"""The command line: `mlsem fit model.txt data.csv --cluster school`. Same numbers as the library, no Python needed."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlsem_jax._errors import ModelWarning
from mlsem_jax._version import __version__
from mlsem_jax.cli._commands import COMMANDS
from mlsem_jax.cli._shared import CommandError, note
from mlsem_jax.cli._words import CommandParser

OK, NOT_CONVERGED, BAD_INPUT, FAILED = 0, 1, 2, 3

# words of the library's messages, and what does the same on the command line
_HINTS = (
    ("stands for missing values", "--na CODE"),
    ("needs cluster=", "--cluster COLUMN"),
    ("to use as cluster=", "--cluster COLUMN"),
    ("With fixed_x=False", "--random-x"),
    (
        "separate thousands or decimals",
        "--decimal . where they separate thousands, --decimal , where they are decimal signs",
    ),
)
_EPILOG = """exit status: 0 done; 1 fitted, but not to a maximum (results are printed all the same);
2 the command, the model or the data cannot be used; 3 an error in the program"""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="mlsem",
        description="Two-level structural equation models by maximum likelihood.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mlsem_jax {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(sub)
        sub.add_argument(
            "--cache", type=Path, metavar="DIR", help="folder of compiled programs (default: the user's cache)"
        )
        sub.add_argument("--no-cache", action="store_true", help="compile anew")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=command.run, top=top)
    return top


def _tell(message: Warning | str, *place: Any, **more: Any) -> None:
    """A warning as a note on stderr."""
    note(f"{message}{_hint(str(message))}")


def _hint(told: str) -> str:
    """What does on the command line what a message of the library advises."""
    return next((f" On the command line: {remedy}." for sign, remedy in _HINTS if sign in told), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; mistakes of the user are told without a traceback."""
    if not (sys.argv[1:] if argv is None else argv):
        parser().print_help(sys.stderr)
        return BAD_INPUT
    arguments = parser().parse_args(argv)
    try:
        if not arguments.no_cache:
            from mlsem_jax._cache import enable_compilation_cache

            if arguments.cache is not None and arguments.cache.exists() and not arguments.cache.is_dir():
                raise CommandError(f"--cache: {arguments.cache} is a file; name a folder.")
            enable_compilation_cache(arguments.cache)
        with warnings.catch_warnings():
            # everything that a fit warns of is in its summary; what the data and the model warn of is better known before the fit
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ModelWarning)
            warnings.showwarning = _tell
            return OK if arguments.run(arguments) else NOT_CONVERGED
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        sys.stderr.close()
        return OK
    except (CommandError, ValueError, OSError, ImportError) as problem:
        # an ImportError of ours says what to install; any other is a mistake in the program
        if arguments.debug or (isinstance(problem, ImportError) and "pip install" not in str(problem)):
            raise
        print(f"mlsem: error: {problem}{_hint(str(problem))}", file=sys.stderr)
        return BAD_INPUT
    except MemoryError:
        print(
            "mlsem: error: There is not enough memory for this. Use fewer rows, clusters or data sets.", file=sys.stderr
        )
        return BAD_INPUT
    except KeyboardInterrupt:
        print("mlsem: stopped", file=sys.stderr)
        return 130
    except Exception as problem:
        if arguments.debug:
            raise
        print(
            f"mlsem: {type(problem).__name__}: {problem}\nThis is a mistake in mlsem_jax. Please report it with --debug.",
            file=sys.stderr,
        )
        return FAILED
