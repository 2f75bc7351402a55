"""Names and expressions as other programs can read them: what their languages have no way to write is renamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from mlsem_jax.models import Binary, Call, Expression, Name, Number, Parameter, Specification, children, postorder

_PLAIN = re.compile(r"(?:[^\W\d_]|\.(?![0-9]))[\w.]*|\.")
# words of R that no name can be, and numbers that a label would be read as
_RESERVED = {
    *("if", "else", "repeat", "while", "function", "for", "next", "break", "in", "true", "false", "null"),
    *("inf", "nan", "na", "na_integer_", "na_real_", "na_complex_", "na_character_"),
}


def name_in_r(name: str) -> str:
    """The name that `read.csv` of R gives a column: other characters are dots, names start with a letter, no reserved words."""
    clean = "".join(c if c.isalpha() or c.isdecimal() or c in "._" else "." for c in name)
    if not _PLAIN.fullmatch(clean):
        clean = f"X{clean}"
    return f"{clean}." if clean.lower() in _RESERVED else clean


def renamed(names: Iterable[str], clean: Callable[[str], str]) -> dict[str, str]:
    """A name of its own for each; those that may stay as they are come first, so that no other takes their name."""
    wanted = {name: clean(name) for name in dict.fromkeys(names)}
    taken = {name for name, new in wanted.items() if name == new}
    found: dict[str, str] = {}
    for name, new in wanted.items():
        unique, k = new, 0
        while name != new and unique in taken:
            k += 1
            unique = f"{new}.{k}"
        taken.add(unique)
        found[name] = unique
    return found


def label_of(row: Parameter) -> str:
    """The row's label as a word that a user may type: those that options made ('.p3.') lose their dots."""
    return row.label if row.shown_label or not row.label else "eq_" + re.sub(r"\W", "", row.label)


def variables_in_r(specification: Specification) -> dict[str, str]:
    """What the variables, factors and random slopes are called in R."""
    observed = [part for name in specification.variables for part in name.split(":")]
    latent = (*specification.within.latent, *specification.between.latent)
    slopes = (slope.name for slope in specification.slopes)
    found = renamed((*observed, *latent, *slopes), name_in_r)
    products = (name for name in specification.variables if name not in found)
    return found | {name: ":".join(found[part] for part in name.split(":")) for name in products}


def labels_in_r(specification: Specification) -> dict[str, str]:
    """What the labels and defined quantities are called in R."""
    typed = {row.label: label_of(row) for row in specification.parameters if row.label}
    defined = {d.name: d.name for d in specification.definitions}
    return renamed((*typed, *defined), lambda name: name_in_r(typed.get(name, name)))


def on_one_line(text: str) -> str:
    """A text as it may stand in a comment: what would end the line is written as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_POWER = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "^": 4}


def written(
    expression: Expression,
    names: Mapping[str, str],
    power: str = "^",
    function: Callable[[str, str], str] = lambda name, inside: f"{name}({inside})",
) -> str:
    """The expression with other names, with as few parentheses as it needs. function: how a call is written."""
    done: list[tuple[str, int]] = []  # text and how tightly it binds
    for node in postorder(expression):
        count = len(children(node))
        inside = done[len(done) - count :]
        match node:
            case Number(value):
                mine = (str(node) if value >= 0 else f"({node})", 9)
            case Name(name):
                mine = (names.get(name, name), 9)
            case Call("neg", _):
                mine = (f"-{_in_parentheses(inside[0], 4)}", _POWER["neg"])
            case Call(called, _):
                mine = (function(called, inside[0][0]), 9)
            case Binary(operator, _, _):
                mine = _pair(operator, inside[0], inside[1], power)
        done[len(done) - count :] = [mine]
    return done[-1][0]


def _pair(operator: str, left: tuple[str, int], right: tuple[str, int], power: str) -> tuple[str, int]:
    mine = _POWER[operator]
    if operator == "^":
        return f"{_in_parentheses(left, mine + 1)}{power}{_in_parentheses(right, mine + 1)}", mine
    # a minus sign never follows another operator
    right_text = _in_parentheses(right, max(mine + 1, _POWER["neg"] + 1 if right[1] == _POWER["neg"] else 0))
    return f"{_in_parentheses(left, mine)} {operator} {right_text}", mine


def _in_parentheses(part: tuple[str, int], least: int) -> str:
    text, binds = part
    return text if binds >= least else f"({text})"
