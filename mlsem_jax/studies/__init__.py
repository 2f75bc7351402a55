"""Data sets simulated and fitted many times: `ml.montecarlo`, and a grid of conditions (`ml.study`)."""

from mlsem_jax.studies._design import grid as grid
from mlsem_jax.studies._report import Study as Study
from mlsem_jax.studies._sizes import cluster_sizes as cluster_sizes
from mlsem_jax.studies._study import study as study
