"""mlsem_jax: two-level structural equation models and latent network models on JAX.

Names are imported when they are first used, so that `import mlsem_jax` is quick and changes no global setting.
"""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

from mlsem_jax._version import __version__

if TYPE_CHECKING:
    from mlsem_jax import datasets as datasets
    from mlsem_jax._batches import estimate_batch as estimate_batch
    from mlsem_jax._cache import enable_compilation_cache as enable_compilation_cache
    from mlsem_jax._diagnose import diagnose as diagnose
    from mlsem_jax._efa import efa as efa
    from mlsem_jax._errors import ConvergenceWarning as ConvergenceWarning
    from mlsem_jax._errors import DataError as DataError
    from mlsem_jax._errors import IdentificationError as IdentificationError
    from mlsem_jax._errors import ImproperSolutionWarning as ImproperSolutionWarning
    from mlsem_jax._errors import ModelError as ModelError
    from mlsem_jax._errors import ModelSyntaxError as ModelSyntaxError
    from mlsem_jax._errors import ModelWarning as ModelWarning
    from mlsem_jax._fit import Fit as Fit
    from mlsem_jax._fit import lrt as lrt
    from mlsem_jax._functional import estimate as estimate
    from mlsem_jax._functional import log_likelihood as log_likelihood
    from mlsem_jax._invariance import Invariance as Invariance
    from mlsem_jax._invariance import invariance as invariance
    from mlsem_jax._lavaan import cfa as cfa
    from mlsem_jax._lavaan import growth as growth
    from mlsem_jax._lavaan import lavaan as lavaan
    from mlsem_jax._lavaan import sem as sem
    from mlsem_jax._load import load as load
    from mlsem_jax._model import model as model
    from mlsem_jax._model import statistics as statistics
    from mlsem_jax._montecarlo import montecarlo as montecarlo
    from mlsem_jax._parallel import ParallelAnalysis as ParallelAnalysis
    from mlsem_jax._parallel import parallel_analysis as parallel_analysis
    from mlsem_jax._partable import read_partable as read_partable
    from mlsem_jax._pool import pool as pool
    from mlsem_jax._pooled_fit import PooledFit as PooledFit
    from mlsem_jax._sam import SamFit as SamFit
    from mlsem_jax._sam import sam as sam
    from mlsem_jax._sandwich import sandwich as sandwich
    from mlsem_jax._status import Status as Status
    from mlsem_jax.estimation import simulate as simulate
    from mlsem_jax.networks import NetworkFit as NetworkFit
    from mlsem_jax.networks import compare as compare
    from mlsem_jax.networks import ml_corr as ml_corr
    from mlsem_jax.networks import ml_ggm as ml_ggm
    from mlsem_jax.networks import ml_lnm as ml_lnm
    from mlsem_jax.networks import ml_lrnm as ml_lrnm
    from mlsem_jax.networks import ml_lvm as ml_lvm
    from mlsem_jax.networks import ml_rnm as ml_rnm
    from mlsem_jax.networks import ml_varcov as ml_varcov
    from mlsem_jax.studies import Study as Study
    from mlsem_jax.studies import grid as grid
    from mlsem_jax.studies import study as study


# where each public name lives
_HOMES = {
    "mlsem_jax._errors": (
        "ConvergenceWarning",
        "DataError",
        "IdentificationError",
        "ImproperSolutionWarning",
        "ModelError",
        "ModelSyntaxError",
        "ModelWarning",
    ),
    "mlsem_jax._batches": ("estimate_batch",),
    "mlsem_jax._cache": ("enable_compilation_cache",),
    "mlsem_jax._diagnose": ("diagnose",),
    "mlsem_jax._efa": ("efa",),
    "mlsem_jax._fit": ("Fit", "lrt"),
    "mlsem_jax._functional": ("estimate", "log_likelihood"),
    "mlsem_jax._invariance": ("Invariance", "invariance"),
    "mlsem_jax._lavaan": ("cfa", "growth", "lavaan", "sem"),
    "mlsem_jax._load": ("load",),
    "mlsem_jax._model": ("model", "statistics"),
    "mlsem_jax._montecarlo": ("montecarlo",),
    "mlsem_jax._parallel": ("ParallelAnalysis", "parallel_analysis"),
    "mlsem_jax._pool": ("pool",),
    "mlsem_jax._pooled_fit": ("PooledFit",),
    "mlsem_jax._partable": ("read_partable",),
    "mlsem_jax._sam": ("SamFit", "sam"),
    "mlsem_jax._sandwich": ("sandwich",),
    "mlsem_jax._status": ("Status",),
    "mlsem_jax.estimation": ("simulate",),
    "mlsem_jax.networks": (
        "NetworkFit",
        "compare",
        "ml_corr",
        "ml_ggm",
        "ml_lnm",
        "ml_lrnm",
        "ml_lvm",
        "ml_rnm",
        "ml_varcov",
    ),
    "mlsem_jax.studies": ("Study", "grid", "study"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", "datasets", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return importlib.import_module("mlsem_jax.datasets")
    if name not in _HOME:
        raise AttributeError(_told(name))
    value = getattr(_imported(_HOME[name]), name)
    globals()[name] = value
    return value


def _imported(home: str) -> Any:
    """The module, imported without the garbage collector: what modules and JAX's own make stays, and looking through it again and
    again takes a tenth of the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(home)
    finally:
        if running:
            gc.enable()


def _told(name: str) -> str:
    """The sentence for a name that is not there; names of Python's own are asked for by tools, not by people."""
    if name.startswith("_"):
        return f"module 'mlsem_jax' has no attribute {name!r}"
    from mlsem_jax._other_names import of_package

    return of_package(name, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
