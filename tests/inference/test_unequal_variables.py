"""Groups with variables of their own: what the model of a group does not name is no part of its likelihood."""

import dataclasses
import functools
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from dense import Population, cluster_normal, normal_log_density

import mlsem_jax as ml

ONE = {"a": "f =~ y2 + y1 + y3 + y4\nf ~ x\n", "b": "f =~ y2 + y3 + y4 + y5 + y6\n"}
TWO = {
    "a": "level: 1\nf =~ y2 + y1 + y3\nf ~ x\nlevel: 2\nfb =~ y2 + y1 + y3\nfb ~ w\n",
    "b": "level: 1\nf =~ y2 + y3 + y6\nf ~ x\nlevel: 2\nfb =~ y2 + y3 + y6\n",
}
NEVER_ASKED = {"a": ["y5", "y6"], "b": ["y1", "w"]}


def together(texts):
    return "".join(f"group: {label}\n{text}" for label, text in texts.items())


@functools.cache
def rows(missing=0.0):
    """Two groups of 60 clusters of 8; the variables that a group was not asked for are missing in all of its rows."""
    rng, frames = np.random.default_rng(5), []
    for label in "ab":
        cluster = np.repeat(np.arange(60), 8)
        f, fb = rng.normal(size=480), rng.normal(size=60)
        data = {"x": rng.normal(size=480), "w": rng.normal(size=60)[cluster]}
        for i in range(1, 7):
            own = 0.7 * rng.normal(size=60)[cluster]
            data[f"y{i}"] = i + 0.9 * f + 0.3 * data["x"] + 0.8 * fb[cluster] + own + rng.normal(size=480)
        frame = pd.DataFrame(data).assign(g=label, cl=[f"{label}{c}" for c in cluster])
        if missing:
            for name in ("y1", "y2", "y3", "y6"):
                frame.loc[rng.random(480) < missing, name] = np.nan
        frame[NEVER_ASKED[label]] = np.nan
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@functools.cache
def fits(two, missing=0.0):
    """A fit of both groups, and one of each alone."""
    data, texts = rows(missing), TWO if two else ONE
    more = {"cluster": "cl"} if two else {"meanstructure": True}
    more |= {"missing": "ml"} if missing else {}
    both = ml.sem(together(texts), data, group="g", **more)
    return both, [ml.sem(text, data[data.g == label], **more) for label, text in texts.items()]


CASES = pytest.mark.parametrize(("two", "missing"), [(False, 0.0), (True, 0.0), (False, 0.1), (True, 0.1)])


@CASES
def test_nothing_shared_is_the_sum_of_the_groups(two, missing):
    both, parts = fits(two, missing)
    m, own = both.fit_measures(), [part.fit_measures() for part in parts]
    for name in ("logl", "unrestricted.logl", "chisq", "df", "baseline.chisq", "baseline.df", "npar", "ntotal"):
        assert m[name] == pytest.approx(sum(o[name] for o in own), rel=1e-8), name
    for name in (n for n in m.index if n.startswith("srmr_") or n == "srmr"):
        assert m[name] == pytest.approx(np.mean([o[name] for o in own]), rel=1e-5), name
    assert both.warnings == ()
    assert dict(both.estimation.data.rows_dropped) == {}
    for column, tolerance in (("est", 1e-5), ("se", 1e-5)):
        separate = np.concatenate([part.parameter_estimates()[column] for part in parts])
        np.testing.assert_allclose(both.parameter_estimates()[column], separate, atol=tolerance)


@CASES
def test_moments_of_a_group_are_those_of_its_variables(two, missing):
    both, parts = fits(two, missing)
    for what in ("implied", "h1", "residuals"):
        found = getattr(both, what)()
        for label, part in zip("ab", parts, strict=True):
            mine, alone = found[label], getattr(part, what)()
            for one, other in ((mine[lv], alone[lv]) for lv in alone) if two else ((mine, alone),):
                assert set(one["cov"].index) == set(other["cov"].index)
                np.testing.assert_allclose(
                    one["cov"].loc[other["cov"].index, other["cov"].columns], other["cov"], atol=1e-4
                )
                np.testing.assert_allclose(one["mean"][other["mean"].index], other["mean"], atol=1e-4)


