"""Parameters made equal: equal("..."), group_equal, labels shared with fixed parameters, and effect coding.

Equal free parameters share a label. Where the user gave none it is made, '.p7.' for row 7 of the table, as in lavaan.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlsem_jax._errors import ModelError, ModelSyntaxError, nearest
from mlsem_jax.models import Constraint, Expression, Name, Number, Parameter, chained
from mlsem_jax.syntax._names import BlockNames
from mlsem_jax.syntax._options import SyntaxOptions
from mlsem_jax.syntax._rows import Row, key

BlocksOfNames = dict[tuple[int, int], BlockNames]


def private_label(position: int) -> str:
    """The made label of the row at this position, counted from 0."""
    return f".p{position + 1}."


def is_private(label: str) -> bool:
    """Whether a label was made here rather than written by the user."""
    return label.startswith(".p") and label.endswith(".") and label[2:-1].isdigit()


def apply_equal(rows: list[Row], text: str) -> list[Row]:
    """`equal("name")` resolved: the parameter gets the label of the one it names, by label or by name ('fb=~y2.l2')."""
    rows = list(rows)
    found = _Targets(rows) if any(row.equal for row in rows) else None
    for i, row in enumerate(rows):
        if not row.equal or found is None:
            continue
        target = found.of(rows, i)
        if target is None:
            known = [r.parameter.label or _name(r.parameter) for r in rows if not r.parameter.exo]
            p = row.parameter
            message = f'equal("{row.equal}"): no parameter has this label or name.{nearest(row.equal, known)}'
            raise ModelSyntaxError(message, text, p.line, p.column)
        label = rows[target].parameter.label or private_label(target)
        rows[target] = rows[target].but(label=label)
        rows[i] = row.but(label=label)
        for j in (target, i):
            found.by_label.setdefault(label, []).append(j)
    return rows


def _name(p: Parameter) -> str:
    return p.but(label="").name


class _Targets:
    """Which rows equal() may mean: by label, by name, by name within their group, by name within their group and level."""

    def __init__(self, rows: list[Row]):
        self.by_label: dict[str, list[int]] = {}
        self._by_name: dict[tuple, list[int]] = {}
        for i, p in enumerate(row.parameter for row in rows):
            self.by_label.setdefault(p.label, []).append(i)
            names = ((p.group, _name(p.but(group=1))), (_name(p),), (p.group, p.level, _name(p.but(group=1, level=1))))
            for name in names:
                self._by_name.setdefault(name, []).append(i)

    def of(self, rows: list[Row], i: int) -> int | None:
        """The row that equal() of row i names: in its own group where the line stands for several, exactly, or nearby."""
        me, wanted = rows[i].parameter, "".join(rows[i].equal.split())
        tries = [
            self.by_label.get(wanted, []),
            self._by_name.get((me.group, wanted), []) if rows[i].replicated else [],
            self._by_name.get((wanted,), []),
            self._by_name.get((me.group, me.level, wanted), []),
        ]
        return next((j for found in tries for j in found if j != i), None)


def apply_group_equal(
    rows: list[Row], names: BlocksOfNames, options: SyntaxOptions, ngroups: int
) -> tuple[list[Row], list[str]]:
    """Classes of parameters made equal over groups, except those in group_partial and those with labels of their own.

    A parameter that is fixed in one group is fixed in all, as in lavaan; the second value says where.
    """
    rows, warnings = list(rows), []
    _check_partial(rows, options.group_partial)
    index = {(r.parameter.group, r.parameter.level, r.key): i for i, r in enumerate(rows)}
    for i, row in enumerate(rows):
        p = row.parameter
        block = names[p.group, p.level]
        if p.group > 1 or p.label or p.exo or p.random or _class(p, block) not in options.group_equal:
            continue
        if _is_partial(p, options.group_partial):
            continue
        others = [index.get((g, p.level, row.key)) for g in range(2, ngroups + 1)]
        same = [i, *(j for j in others if j is not None and not rows[j].parameter.label)]
        if len(same) == 1:
            continue
        free = [j for j in same if rows[j].parameter.free]
        values = {rows[j].parameter.value for j in same if not rows[j].parameter.free}
        if len(free) == len(same):
            for j in same:
                rows[j] = rows[j].but(label=private_label(i))
        elif free and len(values) == 1:
            (value,) = values
            for j in free:
                rows[j] = rows[j].but(free=False, value=value)
            at = f" at level {p.level}" if (1, 2) in names else ""
            warnings.append(
                f"{p.lhs}{p.op}{p.rhs}{at} is fixed at {value:g} in one group and equal over groups by"
                " group_equal, so it is fixed in all; name it in group_partial to leave it free."
            )
    return rows, warnings


def _class(p: Parameter, names: BlockNames) -> str:
    """Which of group_equal's classes a parameter belongs to, '' for none."""
    if p.op == "=~":
        return "loadings"
    if p.op == "~":
        return "regressions"
    if p.op == "|":
        return "thresholds"
    if p.op == "~*~" or p.follows:
        return ""
    latent = p.lhs in names.latent
    if p.lhs in names.exogenous:
        return ""
    if p.op == "~1":
        return "means" if latent else "intercepts"
    if p.lhs == p.rhs:
        return "lv.variances" if latent else "residuals"
    if latent != (p.rhs in names.latent) or p.rhs in names.exogenous:
        return ""
    return "lv.covariances" if latent else "residual.covariances"


def _partial_names(p: Parameter) -> set[str]:
    pairs = [(p.lhs, p.rhs), (p.rhs, p.lhs)] if p.op == "~~" else [(p.lhs, p.rhs)]
    plain = {f"{a}{p.op}{b}" for a, b in pairs}
    return plain | {f"{name}.l{p.level}" for name in plain}


