"""A specification in two parts: measurement models that are fitted one by one, and the structural model between the latent
variables (Rosseel & Loh 2022).

Items that share a factor, at either level, or whose residuals covary, belong to one measurement model; it has their part of both
levels. The structural variables of a level are its latent variables and those observed variables that no factor is measured by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.models import NO_LEVEL, Constraint, Level, Parameter, Specification


@dataclass(frozen=True)
class Parts:
    """rows of the parameter table, by number: those of each measurement model, and the structural ones. items: the observed
    variables of each measurement model. constraints: of each, by number; the last are the structural model's.
    """

    measurement: tuple[tuple[int, ...], ...]
    items: tuple[tuple[str, ...], ...]
    structural: tuple[int, ...]
    constraints: tuple[tuple[Constraint, ...], ...]


def parts_of(specification: Specification) -> Parts:
    """The parts. Raises ModelError for models that do not fall apart in this way, with the reason."""
    _refuse(specification)
    component = _components(specification)
    _check_rows(specification, component)
    _check_groups(specification, component)
    names = list(dict.fromkeys(component.values()))
    by_part: dict[int, list[int]] = {part: [] for part in names}
    structural = []
    for i, row in enumerate(specification.parameters):
        if _measures(row, specification, component):
            by_part[component[row.rhs if row.op == "=~" else row.lhs]].append(i)
        else:
            structural.append(i)
    rows = tuple(tuple(by_part[part]) for part in names)
    items = tuple(
        tuple(v for v in specification.variables if v in component and component[v] == part) for part in names
    )
    return Parts(rows, items, tuple(structural), _constraints(specification, rows, tuple(structural)))


def _refuse(specification: Specification) -> None:
    if specification.slopes:
        raise ModelError(
            "sam() is for models without random slopes: the covariance matrix of the items differs from row to row."
        )
    if specification.blocks:
        raise ModelError("sam() is for confirmatory measurement models; efa() blocks are rotated as a whole by sem().")
    if not any(row.op == "=~" for row in specification.parameters):
        raise ModelError("sam() needs a measurement model, and this model has no factor: fit it with sem().")


def structural_variables(specification: Specification, level: int, items: set[str]) -> tuple[str, ...]:
    """Latent variables of a level that have items, and its observed variables that are none; higher-order factors are not among
    them.
    """
    rows = [row for row in specification.parameters if row.level == level and row.op == "=~"]
    measured = dict.fromkeys(row.lhs for row in rows if row.rhs in items)
    block = specification.level(level)
    return (*(v for v in block.latent if v in measured), *(v for v in block.observed if v not in items))


def _components(specification: Specification) -> dict[str, int]:
    """The measurement model of every item."""
    observed = set(specification.variables)
    items = [row.rhs for row in specification.parameters if row.op == "=~" and row.rhs in observed]
    component = {name: i for i, name in enumerate(dict.fromkeys(items))}

    def join(a: str, b: str) -> None:
        old, new = component[a], component[b]
        for name, part in component.items():
            component[name] = new if part == old else part

    first: dict[tuple[int, str], str] = {}
    for row in specification.parameters:
        if row.op == "=~" and row.rhs in component:
            join(row.rhs, first.setdefault((row.level, row.lhs), row.rhs))
        elif row.op == "~~" and row.lhs in component and row.rhs in component:
            join(row.lhs, row.rhs)
    return component


def _check_groups(specification: Specification, component: dict[str, int]) -> None:
    """ModelError for a measurement model that some group does not have."""
    for part in dict.fromkeys(component.values()):
        items = [name for name, number in component.items() if number == part]
        for g, label in enumerate(specification.groups, 1):
            if not {*items} & {*specification.group(g).variables}:
                raise ModelError(
                    f"Group '{label}' has none of the items {listing(items)}: sam() fits every measurement model to all groups. "
                    "Fit the model with sem()."
                )


def _measures(row: Parameter, specification: Specification, component: dict[str, int]) -> bool:
    """Whether a row is one of a measurement model: a loading, or a residual moment or intercept of an item."""
    if row.op == "=~":
        return row.rhs in component
    return row.op in ("~~", "~1") and row.lhs in component


def _check_rows(specification: Specification, component: dict[str, int]) -> None:
    for row in specification.parameters:
        if row.op == "~" and ({row.lhs, row.rhs} & set(component)):
            name = row.lhs if row.lhs in component else row.rhs
            raise ModelError(
                f"'{row.lhs} ~ {row.rhs}': {name!r} is the item of a factor and stands in a regression as well, so that the model "
                "does not fall into a measurement and a structural part. Fit it with sem()."
            )
        if row.op == "~~" and (row.lhs in component) != (row.rhs in component):
            raise ModelError(
                f"'{row.lhs} ~~ {row.rhs}' ties the residual of an item to a variable of the structural part, which sam() fits "
                "apart. Fit the model with sem()."
            )
    for level in specification.numbers:
        loadings: dict[tuple[int, str], list[Parameter]] = {}
        for row in specification.parameters:
            if row.op == "=~" and row.level == level and row.rhs in component:
                loadings.setdefault((row.group, row.lhs), []).append(row)
        for (_, factor), rows in loadings.items():
            if not any(not row.free and row.value for row in rows):
                raise ModelError(
                    f"sam() takes the unit of a factor from an item, and no loading of {factor!r} is fixed: leave std_lv=, "
                    f"effect_coding= and 'NA*' out, or fix one, as in {factor} =~ 1*{rows[0].rhs} + ..."
                )


def _constraints(
    specification: Specification, rows: tuple[tuple[int, ...], ...], structural: tuple[int, ...]
) -> tuple[tuple[Constraint, ...], ...]:
    """The constraints of each part. Raises ModelError for labels and constraints that tie two parts."""
    where: dict[str, int] = {}
    for part, own in enumerate((*rows, structural)):
        for i in own:
            row = specification.parameters[i]
            for name in {row.name, row.label} - {""}:
                if where.setdefault(name, part) != part:
                    raise ModelError(
                        f"The label {name!r} ties two parts of the model that sam() fits one after the other. Fit it with sem()."
                    )
    out: list[list[Constraint]] = [[] for _ in range(len(rows) + 1)]
    defined = {d.name: d.expression.names() for d in specification.definitions}
    for constraint in specification.constraints:
        names = set(constraint.left.names() | constraint.right.names())
        while names & defined.keys():
            names = set().union(*({n} if n not in defined else set(defined[n]) for n in names))
        homes = {where[name] for name in names if name in where}
        if len(homes) > 1:
            raise ModelError(
                f"The constraint {constraint.text!r} ties two parts that sam() fits one after the other. Fit it with sem()."
            )
        if names & set(defined):
            continue
        if homes:
            out[homes.pop()].append(constraint)
    return tuple(map(tuple, out))


def measurement_model(specification: Specification, parts: Parts, which: int) -> Specification:
    """A measurement model alone: its items at both levels, their factors with all variances and covariances free."""
    items = set(parts.items[which])
    own = [specification.parameters[i] for i in parts.measurement[which]]
    rows, levels = list(own), {}
    for level in (1, 2):
        block = specification.level(level)
        factors = tuple(f for f in block.latent if any(r.lhs == f and r.level == level and r.op == "=~" for r in own))
        levels[level] = replace(
            block, observed=tuple(v for v in block.observed if v in items), latent=factors, covariates=()
        )
        for group in range(1, specification.ngroups + 1) if factors else ():
            rows += [Parameter(a, "~~", b, level, group, user=0) for i, a in enumerate(factors) for b in factors[i:]]
            rows += [_mean(specification, factor, level, group) for factor in factors]
    rows = [row for row in rows if row.op != "~1" or specification.means]
    rows.sort(key=lambda row: (row.group, row.level))
    between = levels[2] if specification.between.present else specification.between
    return specification.but(
        within=levels[1],
        between=between,
        parameters=tuple(row.but(cell=None) for row in rows),
        constraints=parts.constraints[which],
        definitions=(),
        warnings=(),
    )


def _mean(specification: Specification, factor: str, level: int, group: int) -> Parameter:
    """The mean of a factor, free where the structural model has a free mean or intercept for it."""
    for row in specification.parameters:
        if (row.op, row.lhs, row.level, row.group) == ("~1", factor, level, group):
            return row.but(label="", start=None)
    return Parameter(factor, "~1", "", level, group, free=False, value=0.0, user=0)


def structural_model(specification: Specification, parts: Parts, level: int) -> Specification:
    """The structural model of a level alone, as a model of one level of its structural variables."""
    items = {name for part in parts.items for name in part}
    names = structural_variables(specification, level, items)
    rows = [
        _with_origin(specification.parameters[i], names).but(level=1, cell=None)
        for i in parts.structural
        if specification.parameters[i].level == level
    ]
    block = specification.level(level)
    latent = tuple(v for v in block.latent if v not in names)
    here = {row.name for row in rows} | {row.label for row in rows}
    constraints = parts.constraints[-1]
    return specification.but(
        within=Level(names, latent, tuple(v for v in block.covariates if v in names)),
        between=NO_LEVEL,
        parameters=tuple(rows),
        constraints=tuple(c for c in constraints if (c.left.names() | c.right.names()) <= here),
        definitions=(),
        warnings=(),
        means=specification.means,
    )


def saturated_structure(specification: Specification, parts: Parts) -> Specification:
    """The whole model with all variances, covariances and means of the structural variables free, fixed covariates' own but."""
    items = {name for part in parts.items for name in part}
    measured = {i for own in parts.measurement for i in own}
    rows = [row for i, row in enumerate(specification.parameters) if i in measured]
    levels = {}
    for level in specification.numbers:
        block = specification.level(level)
        factors: dict[str, None] = {}
        for g in range(1, specification.ngroups + 1):
            names = structural_variables(specification.group(g), level, items)
            factors |= dict.fromkeys(v for v in names if v in block.latent)
            own = [(a, "~~", b) for i, a in enumerate(names) for b in names[i:]]
            own += [(v, "~1", "") for v in names if specification.means and level == _top(specification, v)]
            rows += [_free_moment(specification, *pair, level, g) for pair in own]
        levels[level] = replace(block, latent=tuple(v for v in block.latent if v in factors), structural=None)
    rows.sort(key=lambda row: (row.group, row.level))
    return specification.but(
        within=levels[1],
        between=levels.get(2, specification.between),
        parameters=tuple(row.but(cell=None) for row in rows),
        constraints=tuple(c for own in parts.constraints[:-1] for c in own),
        definitions=(),
        warnings=(),
    )


