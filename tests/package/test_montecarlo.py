"""Simulation studies: their summaries by definition, going on where they ended, files, and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny import MODEL, SIZES, THETA, rows, tiny_model

import mlsem_jax as ml
from mlsem_jax.studies._montecarlo_study import MonteCarlo

pytestmark = pytest.mark.timeout(300)

# batches of 9 to 64 lanes share one compiled program
COUNT, KEY = 30, 11


def study(**options) -> object:
    return ml.montecarlo(tiny_model(), THETA, SIZES, options.pop("n_datasets", COUNT), KEY, **options)


@pytest.fixture(scope="module")
def whole():
    return study()


def test_estimates_are_those_of_each_data_set(whole):
    with jax.enable_x64(True):
        drawn = ml.simulate(tiny_model(), THETA, KEY, SIZES, COUNT)
    one = ml.estimate_batch(tiny_model(), drawn, theta0=THETA, chisq=True)
    np.testing.assert_allclose(whole.estimates[:, :14], one.theta, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(whole.se[:, :14], one.se, rtol=1e-6)
    np.testing.assert_allclose(whole.chisq, one.chisq, atol=1e-7)
    a, b = (whole.draws()[name] for name in "ab")
    np.testing.assert_allclose(whole.draws()["product"], a * b, rtol=1e-12)
    assert whole.names[-1] == "product"
    assert whole.true[-1] == pytest.approx(0.8 * 1.1)


def test_the_table_by_definition(whole):
    table = whole.table().loc["a"]
    draws = whole.draws()
    est, se, true = draws["a"], draws["se.a"], 0.8
    error, r = est - true, COUNT
    assert table["bias"] == pytest.approx(error.mean())
    assert table["bias.mcse"] == pytest.approx(est.std() / r**0.5)
    assert table["rel.bias"] == pytest.approx(error.mean() / true)
    assert table["rmse"] == pytest.approx((error**2).mean() ** 0.5)
    assert table["se/sd"] == pytest.approx((se**2).mean() ** 0.5 / est.std())
    covered = (error.abs() <= stats.norm.ppf(0.975) * se).mean()
    assert table["coverage"] == pytest.approx(covered)
    assert table["coverage.mcse"] == pytest.approx((covered * (1 - covered) / r) ** 0.5)
    assert table["power"] == pytest.approx((est.abs() / se > stats.norm.ppf(0.975)).mean())
    rates = whole.rates()
    assert rates.loc["chi-square rejects", "rate"] == pytest.approx((stats.chi2.sf(whole.chisq, 1) < 0.05).mean())
    assert rates.loc["converged", "rate"] == 1.0
    assert "30 data sets" in str(whole)


def test_monte_carlo_errors_are_the_spread_of_studies():
    """Made-up draws: 400 studies of 50; their results spread as the reported errors say (within 4 errors of a spread)."""
    rng = np.random.default_rng(1)
    tables = []
    for _ in range(400):
        estimates = 1 + rng.normal(size=(50, 1))
        se = np.sqrt(rng.chisquare(20, (50, 1)) / 20)
        nothing = np.full(50, np.nan)
        made = MonteCarlo(("a",), np.ones(1), estimates, se, nothing, 0, np.zeros(50, int))
        tables.append(made.table().iloc[0])
    every = pd.DataFrame(tables)
    for name in ("bias", "rel.bias", "sd", "rmse", "se/sd", "coverage", "power"):
        assert every[name].std() == pytest.approx(every[f"{name}.mcse"].mean(), rel=0.15), name


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_it_goes_on_where_it_ended(whole, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path, seen = tmp_path / f"study.{suffix}", []

    def stop(done, total):
        seen.append((done, total))
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(path=path, chunk=10, progress=stop)
    again = study(path=path, chunk=10, progress=lambda *at: seen.append(at))
    assert seen == [(10, 30), (20, 30), (30, 30)]
    np.testing.assert_allclose(again.estimates, whole.estimates, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(again.status, whole.status)
    # a file that is complete is only read, and a shorter study is its beginning
    fewer = study(path=path, n_datasets=5, progress=lambda *at: seen.append(at))
    assert len(seen) == 3
    np.testing.assert_array_equal(fewer.estimates, again.estimates[:5])


def test_profile_coverage_counts_true_values_that_are_not_rejected(tmp_path):
    path = tmp_path / "study.csv"
    first = study(profile=True, chunk=20, path=path)
    again = study(profile=True, chunk=20, path=path)  # from the file
    np.testing.assert_allclose(again.ratio, first.ratio, rtol=1e-10, atol=1e-10)
    table, at = first.table(), first.names.index("b")
    covered = (first.ratio[:, at] <= stats.chi2.ppf(0.95, 1)).mean()
    assert table.loc["b", "coverage.profile"] == pytest.approx(covered)
    assert table.loc["b", "coverage.profile.mcse"] == pytest.approx((covered * (1 - covered) / COUNT) ** 0.5)
    assert np.isnan(table.loc["product", "coverage.profile"])
    assert "coverage.profile" in str(first)
    assert "lr.b" in first.draws()
    # the same statistics fitted with the loading held in the model's text
    text = MODEL.replace("b*y3", "1.1*y3").replace("product := a*b", "")
    held = ml.model(text, rows(), cluster="g")
    with jax.enable_x64(True):
        drawn = ml.simulate(tiny_model(), THETA, KEY, SIZES, COUNT)
    drop = 2 * (ml.estimate_batch(tiny_model(), drawn).value - ml.estimate_batch(held, drawn).value)
    np.testing.assert_allclose(first.ratio[:, at], drop, atol=1e-7)


def test_another_study_does_not_touch_the_file(tmp_path):
    path = tmp_path / "study.csv"
    study(path=path, n_datasets=10)
    before = path.read_bytes()
    other = ml.model(MODEL.replace("0.2*y1", "0.3*y1"), rows(), cluster="g")
    for call in (
        lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 16, KEY + 1, path=path),
        lambda: ml.montecarlo(tiny_model(), THETA * 1.01, SIZES, 16, KEY, path=path),
        lambda: ml.montecarlo(other, THETA, SIZES, 16, KEY, path=path),
    ):
        with pytest.raises(ml.DataError, match="another study"):
            call()
    assert path.read_bytes() == before
    with pytest.raises(ml.DataError, match=r"\.csv or \.parquet"):
        study(path=tmp_path / "study.txt")


def test_data_that_are_not_normal():
    """Heavy tails: the estimates stay near the truth (30 data sets: four errors of their mean)."""
    heavy = study(distribution="t", freedom=5.0, chisq=False)
    table = heavy.table()
    assert (table["bias"].abs() < 4 * table["bias.mcse"]).all()
    assert "chi-square rejects" not in heavy.rates().index


def test_fits_that_fail_are_counted_and_left_out(whole):
    status = whole.status.copy()
    status[3] = ml.Status.STALLED
    estimates, se = whole.estimates.copy(), whole.se.copy()
    estimates[3], se[3] = np.nan, np.nan
    broken = dataclasses.replace(whole, status=status, estimates=estimates, se=se)
    assert broken.rates().loc["converged", "rate"] == pytest.approx(29 / 30)
    assert np.isfinite(broken.table()[["bias", "coverage", "se/sd"]]).all(axis=None)


def test_the_plot():
    pytest.importorskip("matplotlib").use("Agg")
    axes = study(n_datasets=10).plot("coverage")
    assert [text.get_text() for text in axes.get_yticklabels()] == [*tiny_model().names, "product"]
    with pytest.raises(ml.DataError, match="coverage"):
        study(n_datasets=10).plot("nonsense")


def test_data_with_missing_values():
    """The model says how they are treated; one that leaves rows out is refused."""
    model = ml.model(MODEL, rows(), cluster="g", missing="ml")
    found = ml.montecarlo(model, THETA, SIZES, 4, KEY, missing={"y1": 0.2, "y2": 0.2})
    drawn = ml.simulate(model, THETA, KEY, SIZES, 4, rows=True, missing={"y1": 0.2, "y2": 0.2})
    for i in range(4):
        one = ml.sem(MODEL, drawn.frame(i), cluster="g", missing="ml")
        np.testing.assert_allclose(found.estimates[i, :14], one.coef()[list(model.names)], atol=1e-6)
    with pytest.raises(ml.DataError, match=r"missing='ml'"):
        study(missing={"y1": 0.2}, n_datasets=2)