@pytest.mark.parametrize("two", [False, True])
def test_what_follows_a_fit(two):
    both, parts = fits(two)
    separate = np.concatenate([part.standardized_solution()["est.std"] for part in parts])
    np.testing.assert_allclose(both.standardized_solution()["est.std"], separate, atol=1e-6)
    found = both.modification_indices().set_index(["group", "level", "lhs", "op", "rhs"]).mi
    for g, part in enumerate(parts, 1):
        alone = part.modification_indices().set_index(["level", "lhs", "op", "rhs"]).mi
        np.testing.assert_allclose(found[g][alone.index], alone, rtol=1e-6)
    assert len(found) == sum(len(part.modification_indices()) for part in parts)
    for level in (1, 2) if two else (1,):
        scores = np.concatenate([part.predict(level=level).to_numpy() for part in parts])
        np.testing.assert_allclose(both.predict(level=level), scores, atol=1e-6)
    first, second = str(both.summary(rsquare=True, fit_measures=True)).split("Group 2 [b]:")
    assert "y1 " in first
    assert "y1 " not in second
    explained = both.inspect("rsquare")["b"]
    assert "y1" not in (explained["within"] if two else explained).index
    np.testing.assert_allclose(
        both.loglik_by_cluster(), np.concatenate([part.loglik_by_cluster() for part in parts]), atol=1e-6
    )


def test_robust_standard_errors_are_those_of_the_groups():
    data = rows()
    both = ml.sem(together(TWO), data, group="g", cluster="cl", estimator="MLR")
    parts = [ml.sem(text, data[data.g == g], cluster="cl", estimator="MLR") for g, text in TWO.items()]
    separate = np.concatenate([part.parameter_estimates().se for part in parts])
    np.testing.assert_allclose(both.parameter_estimates().se, separate, atol=1e-6)
    m, own = both.fit_measures(), [part.fit_measures() for part in parts]
    # the scaling factor is the mean of the groups', weighted by their degrees of freedom
    factor = sum(o["df"] * o["chisq.scaling.factor"] for o in own) / m["df"]
    assert m["chisq.scaling.factor"] == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_shared_parameters_beside_a_dense_likelihood(missing):
    data = rows(missing)
    more = {"missing": "ml"} if missing else {}
    fit = ml.sem(
        together(TWO), data, group="g", cluster="cl", fixed_x=False, group_equal=["loadings", "intercepts"], **more
    )
    assert fit.converged
    total = 0.0
    for label, names in (("a", ["y2", "y1", "y3", "x", "w"]), ("b", ["y2", "y3", "y6", "x"])):
        levels = fit.implied()[label]
        within, between = (levels[lv]["cov"].reindex(index=names, columns=names).fillna(0.0) for lv in levels)
        mean = sum(levels[lv]["mean"].reindex(names).fillna(0.0) for lv in levels)
        population = Population.of(within.to_numpy(), between.to_numpy(), mean.to_numpy())
        z = np.array([name == "w" for name in names])
        for _, mine in data[data.g == label].groupby("cl"):
            total += normal_log_density(*cluster_normal(population, mine[names].to_numpy(), z))
    assert fit.loglik == pytest.approx(total, abs=1e-6)
    # and it is a maximum: no small step along any parameter is higher
    problem, theta = fit.estimation.model.problem, fit.estimation.model.theta
    assert all(
        problem.value(theta + step) <= fit.loglik + 1e-9 for sign in (-1e-3, 1e-3) for step in sign * np.eye(len(theta))
    )
    free = ml.sem(together(TWO), data, group="g", cluster="cl", fixed_x=False, **more)
    difference = ml.lrt(fit, free).iloc[1]
    assert difference["Df diff"] == fit.fit_measures()["df"] - free.fit_measures()["df"]
    assert len(fit.score_test()) > 2


def test_a_variable_of_both_levels_in_one_group_alone():
    texts = {"a": "level: 1\ny2 ~ y3\nlevel: 2\ny2 ~~ y3\n", "b": "level: 1\ny2 ~ y3\nlevel: 2\ny2 ~~ y2\n"}
    data = rows()
    both = ml.sem(together(texts), data, group="g", cluster="cl", fixed_x=False)
    parts = [ml.sem(text, data[data.g == g], cluster="cl", fixed_x=False) for g, text in texts.items()]
    m, own = both.fit_measures(), [part.fit_measures() for part in parts]
    for name in ("logl", "unrestricted.logl", "chisq", "df", "baseline.df"):
        assert m[name] == pytest.approx(sum(o[name] for o in own), rel=1e-8), name
    assert both.icc()["b"]["y3"] == 0.0
    assert both.icc()["a"]["y3"] > 0.0


