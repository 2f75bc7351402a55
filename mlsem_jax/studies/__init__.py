"""Studies: a grid of conditions, each simulated and fitted many times (`ml.study`)."""

from mlsem_jax.studies._design import grid as grid
from mlsem_jax.studies._report import Study as Study
from mlsem_jax.studies._study import study as study
