"""The table of conditions: what its columns mean, and every row as a cell."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import number_of, shown
from mlsem_jax._errors import DataError, ModelError, listing, nearest
from mlsem_jax.data import SHAPES

if TYPE_CHECKING:
    import pandas as pd

# columns of a design that are no parameters
COLUMNS = (
    "clusters",
    "size",
    "icc",
    "model",
    "estimator",
    "missing",
    "missing_by",
    "missing_slope",
    "missing_handling",
    "distribution",
    "freedom",
    "skewness",
    "kurtosis",
)
_HANDLING = ("ml", "listwise")
_ESTIMATORS = ("ML", "MLR", "MLF")


@dataclass(frozen=True)
class Conditions:
    """One row of a design. shown: its columns as the user wrote them; values: parameters of the population by name."""

    shown: dict[str, Any]
    clusters: int | None
    size: Any
    icc: float | None = None
    model: str | None = None
    estimator: str = "ML"
    missing: Any = 0.0
    missing_by: str | None = None
    missing_slope: float = 1.0
    handling: str = "ml"
    distribution: str = "normal"
    freedom: float = 5.0
    skewness: Any = 0.0
    kurtosis: Any = 0.0
    values: dict[str, float] = field(default_factory=dict)

    @property
    def incomplete(self) -> bool:
        """Whether values are missing."""
        return bool(self.missing)

    def words(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.shown.items())


def grid(**conditions: Any) -> pd.DataFrame:
    """Every combination of conditions as a table, the last one changing fastest: `ml.grid(clusters=[30, 100], size=[5, 20])`.

    A single value stands for itself. Names that are no Python names come as a dictionary: `ml.grid(clusters=50, **{"fb~w": [0,
    0.3]})`.
    """
    import pandas as pd

    if not conditions:
        raise DataError("ml.grid() needs conditions, such as clusters=[30, 100], size=[5, 20].")
    lists = {}
    for name, value in conditions.items():
        several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
        lists[name] = list(value) if several else [value]
        if not lists[name]:
            raise DataError(
                f"ml.grid: {name}= is an empty list, so that there is no combination. Give at least one value."
            )
    return pd.DataFrame(list(itertools.product(*lists.values())), columns=list(lists))


def read_design(design: Any, models: Sequence[str], single: bool) -> tuple[Conditions, ...]:
    """The rows of a design, checked. models: names that a column `model` may hold; single: the population has one level."""
    table = _as_frame(design)
    if not len(table) or not len(table.columns):
        raise DataError(
            "The design is empty: it needs a row for every condition. ml.grid(clusters=[30, 100], size=20) makes one."
        )
    names = [str(name) for name in table.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"The design has two columns {listing(twice)}.")
    needed = ("size",) if single else ("clusters", "size")
    if absent := [name for name in needed if name not in names]:
        raise DataError(
            f"The design has no column {listing(absent)}: it says how many "
            + ("rows there are." if single else "clusters there are ('clusters') and how many rows each has ('size').")
        )
    if single and "clusters" in names:
        raise DataError(
            "The population has one level, so that the design has no clusters: 'size' is the number of rows."
        )
    found = []
    for number, row in enumerate(table.itertuples(index=False, name=None)):
        found.append(_conditions(dict(zip(names, row, strict=True)), number, models, single))
    seen: dict[str, int] = {}
    for number, one in enumerate(found):
        if one.words() in seen:
            raise DataError(
                f"Rows {seen[one.words()]} and {number} of the design are the same ({one.words()}). Drop one."
            )
        seen[one.words()] = number
    return tuple(found)


def _as_frame(design: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(design, pd.DataFrame):
        return design
    if hasattr(design, "to_pandas"):
        return design.to_pandas()
    if isinstance(design, Mapping):
        try:
            return pd.DataFrame(design)
        except ValueError as error:
            raise DataError(f"The design is no table ({error}). ml.grid(...) makes one of every combination.") from None
    raise DataError(
        f"The design is a table with a row for every condition, such as ml.grid(clusters=[30, 100], size=20), not {shown(design)}."
    )


def _conditions(row: dict[str, Any], number: int, models: Sequence[str], single: bool) -> Conditions:
    try:
        return _read(row, models, single)
    except (DataError, ModelError) as error:
        raise type(error)(f"Row {number} of the design: {error}") from None


def _read(row: dict[str, Any], models: Sequence[str], single: bool) -> Conditions:
    given = {name: value for name, value in row.items() if not _absent(value)}
    if not single:
        clusters = number_of(given.get("clusters"))
        if clusters is None or clusters != np.floor(clusters) or clusters < 2:
            raise DataError(f"clusters={shown(row['clusters'])} must be a whole number of at least 2.")
    if "size" not in given:
        raise DataError("size is missing.")
    read: dict[str, Any] = {
        "clusters": None if single else int(clusters or 0),
        "size": given["size"],
        "icc": given.get("icc"),
        "model": _word(given, "model", models, None),
        "estimator": _word(given, "estimator", _ESTIMATORS, "ML"),
        "handling": _word(given, "missing_handling", _HANDLING, "ml"),
        "distribution": _word(given, "distribution", SHAPES, "normal"),
        "missing": _share(given.get("missing", 0.0)),
        "missing_by": given.get("missing_by"),
        "missing_slope": _number(given, "missing_slope", 1.0),
        "freedom": _number(given, "freedom", 5.0),
        "skewness": _of_margins(given, "skewness"),
        "kurtosis": _of_margins(given, "kurtosis"),
    }
    if read["missing_by"] is not None and not read["missing"]:
        raise DataError(
            "missing_by says what decides which values are missing, and none are: give their share in 'missing'."
        )
    values = {name: value for name, value in given.items() if name not in COLUMNS}
    for name, value in values.items():
        if number_of(value) is None:
            raise DataError(f"{name}={shown(value)}: {_unknown_column(name)}")
    return Conditions(shown=dict(row), values={name: float(value) for name, value in values.items()}, **read)


def _unknown_column(name: str) -> str:
    return f"a column that is not one of {listing(COLUMNS, 20)} names a parameter and holds numbers.{nearest(name, COLUMNS)}"


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _word(given: Mapping[str, Any], name: str, known: Sequence[str], default: Any) -> Any:
    value = given.get(name, default)
    if value is default:
        return default
    by_lower = {word.lower(): word for word in known}
    if str(value).lower() not in by_lower:
        more = " Pass the texts as model={name: text, ...}." if name == "model" and not known else ""
        raise ModelError(
            f"{name}={shown(value)} is not one of {listing(known, 12) or 'none'}.{nearest(value, known)}{more}"
        )
    return by_lower[str(value).lower()]


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = number_of(given.get(name, default))
    if value is None or not np.isfinite(value):
        raise DataError(f"{name}={shown(given[name])} must be a number.")
    return value


def _of_margins(given: Mapping[str, Any], name: str) -> Any:
    value = given.get(name, 0.0)
    return dict(value) if isinstance(value, Mapping) else _number(given, name, 0.0)


def _share(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    share = number_of(value)
    if share is None or not 0 <= share < 1:
        raise DataError(
            f"missing={shown(value)} is a share of values from 0 to below 1, such as 0.2, or one by variable."
        )
    return share
