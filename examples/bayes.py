# %% [markdown]
# # The log-likelihood in a Bayesian model
#
# `ml.log_likelihood` is a function of theta like any other in JAX: add a log-prior, hand the sum to a sampler. Here BlackJAX's NUTS
# (`pip install blackjax`) draws from the posterior, beside the maximum-likelihood estimates; where ArviZ is installed the draws are
# handed to it. In NumPyro the same is one line in your model: `numpyro.factor("data", ml.log_likelihood(model, theta, stats))`.
#
#     python examples/bayes.py

# %%
from __future__ import annotations

import importlib.util

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import mlsem_jax as ml

MODEL = """
level: 1
  math =~ math1 + math2 + math3
level: 2
  math_b =~ math1 + math2 + math3
"""


# %% [markdown]
# ## Posterior: likelihood times weak priors
# Variances and loadings get wide normal priors. The likelihood is zero where a covariance matrix is not positive definite, so no
# draw leaves that region.


# %%
def log_posterior(model, stats, theta, scale: float = 10.0):
    return ml.log_likelihood(model, theta, stats) - 0.5 * jnp.sum((theta / scale) ** 2)


# %% [markdown]
# ## Sampling in the coordinates of the maximum
# The information at the maximum says how long and how round the posterior is. With theta = maximum + root * u the target is close
# to a standard normal, and NUTS needs no warm-up.


# %% [markdown]
# ## For ArviZ
# Its summaries and plots (`arviz.summary`, effective sample sizes, R-hat) take the draws as named variables of chains. The names
# are those of the model: `data.posterior["theta"].sel(parameter="math=~math2")`.


# %%
def to_arviz(theta: np.ndarray, names, divergent: np.ndarray):
    """Draws (n, q) and flags (n,) of one chain as ArviZ data."""
    import arviz

    posterior, stats = {"theta": theta[None]}, {"diverging": divergent[None]}
    named = {"coords": {"parameter": list(names)}, "dims": {"theta": ["parameter"]}}
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.from_dict(posterior=posterior, sample_stats=stats, **named)
    return arviz.from_dict({"posterior": posterior, "sample_stats": stats}, **named)


# %%
def main(draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    with jax.enable_x64(True):
        data = ml.datasets.load_schools()
        model = ml.model(MODEL, data, cluster="school")
        stats = ml.statistics(model, data)
        fit = ml.estimate(model, stats)
        root = jnp.asarray(np.linalg.cholesky(np.asarray(fit.vcov)))
        sampler = blackjax.nuts(
            lambda u: log_posterior(model, stats, fit.theta + root @ u),
            step_size=0.6,
            inverse_mass_matrix=jnp.ones(len(fit.theta)),
        )

        @jax.jit
        def sample(key, state):
            def one(state, key):
                state, info = sampler.step(key, state)
                return state, (state.position, info.is_divergent)

            return jax.lax.scan(one, state, jax.random.split(key, draws))[1]

        positions, divergent = sample(jax.random.key(seed), sampler.init(jnp.zeros(len(fit.theta))))
        theta = np.asarray(fit.theta) + np.asarray(positions) @ np.asarray(root).T
        table = pd.DataFrame(
            {
                "ML": np.asarray(fit.theta),
                "se": np.asarray(fit.se),
                "posterior mean": theta.mean(0),
                "posterior sd": theta.std(0, ddof=1),
                "2.5 %": np.quantile(theta, 0.025, axis=0),
                "97.5 %": np.quantile(theta, 0.975, axis=0),
            },
            index=list(model.names),
        )
        print(f"{draws} draws, {int(np.sum(divergent))} divergent")
        print(table.round(3).to_string())
        if importlib.util.find_spec("arviz"):
            chain = to_arviz(theta, model.names, np.asarray(divergent))
            print(chain)  # arviz.summary(chain), arviz.plot_trace(chain), ...
    return table


if __name__ == "__main__":
    main()
