"""Model text -> Specification: the front end's only way into the model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from itertools import chain

from mlsem_jax.models import NO_LEVEL, Level, Parameter, Specification
from mlsem_jax.syntax._advice import advice
from mlsem_jax.syntax._blocks import Blocks, place
from mlsem_jax.syntax._checks import (
    check_composites,
    check_groups,
    check_levels_present,
    check_slope_predictors,
    check_slopes,
    check_variables,
    label_warnings,
)
from mlsem_jax.syntax._constraints import checked_constraints, checked_definitions
from mlsem_jax.syntax._defaults import complete_block
from mlsem_jax.syntax._equalities import (
    apply_equal,
    apply_group_equal,
    effect_coding,
    free_by_equality,
    is_private,
    spread_fixed_labels,
)
from mlsem_jax.syntax._exploratory import check_free, explore
from mlsem_jax.syntax._names import BlockNames, ordered_covariance, unique
from mlsem_jax.syntax._options import SyntaxOptions
from mlsem_jax.syntax._ordered import OrderedRules, parameterization_of
from mlsem_jax.syntax._parser import parse
from mlsem_jax.syntax._rows import Row, rows_of_block
from mlsem_jax.syntax._tree import Syntax

Where = tuple[int, int]
# models that are remembered as they were specified: studies fit few models to many data sets
SPECIFICATIONS = 32


def specify(
    model: str | Syntax,
    *,
    options: SyntaxOptions,
    data_variables: Sequence[str] | None,
    group_labels: Sequence[str] = (),
    categories: Mapping[str, int] | None = None,
    unit: float = 1.0,
) -> Specification:
    """The complete model that a text stands for, in lavaan's order of rows.

    data_variables: the columns of the data, None where they are not known (every name that is no factor is then taken
    to be observed). group_labels: the groups in the data in order of first appearance, as strings; empty for one group. categories:
    the number of categories of each ordered variable; unit: the residual variance of their latent responses.

    **Raises:** ModelSyntaxError where the text is at fault, ModelError where groups or options are.
    """
    syntax = parse(model) if isinstance(model, str) else model
    labels = tuple(str(label) for label in group_labels)
    columns = None if data_variables is None else tuple(data_variables)
    # with rotation anew: its targets are arrays, which are not compared
    specified = _remembered if options.plain else _specified
    return specified(syntax, options, columns, labels, tuple((categories or {}).items()), unit)


def _specified(
    syntax: Syntax,
    options: SyntaxOptions,
    columns: tuple[str, ...] | None,
    group_labels: tuple[str, ...],
    by_name: tuple[tuple[str, int], ...],
    unit: float,
) -> Specification:
    """`specify` with arguments that can be looked up."""
    categories = dict(by_name)
    delta, scales = parameterization_of(syntax, options.parameterization, categories)
    blocks = place(syntax, group_labels, options.level_label)
    written, names = _written(syntax, blocks, group_labels, columns)
    warnings = check_variables(names, columns, syntax)
    check_slope_predictors(written, names, syntax)
    warnings += label_warnings(list(chain.from_iterable(written.values())), names, columns)
    if len(group_labels) > 1:
        check_groups(names, group_labels, options.fixed_x, bool(categories))
    single, options = (
        not syntax.has_levels,
        options.for_model(syntax.has_levels, syntax.has_means, len(group_labels) > 1, bool(categories)),
    )
    ordered = OrderedRules(categories, unit, names, syntax, delta, options.group_equal)
    written = ordered.placed(written)
    both = {
        group: frozenset() if single else frozenset(names[group, 1].observed) & frozenset(names[group, 2].observed)
        for group, level in names
        if level == 1
    }
    completed = {
        (group, level): ordered.complete(
            complete_block(written[group, level], names[group, level], both[group], level, group, options), group, level
        )
        for group, level in sorted(written)
    }
    if single:
        free_by_equality(completed, names, options)
    else:
        warnings += _center_level_1(completed, both)
    blocks_to_rotate = explore(completed, names, options, syntax)
    rows = list(chain.from_iterable(completed.values()))
    rows = apply_equal(rows, syntax.text)
    more: list[str] = []
    if options.group_equal and len(group_labels) > 1:
        rows, more = apply_group_equal(rows, names, options, len(group_labels))
    rows, generated = effect_coding(rows, names, options) if options.effect_coding else (rows, ())
    rows, spread = spread_fixed_labels(rows, syntax.text)
    check_free([row.parameter for row in rows], blocks_to_rotate)
    warnings += scales + ordered.warnings + more + spread + advice(rows, names, blocks, group_labels, options)
    parameters = tuple(row.parameter for row in rows)
    labels = [p.label for p in parameters if p.label and not is_private(p.label)]
    fixed = {p.label: p.value for p in parameters if p.label and not p.free and p.value is not None}
    definitions = checked_definitions(syntax, labels, fixed)
    return Specification(
        _level(names, 1, blocks, options),
        NO_LEVEL if single else _level(names, 2, blocks, options),
        parameters,
        checked_constraints(syntax, labels, definitions, fixed) + generated,
        definitions,
        group_labels if len(group_labels) > 1 else (),
        tuple(dict.fromkeys(warnings)),
        means=bool(options.meanstructure),
        blocks=blocks_to_rotate,
        ordered=ordered.ordered,
    )


# what was worked out for a model is kept with its specification: a megabyte at most
_remembered = functools.lru_cache(maxsize=SPECIFICATIONS)(_specified)


def _written(
    syntax: Syntax, blocks: Blocks, groups: Sequence[str], columns: Sequence[str] | None
) -> tuple[dict[Where, list[Row]], dict[Where, BlockNames]]:
    """The written rows of every block, covariances in lavaan's order of names, and the roles of the names."""
    rows = {where: rows_of_block(placed, *where, syntax.text) for where, placed in blocks.formulas.items()}
    check_levels_present(rows, blocks, groups, syntax)
    check_slopes(rows, columns, syntax)
    slopes = {(g, lv): _slopes(rows[g, 1]) if lv == 2 else () for g, lv in rows}
    made = {w: unique(r.parameter.lhs for r in block if r.composite) for w, block in rows.items()}
    check_composites(rows, made, syntax)
    names = {w: BlockNames(tuple(r.parameter for r in block), slopes[w], made[w]) for w, block in rows.items()}
    everything = unique(chain(*(n.latent for n in names.values()), *(n.observed for n in names.values())))
    order = {name: i for i, name in enumerate(everything)}
    for where, block in rows.items():
        swapped = [ordered_covariance(r.parameter, order) for r in block]
        rows[where] = [r.but(lhs=p.lhs, rhs=p.rhs) for r, p in zip(block, swapped, strict=True)]
        names[where] = BlockNames(tuple(swapped), slopes[where], made[where])
    return rows, names


