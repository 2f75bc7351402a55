# %% [markdown]
# # Networks within and between persons
#
# Six moods, reported by 150 persons on 12 days each. Within persons moods move together from day to day; between persons they
# hang together in another way. A Gaussian graphical model at both levels tells the two apart: its edges are partial
# correlations, what is left of the relation of two moods when all others are held constant.
#
#     python examples/networks.py [folder]
#
# The picture is saved in the folder, or in a temporary one.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import mlsem_jax as ml

MOODS = ["happy", "calm", "active", "tired", "tense", "sad"]
ml.enable_compilation_cache()


# %% [markdown]
# ## Simulate
# The true networks: within persons a ring, between persons a star around *happy*.


# %%
def covariance(edges: dict[tuple[str, str], float]) -> np.ndarray:
    """Standardised variables with these partial correlations."""
    omega = np.zeros((6, 6))
    for (a, b), weight in edges.items():
        i, j = MOODS.index(a), MOODS.index(b)
        omega[i, j] = omega[j, i] = weight
    return np.linalg.inv(np.eye(6) - omega)


RING = dict.fromkeys(zip(MOODS, MOODS[1:] + MOODS[:1], strict=True), 0.3) | {
    ("active", "tired"): -0.35,
    ("sad", "happy"): -0.3,
}
STAR = {("happy", mood): weight for mood, weight in zip(MOODS[1:], (0.45, 0.4, -0.3, -0.35, -0.45), strict=True)}

random = np.random.default_rng(4)  # and draws by Cholesky: by eigenvectors they change with the version of numpy
person = np.repeat(np.arange(150), 12)
days = random.multivariate_normal(np.zeros(6), covariance(RING), len(person), method="cholesky")
persons = 0.7 * random.multivariate_normal(np.zeros(6), covariance(STAR), 150, method="cholesky")
data = pd.DataFrame(3 + persons[person] + days, columns=MOODS).assign(person=person)
print(data.groupby("person").mean().describe().loc[["mean", "std"]].round(2).to_string())

# %% [markdown]
# ## Fit
# All edges free at both levels: the saturated model, in other words. `status` says whether the estimates are a verified maximum.

# %%
full = ml.ml_ggm(data, clusters="person", vars=MOODS).fit()
print(full, full.status)
print(full.getmatrix("omega_within").round(2).to_string())

# %% [markdown]
# ## Prune, and add back what is missed
# Edges that are not significant go, all at once; then modification indices may bring single ones back. The log tells the story.

# %%
sparse = full.prune(alpha=0.01).stepup(alpha=0.01)
print(sparse.log)

# %% [markdown]
# ## Compare
# Persons are the units of RMSEA and BIC here, as in psychonetrics. A model without any edge is the third candidate.

# %%
empty = ml.ml_ggm(data, clusters="person", vars=MOODS, omega_within="zero", omega_between="zero").fit()
print(ml.compare(full=full, sparse=sparse, empty=empty).round(3).to_string(index=False))

# %% [markdown]
# ## Find the truth
# How many of the true edges were found, and how many were invented?


# %%
def recovered(matrix: str, truth: dict[tuple[str, str], float]) -> str:
    """Edges found and invented, in words."""
    omega = sparse.getmatrix(matrix)
    found = {frozenset((a, b)) for a in MOODS for b in MOODS if a != b and omega.loc[a, b] != 0}
    true = {frozenset(pair) for pair in truth}
    return f"{matrix}: {len(found & true)} of {len(true)} edges found, {len(found - true)} that are not there"


print(recovered("omega_within", RING))
print(recovered("omega_between", STAR))

# %% [markdown]
# ## Plot
# Both levels side by side, nodes in the same places: blue is positive, orange and dashed negative, wide is strong.

# %%
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
axes = sparse.plot_network(labels=True)
picture = folder / "networks.png"
axes[0].figure.savefig(picture, dpi=120)
print(f"Picture: {picture}")
