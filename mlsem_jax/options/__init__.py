"""The options of fits: rules of their values, the table of all of them, keywords for editors, the words of other programs."""

from mlsem_jax.options._keywords import (
    CommonOptions,
    InvarianceOptions,
    LatentOptions,
    LvmOptions,
    ModelOptions,
    ObservedOptions,
    SemOptions,
    VarcovOptions,
)
from mlsem_jax.options._options import OPTIONS, allow_se, check, read_options, spelt_alike, unknown_option
from mlsem_jax.options._table import NETWORKS, SECTIONS, TABLE, Option

__all__ = [
    "CommonOptions",
    "InvarianceOptions",
    "LatentOptions",
    "LvmOptions",
    "ModelOptions",
    "NETWORKS",
    "OPTIONS",
    "ObservedOptions",
    "Option",
    "SECTIONS",
    "SemOptions",
    "TABLE",
    "VarcovOptions",
    "allow_se",
    "check",
    "read_options",
    "spelt_alike",
    "unknown_option",
]
