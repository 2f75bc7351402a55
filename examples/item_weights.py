# %% [markdown]
# # Item weights trained through the model
#
# Three indicators, each a weighted mean of three items, some of them noise. Which weights tell most about the effect of x on the
# factor? The fit is a layer: weights -> indicators -> statistics -> `ml.estimate` -> the z value of the effect. optax climbs it,
# with derivatives of the maximum-likelihood estimate and its standard error by the implicit function theorem.
#
#     python examples/item_weights.py
#
# Replace `indicators` by a neural encoder and nothing else changes. Weights chosen on data make tests on the same data too
# optimistic: test on other clusters, as at the end.

# %%
from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

import mlsem_jax as ml
from mlsem_jax.likelihood import weighted_statistics
from mlsem_jax.observed import Plan, plan_sizes, traced_clusters

MODEL = """
level: 1
  fw =~ y1 + y2 + y3
  fw ~ x
level: 2
  fb =~ y1 + y2 + y3
"""
EFFECT = "fw~x"
NOISE = np.array([[0.5, 0.5, 4.0], [4.0, 0.5, 0.5], [0.5, 4.0, 0.5]])


# %% [markdown]
# ## Data: nine items, three of which are mostly noise


# %%
def simulate(clusters: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items (N, 3, 3), x (N,) and cluster codes (N,)."""
    rng, cluster = np.random.default_rng(seed), np.repeat(np.arange(clusters), size)
    x = rng.normal(size=len(cluster))
    factor = 0.4 * x + rng.normal(size=len(cluster)) + 0.6 * rng.normal(size=clusters)[cluster]
    indicator = factor[:, None] + 0.4 * rng.normal(size=(clusters, 3))[cluster]
    return indicator[:, :, None] + NOISE * rng.normal(size=(len(cluster), 3, 3)), x, cluster


def indicators(weights, items):
    """Weighted means (N, 3) of the items of each indicator; weights are logits (3, 3)."""
    return jnp.einsum("nki,ki->nk", items, jax.nn.softmax(weights, axis=1))


def statistics(weights, items, x, cluster, size, plan: Plan):
    """Everything between weights and the likelihood can be traced."""
    rows = jnp.concatenate([indicators(weights, items), x[:, None]], axis=1)
    clusters = traced_clusters(rows, cluster, jnp.zeros(len(size), int), size)
    return weighted_statistics(clusters, plan, jnp.ones(len(size)))


# %% [markdown]
# ## The loss: minus the z value of the effect


# %%
def z_value(model, weights, data):
    fit = ml.estimate(model, statistics(weights, *data))
    at = model.names.index(EFFECT)
    return fit.theta[at] / fit.se[at]


def prepare(clusters: int, size: int, seed: int):
    items, x, cluster = simulate(clusters, size, seed)
    sizes = np.full(clusters, float(size))
    return (
        jnp.asarray(items),
        jnp.asarray(x),
        jnp.asarray(cluster),
        sizes,
        plan_sizes(sizes, np.zeros(clusters, int), 1),
    )


def make_model(data):
    """The model, with the columns named and the covariate's moments taken from the data."""
    items, x, cluster, *_ = data
    frame = pd.DataFrame(np.asarray(indicators(jnp.zeros((3, 3)), items)), columns=["y1", "y2", "y3"])
    return ml.model(MODEL, frame.assign(x=np.asarray(x), g=np.asarray(cluster)), cluster="g")


def main(steps: int = 60, clusters: int = 100, size: int = 10) -> tuple[np.ndarray, list[float]]:
    with jax.enable_x64(True):
        data, other = prepare(clusters, size, 1), prepare(clusters, size, 2)
        model = make_model(data)
        loss = jax.jit(jax.value_and_grad(lambda weights: -z_value(model, weights, data)))
        optimiser = optax.adam(0.2)
        weights = jnp.zeros((3, 3))
        state, values = optimiser.init(weights), []
        for _ in range(steps):
            value, gradient = loss(weights)
            values.append(-float(value))
            update, state = optimiser.update(gradient, state)
            weights = optax.apply_updates(weights, update)
        shares = np.asarray(jax.nn.softmax(weights, axis=1))
        print(f"z of {EFFECT}: {values[0]:.2f} with equal weights, {values[-1]:.2f} with trained ones")
        print("weights of the items (rows: indicators)\n", shares.round(2))
        # statistics of other clusters, weights as they are: an honest test
        unseen = make_model(other)
        test = jax.jit(lambda w: z_value(unseen, w, other))
        print(f"in other clusters: {float(test(jnp.zeros((3, 3)))):.2f} and {float(test(weights)):.2f}")
    return shares, values


if __name__ == "__main__":
    main()
