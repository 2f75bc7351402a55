"""The table of options as text for `help()`, as Markdown for the documentation, and as signatures that say what can be typed."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, TypeVar

from mlsem_jax.data import SurveyColumns
from mlsem_jax.estimation import FitOptions
from mlsem_jax.options import NETWORKS, OPTIONS, SECTIONS, TABLE, Option
from mlsem_jax.syntax import SyntaxOptions

F = TypeVar("F", bound=Callable[..., Any])
RECORDS = (SyntaxOptions, FitOptions, SurveyColumns)


@functools.cache
def _defaults() -> dict[str, Any]:
    records = (SyntaxOptions(), FitOptions(), SurveyColumns())
    return {field.name: getattr(record, field.name) for record in records for field in fields(record)}


def values(option: Option) -> str:
    """What an option may be, in words."""
    return option.values or OPTIONS[option.name].allowed.removeprefix("one of ")


def default(option: Option) -> str:
    """The default in words: the record's where it depends on nothing."""
    return option.default or repr(_defaults()[option.name])


def _cell(text: str) -> str:
    """The text of a cell; braces at its end would be read as attributes, so that they are code."""
    return re.sub(r"\{[^}]*\}", lambda found: f"`{found[0]}`", text).replace("|", r"\|")


def markdown(options: Iterable[Option], titles: dict[str, str]) -> list[str]:
    """Lines of one table; titles: those of the pages by file name."""
    out = ["| option | values | default | in lavaan | what it does | explained in |", "|:--|:--|:--|:--|:--|:--|"]
    for option in options:
        lavaan = f"`{option.lavaan}`" if option.lavaan else ""
        page = f"[{titles[option.page]}]({option.page})"
        cells = (f"`{option.name}`", values(option), default(option), lavaan, option.about, page)
        out.append(f"| {' | '.join(map(_cell, cells))} |")
    return out


def listed(sections: dict[str, tuple[Option, ...]]) -> str:
    """The options as the end of a docstring, each with its default and values."""
    lines = ['**All options** (None and "default" mean the default):']
    for title, options in sections.items():
        lines += ["", f"{title}:", ""]
        lines += [
            f"- `{option.name}`: {option.about} {_sentence(values(option))} Default: {default(option)}."
            for option in options
        ]
    return "\n".join(lines) + "\n"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def with_options(keywords: Any, defaults: str = "", also: tuple[str, ...] = ()) -> Callable[[F], F]:
    """A decorator that writes a function's options into its docstring and its signature, where `**options` stood.

    keywords: the TypedDict of its options; also: further ones. defaults: the function of lavaan's whose defaults it has, "" for
    network models. The signature shows a default that may be passed with no effect; None where the default depends on something.
    """

    def told(function: F) -> F:
        own = inspect.signature(function).parameters.values()
        fixed = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
        named, shown = {p.name for p in fixed}, _shown_defaults(defaults)
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=shown.get(name))
            for name in (*also, *keywords.__annotations__)
            if name not in named
        ]
        function.__signature__ = inspect.Signature([*fixed, *more])  # type: ignore[attr-defined]
        taken = {*named, *also, *keywords.__annotations__}
        table = listed(_chosen(SECTIONS if defaults else {"Network models": NETWORKS, **SECTIONS}, taken))
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{table}"
        return function

    return told


def _chosen(sections: dict[str, tuple[Option, ...]], taken: set[str]) -> dict[str, tuple[Option, ...]]:
    """The options that a function takes, each where it comes first."""
    found: dict[str, tuple[Option, ...]] = {}
    for title, options in sections.items():
        if some := tuple(option for option in options if option.name in taken):
            found[title] = some
            taken = taken - {option.name for option in some}
    return found


def _shown_defaults(function: str) -> dict[str, Any]:
    if not function:
        return {}
    record = SyntaxOptions.for_function(function)  # type: ignore[arg-type]
    given = _defaults() | {f.name: getattr(record, f.name) for f in fields(record)}
    depends = {name for name, option in TABLE.items() if option.default and not _of_function(option)}
    depends |= {field.name for field in fields(SurveyColumns)}
    return {name: value for name, value in given.items() if name not in depends}


def _of_function(option: Option) -> bool:
    """Whether the default depends on the function alone."""
    return option.default.startswith("True in") and "with" not in option.default