def _is_partial(p: Parameter, partial: Sequence[str]) -> bool:
    return not _partial_names(p).isdisjoint(partial)


def _check_partial(rows: list[Row], partial: Sequence[str]) -> None:
    known = set().union(*(_partial_names(r.parameter) for r in rows)) if rows else set()
    for name in partial:
        if name not in known:
            raise ModelError(f"group_partial: the model has no parameter '{name}'.{nearest(name, known)}")


def free_by_equality(completed: dict[tuple[int, int], list[Row]], names: BlocksOfNames, options: SyntaxOptions) -> None:
    """In place, for one level: with equal intercepts the factors' means of all groups but the first are free, and with equal
    loadings the variances that std_lv would fix, as in lavaan: the equalities set origin and unit there. What the text says stays.
    """
    equal = options.group_equal
    for (group, level), block in completed.items():
        latent = names[group, level].latent
        for i, row in enumerate(block if group > 1 else ()):
            p = row.parameter
            mean = (
                p.op == "~1"
                and {"intercepts", "thresholds"} & {*equal}
                and "means" not in equal
                and not options.int_lv_free
            )
            variance = p.op == "~~" and p.lhs == p.rhs and options.std_lv
            if (
                p.lhs in latent
                and not p.user
                and (mean or (variance and "loadings" in equal and "lv.variances" not in equal))
            ):
                block[i] = row.but(free=True, value=None)


def spread_fixed_labels(rows: list[Row], text: str) -> tuple[list[Row], list[str]]:
    """Free parameters that share the label of a fixed one become fixed at its value, as in lavaan; a sentence on each."""
    fixed: dict[str, Parameter] = {}
    for p in (r.parameter for r in rows):
        if p.label and not p.free and p.value is not None:
            first = fixed.setdefault(p.label, p)
            if first.value != p.value:
                message = f"'{p.label}' labels parameters fixed at different values, {first.value:g} and {p.value:g}."
                raise ModelSyntaxError(message, text, p.line, p.column)
    spread, warnings = [], []
    for row in rows:
        p = row.parameter
        if p.free and p.label in fixed:
            value = fixed[p.label].value
            warnings.append(
                f"{_name(p)} shares the label '{p.label}' with {_name(fixed[p.label])}, which is fixed at {value:g},"
                " so it is fixed as well."
            )
            row = row.but(free=False, value=value)
        spread.append(row)
    return spread, warnings


def effect_coding(
    rows: list[Row], names: BlocksOfNames, options: SyntaxOptions
) -> tuple[list[Row], tuple[Constraint, ...]]:
    """The scale of every factor set by its indicators: loadings that average 1, and intercepts that average 0.

    A factor's mean is freed where the intercepts of all its indicators are free.
    """
    rows, constraints = list(rows), []
    index = {(r.parameter.group, r.parameter.level, r.key): i for i, r in enumerate(rows)}
    for (group, level), block in names.items():

        def row_of(lhs: str, op: str, rhs: str, where: tuple[int, int] = (group, level)) -> int | None:
            return index.get((*where, key(lhs, op, rhs)))

        loads = _indicators(block)

        def free_mean(name: str, loads: dict[str, list[str]] = loads, row_of=row_of) -> bool:
            """Whether the intercepts of all indicators at the end of every path from a factor are free."""
            waiting, seen = [name], {name}
            while waiting:
                inner = waiting.pop()
                i = None if inner in loads else row_of(inner, "~1", "")
                if inner not in loads and (i is None or not rows[i].parameter.free):
                    return False
                following = [n for n in loads.get(inner, ()) if n not in seen]
                waiting += following
                seen.update(following)
            return True

        for factor in block.factors:
            indicators = loads[factor]
            if "loadings" in options.effect_coding:
                parts = [row_of(factor, "=~", rhs) for rhs in indicators]
                constraints += _sum_to(rows, parts, float(len(indicators)))
            mean = row_of(factor, "~1", "")
            if "intercepts" in options.effect_coding and mean is not None and free_mean(factor):
                if rows[mean].parameter.user == 0:
                    rows[mean] = rows[mean].but(free=True, value=None)
                parts = [row_of(rhs, "~1", "") for rhs in indicators]
                if all(i is not None and rows[i].parameter.op == "~1" for i in parts):
                    constraints += _sum_to(rows, parts, 0.0, [i for i in parts if i is not None])
    return rows, tuple({c.text: c for c in constraints}.values())


def _sum_to(rows: list[Row], parts: list[int | None], total: float, freed: Sequence[int] = ()) -> list[Constraint]:
    """The constraint that parameters sum to a total, as 'first == total - second - third'; [] where none is free."""
    for i in freed:
        if not rows[i].parameter.free and rows[i].parameter.user == 0:
            rows[i] = rows[i].but(free=True, value=None)
    present = [i for i in parts if i is not None]
    free = [i for i in present if rows[i].parameter.free]
    if not free:
        return []
    for i in free:
        if not rows[i].parameter.label:
            rows[i] = rows[i].but(label=private_label(i))
    others = [rows[i].parameter for i in present if i != free[0]]
    terms: list[Expression] = [Name(p.label) if p.free else Number(p.value or 0.0) for p in others]
    right = chained(Number(total), [("-", term) for term in terms])
    left = Name(rows[free[0]].parameter.label)
    return [Constraint(left, "==", right, f"{left.name}=={'-'.join(str(term) for term in (Number(total), *terms))}")]


def _indicators(block: BlockNames) -> dict[str, list[str]]:
    """The indicators of every factor of a block."""
    found: dict[str, list[str]] = {}
    for row in block.rows:
        if row.op == "=~":
            found.setdefault(row.lhs, []).append(row.rhs)
    return found
