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
    from mlsem_jax._cache import enable_compilation_cache as enable_compilation_cache
    from mlsem_jax._errors import ConvergenceWarning as ConvergenceWarning
    from mlsem_jax._errors import DataError as DataError
    from mlsem_jax._errors import IdentificationError as IdentificationError
    from mlsem_jax._errors import ImproperSolutionWarning as ImproperSolutionWarning
    from mlsem_jax._errors import ModelError as ModelError
    from mlsem_jax._errors import ModelSyntaxError as ModelSyntaxError
    from mlsem_jax._errors import ModelWarning as ModelWarning
    from mlsem_jax._status import Status as Status
    from mlsem_jax.estimation import simulate as simulate
    from mlsem_jax.fits._fit import Fit as Fit
    from mlsem_jax.fits._fit import lrt as lrt
    from mlsem_jax.fits._pooled import PooledFit as PooledFit
    from mlsem_jax.fronts._diagnose import diagnose as diagnose
    from mlsem_jax.fronts._efa import efa as efa
    from mlsem_jax.fronts._invariance import Invariance as Invariance
    from mlsem_jax.fronts._invariance import invariance as invariance
    from mlsem_jax.fronts._lavaan import cfa as cfa
    from mlsem_jax.fronts._lavaan import growth as growth
    from mlsem_jax.fronts._lavaan import lavaan as lavaan
    from mlsem_jax.fronts._lavaan import sem as sem
    from mlsem_jax.fronts._load import load as load
    from mlsem_jax.fronts._parallel import ParallelAnalysis as ParallelAnalysis
    from mlsem_jax.fronts._parallel import parallel_analysis as parallel_analysis
    from mlsem_jax.fronts._partable import read_partable as read_partable
    from mlsem_jax.fronts._pool import pool as pool
    from mlsem_jax.fronts._sam import SamFit as SamFit
    from mlsem_jax.fronts._sam import sam as sam
    from mlsem_jax.functional._batches import estimate_batch as estimate_batch
    from mlsem_jax.functional._estimate import estimate as estimate
    from mlsem_jax.functional._estimate import log_likelihood as log_likelihood
    from mlsem_jax.functional._model import model as model
    from mlsem_jax.functional._model import statistics as statistics
    from mlsem_jax.functional._sandwich import sandwich as sandwich
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
    from mlsem_jax.studies._montecarlo import montecarlo as montecarlo


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
    "mlsem_jax.functional._batches": ("estimate_batch",),
    "mlsem_jax._cache": ("enable_compilation_cache",),
    "mlsem_jax.fronts._diagnose": ("diagnose",),
    "mlsem_jax.fronts._efa": ("efa",),
    "mlsem_jax.fits._fit": ("Fit", "lrt"),
    "mlsem_jax.functional._estimate": ("estimate", "log_likelihood"),
    "mlsem_jax.fronts._invariance": ("Invariance", "invariance"),
    "mlsem_jax.fronts._lavaan": ("cfa", "growth", "lavaan", "sem"),
    "mlsem_jax.fronts._load": ("load",),
    "mlsem_jax.functional._model": ("model", "statistics"),
    "mlsem_jax.studies._montecarlo": ("montecarlo",),
    "mlsem_jax.fronts._parallel": ("ParallelAnalysis", "parallel_analysis"),
    "mlsem_jax.fronts._pool": ("pool",),
    "mlsem_jax.fits._pooled": ("PooledFit",),
    "mlsem_jax.fronts._partable": ("read_partable",),
    "mlsem_jax.fronts._sam": ("SamFit", "sam"),
    "mlsem_jax.functional._sandwich": ("sandwich",),
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
    again takes a tenth of the time. Then it counts as old, as if the collector had been through it: else the first collections of
    the program would take as long.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(home)
    finally:
        if running:
            if not gc.get_freeze_count():  # of a program that froze nothing itself: all goes to the oldest generation
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _told(name: str) -> str:
    """The sentence for a name that is not there; names of Python's own are asked for by tools, not by people."""
    if name.startswith("_"):
        return f"module 'mlsem_jax' has no attribute {name!r}"
    from mlsem_jax._other_names import of_package

    return of_package(name, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
