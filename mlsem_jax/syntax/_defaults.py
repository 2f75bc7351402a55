"""What lavaan adds to a block by default (variances, covariances, moments of covariates, intercepts) and what it fixes."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from mlsem_jax.models import Parameter
from mlsem_jax.syntax._names import BlockNames
from mlsem_jax.syntax._options import SyntaxOptions
from mlsem_jax.syntax._rows import Row, check_size, key


def complete_block(
    rows: list[Row], names: BlockNames, both: frozenset[str], level: int, group: int, options: SyntaxOptions
) -> list[Row]:
    """The written rows, with first loadings fixed, followed by the default ones in lavaan's order.

    both: observed variables of both levels; their means are level-2 parameters.
    """
    written = {row.key for row in rows}
    pairs = [len(names.covariates), *(len(names.free_factors), len(names.final_outcomes)) * options.auto_cov_y]
    check_size(len(rows) + sum(n * (n + 1) // 2 for n in pairs))

    def missing(added: list[tuple[str, str, str, dict]]) -> list[Row]:
        return [
            Row(Parameter(lhs, op, rhs, level, group, user=0, **fields))
            for lhs, op, rhs, fields in added
            if key(lhs, op, rhs) not in written
        ]

    if options.auto_fix_first:
        rows = _fix_first(rows, names)
    return [
        *rows,
        *missing(_variances(names, options)),
        *missing(_covariances(names, options)),
        *missing(_covariate_moments(names, options)),
        *missing(_intercepts(names, both, level, options) if options.meanstructure else []),
    ]


def _fixed(value: float) -> dict:
    return {"free": False, "value": value}


def _exogenous(value: float | None = None) -> dict:
    return {"free": False, "value": value, "exo": True}


def _fix_first(rows: list[Row], names: BlockNames) -> list[Row]:
    """The first loading of every factor, and weight of every composite, fixed at 1, or at its start value, as lavaan does."""
    waiting, fixed = {*names.factors, *names.composites}, []
    for row in rows:
        p = row.parameter
        if (p.op == "=~" or row.composite) and p.lhs in waiting:
            waiting.remove(p.lhs)
            if not row.explicit:
                row = row.but(free=False, value=1.0 if p.start is None else p.start)
        fixed.append(row)
    return fixed


def _variances(names: BlockNames, options: SyntaxOptions) -> list[tuple[str, str, str, dict]]:
    default = {} if options.auto_var else _fixed(0.0)
    loads = Counter(row.lhs for row in names.rows if row.op == "=~")
    loaded = Counter(row.rhs for row in names.rows if row.op == "=~")
    single = {r.rhs for r in names.rows if r.op == "=~" and loads[r.lhs] == 1 and loaded[r.rhs] == 1}
    added = []
    covariates, factors = set(names.covariates), set(names.factors)
    for name in (*(v for v in names.observed if v not in covariates), *names.latent):
        fields = default
        if options.auto_fix_single and name in single:
            fields = _fixed(0.0)
        if options.std_lv and name in factors:
            fields = _fixed(1.0)
        if name in names.composites:
            fields = _fixed(0.0)
        added.append((name, "~~", name, fields))
    return added


def _covariances(names: BlockNames, options: SyntaxOptions) -> list[tuple[str, str, str, dict]]:
    pairs: list[tuple[str, str]] = []
    latent = set(names.latent)
    if options.auto_cov_lv_x:
        pairs.extend(combinations(names.free_factors, 2))
    if options.auto_cov_y:
        pairs.extend(combinations(names.final_outcomes, 2))

    def fields(pair: tuple[str, str]) -> dict:
        return _fixed(0.0) if options.orthogonal and all(name in latent for name in pair) else {}

    return [(pair[0], "~~", pair[1], fields(pair)) for pair in pairs]


def _covariate_moments(names: BlockNames, options: SyntaxOptions) -> list[tuple[str, str, str, dict]]:
    fields = _exogenous() if options.fixed_x else {}
    covariates = names.covariates
    return [(a, "~~", b, fields) for i, a in enumerate(covariates) for b in covariates[i:]]


def _intercepts(
    names: BlockNames, both: frozenset[str], level: int, options: SyntaxOptions
) -> list[tuple[str, str, str, dict]]:
    added, covariates, slopes = [], set(names.covariates), set(names.slopes)
    for name in names.observed:
        centred = level == 1 and name in both
        if options.fixed_x and name in covariates:
            fields = _exogenous(0.0 if centred else None)
        else:
            fields = _fixed(0.0) if centred or not options.int_ov_free else {}
        added.append((name, "~1", "", fields))
    for name in names.latent:
        free = options.int_lv_free or name in slopes
        added.append((name, "~1", "", {} if free else _fixed(0.0)))
    return added