@pytest.mark.timeout(120)
def test_random_slopes_in_one_group():
    texts = {
        "a": 'level: 1\ny2 ~ rv("s")*y1\nlevel: 2\ny2 ~~ s\n',
        "b": "level: 1\ny2 ~ x + y6\nlevel: 2\ny2 ~~ y2\n",
    }
    data = rows()
    both = ml.sem(together(texts), data, group="g", cluster="cl")
    parts = [ml.sem(text, data[data.g == g], cluster="cl") for g, text in texts.items()]
    assert both.loglik == pytest.approx(sum(part.loglik for part in parts), abs=1e-6)
    scores = both.predict(level=2)["s"]
    np.testing.assert_allclose(scores[:60], parts[0].predict(level=2)["s"], atol=1e-5)
    assert scores[60:].isna().all()


def test_latent_variables_that_a_group_does_not_have_are_not_scored():
    texts = {"a": "f =~ y1 + y2 + y3\nh =~ y4 + x\nh ~~ 1*h\n", "b": "f =~ y2 + y3 + y6\n"}
    fit = ml.sem(together(texts), rows(), group="g")
    assert fit.predict().loc[rows().g == "b", "h"].isna().all()
    assert fit.predict().notna().sum().to_list() == [960, 480]


# ---- data


def test_other_columns_of_a_group_do_not_matter():
    plain = fits(False)[0].loglik
    data = rows().copy()
    data.loc[data.g == "a", "y5"] = np.where(np.arange(480) % 2, np.inf, 1e200)
    data["y6"] = data["y6"].astype(object).where(data.g == "b", "not asked")
    data.loc[data.g == "b", "y1"] = -99.0
    data.loc[data.g == "b", "x"] = np.nan  # no variable of that group
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = ml.sem(together(ONE), data, group="g")
    assert fit.loglik == pytest.approx(plain, abs=1e-8)
    assert fit.nobs == 960


def test_rows_are_dropped_for_variables_of_their_own_group():
    data = rows().copy()
    data.loc[data.index[:10], "y1"] = np.nan
    fit = ml.sem(together(ONE), data, group="g")
    assert fit.nobs == 950
    kept = ml.sem(together(ONE), data, group="g", missing="ml")
    assert kept.nobs == 960
    assert set(kept.inspect("coverage")["b"].columns) == {"y2", "y3", "y4", "y5", "y6"}
    assert kept.inspect("patterns")["a"].shape == (2, 5)
    blank = data.copy()
    blank.loc[blank.index[:10], ["y2", "y3", "y4", "x"]] = np.nan
    assert dict(ml.sem(together(ONE), blank, group="g", missing="ml", fixed_x=False).estimation.data.rows_dropped) == {
        "no value of any variable": 10
    }


@pytest.mark.parametrize("missing", ["listwise", "ml"])
def test_a_variable_of_a_group_without_values_there(missing):
    with pytest.raises(ml.DataError, match=r"'y6' has no observed value in group 'a'.*'group:' blocks"):
        ml.sem("f =~ y2 + y3 + y6", rows(), group="g", missing=missing)
    with pytest.raises(ml.DataError, match=r"'w' at level 2 has no observed value in group 'b'"):
        ml.sem("level: 1\ny2 ~ x\nlevel: 2\ny2 ~ w", rows(), "cl", group="g", missing=missing)


def test_rows_to_predict_need_the_columns_of_their_groups():
    fit = fits(True)[0]
    some = rows()[rows().g == "b"].drop(columns=["y1", "w"])
    np.testing.assert_allclose(fit.predict(newdata=some), fit.predict()[480:], atol=1e-10)
    with pytest.raises(ml.DataError, match="'y1' at levels 1 and 2"):
        fit.predict(newdata=rows().drop(columns=["y1", "w"]))
    beside = fit.predict(append_data=True)
    assert beside.loc[480:, ["y1", "w"]].isna().all(axis=None)
    assert set(fit.inspect("data")["b"].columns) == {"y2", "y3", "x", "y6"}


# ---- beyond the fit


@pytest.mark.timeout(120)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_the_jax_layer(missing):
    fit = fits(True, missing)[0]
    stats = ml.statistics(fit.model, rows(missing))
    assert float(ml.log_likelihood(fit.model, fit.model.start, stats)) == pytest.approx(fit.loglik, abs=1e-8)
    moments = fit.model(fit.model.start)
    assert np.all(np.linalg.eigvalsh(np.asarray(moments.within_cov)[:, :4, :4]) > 0)
    with pytest.raises(ml.DataError, match="groups differ in their variables"):
        stats + stats
    with pytest.raises(ml.DataError, match="groups differ in their variables"):
        ml.statistics(fit.model, [rows(missing)])


