"""The models of an invariance study, as changes of the specification of the first: over groups, and across the levels."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import Parameter, Specification

# step: what it holds equal over groups beside the steps before it, in the words of group_equal
OVER_GROUPS = {"configural": (), "metric": ("loadings",), "scalar": ("intercepts",), "strict": ("residuals",)}
ACROSS_LEVELS = {
    "configural": "the same items at both levels",
    "metric": "loadings equal across the levels",
    "scalar": "no residual variances between clusters",
}
# the operator of what a step constrains
CONSTRAINED = {"metric": "=~", "scalar": "~1", "strict": "~~"}

Adapt = Callable[[Specification], Specification]


def group_equal_of(step: str) -> tuple[str, ...]:
    """All classes that a step holds equal over groups."""
    names = list(OVER_GROUPS)
    return tuple(word for name in names[: names.index(step) + 1] for word in OVER_GROUPS[name])


def with_free_means(specification: Specification) -> Specification:
    """With the means of the factors free in all groups but the first, wherever equal intercepts, or thresholds, of their items set
    the origin.

    lavaan frees them by itself at one level; here those of level 2 as well. Means that the text speaks of stay.
    """
    equal = {
        (row.level, row.lhs)
        for row in specification.parameters
        if row.op in ("~1", "|") and row.free and row.label and row.group == 1
    }
    loads: dict[tuple[int, str], list[str]] = {}
    for row in specification.parameters:
        if row.op == "=~" and row.group == 1:
            loads.setdefault((row.level, row.lhs), []).append(row.rhs)

    def freed(row: Parameter) -> bool:
        items = loads.get((row.level, row.lhs), [])
        mean = row.op == "~1" and row.group > 1 and not row.free and not row.user and row.value == 0
        return mean and any((row.level, item) in equal for item in items)

    return _each(specification, lambda row: row.but(free=True, value=None) if freed(row) else row)


def with_free_variances(specification: Specification) -> Specification:
    """With the variances that std_lv fixed free in all groups but the first, where equal loadings set the unit."""
    equal = {(row.level, row.lhs) for row in specification.parameters if row.op == "=~" and row.free and row.label}

    def freed(row: Parameter) -> bool:
        own = row.op == "~~" and row.lhs == row.rhs and (row.level, row.lhs) in equal
        return own and row.group > 1 and not row.free and not row.user and row.value == 1

    return _each(specification, lambda row: row.but(free=True, value=None) if freed(row) else row)


def across_levels(step: str, partial: Collection[str] = ()) -> Adapt:
    """The change of a two-level specification that a step across the levels asks for (Jak, Oort & Dolan 2013).

    partial: parameters that stay free, such as "f=~y2" (of either level's factor) or "y3~~y3".
    """

    def adapt(specification: Specification) -> Specification:
        pairs = matched_factors(specification)
        _check_partial(specification, pairs, partial)
        if step == "configural":
            return specification
        equal = _equal_loadings(specification, pairs, partial)
        return _without_residuals(equal, pairs, partial) if step == "scalar" else equal

    return adapt


def matched_factors(specification: Specification) -> dict[str, str]:
    """Factor of level 2 that has the same items, by factor of level 1. Raises ModelError where one of them has none."""
    items: dict[int, dict[str, tuple[str, ...]]] = {1: {}, 2: {}}
    for row in specification.parameters:
        if row.op == "=~" and row.group == 1:
            items[row.level][row.lhs] = (*items[row.level].get(row.lhs, ()), row.rhs)
    both = set(specification.within.observed) & set(specification.between.observed)
    pairs = {}
    for factor, own in items[1].items():
        if not set(own) <= both:
            continue
        same = [name for name, theirs in items[2].items() if set(theirs) == set(own)]
        if not same:
            raise ModelError(
                f"Invariance across levels asks for the same factors at both: no factor of level 2 has the items of {factor!r} "
                f"({listing(own)}). Those of level 2 are {listing(items[2]) or 'none'}."
            )
        pairs[factor] = factor if factor in same else same[0]
    if not pairs:
        raise ModelError("Invariance across levels needs a factor of level 1 whose items are in level 2 as well.")
    return pairs


def _equal_loadings(specification: Specification, pairs: dict[str, str], partial: Collection[str]) -> Specification:
    """Loadings of level 2 are those of level 1; variances of level 2 that gave the unit are free."""
    names = {between: within for within, between in pairs.items()}
    own = {
        (row.group, row.lhs, row.rhs): (i, row)
        for i, row in enumerate(specification.parameters)
        if row.op == "=~" and row.level == 1
    }
    labels: dict[int, str] = {}

    def equal(row: Parameter) -> Parameter:
        if row.level != 2 or row.lhs not in names:
            return row
        if row.op == "~~" and row.lhs == row.rhs and not row.free and not row.user and row.value == 1:
            return row.but(free=True, value=None)
        if row.op != "=~" or {f"{row.lhs}=~{row.rhs}", f"{names[row.lhs]}=~{row.rhs}"} & set(partial):
            return row
        i, other = own[row.group, names[row.lhs], row.rhs]
        if not other.free:
            return row.but(free=False, value=other.value, label="")
        labels[i] = other.label or f".p{i + 1}."
        return row.but(free=True, value=None, label=labels[i])

    between = _each(specification, equal)
    rows = (row.but(label=labels[i]) if i in labels else row for i, row in enumerate(between.parameters))
    return between.but(parameters=tuple(rows))


def _without_residuals(specification: Specification, pairs: dict[str, str], partial: Collection[str]) -> Specification:
    """Residual variances and covariances of the items at level 2 are 0, which follows from intercepts equal over clusters."""
    items = {r.rhs for r in specification.parameters if r.op == "=~" and r.level == 2 and r.lhs in pairs.values()}
    items -= {name for name in items if f"{name}~~{name}" in partial}

    def without(row: Parameter) -> Parameter:
        if row.level == 2 and row.op == "~~" and {row.lhs, row.rhs} & items:
            return row.but(free=False, value=0.0, label="")
        return row

    return _each(specification, without)


def _check_partial(specification: Specification, pairs: dict[str, str], partial: Collection[str]) -> None:
    names = {*pairs, *pairs.values()}
    known = {f"{r.lhs}=~{r.rhs}" for r in specification.parameters if r.op == "=~" and r.lhs in names}
    known |= {f"{r.rhs}~~{r.rhs}" for r in specification.parameters if r.op == "=~" and r.lhs in names}
    for name in partial:
        if name not in known:
            raise ModelError(
                f"partial: {name!r} is no loading or residual variance that is held across the levels.{nearest(name, known)}"
            )


def _each(specification: Specification, change: Callable[[Parameter], Parameter]) -> Specification:
    return specification.but(parameters=tuple(map(change, specification.parameters)))
