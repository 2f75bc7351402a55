"""The one table of options: what each option of a fit or of a model takes, for both front ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlsem_jax._arguments import (
    FLAG,
    Refused,
    Rule,
    check,
    choice,
    names,
    number,
    number_of,
    shown,
    whole,
    words,
)
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.options._foreign_words import ELSEWHERE, NO_COUNTERPART

GROUP_EQUAL = (
    "loadings",
    "intercepts",
    "means",
    "regressions",
    "thresholds",
    "residuals",
    "residual.covariances",
    "lv.variances",
    "lv.covariances",
)
EFFECT_CODING = ("loadings", "intercepts")
BOUNDS = ("none", "pos.var", "pos.ov.var", "pos.lv.var")
ROTATIONS = ("geomin", "oblimin", "varimax", "target")
# the target's form is seen with the block that it is for
ROTATION_ARGS: dict[str, Rule | None] = {
    "epsilon": number(0, above=True),
    "gamma": number(highest=1),
    "orthogonal": FLAG,
    "kaiser": FLAG,
    "target": None,
    "starts": whole(0, 10_000),
    "seed": whole(0, 2**63 - 1),
}
SOLVERS = ("scoring", "bfgs", "newton", "em")


def _effect_coding(value: Any) -> tuple[str, ...]:
    try:
        return EFFECT_CODING if FLAG.read(value) else ()
    except Refused:
        return words(*EFFECT_CODING).read(value)


def _level_label(value: Any) -> tuple[str, str]:
    given = [] if isinstance(value, str) or not hasattr(value, "__iter__") else [str(word) for word in value]
    if len(given) != 2 or given[0].lower() == given[1].lower():
        raise Refused()
    return given[0], given[1]


def _group_partial(value: Any) -> tuple[str, ...]:
    return tuple("".join(word.split()) for word in names().read(value) if word.strip())


def _labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if (
        isinstance(value, bytes | Mapping | set | frozenset)
        or not hasattr(value, "__iter__")
        or hasattr(value, "columns")
    ):
        raise Refused()
    given = tuple(str(label) for label in value)
    if not given or len(set(given)) != len(given):
        raise Refused("None may be there twice." if given else "")
    return given


def _solver(value: Any) -> Any:
    """A word, or an object that may be a solver: what it is made of is seen where it is first used (`as_minimiser`)."""
    if isinstance(value, str):
        return choice(*SOLVERS, elsewhere=ELSEWHERE["optim_method"]).read(value)
    minimiser = all(hasattr(value, name) for name in ("init", "step", "terminate"))
    transformation = hasattr(value, "init") and hasattr(value, "update")
    if isinstance(value, type) or not (minimiser or transformation):
        raise Refused()
    return value


def _bounds(value: Any) -> str | dict[str, tuple[float | None, float | None]]:
    if isinstance(value, str):
        return choice(*BOUNDS, elsewhere=ELSEWHERE["bounds"]).read(value)
    if not isinstance(value, Mapping):
        raise Refused()
    return {_bound_name(name): _limits(name, pair) for name, pair in value.items()} or "none"


def _bound_name(name: Any) -> str:
    if not isinstance(name, str):
        raise Refused(f"{shown(name)} is no name of a parameter.")
    return name


def _limits(name: str, pair: Any) -> tuple[float | None, float | None]:
    """Lower and upper limit, None where there is none."""
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2 or isinstance(pair, Mapping | set):
        raise Refused(f"{name!r} has {shown(pair)}; write a pair such as (0, None).")
    found: list[float | None] = []
    for limit in pair:
        value = None if limit is None else number_of(limit)
        if limit is not None and (value is None or math.isnan(value)):
            raise Refused(f"{name!r} has {shown(pair)}, in which {shown(limit)} is no number.")
        found.append(None if value is None or math.isinf(value) else value)
    lower, upper = found
    if lower is not None and upper is not None and lower >= upper:
        raise Refused(
            f"{name!r} has {shown(pair)}: the lower limit must be below the upper one; to fix a value use 'value*'."
        )
    return lower, upper


def _start(value: Any) -> Any:
    """A word, or what values can be taken from; which parameters they are of is seen with the model (`_start.py`)."""
    if isinstance(value, str):
        return choice("default", "simple", elsewhere=ELSEWHERE["start"]).read(value)
    table = hasattr(value, "columns") and hasattr(value, "to_dict")
    series = hasattr(value, "index") and hasattr(value, "items") and not callable(value.index)
    if not (isinstance(value, Mapping) or table or series or hasattr(value, "parameter_estimates")):
        raise Refused()
    return value


def _ordered(value: Any) -> bool | tuple[str, ...]:
    """True for all that the model explains, or names; () for none."""
    if isinstance(value, bool | np.bool_):
        return bool(value) or ()
    given = (value,) if isinstance(value, str) else names("a variable").read(value)
    return tuple(given)


def _column(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    several = isinstance(value, list | tuple)
    raise Refused("Level-2 weights are given as sampling_weights_between=." if several and len(value) == 2 else "")


COLUMN = Rule("the name of one column", _column)


def _rotation(value: Any) -> Any:
    """One word for all levels, or a dictionary by level."""
    one = choice(*ROTATIONS, elsewhere=ELSEWHERE["rotation"])
    if not isinstance(value, Mapping):
        return one.read(value)
    level = choice("within", "between")
    return {level.read(name): one.read(word) for name, word in value.items()}


def _rotation_args(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or hasattr(value, "columns"):
        raise Refused()
    found = {}
    for name, given in value.items():
        if name not in ROTATION_ARGS:
            near = nearest(name, ROTATION_ARGS)
            raise Refused(f"There is no {shown(name)}; there are {', '.join(ROTATION_ARGS)}.{near}")
        rule = ROTATION_ARGS[name]
        found[str(name)] = given if rule is None else check(str(name), given, rule)
    return found


def _fay(value: Any) -> float:
    found = number(0, 1).read(value)
    if found == 1:
        raise Refused()
    return found


def _errors(*words: str) -> Rule:
    """`se`: an estimator of the sampling covariance by name, or "robust", which is the robust one of the estimator."""
    return choice(*words, "robust", elsewhere=ELSEWHERE["se"])


OPTIONS: dict[str, Rule] = {
    # what is added to a model text
    **dict.fromkeys(
        (
            "std_lv",
            "fixed_x",
            "orthogonal",
            "auto_fix_first",
            "auto_fix_single",
            "auto_var",
            "auto_cov_lv_x",
            "auto_cov_y",
            "int_ov_free",
            "int_lv_free",
            "meanstructure",
        ),
        FLAG,
    ),
    "effect_coding": Rule("True, False, or some of 'loadings' and 'intercepts'", _effect_coding),
    "group_equal": words(*GROUP_EQUAL),
    "group_partial": Rule("names of parameters, such as 'fw=~y2'", _group_partial),
    "rotation": Rule(
        "'geomin', 'oblimin', 'varimax' or 'target', or one of them by level, {'within': ..., 'between': ...}",
        _rotation,
    ),
    "rotation_args": Rule("a dictionary, such as {'epsilon': 0.01}", _rotation_args),
    "level_label": Rule("two words, the one of level 1 first, as in ('within', 'between')", _level_label),
    # of the data
    "group_label": Rule("a list of the groups' labels in the wanted order", _labels),
    "missing": choice("listwise", "ml", "fiml", "direct", "pairwise", elsewhere=ELSEWHERE["missing"]),
    "sampling_weights": COLUMN,
    "sampling_weights_between": COLUMN,
    "sampling_weights_scaling": choice("cluster", "effective", "none"),
    "sampling_weights_normalization": choice("total", "group", "none"),
    "strata": COLUMN,
    "lonely": choice("error", "adjust"),
    "replicate_weights": names("a column"),
    "replicate_type": choice("BRR", "Fay", "JK1", "JK2", "bootstrap"),
    "fay": Rule("a number of at least 0 and below 1, such as 0.5 in PISA", _fay),
    # of the fit
    "estimator": choice("ML", "MLR", "MLF", "WLSMV", "DWLS", "WLS", "ULSMV", elsewhere=ELSEWHERE["estimator"]),
    "se": _errors("standard", "robust.huber.white", "robust.cluster", "robust.sem", "replicates", "bootstrap", "none"),
    "test": choice(
        *("standard", "yuan.bentler", "yuan.bentler.mplus", "satorra.bentler", "scaled.shifted", "none"),
        elsewhere=ELSEWHERE["test"],
    ),
    "information": choice("observed", "expected", "first.order"),
    "ordered": Rule("True or the names of the ordered variables", _ordered),
    "parameterization": Rule(
        "'theta' (the unit of a latent response is its residual variance) or 'delta' (its variance)",
        choice("theta", "delta").read,
    ),
    "link": choice("probit", "logit"),
    "integration": choice("adaptive", "laplace"),
    "integration_points": whole(3, 101),
    "optim_method": Rule(
        "'scoring', 'bfgs', 'newton', 'em', an optimistix minimiser such as optimistix.LBFGS(rtol=1e-8, atol=1e-8), or an "
        "optax transformation such as optax.adam(0.1)",
        _solver,
    ),
    "iter_max": whole(1),
    "em_iter_max": whole(1),
    "em_fx_tol": number(0, above=True),
    "em_dx_tol": number(0, above=True),
    "em_acceleration": choice("squarem", "none"),
    "bootstrap": whole(2),
    "iseed": whole(0, 2**63 - 1),
    "bounds": Rule(
        "'none', 'pos.var', 'pos.ov.var', 'pos.lv.var', or a dictionary of limits by parameter, such as "
        "{'y1~~y1.l2': (0, None)}",
        _bounds,
    ),
    "start": Rule(
        "'default', 'simple', a fit, a dictionary or Series of values by parameter, or a parameter table (lhs, op, rhs, est)",
        _start,
    ),
    "h1": FLAG,
    "baseline": FLAG,
    "verbose": FLAG,
    # of network models; kinds of covariance matrices are those of `models.KINDS`
    "vars": names("a column"),
    "within_only": names("a variable"),
    "between_only": names("a variable"),
    "equal": names("a matrix"),
    "identification": choice("loadings", "variance", "none"),
    "standardize": choice("none", "z", "quantile"),
}


def allow_se(known: Iterable[str]) -> None:
    """The values of `se`: names of estimators of the sampling covariance, which `inference` keeps."""
    OPTIONS["se"] = _errors(*known)


def _squashed(name: str) -> str:
    """A name without what spellings differ in: std.lv, std_lv, stdLv and STD_LV are alike."""
    return name.lower().replace(".", "").replace("_", "").replace("-", "")


def spelt_alike(name: str, known: Iterable[str]) -> str:
    """The known name that differs in spelling only, or ""."""
    return next((other for other in known if _squashed(other) == _squashed(name)), "")


def unknown_option(name: str, known: Iterable[str], elsewhere: Mapping[str, str], what: str = "option") -> ModelError:
    """What to say to an option that a function does not have. elsewhere: what to do instead, by name."""
    known, here = set(known), name.replace(".", "_")
    alike = {_squashed(other): told for other, told in elsewhere.items()}
    if name in elsewhere or here in elsewhere:
        return ModelError(f"There is no {what} {name!r}. {elsewhere[name if name in elsewhere else here]}")
    if here != name and here in known:
        return ModelError(f"There is no {what} {name!r}: names have '_' in place of '.' here. Write {here}=.")
    if same := spelt_alike(name, known):
        return ModelError(f"There is no {what} {name!r}. Write {same}=.")
    if _squashed(name) in alike:
        return ModelError(f"There is no {what} {name!r}. {alike[_squashed(name)]}")
    if _squashed(name) in NO_COUNTERPART:
        return ModelError(
            f"lavaan's option {name!r} is not supported here. The options are {', '.join(sorted(known))}."
        )
    near = nearest(name, known) or f" The options are {', '.join(sorted(known))}."
    return ModelError(f"There is no {what} {name!r}.{near}")


def read_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the library uses them; those that are None or "default" are left out. Raises ModelError for wrong values."""
    chosen = {name: value for name, value in given.items() if not _is_default(value)}
    return {name: check(name, value, OPTIONS[name]) for name, value in chosen.items()}


def _is_default(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value == "default")
