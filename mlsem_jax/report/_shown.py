"""How results show themselves: tables with a summary's decimals, nested dictionaries of moments as tables by level."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# a Series of at most this many values is shown as a row
_SHORT = 20


def as_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The same numbers in a DataFrame that shows them as a summary does."""
    from mlsem_jax.report._pandas_shown import Table

    out = Table(frame)
    out.attrs = dict(frame.attrs)
    return out


def as_column(series: pd.Series) -> pd.Series:
    """The same numbers in a Series that shows them as a summary does."""
    from mlsem_jax.report._pandas_shown import Column

    return Column(series)


class Tables(dict):
    """A dictionary of results by group, level and kind that shows itself as titled tables."""

    def __repr__(self) -> str:
        if not self:
            return "{}"
        return "\n\n".join(f"{title}:\n{_text(value)}" for title, value in _leaves(self, ()))

    def _repr_html_(self) -> str:
        parts = [f"<h4>{escape(title)}</h4>{_html(value)}" for title, value in _leaves(self, ())]
        return f"<div class='mlsem-tables'>{''.join(parts)}</div>"


def _leaves(values: dict, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, dict) and value:
            yield from _leaves(value, here)
        else:
            yield ", ".join(here), value


def _framed(value: Any) -> Any:
    """What is shown of a value: a short Series is a row."""
    import pandas as pd

    if isinstance(value, pd.Series) and 0 < len(value) <= _SHORT:
        return as_table(value.to_frame("").T)
    if isinstance(value, pd.DataFrame):
        return as_table(value)
    return as_column(value) if isinstance(value, pd.Series) else value


def _text(value: Any) -> str:
    return "none" if _empty(value) else repr(_framed(value))


def _empty(value: Any) -> bool:
    return hasattr(value, "index") and getattr(value, "size", 1) == 0


def _html(value: Any) -> str:
    if _empty(value):
        return "<p>none</p>"
    shown = _framed(value)
    made = getattr(shown, "_repr_html_", lambda: None)()
    return made or f"<pre>{escape(repr(shown))}</pre>"
