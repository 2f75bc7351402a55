"""The options of `mlsem fit` that are of a survey: weights, strata and replicate weights."""

from __future__ import annotations

import argparse
from typing import Any

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


def design_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `mlsem_jax.sem` that they are; None where one is not given."""
    return {name: getattr(arguments, name) for name in _NAMES}
