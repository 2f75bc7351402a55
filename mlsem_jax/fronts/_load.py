"""load: a saved fit as the class of fit that it was."""

from __future__ import annotations

from pathlib import Path

from mlsem_jax import report
from mlsem_jax.fits import Fit
from mlsem_jax.fronts._sam import restored
from mlsem_jax.networks import NetworkFit


def load(path: str | Path) -> Fit:
    """A fit that `Fit.save` wrote. It answers everything that needs no rows of the data; the file is checked, not trusted.

    Fits of network models come as [`mlsem_jax.NetworkFit`][], those in two steps as [`mlsem_jax.SamFit`][].
    """
    estimation, fields = report.load(path)
    network, parts = fields.pop("network"), fields.pop("parts")
    if parts:
        return restored(estimation, parts, **fields)
    return Fit(estimation, **fields) if network is None else NetworkFit(estimation, network=network, **fields)