@pytest.mark.timeout(180)
def test_simulated_data_have_the_variables_of_their_group():
    fit = fits(True)[0]
    frame = fit.simulate(jax.random.key(0), n_datasets=1, rows=True).frame(0)
    gone = frame.groupby("g")[["y1", "y6", "w"]].agg(lambda column: column.isna().all())
    assert gone.to_numpy().tolist() == [[False, True, False], [True, False, True]]
    drawn = fit.simulate(jax.random.key(0), n_datasets=3)
    found = ml.estimate_batch(fit.model, drawn)
    again = ml.sem(together(TWO), frame, group="g", cluster="cl")
    assert again.fit_measures()["df"] == fit.fit_measures()["df"]
    assert np.ptp(np.asarray(found.value)) > 1.0
    given = np.where(frame.g == "a", frame.w, np.nan)
    covariates = frame[["x"]].assign(w=given)
    again = fit.simulate(jax.random.key(2), n_datasets=1, rows=True, covariates=covariates).frame(0)
    np.testing.assert_allclose(again[["x", "w"]], covariates)
    assert fit.bootstrap(20, jax.random.key(1)).draws.shape[1] == fit.npar


def test_saving_and_showing(tmp_path):
    fit = fits(True, 0.1)[0]
    fit.save(tmp_path / "fit.json")
    again = ml.load(tmp_path / "fit.json")
    pd.testing.assert_series_equal(again.fit_measures(), fit.fit_measures())
    assert str(again.summary(rsquare=True)) == str(fit.summary(rsquare=True))
    text = fit.to_lavaan()
    assert ml.lavaan(text, rows(0.1), group="g", cluster="cl", missing="ml").loglik == pytest.approx(
        fit.loglik, abs=1e-5
    )
    with pytest.raises(ml.ModelError, match="In Mplus all groups have the same variables"):
        fit.to_mplus()
    assert fit.plot("path", group=2) is not None


def test_comparisons_want_the_same_variables_in_each_group():
    first = ml.sem(together(ONE), rows(), group="g")
    other = ml.sem(together({**ONE, "b": ONE["b"].replace("y4 + ", "")}), rows(), group="g")
    with pytest.raises(ml.ModelError, match="in group b the likelihood of one is also of y4"):
        ml.lrt(first, other)
    shared = ml.sem(together(ONE), rows(), group="g", group_equal=["loadings"])
    assert ml.lrt(first, shared)["Df diff"].iloc[1] == 2


def test_structural_after_measurement():
    texts = {"a": "f =~ y2 + y1 + y3\nh =~ y4 + 1*x\nh ~ f\n", "b": "f =~ y2 + y3 + y6\nh =~ y4 + 1*x\nh ~ f\n"}
    both = ml.sam(together(texts), rows(), group="g")
    for g, (label, text) in enumerate(texts.items(), 1):
        alone = ml.sam(text, rows()[rows().g == label], meanstructure=True).parameter_estimates().query("op == '~'")
        mine = both.parameter_estimates().query(f"op == '~' and group == {g}")
        np.testing.assert_allclose(mine[["est", "se"]], alone[["est", "se"]], rtol=1e-4)
    with pytest.raises(ml.ModelError, match="Group 'b' has none of the items"):
        ml.sam(together({**texts, "b": "h =~ y4 + 1*x\n"}), rows(), group="g")


def test_ordered_variables_want_the_same_in_all_groups():
    data = rows().copy()
    for name in ("y1", "y2", "y3", "y4", "y5", "y6"):
        data[name] = (data[name] > data[name].mean()).where(data[name].notna()).astype(float)
    with pytest.raises(ml.ModelError, match="With ordered variables all groups need the same ones"):
        ml.sem(together({"a": "f =~ y1 + y2 + y3\n", "b": ONE["b"]}), data, group="g", ordered=True)


def test_a_group_has_a_model_of_its_own():
    specification = fits(True)[0].specification
    one = specification.group(1)
    assert one.within.observed == ("y2", "y1", "y3", "x")
    assert one.between.observed == ("y2", "y1", "y3", "w")
    assert {row.group for row in specification.group(2).parameters} == {2}
    assert dataclasses.replace(one).groups == ()
