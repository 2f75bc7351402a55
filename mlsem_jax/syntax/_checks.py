"""What must hold between a model text, its blocks and the columns of the data; and the sentences where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlsem_jax._errors import ModelError, ModelSyntaxError, listing, nearest
from mlsem_jax.data import factors_of
from mlsem_jax.models import Parameter
from mlsem_jax.syntax._blocks import LEVEL_NAMES, Blocks
from mlsem_jax.syntax._names import BlockNames
from mlsem_jax.syntax._rows import Row
from mlsem_jax.syntax._tree import Syntax

Where = tuple[int, int]


def check_levels_present(rows: dict[Where, list[Row]], blocks: Blocks, groups: Sequence[str], syntax: Syntax) -> None:
    """**Raises:** ModelSyntaxError with a saturated block to paste where a level has no lines."""
    for (group, level), block in rows.items():
        if block:
            continue
        if not syntax.has_levels:
            raise _without_formulas(group, blocks, groups, syntax)
        other = BlockNames(tuple(r.parameter for r in rows[group, 3 - level]))
        header = blocks.headers.get((group, level))
        where = f" of group '{groups[group - 1]}'" if blocks.own_groups and groups else ""
        what = "is empty" if header else "is missing"
        message = f"{LEVEL_NAMES[level].capitalize()}{where} {what}; a model says something about both levels."
        variables = [name for name in other.observed if name not in other.exogenous]
        if variables:
            pasted = f"level: {blocks.level_labels[level - 1]}\n" + "\n".join(saturated(variables))
            message += f" For a level without structure, all variances and covariances free, paste:\n{pasted}"
        shown = header or blocks.headers.get((group, 3 - level)) or syntax.statements[0]
        raise ModelSyntaxError(message, syntax.text, shown.line, shown.column)


def _without_formulas(group: int, blocks: Blocks, groups: Sequence[str], syntax: Syntax) -> ModelSyntaxError:
    """A model of one level that says nothing, or nothing of a group."""
    where = f"The block of group '{groups[group - 1]}'" if blocks.own_groups and groups else "The model"
    shown = blocks.headers.get((group, 1)) or syntax.statements[0]
    message = (
        f"{where} has no formula: write factors (f =~ y1 + y2 + y3), regressions (y ~ x) or covariances (y1 ~~ y2)."
    )
    return ModelSyntaxError(message, syntax.text, shown.line, shown.column)


def saturated(variables: Sequence[str]) -> list[str]:
    """Lines that free all variances and covariances of some variables."""
    return [f"  {name} ~~ {' + '.join(variables[i:])}" for i, name in enumerate(variables)]


def check_composites(rows: dict[Where, list[Row]], composites: Mapping[Where, Sequence[str]], syntax: Syntax) -> None:
    """**Raises:** ModelSyntaxError for a composite that is a factor as well, is explained beside, or explains nothing."""
    for where, names in composites.items():
        for name in names:
            if message := _about_composite(name, rows[where]):
                first = next(r.parameter for r in rows[where] if r.composite and r.parameter.lhs == name)
                raise ModelSyntaxError(message, syntax.text, first.line, first.column)


def _about_composite(name: str, rows: list[Row]) -> str:
    """What is wrong with a composite, '' if nothing is."""
    others = [r.parameter for r in rows if not r.composite]
    if any(p.op == "=~" and p.lhs == name for p in others):
        return f"'{name}' is a composite ('<~') and a factor ('=~') at once: it is measured, or made of others."
    for p in others:
        if p.op == "~" and p.lhs == name:
            return (
                f"'{name}' is a composite, made of what stands behind '<~' alone: '{name} ~ {p.rhs}' cannot explain it."
            )
    used = [r.parameter for r in rows if r.parameter.rhs == name and r.parameter.op in ("~", "=~")]
    made = f"its weights are not identified: write a regression on it, as in y ~ {name}."
    return "" if used else f"The composite '{name}' explains nothing, so that {made}"


def check_variables(names: dict[Where, BlockNames], columns: Sequence[str] | None, syntax: Syntax) -> list[str]:
    """Every observed variable is a column of the data, no factor is one, no slope has a name that is taken.

    **Raises:** ModelSyntaxError at the first mention of an unknown name. Returns warnings.
    """
    factors = {w: set(block.factors) for w, block in names.items()}
    known = None if columns is None else set(columns)
    warnings: list[str] = []
    products = [
        name for block in names.values() for name in block.observed if ":" in name and known and name not in known
    ]
    if products and syntax.has_levels:
        warnings.append(
            f"{listing(map(repr, dict.fromkeys(products)))}: the product is that of the columns as they are, row by row, before "
            "they are split into levels; neither is centred. For products of deviations from cluster means, or of cluster means, "
            "compute these as columns."
        )
    for (group, level), block in names.items():
        slopes = set(names[group, 2].slopes) if level == 1 and syntax.has_levels else set()
        for name in block.observed:
            other = 3 - level if name in factors.get((group, 3 - level), ()) else None
            slope = name in slopes
            unknown = known is not None and name not in known and not factors_of(name, tuple(known))
            if unknown or slope or other is not None:
                raise _unknown(name, block, level, other, slope, columns, syntax)
        for name in block.factors:
            if known is not None and name in known:
                of = f" of level {level}" if syntax.has_levels else ""
                warnings.append(f"'{name}' is a factor{of} and also a column of the data; the column is not used.")
    return list(dict.fromkeys(warnings))


def _unknown(
    name: str,
    block: BlockNames,
    level: int,
    other: int | None,
    slope: bool,
    columns: Sequence[str] | None,
    syntax: Syntax,
) -> ModelSyntaxError:
    row = next(p for p in block.rows if name in (p.lhs, p.rhs))
    where = LEVEL_NAMES[level]
    factors = [part for part in name.split(":") if part in block.latent]
    if ":" in name and factors:
        message = (
            f"'{name}' is a product with {factors[0]!r}, a latent variable: products are those of columns of the data. A slope "
            'that varies between clusters is written y ~ rv("s")*x.'
        )
    elif slope:
        message = f"'{name}' is a random slope: a variable of level 2, not of level 1."
    elif other is not None:
        message = (
            f"'{name}' is a factor of {LEVEL_NAMES[other]} only; {where} knows its own factors."
            f" Define one there too, as in '{name} =~ ...', or use a factor of that level."
        )
    else:
        known = (*(columns or ()), *block.latent)
        used, of = (f", used at {where},", " of that level") if syntax.has_levels else ("", "")
        message = (
            f"'{name}'{used} is neither a column of the data nor a factor{of}"
            f" (a line '{name} =~ ...' would define one).{nearest(name, known)}"
            f" The data have {listing(columns or (), 12)}."
        )
    line, column = _first_mention(name, row, syntax)
    return ModelSyntaxError(message, syntax.text, line, column)


def _first_mention(name: str, row: Parameter, syntax: Syntax) -> tuple[int, int]:
    """Where a name stands in the formula that wrote this row."""
    for formula in syntax.formulas:
        if any((t.line, t.column) == (row.line, row.column) for t in formula.terms):
            mentions = [(m.name, m.line, m.column) for m in formula.lhs]
            mentions += [(t.name or "", t.line, t.column) for t in formula.terms]
            return next(((line, column) for mention, line, column in mentions if mention == name), mentions[0][1:])
    return row.line, row.column


def check_slopes(rows: dict[Where, list[Row]], columns: Sequence[str] | None, syntax: Syntax) -> None:
    """**Raises:** ModelSyntaxError where a random slope has the name of something else."""
    for (group, _), block in rows.items():
        named: set[str] = set()
        factors = {r.parameter.lhs for lv in (1, 2) for r in rows.get((group, lv), ()) if r.parameter.op == "=~"}
        for p in (r.parameter for r in block if r.parameter.random):
            problem = ""
            if not syntax.has_levels:
                message = (
                    "rv() makes a slope that varies between clusters, which a model of one level does not have: write"
                    " 'level: 1' and 'level: 2' blocks, or leave rv() out."
                )
                raise ModelSyntaxError(message, syntax.text, p.line, p.column)
            if columns is not None and p.random in columns:
                problem = "is a column of the data"
            elif p.random in factors:
                problem = "is a factor"
            elif p.random in named:
                problem = "is the name of another random slope"
            if problem:
                message = f"rv(\"{p.random}\"): '{p.random}' {problem}; give the slope a name of its own."
                raise ModelSyntaxError(message, syntax.text, p.line, p.column)
            named.add(p.random)


def check_slope_predictors(rows: dict[Where, list[Row]], names: dict[Where, BlockNames], syntax: Syntax) -> None:
    """**Raises:** ModelSyntaxError where the predictor of a random slope is a factor, which has no values to multiply by."""
    for (group, level), block in rows.items():
        above = names[group, 2].latent if syntax.has_levels else ()
        factors = {*names[group, 1].factors, *above}
        for p in (r.parameter for r in block if r.parameter.random and level == 1):
            if p.rhs in factors:
                message = (
                    f"rv(\"{p.random}\")*{p.rhs}: '{p.rhs}' is a factor, and random slopes of factors are not supported: the"
                    f" likelihood is no longer normal. Put an observed predictor in its place, such as the mean of the"
                    f" indicators of '{p.rhs}', or leave out rv() for the same slope in every cluster."
                )
                raise ModelSyntaxError(message, syntax.text, p.line, p.column)


def label_warnings(rows: list[Row], names: dict[Where, BlockNames], columns: Sequence[str] | None) -> list[str]:
    """Sentences on labels that were perhaps meant as variables, or as NA."""
    used = {name for block in names.values() for name in (*block.observed, *block.latent)}
    taken = set(columns or ()) - used
    sentences = []
    for p in (r.parameter for r in rows):
        shown = f"{p.label}*{p.rhs or 1}"
        if p.label in taken:
            sentences.append(
                f"'{shown}' (line {p.line}): '{p.label}' is the label of a parameter here, and also a column of the data that"
                f" the model does not use. For a predictor of its own write {p.label} + {p.rhs or 1}; for a product compute"
                " a column and use that; a label is better called otherwise."
            )
        elif p.label.lower() == "na":
            sentences.append(
                f"'{shown}' (line {p.line}) labels the parameter '{p.label}'; NA*{p.rhs or 1} would free it."
            )
    return sentences


def check_groups(names: dict[Where, BlockNames], groups: Sequence[str], fixed_x: bool, ordered: bool) -> None:
    """Groups may have variables of their own, but one that several have is the same kind of thing in all of them.

    **Raises:** ModelError for a variable that is observed in one group and latent in another, of level 2 alone in one and of level
    1 in another, or a fixed covariate in one only; and where groups with ordered variables differ in their variables.
    """
    for (group, level), block in names.items():
        at = f"At {LEVEL_NAMES[level]}, " if (1, 2) in names else ""
        for other in range(1, group):
            there = names[other, level]
            mine, theirs = f"group '{groups[group - 1]}'", f"group '{groups[other - 1]}'"
            if mixed := sorted(({*block.observed} & {*there.latent}) | ({*block.latent} & {*there.observed})):
                latent, seen = (mine, theirs) if mixed[0] in block.latent else (theirs, mine)
                raise ModelError(
                    f"{at}'{mixed[0]}' is a latent variable in {latent} and an observed one in {seen}. Give the two different"
                    " names."
                )
            shared = {*block.observed} & {*there.observed}
            if fixed_x and (odd := sorted(shared & ({*block.covariates} ^ {*there.covariates}))):
                fixed, free = (mine, theirs) if odd[0] in block.covariates else (theirs, mine)
                raise ModelError(
                    f"{at}'{odd[0]}' is a fixed covariate in {fixed} but not in {free}. It has to be the same in both: add the"
                    f" line '{odd[0]} ~~ {odd[0]}' to {fixed}, or fit with fixed_x=False."
                )
            if ordered and (odd := sorted({*block.observed} ^ {*there.observed})):
                has, lacks = (mine, theirs) if odd[0] in block.observed else (theirs, mine)
                raise ModelError(
                    f"{at}'{odd[0]}' is a variable of {has} but not of {lacks}. With ordered variables all groups need the same"
                    " ones: fit the groups apart, or leave ordered= out."
                )
    _check_places(names, groups)


def _check_places(names: dict[Where, BlockNames], groups: Sequence[str]) -> None:
    """**Raises:** ModelError for a variable that is a property of clusters in one group and varies within them in another."""
    single = (1, 2) not in names
    for group in range(1, 1 + (0 if single else len(groups))):
        alone = {*names[group, 2].observed} - {*names[group, 1].observed}
        for other in range(1, 1 + len(groups)):
            if odd := sorted(alone & {*names[other, 1].observed}):
                raise ModelError(
                    f"'{odd[0]}' is at level 2 alone in group '{groups[group - 1]}' and at level 1 in group"
                    f" '{groups[other - 1]}'. A column is a property of clusters in all groups or in none: name it at level 1 in"
                    f" both ('{odd[0]} ~~ {odd[0]}'), or use two columns."
                )
