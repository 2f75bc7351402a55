# %% [markdown]
# # How many clusters? A power analysis by gradient
#
# The expected statistics of a design are a smooth function of the number of clusters and their size, and `ml.estimate` is a smooth
# function of the statistics. So power is a differentiable function of the design, and Newton's method finds the design with the
# power that you want; no simulation is needed, though one at the end checks the answer.
#
#     python examples/power.py

# %%
from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.stats import norm

import mlsem_jax as ml
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.observed import CompleteStatistics, SizePools

MODEL = """
level: 1
  fw =~ y1 + y2 + y3
level: 2
  fb =~ y1 + y2 + y3
  fb ~ policy
"""
# what we expect: items with residual variances 0.6 within and 0.1 between schools, and a small effect of the policy
VALUES = {"fb~policy.l2": 0.3, "fb~~fb.l2": 0.3, "fw~~fw": 1.0}
EFFECT = "fb~policy.l2"


def population() -> tuple[object, jnp.ndarray]:
    """The model, made with a frame that has the right columns and a policy in half of the clusters; and its parameters."""
    cluster = np.repeat(np.arange(40), 5)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(len(cluster), 3)), columns=["y1", "y2", "y3"])
    frame = frame.assign(policy=(cluster % 2).astype(float), school=cluster)
    model = ml.model(MODEL, frame, cluster="school")

    def value(name: str) -> float:
        if name in VALUES:
            return VALUES[name]
        if "=~" in name:
            return 1.0
        return 0.0 if "~1" in name else 0.1 if name.endswith(".l2") else 0.6

    return model, jnp.array([value(name) for name in model.names])


# %% [markdown]
# ## The statistics that a design leads us to expect
# Cross-products within clusters, and means and covariances of cluster means; the count of clusters may be any positive number.


# %%
def expected_statistics(model, theta, clusters, size) -> Statistics:
    m = model(theta)
    one = jnp.ones((1, 1))
    within, between, z = m.within_cov[0], m.between_cov[0], model.structure.between_only
    complete = CompleteStatistics(
        rows=clusters * size * one[0],
        clusters=clusters * one[0],
        within=(clusters * (size - 1) * within)[None],
        size=size * one,
        count=clusters * one,
        mean=m.mean[:, None],
        # a variable of the clusters has no variance within them
        cov=jnp.where((z[:, None] + z[None, :]) > 0, between, between + within / size)[None, None],
    )
    return Statistics((CompleteTerm(complete),), SizePools(complete.size, complete.count))


def power(model, theta, clusters, size):
    """Power of the two-sided test of EFFECT at 5 %, by a fit to the expected statistics."""
    fit = ml.estimate(model, expected_statistics(model, theta, clusters, size), theta0=theta)
    at = model.names.index(EFFECT)
    return norm.cdf(jnp.abs(fit.theta[at]) / fit.se[at] - norm.ppf(0.975))


# %% [markdown]
# ## Newton's method for the number of clusters
# On the scale of probits and of the logarithm of the number the function is nearly a straight line.


# %%
def clusters_needed(slope, size: float, target: float = 0.8, start: float = 50.0) -> float:
    """slope(log_clusters, size): the probit of power and its derivative in the logarithm of the number of clusters."""
    log_clusters = jnp.log(start)
    for _ in range(20):
        value, derivative = slope(log_clusters, size)
        step = (norm.ppf(target) - value) / derivative
        log_clusters = log_clusters + jnp.clip(step, -1.0, 1.0)
        if abs(float(step)) < 1e-10:
            break
    return float(jnp.exp(log_clusters))


# %%
def main(sizes=(5.0, 10.0, 20.0, 40.0), datasets: int = 2000) -> dict[float, float]:
    with jax.enable_x64(True):
        model, theta = population()

        @jax.jit
        @jax.value_and_grad
        def slope(log_clusters, size):
            return norm.ppf(power(model, theta, jnp.exp(log_clusters), size))

        needed = {size: clusters_needed(slope, jnp.asarray(size)) for size in sizes}
        for size, clusters in needed.items():
            # a school costs as much as 20 pupils
            price = clusters * (20 + size)
            print(f"{size:4.0f} pupils a school: {clusters:6.1f} schools for 80 % power, at a price of {price:6.0f}")
        if datasets:
            size = sizes[-1]
            study = ml.montecarlo(model, theta, [int(size)] * round(needed[size]), datasets, key=1, chisq=False)
            found = study.table().loc[EFFECT]
            print(f"simulated: power {found['power']:.3f} (Monte-Carlo error {found['power.mcse']:.3f})")
    return needed


if __name__ == "__main__":
    main()
