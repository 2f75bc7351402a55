"""What the commands of `mlsem` share: how one is described, what is said on stderr, and checks of words and files."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# 10,000 as people write it
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")


class CommandError(Exception):
    """A command that cannot be carried out as given."""


@dataclass(frozen=True)
class Command:
    """arguments adds the options to a parser; run carries the command out and returns whether a maximum was reached."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], bool]


def number(least: int, most: int = 10**7) -> Callable[[str], int]:
    """The type of an option that takes a whole number."""

    def read(text: str) -> int:
        try:
            value = int(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not a number from {least} to {most}")
        return value

    return read


def say(arguments: argparse.Namespace, what: str) -> None:
    """Progress, on stderr, so that stdout holds results only."""
    if not arguments.quiet:
        print(f"mlsem: {what}", file=sys.stderr, flush=True)


def note(what: str) -> None:
    """What the user should know of how the command was understood; --quiet does not silence it."""
    print(f"mlsem: note: {what}", file=sys.stderr, flush=True)


def writable(*paths: Path | None, read: Sequence[Path] = ()) -> None:
    """The folders of the files to be written are there, and no file that is read is one of them: said before an estimation."""
    for path in paths:
        if path is not None and path.resolve() in [other.resolve() for other in read]:
            raise CommandError(f"{path} is read by this command; name another file to write to.")
        if path is not None and path.is_dir():
            raise CommandError(f"{path} is a folder; name the file to write in it.")
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"There is no folder {path.parent} to write {path.name} to.")
