"""CFI, TLI and RMSEA of the latent responses behind ordered variables (Savalei 2021), beside lavaan 0.6-14."""

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax._status import of_least_squares

ITEMS = [f"u{i}" for i in range(1, 6)]
TEXT = f"f =~ {' + '.join(ITEMS)}"
# fitMeasures(cfa(TEXT, data, ordered = ITEMS, estimator = ...))
LAVAAN = {
    "WLSMV": (0.767264780, 0.534529559, 0.246338854, 0.202012044, 0.293556514),
    "ULSMV": (0.770002688, 0.540005375, 0.244885596, 0.201393199, 0.291181832),
}
NAMES = ["cfi.robust", "tli.robust", "rmsea.robust", "rmsea.ci.lower.robust", "rmsea.ci.upper.robust"]


def answers() -> pd.DataFrame:
    """Two factors and a correlated residual, categories of four; one factor does not fit them."""
    rng = np.random.default_rng(5)
    f = rng.normal(size=(400, 2)) @ np.linalg.cholesky([[1, 0.4], [0.4, 1]]).T
    y = f[:, [0, 0, 0, 1, 1]] * [1, 0.8, 0.7, 1, 0.9] + rng.normal(size=(400, 5))
    y[:, 2] += 0.5 * y[:, 4]
    table = pd.DataFrame(np.searchsorted([-1, 0.2, 1.2], y), columns=ITEMS)
    return table.assign(g=rng.integers(0, 2, 400), y=f[:, 0] + rng.normal(size=400))


@pytest.mark.parametrize("estimator", sorted(LAVAAN))
def test_indices_of_latent_responses(estimator):
    found = ml.cfa(TEXT, answers(), ordered=ITEMS, estimator=estimator).fit_measures()
    np.testing.assert_allclose(found[NAMES], LAVAAN[estimator], rtol=2e-6)
    assert found["nnfi.robust"] == found["tli.robust"]
    assert found["rmsea.pvalue.robust"] < 1e-9


def test_the_standardized_solution_is_that_of_the_delta_parameterization():
    """lavaan's default: cfa(TEXT, data, ordered = ITEMS, std.lv = TRUE), estimates and standard errors."""
    found = ml.cfa(TEXT, answers(), ordered=ITEMS).standardized_solution().set_index(["lhs", "op", "rhs"])
    for place, (est, se) in {
        ("f", "=~", "u1"): (0.510, 0.051),
        ("f", "=~", "u3"): (0.823, 0.040),
        ("f", "=~", "u5"): (0.704, 0.041),
        ("u1", "|", "t1"): (-0.651, 0.068),
        ("u3", "|", "t3"): (0.772, 0.070),
    }.items():
        assert found["est.std"][place] == pytest.approx(est, abs=6e-4)
        assert found["se"][place] == pytest.approx(se, abs=6e-4)


def test_groups_add_up():
    found = ml.cfa(TEXT, answers(), ordered=ITEMS, group="g").fit_measures()
    # lavaan's baseline leaves the groups' shares out, so that its CFI is another one
    np.testing.assert_allclose(found[NAMES[2:]], (0.255295705, 0.209792149, 0.303453024), rtol=2e-6)
    twice = pd.concat([answers().assign(g=0), answers().assign(g=1)])
    alone = ml.cfa(TEXT, answers(), ordered=ITEMS).fit_measures()
    both = ml.cfa(TEXT, twice, ordered=ITEMS, group="g").fit_measures()
    # doubled, excess is twice T less twice its mean: the same share of the baseline's
    np.testing.assert_allclose(both["cfi.robust"], alone["cfi.robust"], rtol=1e-5)


@pytest.mark.parametrize("text", [f"{TEXT} + y", f"{TEXT}\nf ~ y"])
def test_not_with_continuous_variables(text):
    found = ml.cfa(text, answers(), ordered=ITEMS).fit_measures()
    assert "cfi.scaled" in found
    assert not [name for name in found.index if name.endswith(".robust")]


def test_without_a_minimum_the_sentence_is_of_least_squares():
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.cfa("f =~ u1 + u2 + u3\nh =~ u4 + u5", answers(), ordered=ITEMS, group="g")
    assert not fit.converged
    with pytest.raises(ml.ModelError, match=str(of_least_squares(int(fit.status)))[:40]):
        fit.fit_measures()