def _slopes(level_1: list[Row]) -> tuple[str, ...]:
    return unique(r.parameter.random for r in level_1 if r.parameter.random)


def _center_level_1(completed: dict[Where, list[Row]], both: dict[int, frozenset[str]]) -> list[str]:
    """Written level-1 intercepts of variables in both levels are fixed at 0, as lavaan does, in place.

    They stay free where the text fixes the level-2 intercept of the variable: the mean then lives at level 1.
    """
    warnings = []
    for (group, level), block in completed.items():
        if level == 2:
            continue
        elsewhere = {
            r.parameter.lhs
            for r in completed[group, 2]
            if r.parameter.op == "~1" and r.parameter.user and not r.parameter.free
        }
        for i, row in enumerate(block):
            p: Parameter = row.parameter
            if p.op == "~1" and p.user and p.free and p.lhs in both[group] and p.lhs not in elsewhere:
                block[i] = row.but(free=False, value=0.0)
                warnings.append(
                    f"'{p.lhs} ~ 1' at level 1 is fixed at 0: '{p.lhs}' is in both levels, and its mean is estimated at"
                    f" level 2. To have it at level 1, write '{p.lhs} ~ 0*1' at level 2."
                )
    return warnings


def _level(names: dict[Where, BlockNames], level: int, blocks: Blocks, options: SyntaxOptions) -> Level:
    """The variables of a level in any group, those of the first group first."""
    here = [block for (_, lv), block in sorted(names.items()) if lv == level]
    observed, latent, covariates = (
        unique(chain.from_iterable(getattr(block, kind) for block in here))
        for kind in ("observed", "latent", "covariates")
    )
    return Level(observed, latent, covariates if options.fixed_x else (), blocks.level_labels[level - 1])
