"""Options of the library by their names, for what has no option of the command line: `--set information=expected`."""

from __future__ import annotations

import argparse
from typing import Any

from mlsem_jax.cli._shared import CommandError

_WORDS = {"true": True, "false": False, "none": None}


def named_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of the library, such as --set information=expected --set fixed_x=false; lists have commas",
    )


def named_options(arguments: argparse.Namespace, known: dict[str, Any]) -> dict[str, Any]:
    """name: value of every --set. CommandError for a word without =, and for what an option of the command line says already."""
    found: dict[str, Any] = {}
    for word in arguments.set:
        name, sign, text = word.partition("=")
        name = name.strip().replace("-", "_").replace(".", "_")
        if not sign or not name:
            raise CommandError(f"--set {word}: write NAME=VALUE, such as --set information=expected.")
        if name in found or (known.get(name) not in (None, False) and name not in ("missing",)):
            raise CommandError(f"--set {word}: {name} is given twice.")
        if name in ("cluster", "group", "data", "model", "clusters", "vars", "lambda_"):
            raise CommandError(f"--set {word}: {name} has an option of its own.")
        found[name] = value_of(text.strip())
    return found


def value_of(text: str) -> Any:
    """true, false, none, a number, or text; with commas a list of them."""
    if "," in text:
        return [value_of(part.strip()) for part in text.split(",") if part.strip()]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
