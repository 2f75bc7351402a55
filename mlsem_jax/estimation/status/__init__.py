"""Whether the end of a search is a maximum, a proper one, and the words for what is not."""

from mlsem_jax.estimation.status._diagnosis import FLAT, improper_parameters, singular_edge, singular_network
from mlsem_jax.estimation.status._identified import unidentified
from mlsem_jax.estimation.status._limited_notes import limited_notes, refuse_perfect
from mlsem_jax.estimation.status._status import at_end, is_maximum
from mlsem_jax.estimation.status._verify import fit_warnings, verified, with_status

__all__ = [
    "FLAT",
    "at_end",
    "fit_warnings",
    "improper_parameters",
    "is_maximum",
    "limited_notes",
    "refuse_perfect",
    "singular_edge",
    "singular_network",
    "unidentified",
    "verified",
    "with_status",
]
