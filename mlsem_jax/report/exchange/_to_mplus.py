"""A model as an Mplus input file: TYPE = TWOLEVEL (GENERAL or COMPLEX for one level), every parameter written out, names cut to
the eight characters allowed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.models import Expression, Parameter, Specification
from mlsem_jax.report.exchange._exported_names import label_of, on_one_line, written
from mlsem_jax.report.exchange._to_lavaan import refuse_networks

_LONGEST, _LINE = 8, 85
# words that Mplus reads as its own where a name may stand
_RESERVED = {
    "on",
    "by",
    "with",
    "pon",
    "pwith",
    "at",
    "xwith",
    "new",
    "all",
    "model",
    "group",
    "within",
    "between",
    "missing",
}
# functions as Mplus calls them
_FUNCTIONS = {
    name: name.upper() for name in ("exp", "log", "log10", "sqrt", "abs", "sin", "cos", "tan", "asin", "acos", "atan")
}
_FUNCTIONS["pnorm"] = "PHI"


def to_mplus(
    specification: Specification,
    cluster: str | None,
    group: str | None = None,
    estimator: str = "ML",
    data_file: str = "data.dat",
    columns: Sequence[str] | None = None,
    link: str = "probit",
) -> str:
    """The input file. columns: of the data file in order (default: the model's variables, then cluster and group). cluster: None
    in a model of one level that does not have it.

    Inequality constraints and bounds become MODEL CONSTRAINT; a comment lists the names that had to be cut.
    """
    refuse_networks(specification, "Mplus")
    _check_blocks(specification)
    if specification.absent.any():
        raise ModelError(
            "In Mplus all groups have the same variables: write a model file of each group alone, of a fit to its own rows."
        )
    if set(data_file) & set("\n\r;\"'"):
        raise ModelError(
            f"data_file={data_file!r}: an Mplus input cannot hold line ends, ';' or quotation marks there."
        )
    everything = [*specification.variables, *(name for name in (cluster, group) if name)]
    columns = list(columns or everything)
    if missing := [name for name in everything if name not in columns]:
        raise ModelError(
            f"columns must name every column of the data file in order; the model needs {listing(missing)} too."
        )
    short = _shortened(specification, columns)
    parts = [
        f"TITLE: {'Model of one level' if specification.single else 'Two-level model'} written by mlsem_jax;",
        _statement("DATA", [f"FILE = {data_file}"]),
        _variables(specification, cluster, group, columns, short),
        _statement("ANALYSIS", _analysis(specification, cluster, estimator, link)),
        *_models(specification, short),
        *_constraints(specification, short),
        "OUTPUT: STANDARDIZED;",
    ]
    cut = [f"! {on_one_line(name)} is called {new}" for (name, _), new in short.items() if name != new]
    cut += [f"! {on_one_line(label)} is group g{k}" for k, label in enumerate(specification.groups, 1)]
    cut = [line[: _LINE + 4] for line in cut]
    return "\n".join([*dict.fromkeys(cut), *parts]) + "\n"


def _analysis(specification: Specification, cluster: str | None, estimator: str, link: str) -> list[str]:
    found = [
        _type(specification, cluster),
        f"ESTIMATOR = {estimator}",
        _model(specification),
        *_rotation(specification),
    ]
    if not specification.ordered:
        return found
    delta = any(row.is_scale for row in specification.parameters)
    if delta and (estimator.startswith("ML") or not specification.single):
        raise ModelError(
            "Mplus has scales of latent responses (parameterization delta) with one level and weighted least squares alone: fit "
            "the model with parameterization='theta' and write that."
        )
    if estimator.startswith("ML"):
        return [*found, f"LINK = {link.upper()}", "ALGORITHM = INTEGRATION"]
    return [*found, f"PARAMETERIZATION = {'DELTA' if delta else 'THETA'}"]


def _check_blocks(specification: Specification) -> None:
    """ModelError for efa() blocks that Mplus cannot be given."""
    blocks = specification.blocks
    if blocks and (not specification.single or specification.groups):
        raise ModelError(
            "The Mplus input of efa() blocks is written for models of one level and one group: elsewhere Mplus has no such blocks, "
            "or other defaults. Write the input by hand, (*1) behind the items of BY and ROTATION= under ANALYSIS."
        )
    if len({replace(b.rotation, target=None) for b in blocks}) > 1:
        raise ModelError("Mplus rotates all efa() blocks of a model by one criterion; here they have several.")


def _rotation(specification: Specification) -> list[str]:
    """How the blocks are rotated, with the constants of the criterion, whose defaults are others in Mplus."""
    if not any(len(block.factors) > 1 for block in specification.blocks):
        return []
    rotation = specification.blocks[0].rotation
    number = {"geomin": f" {rotation.epsilon:g}", "oblimin": f" {rotation.gamma:g}"}.get(rotation.criterion, "")
    kind = f"({'ORTHOGONAL' if rotation.orthogonal else 'OBLIQUE'}{number})"
    rows = "KAISER" if rotation.kaiser else "CORRELATION"
    return [f"ROTATION = {rotation.criterion.upper()} {kind}", f"ROWSTANDARDIZATION = {rows}"]


def _block_lines(specification: Specification, short: Names) -> list[str]:
    """Factors that are rotated together by their items; behind an item '~' and what a target says of it."""
    lines = []
    for number, block in enumerate(specification.blocks, 1):
        items = [_name(short, item, block.level) for item in block.items]
        target = np.full((len(items), len(block.factors)), np.nan)
        if block.rotation.target is not None:
            target = np.array(block.rotation.target, float)
        for factor, column in zip(block.factors, target.T, strict=True):
            said = [item if np.isnan(x) else f"{item}~{x:g}" for item, x in zip(items, column, strict=True)]
            line = f"{_name(short, factor, block.level)} BY {' '.join(said)} (*{number});"
            lines += textwrap.wrap(line, _LINE - 4, subsequent_indent="  ")
    return lines


def _model(specification: Specification) -> str:
    return f"MODEL = NOCOVARIANCES{'' if specification.means else ' NOMEANSTRUCTURE'}"


def _type(specification: Specification, cluster: str | None) -> str:
    if specification.single:
        return "TYPE = COMPLEX" if cluster else "TYPE = GENERAL"
    return "TYPE = TWOLEVEL RANDOM" if any(r.random for r in specification.parameters) else "TYPE = TWOLEVEL"


Names = dict[tuple[str, int], str]


def _shortened(specification: Specification, columns: Iterable[str]) -> Names:
    """Mplus's name of each (name, level): at most 8 characters, unique; level 0 for columns and labels.

    A latent variable of each level has a name of its own, as Mplus counts a name once.
    """
    wanted = [(name, 0) for name in columns]
    for level in specification.numbers:
        wanted += [(name, level) for name in specification.level(level).latent if name not in specification.variables]
    labels = [label_of(r) for r in specification.parameters if r.label] + [d.name for d in specification.definitions]
    wanted += [(label, 0) for label in labels] + [(r.random, 2) for r in specification.parameters if r.random]
    taken: set[str] = set()
    names: Names = {}
    for name, level in dict.fromkeys(wanted):
        clean = re.sub(r"[^A-Za-z0-9_]", "_", name)
        clean = clean if clean[:1].isalpha() else f"v{clean}"
        clean = f"{clean}_" if clean.lower() in _RESERVED else clean
        new, k = clean[:_LONGEST], 1
        while new.lower() in taken:
            k += 1
            new = clean[: _LONGEST - len(str(k))] + str(k)
        taken.add(new.lower())
        names[name, level] = new
    return names


def _name(short: Names, name: str, level: int) -> str:
    return short.get((name, level)) or short.get((name, 0)) or name


def _statement(command: str, statements: Iterable[str]) -> str:
    lines = [f"{command}:"]
    for statement in statements:
        lines += textwrap.wrap(
            f"{statement};",
            _LINE,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _variables(
    specification: Specification, cluster: str | None, group: str | None, columns: list[str], short: Names
) -> str:
    def listed(names: Iterable[str]) -> str:
        return " ".join(_name(short, n, 0) for n in names)

    statements = [
        f"NAMES = {listed(columns)}",
        f"USEVARIABLES = {listed(specification.variables)}",
        *([f"CLUSTER = {listed([cluster])}"] if cluster else []),
        "MISSING = ALL (-9999)",
        *([f"CATEGORICAL = {listed(v.name for v in specification.ordered)}"] if specification.ordered else []),
    ]
    if specification.within_only and not specification.single:
        statements.append(f"WITHIN = {listed(specification.within_only)}")
    if specification.between_only:
        statements.append(f"BETWEEN = {listed(specification.between_only)}")
    if group:
        codes = " ".join(f"{k} = g{k}" for k in range(1, specification.ngroups + 1))
        statements.append(f"GROUPING = {listed([group])} ({codes})")
    return _statement("VARIABLE", statements)


def _models(specification: Specification, short: Names) -> list[str]:
    parts = []
    for group in range(1, specification.ngroups + 1):
        lines = ["MODEL:"] if group == 1 else [f"MODEL g{group}:"]
        for level, head in zip(specification.numbers, ("%WITHIN%", "%BETWEEN%"), strict=False):
            rows = [r for r in specification.parameters if (r.group, r.level) == (group, level) and not r.exo]
            rows = [r for r in rows if not any(block.has(r) for block in specification.blocks)]
            lines += [] if specification.single else [f"  {head}"]
            lines += [f"    {line}" for line in _block_lines(specification, short)]
            lines += [*(f"    {line}" for r in rows if (line := _line(specification, r, short)))]
        parts.append("\n".join(lines))
        if group == 1 and specification.ngroups > 1:
            parts.append(parts[0].replace("MODEL:", "MODEL g1:", 1))
    return parts


def _is_unit(specification: Specification, row: Parameter) -> bool:
    """Whether a row is the intercept or the unit of an ordered variable."""
    if row.lhs not in {v.name for v in specification.ordered}:
        return False
    return row.op == "~1" or (row.op == "~~" and row.lhs == row.rhs and row.level == specification.unit_level(row.lhs))


def _line(specification: Specification, row: Parameter, short: Names) -> str:
    """One parameter; '' for what Mplus does not have: means at level 1 of variables that are in both levels."""
    left, right = _name(short, row.lhs, row.level), _name(short, row.rhs, row.level)
    if row.random:
        return f"{_name(short, row.random, 2)} | {left} ON {right};"
    tail = (f" ({_name(short, label_of(row), 0)})" if row.label else "") + ";"
    value = "*" if row.free and row.start is None else f"*{row.start:g}" if row.free else f"@{row.value or 0:g}"
    if row.op == "|":
        return f"[{left}${row.rhs[1:]}{value}]{tail}"
    if row.follows:
        return ""
    if row.op == "~*~":
        return f"{{{left}{value}}}{tail}"
    if _is_unit(specification, row) and (row.op == "~1" or not specification.single or not specification.groups):
        return ""  # fixed there by what a threshold is
    if row.op == "~1":
        if row.level == 1 and row.lhs in specification.variables and row.lhs not in specification.within_only:
            return ""
        return f"[{left}{value}]{tail}"
    if row.op == "~~":
        return f"{left}{value}{tail}" if row.lhs == row.rhs else f"{left} WITH {right}{value}{tail}"
    return f"{left} {'BY' if row.op == '=~' else 'ON'} {right}{value}{tail}"


def _constraints(specification: Specification, short: Names) -> list[str]:
    names = {name: new for (name, level), new in short.items() if level == 0}
    names |= {r.label: names[label_of(r)] for r in specification.parameters if r.label}

    def said(expression: Expression) -> str:
        return written(expression, names, "**", _call)

    lines = [f"NEW({_name(short, d.name, 0)})" for d in specification.definitions]
    lines += [f"{_name(short, d.name, 0)} = {said(d.expression)}" for d in specification.definitions]
    lines += [f"{said(c.left)} {'=' if c.op == '==' else c.op} {said(c.right)}" for c in specification.constraints]
    return [_statement("MODEL CONSTRAINT", lines)] if lines else []


def _call(function: str, inside: str) -> str:
    if function not in _FUNCTIONS:
        raise ModelError(f"Mplus has no function {function}(); it has {', '.join(_FUNCTIONS)}.")
    return f"{_FUNCTIONS[function]}({inside})"
