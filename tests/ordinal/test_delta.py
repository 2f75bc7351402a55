"""Scales of latent responses as parameters (parameterization="delta"), beside lavaan 0.6-14, whose default it is with one level."""

import functools

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.inference.parameters import standardized_quantity

FOUR = "f =~ u1 + u2 + u3 + u4"
THREE = "f =~ u1 + u2 + u3"
HELD = ["thresholds", "loadings"]


@functools.cache
def two_groups() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    g = np.repeat([0, 1], 180)
    f = rng.normal(size=360) * np.where(g, 1.3, 1.0) + 0.4 * g
    y = f[:, None] * [0.8, 0.7, 0.9, 0.6] + rng.normal(size=(360, 4)) * np.where(g, 0.8, 0.6)[:, None]
    table = pd.DataFrame(np.searchsorted([-0.8, 0.5], y), columns=["u1", "u2", "u3", "u4"])
    return table.assign(g=np.where(g, "b", "a"))


def mediation() -> pd.DataFrame:
    rng = np.random.default_rng(13)
    x = rng.normal(size=(300, 2)) @ [[1.0, 0.5], [0.0, 1.0]]
    m = 0.6 * x[:, 0] + rng.normal(size=300)
    y = np.stack([m, 0.5 * m + 0.3 * x[:, 1] + rng.normal(size=300), 0.4 * m + rng.normal(size=300)], axis=1)
    return pd.DataFrame(np.searchsorted([-0.4, 0.7], y), columns=["m", "o", "v"]).assign(x=x[:, 0], z=x[:, 1])


def explained_whole() -> pd.DataFrame:
    """Three items of which one group's first has more than all of its variance explained."""
    rng = np.random.default_rng(5)
    f = rng.normal(size=(240, 1))
    y = f * [0.9, 0.3, 0.3] + rng.normal(size=(240, 3)) * [0.5, 1.0, 1.0]
    table = pd.DataFrame(np.searchsorted([-0.5, 0.6], y), columns=["u1", "u2", "u3"])
    return table.assign(g=np.repeat(["a", "b"], 120))


def clusters() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    school = np.repeat(np.arange(50), 8)
    common = rng.normal(size=400) + 0.7 * rng.normal(size=50)[school]
    y = common[:, None] * [1.0, 0.8, 1.2] + rng.normal(size=(400, 3)) + 0.4 * rng.normal(size=(50, 3))[school]
    return pd.DataFrame(np.searchsorted([-0.5, 0.9], y), columns=["u1", "u2", "u3"]).assign(school=school)


@functools.cache
def in_two_groups(parameterization: str) -> ml.Fit:
    return ml.cfa(FOUR, two_groups(), ordered=True, group="g", group_equal=HELD, parameterization=parameterization)


def rows(fit, standardized: bool = False) -> pd.DataFrame:
    table = fit.standardized_solution() if standardized else fit.parameter_estimates()
    table = table.set_index(["lhs", "op", "rhs", "group"]).rename(columns={"est.std": "est"})
    return table[["est", "se"]].fillna(0.0).sort_index()


