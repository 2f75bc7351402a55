"""Sentences on defaults that are lavaan's but often not what was meant."""

from __future__ import annotations

from collections.abc import Sequence

from mlsem_jax._errors import listing
from mlsem_jax.models import Parameter
from mlsem_jax.syntax._blocks import Blocks
from mlsem_jax.syntax._names import BlockNames
from mlsem_jax.syntax._options import SyntaxOptions
from mlsem_jax.syntax._rows import Row

Where = tuple[int, int]


def advice(
    rows: list[Row], names: dict[Where, BlockNames], blocks: Blocks, groups: Sequence[str], options: SyntaxOptions
) -> list[str]:
    """Warnings on a completed table."""
    parameters = [r.parameter for r in rows]
    single = (1, 2) not in names
    sentences = _started_markers(rows, options)
    sentences += _touched(names, options)
    if not single:
        sentences += _means_at_both_levels(parameters, names)
    if len(groups) > 1:
        # with one level the means and variances of factors are freed where these equalities set their scale
        sentences += [] if single else _between_means(parameters, names, blocks, groups, options)
        sentences += [] if single else _latent_variances(parameters, names, options)
        sentences += _single_labels(rows, groups)
    return list(dict.fromkeys(sentences))


def _started_markers(rows: list[Row], options: SyntaxOptions) -> list[str]:
    return [
        f"{p.lhs} =~ {p.rhs}: the first loading sets the scale of '{p.lhs}' and is fixed at its start"
        f" value {p.value:g}; write NA*{p.rhs} to free it."
        for r in rows
        if options.auto_fix_first and not r.explicit
        for p in [r.parameter]
        if p.op == "=~" and not p.free and p.start is not None
    ]


def _touched(names: dict[Where, BlockNames], options: SyntaxOptions) -> list[str]:
    return [
        f"The covariate{'s' if len(block.touched) > 1 else ''} {listing(block.touched)}"
        f"{f' of level {level}' if (1, 2) in names else ''} "
        f"{'have' if len(block.touched) > 1 else 'has'} a variance, covariance or mean in the model text, so"
        " it is estimated with the model, not held at the data's; leave these lines out to keep it fixed."
        for (_, level), block in names.items()
        if options.fixed_x and block.touched
    ]


def _means_at_both_levels(parameters: list[Parameter], names: dict[Where, BlockNames]) -> list[str]:
    """Factors of variables in both levels have one mean to share between their level-1 and level-2 parts."""
    free = {
        level: [
            p.lhs
            for p in parameters
            if p.op == "~1" and p.free and p.group == 1 and p.level == level and p.lhs in names[1, level].factors
        ]
        for level in (1, 2)
    }
    if not free[1] or not free[2]:
        return []
    return [
        f"The means of {listing(free[1])} (level 1) and {listing(free[2])} (level 2) are all free, but a variable in"
        f" both levels has only one mean, so they are not identified. Write '{' + '.join(free[1])} ~ 0*1' at level 1."
    ]


def _between_means(
    parameters: list[Parameter],
    names: dict[Where, BlockNames],
    blocks: Blocks,
    groups: Sequence[str],
    options: SyntaxOptions,
) -> list[str]:
    if "intercepts" not in options.group_equal:
        return []
    fixed = [
        name
        for name in names[1, 2].factors
        if all(not p.free for p in parameters if p.op == "~1" and p.level == 2 and p.lhs == name)
    ]
    if not fixed:
        return []
    if blocks.own_groups:
        line = f"'{' + '.join(fixed)} ~ NA*1' in the level-2 block of group {listing(groups[1:])}"
    else:
        line = f"'{' + '.join(fixed)} ~ c({', '.join(['0'] + ['NA'] * (len(groups) - 1))})*1' at level 2"
    return [
        f"group_equal holds the intercepts equal while the level-2 means of {listing(fixed)} stay 0 in every group"
        f" (as in lavaan), so equal factor means are tested as well. To free them, write {line}."
    ]


def _latent_variances(parameters: list[Parameter], names: dict[Where, BlockNames], options: SyntaxOptions) -> list[str]:
    if not options.std_lv or "loadings" not in options.group_equal:
        return []
    fixed = [
        name
        for name in dict.fromkeys((*names[1, 1].factors, *names[1, 2].factors))
        if all(p.value == 1.0 and not p.free for p in parameters if (p.lhs, p.op, p.rhs) == (name, "~~", name))
    ]
    if not fixed:
        return []
    return [
        f"group_equal holds the loadings equal while std_lv fixes the variances of {listing(fixed)} at 1 in every group,"
        f" so equal factor variances are tested as well. To free them, write '{fixed[0]} ~~ NA*{fixed[0]}' in the other"
        " groups."
    ]


def _single_labels(rows: list[Row], groups: Sequence[str]) -> list[str]:
    """A label on a line that holds for all groups makes the parameter equal over them."""
    by_label: dict[str, set[int]] = {}
    for r in rows:
        if r.replicated and r.parameter.label and r.parameter.user:
            by_label.setdefault(r.parameter.label, set()).add(r.parameter.group)
    shared = [label for label, found in by_label.items() if len(found) == len(groups) and not label.startswith(".p")]
    if not shared:
        return []
    return [
        f"These labels stand for all groups, so their parameters are equal over groups: {listing(shared)}. Write"
        " c(a1, a2)*x for a label of each group."
    ]
