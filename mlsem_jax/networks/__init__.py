"""psychonetrics' family of two-level network models: a front end to the library's one model and likelihood."""

from mlsem_jax.networks._compare import compare
from mlsem_jax.networks._constructors import ml_corr, ml_ggm, ml_lnm, ml_lrnm, ml_lvm, ml_rnm, ml_varcov
from mlsem_jax.networks._fit import Model, NetworkFit
from mlsem_jax.networks._log import Log, Step

__all__ = [
    "Log",
    "Model",
    "NetworkFit",
    "Step",
    "compare",
    "ml_corr",
    "ml_ggm",
    "ml_lnm",
    "ml_lrnm",
    "ml_lvm",
    "ml_rnm",
    "ml_varcov",
]