def same(fit, other) -> None:
    """The same model in other units."""
    names = ["chisq", "df", "chisq.scaled", "baseline.chisq", "srmr", "rmsea.scaled"]
    np.testing.assert_allclose(fit.fit_measures()[names], other.fit_measures()[names], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(rows(fit, True), rows(other, True), atol=2e-6)


# -- lavaan: cfa(FOUR, data, ordered = ..., group = "g", group.equal = c("thresholds", "loadings"))
GROUPS = {  # est, se, est.std, se
    ("u4", "~~", "u4", 1): (0.504074, 0, 0.504074, 0.074088),
    ("f", "~~", "f", 1): (0.767581, 0.072846, 1, 0),
    ("u1", "~*~", "u1", 1): (1, 0, 1, 0),
    ("f", "=~", "u1", 2): (1, 0, 0.884643, 0.038288),
    ("f", "=~", "u2", 2): (0.875693, 0.078458, 0.754741, 0.044332),
    ("f", "=~", "u4", 2): (0.803797, 0.069569, 0.648238, 0.054540),
    ("u1", "|", "t1", 2): (-0.764812, 0.100322, -0.588742, 0.082333),
    ("u4", "|", "t2", 2): (0.528730, 0.088004, 0.371043, 0.065562),
    ("u1", "~~", "u1", 2): (0.366888, 0, 0.217407, 0.067743),
    ("u4", "~~", "u4", 2): (1.177305, 0, 0.579788, 0.070710),
    ("f", "~~", "f", 2): (1.320675, 0.316116, 1, 0),
    ("u1", "~*~", "u1", 2): (0.769786, 0.087113, 1, 0),
    ("u4", "~*~", "u4", 2): (0.701762, 0.072511, 1, 0),
    ("f", "~1", "", 2): (0.419368, 0.128126, 0.364920, 0.107707),
}
MEDIATION = {  # sem("m ~ x\no ~ m + z\nv ~ m", data, ordered = c("m", "o", "v"))
    ("m", "~", "x", 1): (0.684313, 0.087472, 0.589211, 0.049169),
    ("o", "~", "m", 1): (0.456818, 0.056034, 0.513788, 0.058649),
    ("o", "~", "z", 1): (0.176726, 0.062909, 0.183401, 0.062733),
    ("v", "|", "t2", 1): (0.647151, 0.079814, 0.620624, 0.076705),
    ("o", "~~", "o", 1): (0.791318, 0, 0.653480, 0.060081),
    ("v", "~~", "v", 1): (0.835816, 0, 0.768700, 0.054807),
    ("o", "~~", "v", 1): (-0.013133, 0.067584, -0.016148, 0.083158),
    ("m", "~*~", "m", 1): (1, 0, 1, 0),
}
WHOLE = {  # cfa(THREE, data, ordered = ..., group = "g", std.lv = TRUE)
    ("f", "=~", "u1", 1): (1.082100, 0.490031),
    ("f", "=~", "u2", 1): (0.346786, 0.185838),
    ("u1", "~~", "u1", 1): (-0.170941, 0),
    ("f", "=~", "u1", 2): (0.502259, 0.315603),
    ("u3", "~~", "u3", 2): (0.929286, 0),
}


def check(fit, told: dict) -> None:
    found, standardized = rows(fit), rows(fit, True)
    for place, (est, se, *std) in told.items():
        np.testing.assert_allclose(found.loc[place], [est, se], atol=3e-5, err_msg=str(place))
        if std:
            # lavaan divides the moments of covariates by n - 1 there
            np.testing.assert_allclose(standardized.loc[place], std, atol=1e-3, err_msg=str(place))


@pytest.mark.timeout(300)
def test_equal_thresholds_and_loadings_free_the_scales_of_later_groups():
    fit = in_two_groups("delta")
    check(fit, GROUPS)
    told = {"npar": 18, "df": 10, "chisq": 4.119494, "chisq.scaled": 7.055893, "srmr": 0.0135205}
    np.testing.assert_allclose(fit.fit_measures()[list(told)], list(told.values()), rtol=2e-5)
    text = str(fit.summary())
    assert "Scales y*" in text
    assert "delta" in text
    assert fit.inspect("parameterization") == "delta"


@pytest.mark.timeout(300)
def test_theta_frees_residual_variances_instead():
    fit = in_two_groups("theta")
    same(fit, in_two_groups("delta"))
    found = rows(fit)
    assert found.loc[("u1", "~~", "u1", 1), "est"] == 1
    assert found.loc[("u1", "~~", "u1", 2), "se"] > 0
    # scales are shown, which follow: 1 / sd
    variance = fit.implied()["b"]["cov"].loc["u1", "u1"]  # of the standardized responses
    assert variance == pytest.approx(1)
    total = found.loc[("f", "~~", "f", 2), "est"] + found.loc[("u1", "~~", "u1", 2), "est"]
    assert found.loc[("u1", "~*~", "u1", 2), "est"] == pytest.approx(total**-0.5)
    np.testing.assert_allclose(fit.inspect("mm.delta")["b"]["u1"], total**-0.5)


@pytest.mark.timeout(300)
def test_scales_are_those_given_the_covariates():
    """A mediator among the ordered variables, whose residual variance its outcomes have a share of."""
    text, table, names = "m ~ x\no ~ m + z\nv ~ m", mediation(), ["m", "o", "v"]
    fit = ml.sem(text, table, ordered=names, parameterization="delta")
    check(fit, MEDIATION)
    assert fit.fit_measures()["chisq.scaled"] == pytest.approx(7.786746, rel=2e-5)
    same(fit, ml.sem(text, table, ordered=names))
    quantity, natural = standardized_quantity(fit.estimation), fit.estimation.model.natural
    steps = 1e-5 * np.eye(len(natural))
    slopes = np.stack([(quantity.value(natural + h) - quantity.value(natural - h)) / 2e-5 for h in steps], axis=1)
    np.testing.assert_allclose(quantity.jacobian(natural), slopes, atol=1e-8)


@pytest.mark.timeout(300)
def test_more_explained_than_there_is_is_improper():
    """With scales as parameters there is a minimum, with residual variances of 1 none."""
    with pytest.warns(
        ml.ImproperSolutionWarning, match="variance of u1 in group a, which follows from its scale, is -0.17"
    ):
        fit = ml.cfa(THREE, explained_whole(), ordered=True, group="g", std_lv=True, parameterization="delta")
    assert fit.status == ml.Status.IMPROPER
    check(fit, WHOLE)
    with pytest.warns(ml.ConvergenceWarning, match="parameterization='delta'"):
        other = ml.cfa(THREE, explained_whole(), ordered=True, group="g", std_lv=True)
    assert other.status == ml.Status.NO_MAXIMUM


# -- the same, written by hand
@pytest.mark.timeout(300)
def test_scales_in_the_text_are_the_delta_parameterization():
    lines = [f"{u} | c(a{u}, a{u})*t1 + c(b{u}, b{u})*t2\n{u} ~*~ c(1, NA)*{u}" for u in ("u1", "u2", "u3", "u4")]
    text = "f =~ 1*u1 + c(k2, k2)*u2 + c(k3, k3)*u3 + c(k4, k4)*u4\nf ~ c(0, NA)*1\n" + "\n".join(lines)
    with pytest.warns(ml.ModelWarning, match="parameterization 'delta'"):
        fit = ml.cfa(text, two_groups(), ordered=True, group="g")
    np.testing.assert_allclose(rows(fit), rows(in_two_groups("delta")), atol=1e-7)
    # through lavaan's syntax and back
    again = ml.lavaan(fit.to_lavaan(), two_groups(), ordered=True, group="g")
    np.testing.assert_allclose(again.coef(), fit.coef(), rtol=1e-6)
    mplus = fit.to_mplus()
    assert "PARAMETERIZATION = DELTA" in mplus
    assert "{u1@1}" in mplus
    assert "{u4*}" in mplus
    assert "u1@1;" not in mplus.replace("{u1@1};", "").replace("BY u1@1;", "")


@pytest.mark.timeout(300)
def test_one_scale_for_two_items_and_a_start():
    text = (
        FOUR
        + '\nu1 ~*~ c(1, NA)*u1 + c("", s)*u1\nu2 ~*~ c(1, NA)*u2 + c("", s)*u2\nu3 ~*~ c(1, NA)*u3 + start(0.8)*u3\nv := 1/s^2'
    )
    fit = ml.cfa(text, two_groups(), ordered=True, group="g", group_equal=HELD)
    found = rows(fit)
    assert fit.fit_measures()["df"] == 11
    assert found.loc[("u1", "~*~", "u1", 2), "est"] == found.loc[("u2", "~*~", "u2", 2), "est"] == fit.coef()["s"]
    table = fit.parameter_estimates().set_index("lhs")
    assert table.loc["v", "est"] == pytest.approx(fit.coef()["s"] ** -2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("line", ["v{0} ~*~ NA*v{0}", "v{0} ~~ NA*v{0}"])
def test_a_second_occasion_has_its_own_unit(line):
    """Equal thresholds and loadings over two occasions of one group identify scales, or residual variances, of the second."""
    rng = np.random.default_rng(3)
    f = rng.normal(size=(300, 2)) @ np.linalg.cholesky([[1, 0.5], [0.5, 1.4]]).T + [0, 0.3]
    y = np.concatenate(
        [f[:, [j]] * [0.8, 0.7, 0.9] + rng.normal(size=(300, 3)) * s for j, s in ((0, 0.6), (1, 0.9))], 1
    )
    table = pd.DataFrame(np.searchsorted([-0.7, 0.5], y), columns=["u1", "u2", "u3", "v1", "v2", "v3"])
    text = "f =~ 1*u1 + b*u2 + c*u3\nh =~ 1*v1 + b*v2 + c*v3\nh ~ NA*1\n" + "\n".join(
        f"u{i} | s{i}*t1 + t{i}*t2\nv{i} | s{i}*t1 + t{i}*t2\nu{i} ~~ v{i}\n{line.format(i)}" for i in (1, 2, 3)
    )
    measures = ml.cfa(text, table, ordered=True).fit_measures()
    assert measures["df"] == 9
    assert measures["chisq"] == pytest.approx(8.711, abs=1e-3)  # as lavaan's
    assert measures["chisq.scaled"] == pytest.approx(11.811, abs=1e-3)


# -- elsewhere
@pytest.mark.timeout(300)
def test_two_levels():
    """The variance within clusters is 1."""
    text = f"level: 1\n{THREE}\nlevel: 2\n{THREE.replace('f', 'h')}"
    first, second = (
        ml.cfa(text, clusters(), cluster="school", ordered=True, parameterization=p) for p in ("delta", "theta")
    )
    table = [fit.standardized_solution() for fit in (first, second)]
    np.testing.assert_allclose(table[0]["est.std"], table[1]["est.std"], atol=2e-6)
    np.testing.assert_allclose(table[0]["se"], table[1]["se"], atol=2e-6)
    np.testing.assert_allclose(first.icc(), second.icc())
    own = first.parameter_estimates().set_index(["lhs", "op", "rhs", "level"])["est"]
    assert own["f", "=~", "u2", 1] ** 2 * own["f", "~~", "f", 1] + own["u2", "~~", "u2", 1] == pytest.approx(1)


@pytest.mark.timeout(300)
def test_full_information():
    """A change of units: the same likelihood, standardized solution and probabilities."""
    table = two_groups()[["u1", "u2", "u3"]]
    first, second = (ml.cfa(THREE, table, ordered=True, estimator="ML", parameterization=p) for p in ("delta", "theta"))
    assert first.loglik == pytest.approx(second.loglik, abs=1e-7)
    np.testing.assert_allclose(rows(first, True), rows(second, True), atol=2e-6)
    one, two = (fit.predict(type="probabilities").head(3) for fit in (first, second))
    np.testing.assert_allclose(one, two, atol=1e-7)
    drawn = first.simulate(key=1, rows=True, n_datasets=1).frame(0)
    assert sorted(drawn["u1"].unique()) == [0, 1, 2]
    # the JAX layer, through the estimate
    model = ml.model(THREE, table, ordered=True, parameterization="delta")
    stats = ml.statistics(model, table)
    found = ml.estimate(model, stats)
    np.testing.assert_allclose(found.value, first.loglik, atol=1e-7)
    with jax.enable_x64(True):
        at = jax.numpy.stack([found.theta, 0.99 * found.theta])
        values = jax.vmap(lambda theta: ml.log_likelihood(model, theta, stats))(at)
    assert values[0] > values[1]


@pytest.mark.timeout(300)
def test_saved_and_loaded(tmp_path):
    fit = in_two_groups("delta")
    again = ml.load(fit.save(tmp_path / "fit.json"))
    pd.testing.assert_frame_equal(again.parameter_estimates(), fit.parameter_estimates())
    pd.testing.assert_frame_equal(again.standardized_solution(), fit.standardized_solution())
    indices = fit.modification_indices()
    assert not ((indices.op == "~~") & (indices.lhs == indices.rhs) & indices.lhs.str.startswith("u")).any()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("free", ["~*~", "~~"])
def test_the_parameter_table_of_lavaan(free):
    """It has a scale and a residual variance of every item, of which one is the parameter; equalities of group.equal hold."""
    records, ops = [], {"~*~": {"~*~", "~~"}, "~~": {"~*~", "~~"}}[free]
    for g in (1, 2):
        own = [("f", "=~", f"u{i}", int(i > 1), 1.0) for i in range(1, 5)]
        own += [(f"u{i}", "|", f"t{k}", 1, np.nan) for i in range(1, 5) for k in (1, 2)]
        own += [(f"u{i}", op, f"u{i}", int(g == 2 and op == free), 1.0) for op in sorted(ops) for i in range(1, 5)]
        own += [("f", "~~", "f", 1, np.nan), ("f", "~1", "", int(g == 2), 0.0)]
        records += [dict(zip(("lhs", "op", "rhs", "free", "ustart"), row, strict=True), group=g) for row in own]
    table = pd.DataFrame(records).assign(label="")
    table["plabel"] = [f".p{i}." for i in range(1, len(table) + 1)]
    half = len(table) // 2
    equal = [i for i in range(half) if table.op[i] in ("=~", "|") and table.free[i]]
    table.loc[[*equal, *(i + half for i in equal)], "label"] = [table.plabel[i] for i in equal] * 2
    pairs = [
        {"lhs": table.plabel[i], "op": "==", "rhs": table.plabel[i + half], "free": 0, "group": 0, "label": ""}
        for i in equal
    ]
    text = ml.read_partable(pd.concat([table, pd.DataFrame(pairs)], ignore_index=True))
    fit = ml.lavaan(text, two_groups(), ordered=True, group="g")
    assert fit.inspect("parameterization") == ("delta" if free == "~*~" else "theta")
    same(fit, in_two_groups("delta"))