def _top(specification: Specification, name: str) -> int:
    """The level that a structural variable has its mean at: of those of an observed variable, or of the model, the highest."""
    own = [level for level in specification.numbers if name in specification.level(level).observed]
    return max(own or specification.numbers)


def _free_moment(specification: Specification, lhs: str, op: str, rhs: str, level: int, group: int) -> Parameter:
    """A moment of structural variables; that of a fixed covariate stays what it is."""
    for row in specification.parameters:
        same = (row.lhs, row.rhs) in ((lhs, rhs), (rhs, lhs)) if op == "~~" else row.lhs == lhs
        if row.exo and row.op == op and same and (row.level, row.group) == (level, group):
            return row
    return Parameter(lhs, op, rhs, level, group, user=0)


def _with_origin(row: Parameter, names: tuple[str, ...]) -> Parameter:
    """Means that are 0 because free intercepts of the items leave the origin open are no restriction: they are free here."""
    default = row.op == "~1" and not row.free and not row.user and row.value == 0
    return row.but(free=True, value=None) if default and row.lhs in names and not row.exo else row


def tied_structures(specification: Specification, parts: Parts) -> str:
    """What ties the structural models of the two levels: a label or a constraint; '' if nothing does."""
    labels: dict[int, set[str]] = {1: set(), 2: set()}
    for i in parts.structural:
        row = specification.parameters[i]
        labels[row.level] |= {row.label, row.name} - {""}
    if both := labels[1] & labels[2]:
        return f"the label {listing(sorted(both))}"
    for c in parts.constraints[-1]:
        names = c.left.names() | c.right.names()
        if names & labels[1] and names & labels[2]:
            return f"the constraint {c.text!r}"
    return ""
