"""Ninety inputs that lavaan stumbles over (or accepts in silence), and what this library says to each.

The inputs are those of a survey of lavaan 0.7's two-level errors, under the names they have there. The data are simulated, with
the columns that the inputs speak of. An input is wrong (an error before anything is fitted), doubtful (a warning, and a status
that says so) or fine (it works); each sentence must hold the words that tell a user what to change.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import reference_root

import mlsem_jax as ml
from mlsem_jax import Status

WITHIN = "level: 1\n  fw =~ y1 + y2 + y3\n  fw ~ x1 + x2 + x3"
BETWEEN = "level: 2\n  fb =~ y1 + y2 + y3\n  fb ~ w1 + w2"
TUTORIAL = f"{WITHIN}\n{BETWEEN}"
PLAIN = "level: 1\n  fw =~ y1 + y2 + y3\nlevel: 2\n  fb =~ y1 + y2 + y3"

pytestmark = pytest.mark.timeout(240)


def simulated() -> pd.DataFrame:
    """Six outcomes with one factor at each level, three covariates of level 1, two of level 2; 120 clusters of 4 to 12 rows."""
    rng = np.random.default_rng(2024)
    size = rng.integers(4, 13, 120)
    code = np.repeat(np.arange(120), size)
    x, w = rng.normal(size=(len(code), 3)), rng.normal(size=(120, 2))
    within = x @ [0.5, 0.4, 0.2] + rng.normal(size=len(code))
    between = w @ [0.3, 0.2] + rng.normal(size=120)
    y = within[:, None] * [1, 0.8, 0.7, 1, 0.9, 0.8] + between[code][:, None] * [1, 0.7, 0.6, 0.5, 0.9, 1]
    y += rng.normal(size=y.shape) + 0.4 * rng.normal(size=(120, 6))[code]
    columns = {f"y{i + 1}": y[:, i] for i in range(6)} | {f"x{i + 1}": x[:, i] for i in range(3)}
    return pd.DataFrame(columns | {"w1": w[code, 0], "w2": w[code, 1], "cluster": code + 1})


DATA = simulated()


Change = Callable[[pd.DataFrame], pd.DataFrame]


def changed(**columns: Callable[[pd.DataFrame], Any]) -> Change:
    return lambda d: d.assign(**columns)


def at(column: str, rows: Callable[[pd.DataFrame], Any], value: Callable[[pd.Series], Any] | float) -> Change:
    """One column changed in the rows that a function of the data marks."""

    def change(data: pd.DataFrame) -> pd.DataFrame:
        marked = rows(data)
        new = data[column].astype(float)
        new[marked] = value(new[marked]) if callable(value) else value
        return data.assign(**{column: new})

    return change


def first_row_of(*clusters: int) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda d: d.cluster.isin(clusters) & ~d.cluster.duplicated()


def rows(*numbers: int) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda d: pd.Series(np.isin(np.arange(len(d)), numbers), d.index)


def clusters_up_to(count: int) -> Change:
    return lambda d: d[d.cluster <= count]


TWO_GROUPS = changed(g2=lambda d: d.cluster % 2 + 1)


@dataclass(frozen=True)
class Input:
    """A model, options and a change of the data, and what is to happen.

    error: class of the exception. warning: class of a warning. says: what the sentence of either must hold. status: of the fit,
    where there is one (None: any that is not converged). like: an input whose log-likelihood this must have.
    """

    model: str = TUTORIAL
    args: dict[str, Any] = field(default_factory=dict)
    data: Change = lambda d: d
    error: type[Exception] | None = None
    warning: type[Warning] | None = None
    says: tuple[str, ...] = ()
    status: Status | None = Status.CONVERGED
    like: str = ""
    function: str = "sem"
    cluster: Any = "cluster"
    then: Callable[[ml.Fit], Any] | None = None


def wrong(kind: type[Exception], *says: str, **options: Any) -> Input:
    return Input(error=kind, says=says, **options)


def doubtful(kind: type[Warning], *says: str, **options: Any) -> Input:
    return Input(warning=kind, says=says, **options)


Syntax, Model, Data = ml.ModelSyntaxError, ml.ModelError, ml.DataError
SATURATED = ("y1 ~~ y1 + y2 + y3", "y3 ~~ y3")


def without(block: str, line: str, instead: str) -> str:
    assert line in block
    return block.replace(line, instead)


def twice(header: str) -> str:
    return "\n".join([f"group: {header}", TUTORIAL])


SLOPE = 'level: 1\n  y1 ~ rv("s")*x1\nlevel: 2\n  y1 ~~ s'

INPUTS: dict[str, Input] = {
    # ------------------------------------------------ level blocks
    "level-colon-misplaced": wrong(
        Syntax,
        "write 'level: 1' instead of 'level 1:'",
        "line 1, column 1",
        model=TUTORIAL.replace("level: 1", "level 1:").replace("level: 2", "level 2:"),
    ),
    "level-colon-misplaced-exact": wrong(Syntax, "write 'level: 1'", model=PLAIN.replace("level: 1", "level 1:")),
    "level2-empty": wrong(
        Syntax, "Level 2 (between) is empty", *SATURATED, model=PLAIN.split("level: 2")[0] + "level: 2\n"
    ),
    "level1-empty": wrong(
        Syntax, "Level 1 (within) is empty", *SATURATED, model="level: 1\nlevel: 2\n  fb =~ y1 + y2 + y3"
    ),
    "only-level1": wrong(Syntax, "Level 2 (between) is missing", *SATURATED, model="level: 1\n  fw =~ y1 + y2 + y3"),
    "only-level2": wrong(Syntax, "Level 1 (within) is missing", *SATURATED, model="level: 2\n  fb =~ y1 + y2 + y3"),
    "three-levels": wrong(Syntax, "no level '3'", "line 7", model=f"{TUTORIAL}\nlevel: 3\n  fc =~ y1 + y2 + y3"),
    "same-level-twice": wrong(Syntax, "second block of level 1", model=PLAIN.replace("level: 2", "level: 1")),
    "levels-reversed": Input(model=f"{BETWEEN}\n{WITHIN}", like="tutorial"),
    "levels-0-1": wrong(
        Syntax, "no level '0'", model=TUTORIAL.replace("level: 1", "level: 0").replace("level: 2", "level: 1")
    ),
    # lavaan takes the first block for level 1 whatever its number, and fits the reverse of what is written
    "levels-swapped-numbers": wrong(
        Data,
        "'x1' at level 2 varies within 120 of 120 clusters",
        "Are the levels swapped?",
        model=TUTORIAL.replace("level: 1", "level: 0").replace("level: 2", "level: 1").replace("level: 0", "level: 2"),
    ),
    "level-no-number": wrong(
        Syntax, "needs a number or a word", "'level: 1'", model=PLAIN.replace(": 1", ":").replace(": 2", ":")
    ),
    "level-uppercase": Input(
        model=TUTORIAL.replace("level: 1", "Level: 1").replace("level: 2", "LEVEL: 2"), like="tutorial"
    ),
    # ------------------------------------------------ clusters
    "no-cluster-argument": wrong(Data, "needs cluster=", "cluster='cluster'", cluster=None),
    # a model of one level with standard errors that go by clusters, as in lavaan
    "cluster-without-levels": Input(model="f =~ y1 + y2 + y3"),
    "unknown-cluster": wrong(Data, "no column 'school'", cluster="school"),
    "two-cluster-variables": wrong(Data, "takes one column, not 2", cluster=["cluster", "w1"]),
    "unknown-variable": wrong(
        Syntax, "'y33'", "level 1", "Did you mean 'y3'", "line 2, column 19", model=TUTORIAL.replace("y3", "y33")
    ),
    "cluster-has-na": doubtful(
        ml.ModelWarning, "3 rows were dropped", "'cluster' is missing", data=at("cluster", rows(2, 49, 699), np.nan)
    ),
    "one-cluster": wrong(Data, "single value (1)", "at least two clusters", data=changed(cluster=lambda d: 1)),
    "all-singletons": wrong(Data, "single row", "number the rows", data=changed(cluster=lambda d: np.arange(len(d)))),
    "two-clusters": wrong(Data, "2 covariates (w1, w2) but only 2 clusters", "more clusters", data=clusters_up_to(2)),
    "few-clusters": doubtful(
        ml.ConvergenceWarning,
        "3 clusters but 5 variables at level 2",
        "chi-square and fit indices do not exist",
        data=clusters_up_to(3),
        status=None,
    ),
    # ------------------------------------------------ variables at the wrong level
    "between-varies-within": wrong(
        Data,
        "'y6' at level 2 varies within 120 of 120 clusters",
        "add 'y6' to level: 1",
        model=TUTORIAL.replace("w2", "y6"),
    ),
    "between-varies-one-cluster": wrong(
        Data, "'w1' at level 2 varies within 1 of 120 clusters (1)", data=at("w1", first_row_of(1), lambda w: w + 1)
    ),
    "between-varies-two-clusters": wrong(
        Data, "2 of 120 clusters (1, 5)", data=at("w1", first_row_of(1, 5), lambda w: w + 1)
    ),
    "within-constant-in-clusters": wrong(
        Data,
        "'w1'",
        "does not vary within any cluster",
        "Remove it from level: 1",
        model=without(TUTORIAL, "x1 + x2 + x3", "x1 + w1"),
    ),
    "level1-var-zero-within-some": Input(data=at("x1", lambda d: d.cluster == 1, 0.5)),
    "zero-between-variance": doubtful(
        ml.ModelWarning,
        "'y3' has no variance between clusters",
        "Remove it from level: 2",
        data=changed(y3=lambda d: d.y3 - d.groupby("cluster").y3.transform("mean")),
        status=Status.IMPROPER,
    ),
    "within-indicator-not-at-level2": Input(model=without(PLAIN, "fw =~ y1 + y2 + y3", "fw =~ y1 + y2 + y3 + y4")),
    "level2-only-indicator-varies": wrong(
        Data, "'y4' at level 2 varies within", model=without(PLAIN, "fb =~ y1 + y2 + y3", "fb =~ y1 + y2 + y3 + y4")
    ),
    "within-intercept-free": doubtful(
        ml.ModelWarning,
        "'y1 ~ 1' at level 1 is fixed at 0",
        model=without(TUTORIAL, "  fw ~", "  y1 ~ 1\n  fw ~"),
        like="tutorial",
    ),
    # ------------------------------------------------ columns
    "constant-indicator": wrong(
        Data, "'y3' at levels 1 and 2 is constant (always 1)", "Remove it", data=changed(y3=lambda d: 1)
    ),
    "constant-covariate": wrong(Data, "'x3' at level 1 is constant", data=changed(x3=lambda d: 2)),
    "constant-between-covariate": wrong(Data, "'w2' at level 2 is constant", data=changed(w2=lambda d: 2)),
    "duplicated-variable-collinear": wrong(
        Data, "'x1', 'x2', 'x3' at level 1 are collinear", data=changed(x3=lambda d: d.x1 + d.x2)
    ),
    "string-column": wrong(Data, "'y2'", "stored as text", "to_numeric", data=changed(y2=lambda d: d.y2.astype(str))),
    "factor-column": wrong(
        Data, "'y2'", "categorical (5 categories", "cat.codes", data=changed(y2=lambda d: pd.cut(d.y2, 5))
    ),
    "na-string-cluster": Input(data=changed(cluster=lambda d: "c" + d.cluster.astype(str)), like="tutorial"),
    "all-missing-variable": wrong(Data, "'y3'", "no observed value", data=changed(y3=lambda d: np.nan)),
    "infinite-value": wrong(Data, "'y3'", "infinite in 1 row (4)", data=at("y3", rows(4), np.inf)),
    # ------------------------------------------------ identification and constraints
    "not-identified-1f2i": doubtful(
        ml.ConvergenceWarning,
        "not identified",
        "fw=~y2",
        "fb=~y2.l2",
        model=PLAIN.replace(" + y3", ""),
        status=Status.NOT_IDENTIFIED,
    ),
    # lavaan converges without a word
    "not-identified-freeload": doubtful(
        ml.ConvergenceWarning,
        "fw=~y1, fw=~y2, fw=~y3, fw~~fw",
        model=PLAIN.replace("fw =~ y1", "fw =~ NA*y1"),
        status=Status.NOT_IDENTIFIED,
    ),
    "more-params-than-moments": doubtful(
        ml.ConvergenceWarning,
        "y1~~y2",
        model=PLAIN.replace("level: 2", "  y1 ~~ y2 + y3\nlevel: 2"),
        status=Status.NOT_IDENTIFIED,
    ),
    "growth-means-both-levels": doubtful(
        ml.ConvergenceWarning,
        "iw~1, sw~1, ib~1.l2, sb~1.l2",
        model="\n".join(
            f"level: {n}\n  i{v} =~ 1*y1 + 1*y2 + 1*y3\n  s{v} =~ 0*y1 + 1*y2 + 2*y3" for n, v in ((1, "w"), (2, "b"))
        ),
        function="growth",
        status=Status.NOT_IDENTIFIED,
    ),
    "duplicated-element": wrong(
        Syntax, "'fw ~ x1' is already in line 3", "line 4", model=without(TUTORIAL, "level: 2", "  fw ~ x1\nlevel: 2")
    ),
    "duplicated-indicator": wrong(
        Syntax, "'y2' is already on this right-hand side", model=without(WITHIN, "y3", "y3 + y2") + "\n" + BETWEEN
    ),
    "undefined-label-constraint": wrong(Syntax, "'a' is not the label", "a*x", model=f"{TUTORIAL}\n a == 2*b"),
    # lavaan returns a compromise between the two
    "impossible-constraint": wrong(
        Model, "'a == 2' contradicts", model=PLAIN.replace("+ y2", "+ a*y2", 1) + "\na == 1\na == 2"
    ),
    "define-unknown": wrong(Syntax, "'aa' is not the label", model=f"{TUTORIAL}\n ind := aa*bb"),
    # ------------------------------------------------ grammar
    "syntax-operator": wrong(
        Syntax, "'=~~' is not an operator", "'=~'", "line 2", model=without(WITHIN, "fw =~", "fw =~~") + "\n" + BETWEEN
    ),
    "syntax-missing-plus": wrong(
        Syntax, "missing between 'y1' and 'y2'", model=without(WITHIN, "y1 + y2", "y1 y2") + "\n" + BETWEEN
    ),
    "syntax-trailing-plus": wrong(
        Syntax, "followed by a block header", "line 3", model=without(TUTORIAL, "x2 + x3", "x2 +")
    ),
    "syntax-no-lhs": wrong(
        Syntax, "nothing on the left-hand side of '~'", "line 3", model=without(TUTORIAL, "fw ~ x1", "~ x1")
    ),
    "syntax-unbalanced": wrong(
        Syntax, "not closed", "line 2, column 19", model=without(WITHIN, "+ y2", "+ start(0.5*y2") + "\n" + BETWEEN
    ),
    "syntax-unknown-modifier": wrong(
        Syntax, "no modifier 'foo()'", "start()", model=without(WITHIN, "+ y2", "+ foo(0.5)*y2") + "\n" + BETWEEN
    ),
    "empty-model": wrong(Syntax, "The model is empty", "level: 2", model=""),
    "level-header-group": Input(
        model="level: 1\ngroup: 1\n  fw =~ y1 + y2 + y3\nlevel: 2\ngroup: 1\n  fb =~ y1 + y2 + y3", like="plain"
    ),
    "latent-in-both-levels-same-name": Input(model=PLAIN.replace("fw", "f").replace("fb", "f"), like="plain"),
    "latent-as-observed-name": doubtful(
        ml.ModelWarning, "'y4' is a factor of level 1 and also a column", model=PLAIN.replace("fw", "y4"), like="plain"
    ),
    # ------------------------------------------------ groups
    "groups-without-blocks": Input(args={"group": "g2"}, data=TWO_GROUPS),
    "group-equal-intercepts-word-labels": doubtful(
        ml.ModelWarning,
        "fb ~ NA*1",
        model=f"{twice('A')}\n{twice('B')}",
        args={"group": "g2", "group_equal": "intercepts"},
        data=changed(g2=lambda d: np.array(["A", "B"])[d.cluster % 2]),
    ),
    "group-three-blocks-two-groups": wrong(
        Syntax, "no group '3'", model="\n".join(map(twice, "123")), args={"group": "g2"}, data=TWO_GROUPS
    ),
    # lavaan splits clusters in two
    "group-varies-within-cluster": wrong(
        Data,
        "'g2' varies within 120 of 120 clusters",
        "must belong to one group",
        model=f"{twice('1')}\n{twice('2')}",
        args={"group": "g2"},
        data=changed(g2=lambda d: np.arange(len(d)) % 2 + 1),
    ),
    # ------------------------------------------------ options
    "estimator-gls": wrong(Model, "estimator='GLS'", "'ML', 'MLR', 'MLF'", args={"estimator": "GLS"}),
    "estimator-mlm": wrong(Model, "estimator='MLM'", "'MLR'", args={"estimator": "MLM"}),
    "estimator-pml": wrong(Model, "estimator='PML'", args={"estimator": "PML"}),
    "test-satorra-bentler": wrong(Model, "test='satorra.bentler'", "'yuan.bentler'", args={"test": "satorra.bentler"}),
    "se-robust-sem": wrong(Model, "se='robust.sem'", "'robust.huber.white'", args={"se": "robust.sem"}),
    "ordered-default-estimator": wrong(Data, "'y1'", "it is continuous", args={"ordered": ["y1", "y2", "y3"]}),
    "wlsmv-without-ordered-false": wrong(Model, "estimator='WLSMV'", args={"estimator": "WLSMV"}),
    "unknown-estimator": wrong(Model, "estimator='MLX'", args={"estimator": "MLX"}),
    "unknown-argument": wrong(Model, "no option 'foo'", "fixed_x", args={"foo": True}),
    "sampling-weights": wrong(
        Data,
        "sampling_weights 'wt' is negative in 1 row (row 0: -1)",
        args={"sampling_weights": "wt"},
        data=changed(wt=lambda d: np.arange(len(d)) - 1.0),
    ),
    "missing-pairwise": wrong(Model, "missing='pairwise'", "Use missing='ml'", args={"missing": "pairwise"}),
    "missing-two-stage": wrong(Model, "missing='two.stage'", "'ml'", args={"missing": "two.stage"}),
    "missing-between-covariate": doubtful(
        ml.ModelWarning,
        "a fixed covariate (w1) is missing",
        "fixed_x=False",
        args={"missing": "ml"},
        data=at("w1", lambda d: d.cluster <= 2, np.nan),
    ),
    "missing-within-covariate": doubtful(
        ml.ModelWarning, "3 rows were dropped", "(x1)", args={"missing": "ml"}, data=at("x1", rows(0, 39, 98), np.nan)
    ),
    # accepted by lavaan, meaningful in one level only: an option that does nothing here is no option
    "std-ov": wrong(Model, "'std_ov'", "Standardise the columns", args={"std_ov": True}),
    "bounds": wrong(Model, "bounds='standard'", "'pos.var'", args={"bounds": "standard"}),
    "rstarts": wrong(Model, "'rstarts'", "other starting values are tried", args={"rstarts": 2}),
    "correlation-structure": wrong(Model, "'correlation'", args={"correlation": True}),
    # ------------------------------------------------ random slopes
    "rv-level2": wrong(
        Syntax,
        "rv() stands at level 1 only",
        model=without(PLAIN, "fb =~ y1 + y2 + y3", 'fb =~ y1 + y2 + y3\n  fb ~ rv("s")*w1'),
    ),
    "rv-name-clash": wrong(
        Syntax, "'x2' is a column of the data", model=SLOPE.replace('"s"', '"x2"').replace("~~ s", "~~ x2")
    ),
    "rv-multigroup": Input(
        model=f"group: 1\n{SLOPE}\ngroup: 2\n{SLOPE}", args={"group": "g2"}, data=TWO_GROUPS, status=Status.IMPROPER
    ),
    "rv-single-level": wrong(Syntax, "one level", "'level: 1'", model='y1 ~ rv("s")*x1', cluster=None),
    # ------------------------------------------------ after the fit
    "predict-level3": wrong(Model, "level must be 1", then=lambda fit: fit.predict(level=3)),
    # conditional means of outcomes are no method of a Fit: Python says so
    "predict-y": wrong(AttributeError, "predictY", then=lambda fit: fit.predictY(ynames="y1", xnames=["y2", "y3"])),
    "residuals-casewise": wrong(Model, "'casewise'", "raw, cor, z", then=lambda fit: fit.residuals(type="casewise")),
    "data-matrix-summary": wrong(Data, "covariance or correlation matrix", "need the rows", data=lambda d: d.cov()),
}
FINE = {"tutorial": Input(), "plain": Input(model=PLAIN)}


def run(given: Input) -> tuple[ml.Fit, list[Warning]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = getattr(ml, given.function)(given.model, given.data(DATA), cluster=given.cluster, **given.args)
    return fit, [w.message for w in caught]


@functools.cache
def loglik(name: str) -> float:
    return run(FINE[name])[0].loglik


@pytest.mark.parametrize("name", INPUTS)
def test_input(name: str) -> None:
    given = INPUTS[name]
    if given.error is not None:
        fit = None if given.then is None else run(given)[0]
        with pytest.raises(given.error) as raised:
            run(given) if fit is None else given.then(fit)
        text = str(raised.value)
        if given.error is not AttributeError:
            assert isinstance(raised.value, ValueError)
    else:
        fit, told = run(given)
        assert not fit.converged if given.status is None else fit.status is given.status, fit.status
        if given.status is Status.CONVERGED:
            assert np.isfinite(fit.parameter_estimates()["se"].dropna()).all()
        if given.warning is None and given.status is Status.CONVERGED:
            assert not told, told
        if given.warning is not None:
            assert any(isinstance(w, given.warning) for w in told)
        text = "\n".join(map(str, told))
        if given.like:
            assert fit.loglik == pytest.approx(loglik(given.like), rel=1e-10)
    for words in given.says:
        assert words in text, text


def test_every_input_of_the_survey_is_here() -> None:
    """The list of the inputs, where it is at hand."""
    path = reference_root() / "lavaan" / "errors.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    assert {entry["id"] for entry in json.loads(path.read_text())} == set(INPUTS)
