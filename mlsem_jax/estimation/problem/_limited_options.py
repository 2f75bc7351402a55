"""What the options of a fit may be with estimators of limited information, and what they are by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsem_jax._errors import ModelError

# lavaan's names; DWLS is WLSMV without its corrections, ULSMV the same with unweighted least squares
LIMITED = ("WLSMV", "DWLS", "WLS", "ULSMV")
_CORRECTED = {"se": "robust.sem", "test": "scaled.shifted", "information": "expected"}
_PLAIN = {"se": "standard", "test": "standard", "information": "expected"}
IMPLIED = {"WLSMV": _CORRECTED, "ULSMV": _CORRECTED, "DWLS": _PLAIN, "WLS": _PLAIN}
_TAKES = {
    "se": ("standard", "robust.sem", "none"),
    "test": ("standard", "satorra.bentler", "scaled.shifted", "none"),
    "information": ("expected",),
    "missing": ("listwise", "pairwise"),
    "integration": ("adaptive",),
}
_ALONE = {"se": ("robust.sem",), "test": ("satorra.bentler", "scaled.shifted"), "missing": ("pairwise",)}


_INSTEAD = {
    "missing": "Use missing='ml', which uses every observed value.",
    "se": "Use se='robust.huber.white'.",
    "test": "Use test='yuan.bentler' or 'yuan.bentler.mplus'.",
}


def check_estimator(estimator: str, given: Mapping[str, Any]) -> None:
    """**Raises:** ModelError for options, already read, that do not go with the estimator."""
    if estimator in LIMITED:
        for name, allowed in _TAKES.items():
            if name in given and given[name] not in allowed:
                raise ModelError(_not_with(estimator, name, given[name], allowed))
        return
    for name, values in _ALONE.items():
        if given.get(name) in values:
            raise ModelError(
                f"{name}={given[name]!r} goes with the estimators of limited information for ordered variables (WLSMV, DWLS, WLS, "
                f"ULSMV), not with estimator={estimator!r}. {_INSTEAD.get(name, '')}".rstrip()
            )


def _not_with(estimator: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    takes = " or ".join(map(repr, allowed))
    if name == "missing":
        return (
            f"missing={value!r} goes with estimator='ML' (full information). estimator={estimator!r} takes {takes}, which "
            "leaves values out "
            "variable by variable and pair by pair."
        )
    if name == "se" and value == "bootstrap":
        return f"se='bootstrap' is not supported with estimator={estimator!r}: it takes {takes}."
    return (
        f"{name}={value!r} is of the likelihood, which estimator={estimator!r} does not use: it takes {takes}. estimator='ML' "
        "is full "
        "information."
    )
