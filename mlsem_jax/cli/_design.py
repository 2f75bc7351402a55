"""The options of `mlsem fit` that are of a survey: weights, strata, replicate weights and plausible values."""

from __future__ import annotations

import argparse
from typing import Any

from mlsem_jax.cli._shared import CommandError

_NAMES = (
    "sampling_weights",
    "sampling_weights_between",
    "sampling_weights_scaling",
    "sampling_weights_normalization",
    "strata",
    "lonely",
    "replicate_weights",
    "replicate_type",
    "fay",
)


def design_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("--sampling-weights", metavar="COLUMN", help="weights of rows, with two levels given their cluster")
    p.add_argument("--sampling-weights-between", metavar="COLUMN", help="weights of clusters")
    p.add_argument(
        "--sampling-weights-scaling", default=None, help="of two levels: cluster (the default), effective or none"
    )
    p.add_argument(
        "--sampling-weights-normalization", default=None, help="of one level: total (the default), group or none"
    )
    p.add_argument("--strata", metavar="COLUMN", help="strata of the sample, whole clusters each")
    p.add_argument("--lonely", default=None, help="strata of one cluster: error (the default) or adjust")
    p.add_argument("--replicate-weights", nargs="+", action="extend", metavar="COLUMN", help="replicate weights")
    p.add_argument("--replicate-type", default=None, help="BRR, Fay, JK1, JK2 or bootstrap")
    p.add_argument("--fay", type=float, default=None, help="the factor of Fay's method (PISA: 0.5)")
    p.add_argument(
        "--plausible-values",
        action="append",
        metavar="NAME=COLUMN,COLUMN,...",
        help="a variable of the model and the columns of its plausible values, such as math=PV1MATH,PV2MATH",
    )


def design_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `mlsem_jax.sem` that they are; None where one is not given."""
    return {name: getattr(arguments, name) for name in _NAMES} | {"plausible_values": plausible_values(arguments)}


def plausible_values(arguments: argparse.Namespace) -> dict[str, list[str]] | None:
    """Columns by variable; CommandError for what a pooled fit does not have."""
    if not arguments.plausible_values:
        return None
    for name in ("json", "report", "modindices"):
        if getattr(arguments, name):
            raise CommandError(
                f"--{name} is of a single fit: leave it out with --plausible-values, which pools several."
            )
    found: dict[str, list[str]] = {}
    for word in arguments.plausible_values:
        variable, sign, columns = word.partition("=")
        variable, names = variable.strip(), [name.strip() for name in columns.split(",") if name.strip()]
        if not sign or not variable or not names:
            raise CommandError(f"--plausible-values {word}: write NAME=COLUMN,COLUMN, such as math=PV1MATH,PV2MATH.")
        if variable in found:
            raise CommandError(f"--plausible-values {word}: {variable} is given twice.")
        found[variable] = names
    return found
