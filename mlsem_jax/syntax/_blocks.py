"""Block headers -> which formula belongs to which group and level, whichever of the two is the outer one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlsem_jax._errors import ModelSyntaxError, listing, nearest
from mlsem_jax.syntax._tree import Formula, Header, Syntax

_MEANING = {"1": 1, "2": 2, "within": 1, "between": 2}
LEVEL_NAMES = {1: "level 1 (within)", 2: "level 2 (between)"}


@dataclass(frozen=True)
class Placed:
    """A formula in a block; slot is which value of `c(a, b)` counts here, of `width` values that there must be."""

    formula: Formula
    slot: int
    width: int


@dataclass(frozen=True)
class Blocks:
    """formulas by (group, level), groups and levels counted from 1. headers: where each block begins. A model without level blocks
    is of one level, and everything in it of level 1.
    """

    formulas: dict[tuple[int, int], list[Placed]]
    level_labels: tuple[str, str]
    own_groups: bool
    headers: dict[tuple[int, int], Header] = field(default_factory=dict)


def place(syntax: Syntax, group_labels: Sequence[str], level_label: tuple[str, str] | None = None) -> Blocks:
    """The formulas of every group and level. Level blocks without a `group:` around or in them hold for all groups; text without
    level blocks is of one level.

    **Raises:** ModelSyntaxError for unknown, repeated or missing groups and repeated levels.
    """
    single = not syntax.has_levels
    meaning = {} if single else _levels(syntax, level_label)
    groups = {h.label: _group(h, group_labels, syntax) for h in syntax.headers("group")}
    ngroups = max(len(group_labels), 1)
    blocks: dict[tuple[int, int], list[Placed]] = {
        (g, lv): [] for g in range(1, ngroups + 1) for lv in ((1,) if single else (1, 2))
    }
    headers: dict[tuple[int, int], Header] = {}
    seen: set[tuple[int | None, int | None]] = set()
    only = 1 if single else None
    outer, group, level = "", None, only
    for statement in syntax.statements:
        if isinstance(statement, Header):
            outer = outer or statement.kind
            if statement.kind == "level":
                level, group = meaning[statement.label.lower()], None if outer == "level" else group
            else:
                group, level = groups[statement.label], only if outer == "group" else level
            if (group, level) in seen:
                raise _repeated(statement, group, level, syntax, group_labels)
            seen.add((group, level))
            if level is not None:
                for g in [group] if group else range(1, ngroups + 1):
                    headers.setdefault((g, level), statement)
        elif isinstance(statement, Formula):
            if level is None or (single and groups and group is None):
                raise _outside(statement, syntax, single)
            for g in [group] if group else range(1, ngroups + 1):
                blocks[g, level].append(Placed(statement, 0 if group else g - 1, 1 if group else ngroups))
    _all_groups(syntax, groups, group_labels, single)
    return Blocks(blocks, ("", "") if single else _labels(meaning), bool(groups), headers)


def _levels(syntax: Syntax, level_label: tuple[str, str] | None) -> dict[str, int]:
    """Level labels in lower case -> 1 or 2. Known words mean what they say, others count in order of appearance."""
    first: dict[str, Header] = {}
    for header in syntax.headers("level"):
        first.setdefault(header.label.lower(), header)
    known = {word.lower(): i + 1 for i, word in enumerate(level_label)} if level_label else _MEANING
    for label, header in first.items():
        if label not in known and (level_label or label.lstrip("+-").replace(".", "").isdigit()):
            allowed = " and ".join(level_label) if level_label else "1 (within clusters) and 2 (between clusters)"
            count = " Models of three levels are not supported." if label == "3" else ""
            message = f"There is no level '{header.label}': levels are {allowed}.{count}"
            raise ModelSyntaxError(message, syntax.text, header.line, header.column)
    if len(first) > 2:
        third = list(first.values())[2]
        message = (
            f"'{third.label}' is a third level; models have two, level 1 (within clusters) and level 2 (between"
            " clusters). Models of three levels are not supported."
        )
        raise ModelSyntaxError(message, syntax.text, third.line, third.column)
    meaning = {label: known[label] for label in first if label in known}
    for label in first:
        if label not in meaning:
            taken = set(meaning.values())
            meaning[label] = 2 if 1 in taken else 1
    words = list(meaning)
    if len(words) == 2 and meaning[words[0]] == meaning[words[1]]:
        header = first[words[1]]
        message = f"'{first[words[0]].label}' and '{header.label}' both mean {LEVEL_NAMES[meaning[words[0]]]}."
        raise ModelSyntaxError(message, syntax.text, header.line, header.column)
    return meaning


def _labels(meaning: dict[str, int]) -> tuple[str, str]:
    by_level = {level: label for label, level in meaning.items()}
    words = not any(label.isdigit() for label in meaning)
    return by_level.get(1, "within" if words else "1"), by_level.get(2, "between" if words else "2")


def _group(header: Header, group_labels: Sequence[str], syntax: Syntax) -> int:
    """The number of a group: a label of the data wins, then a number counts the groups in order of appearance."""
    if header.label in group_labels:
        return list(group_labels).index(header.label) + 1
    ngroups = max(len(group_labels), 1)
    if header.label in map(str, range(1, ngroups + 1)):
        return int(header.label)
    if group_labels:
        message = (
            f"The data have no group '{header.label}'; they have {listing(group_labels)} (or 1 to {ngroups}, in this"
            f" order).{nearest(header.label, group_labels)}"
        )
    else:
        message = (
            f"The model has a block for group '{header.label}', but the data are one group: give the grouping column as"
            " group=."
        )
    raise ModelSyntaxError(message, syntax.text, header.line, header.column)


def _all_groups(syntax: Syntax, groups: dict[str, int], group_labels: Sequence[str], single: bool) -> None:
    missing = [label for i, label in enumerate(group_labels) if i + 1 not in groups.values()]
    if groups and missing:
        last = syntax.headers("group")[-1]
        alone = "lines without 'group:' blocks" if single else "level: blocks alone"
        message = (
            f"There is no 'group:' block for {listing(missing)}, which the data have. Add one, or write {alone}, which hold for"
            " every group."
        )
        raise ModelSyntaxError(message, syntax.text, last.line, last.column)


def _repeated(
    header: Header, group: int | None, level: int | None, syntax: Syntax, group_labels: Sequence[str]
) -> ModelSyntaxError:
    who = f"group '{group_labels[group - 1]}'" if group and group_labels else "the group"
    if group and group_labels and header.kind == "group" and header.label != group_labels[group - 1]:
        who = f"group '{header.label}' (which is '{group_labels[group - 1]}' in the data)"
    what = who
    if level and syntax.has_levels:
        what = f"{LEVEL_NAMES[level]} of {who}" if group else LEVEL_NAMES[level]
    other = f" Is one of them {LEVEL_NAMES[3 - level]}?" if level and header.kind == "level" else ""
    message = f"There is a second block of {what}: put its lines into the first one.{other}"
    return ModelSyntaxError(message, syntax.text, header.line, header.column)


def _outside(formula: Formula, syntax: Syntax, single: bool) -> ModelSyntaxError:
    if single:
        message = (
            "This line stands in no group: put it after a 'group:' line (only constraints and ':=' may stand outside)."
        )
        return ModelSyntaxError(message, syntax.text, formula.line, formula.column)
    return ModelSyntaxError(
        "This line stands in no level: put it after 'level: 1' or 'level: 2' (only constraints and ':=' may stand"
        " outside).",
        syntax.text,
        formula.line,
        formula.column,
    )
