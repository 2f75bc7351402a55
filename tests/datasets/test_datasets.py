"""The bundled data are what their script makes, and the population values are theirs."""

import numpy as np
import pandas as pd

from mlsem_jax.datasets import SCHOOLS_POPULATION, load_assessment, load_schools
from mlsem_jax.datasets._simulate_assessment import simulate_assessment
from mlsem_jax.datasets._simulate_schools import ITEMS, simulate_schools

NAMES = [*ITEMS["math"], *ITEMS["reading"]]


def test_shape_and_types():
    data = load_schools()
    assert list(data) == ["school", *NAMES, "ses", "girl", "public", "size"]
    assert data.school.nunique() == 100
    assert data.groupby("school").size().between(5, 40).all()
    assert not data.isna().any().any()
    assert data.school.map(type).eq(str).all()
    assert (data.groupby("school")[["public", "size"]].nunique() == 1).all().all()


def test_the_script_makes_the_file():
    pd.testing.assert_frame_equal(load_schools(), simulate_schools(), check_dtype=False, atol=0.0011)


def test_population_values_are_those_of_the_data():
    """Moments within schools, and regression of school means, against what the population implies; 4 standard errors."""
    data = load_schools()
    within = data[[*NAMES, "ses", "girl"]] - data.groupby("school")[[*NAMES, "ses", "girl"]].transform("mean")
    n = len(data) - 100
    observed = (within.T @ within / n).to_numpy()

    pupils = SCHOOLS_POPULATION["within"]
    paths = np.array([[pupils["regressions"][f][x] for x in ("ses", "girl")] for f in ITEMS])
    loadings = np.zeros((6, 2))
    for f, (factor, names) in enumerate(ITEMS.items()):
        loadings[[NAMES.index(name) for name in names], f] = [pupils["loadings"][factor][name] for name in names]
    covariates = np.diag([1.0, 0.25])
    factors = paths @ covariates @ paths.T + np.array(pupils["residual covariance"])
    items = loadings @ factors @ loadings.T + np.diag([pupils["residual sd"][name] ** 2 for name in NAMES])
    cross = loadings @ paths @ covariates
    implied = np.block([[items, cross], [cross.T, covariates]])
    variance = (implied**2 + np.outer(np.diag(implied), np.diag(implied))) / n
    assert np.abs((observed - implied) / np.sqrt(variance)).max() < 4

    schools = data.groupby("school")[[*NAMES, "public", "size"]].mean()
    size = data.groupby("school").size().to_numpy()
    design = np.column_stack([np.ones(100), schools.public, schools["size"]])
    estimate = np.linalg.lstsq(design, schools[NAMES].to_numpy(), rcond=None)[0]
    between = SCHOOLS_POPULATION["between"]
    weight = np.array([between["loadings"]["achievement"][name] for name in NAMES])
    path = between["regressions"]["achievement"]
    # school means of girl are about one half, and shift the items by their paths
    shift = loadings @ paths @ [0, pupils["mean"]["girl"]]
    expected = np.array(
        [[between["intercepts"][n] for n in NAMES] + shift, weight * path["public"], weight * path["size"]]
    )
    spread = [
        (weight[i] * between["residual sd"]["achievement"]) ** 2 + between["residual sd"][n] ** 2
        for i, n in enumerate(NAMES)
    ]
    noise = np.array(spread) + np.mean(1 / size) * np.diag(items)
    se = np.sqrt(np.outer(np.diag(np.linalg.inv(design.T @ design)), noise))
    assert np.abs((estimate - expected) / se).max() < 4


def test_the_assessment_is_the_file_of_its_program_and_its_weights_undo_the_sampling():
    """Weighted means of schools are near the population's, unweighted ones too high by what large schools achieve."""
    data = load_assessment()
    pd.testing.assert_frame_equal(data, simulate_assessment(), check_dtype=False, atol=0.0011)
    schools = data.groupby("school").first()
    replicates = schools[[f"r{i}" for i in range(1, 81)]].to_numpy() / schools[["w_school"]].to_numpy()
    assert np.allclose(np.minimum(np.abs(replicates - 0.5), np.abs(replicates - 1.5)), 0, atol=1e-4)
    # balanced: every zone's half-samples are orthogonal to every other's
    sign = 2 * (replicates[schools.groupby("zone").cumcount() == 0] - 1)
    assert np.allclose(sign @ sign.T, 80 * np.eye(75), atol=0.1)
    assert abs(schools.w_school.sum() - 3000) < 400
