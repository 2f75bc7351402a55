"""psychonetrics' family of two-level network models as a front end to the library's one model and likelihood."""

from mlsem_jax.networks._compare import compare as compare
from mlsem_jax.networks._constructors import (
    ml_corr as ml_corr,
    ml_ggm as ml_ggm,
    ml_lnm as ml_lnm,
    ml_lrnm as ml_lrnm,
    ml_lvm as ml_lvm,
    ml_rnm as ml_rnm,
    ml_varcov as ml_varcov,
)
from mlsem_jax.networks._log import Log as Log, Step as Step
from mlsem_jax.networks._model import Model as Model
