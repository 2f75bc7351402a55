"""Any table with named columns -> the few pandas columns that a model needs, without copying the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._columns import to_float

if TYPE_CHECKING:
    import pandas as pd


class Table(NamedTuple):
    """The columns asked for, by name, and the labels of the rows."""

    columns: dict[str, pd.Series]
    index: pd.Index


def column_names(data: Any) -> tuple[str, ...]:
    """The names of a table's columns, as strings, in order. Raises DataError for what is not a table."""
    return tuple(str(name) for name in _keys(data))


def factors_of(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """The columns that a variable is made of: itself, or those of a product such as 'x:w'; () where they are not all known."""
    if name in known:
        return (name,)
    parts = tuple(name.split(":"))
    return parts if len(parts) > 1 and all(part in known for part in parts) else ()


def with_products(known: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The columns, and those of the names that are products of columns."""
    return (*known, *(name for name in dict.fromkeys(names) if name not in known and factors_of(name, known)))


def read_columns(data: Any, names: Sequence[str]) -> Table:
    """The columns `names` (all of them known to exist, or products of such) of a table, and its row labels."""
    keys = {str(key): key for key in _keys(data)}
    names = list(dict.fromkeys(names))
    made_of = {name: factors_of(name, list(keys)) for name in names}
    single = list(dict.fromkeys(part for parts in made_of.values() for part in parts))
    _refuse_duplicates(column_names(data), single)
    frame = _select(data, [keys[name] for name in single])
    columns = {name: frame[keys[name]] for name in names if name in keys}
    for name in names:
        if name not in keys:
            columns[name] = _product([frame[keys[part]] for part in made_of[name]], made_of[name], name)
    return Table(columns, frame.index)


def _product(parts: Sequence[pd.Series], names: Sequence[str], product: str) -> pd.Series:
    """Row by row, of the columns as they are; missing where one of them is."""
    import pandas as pd

    values = np.ones(len(parts[0]))
    for part, name in zip(parts, names, strict=True):
        values = values * to_float(part, name, f"{name!r} in {product!r}")
    return pd.Series(values, parts[0].index, name=product)


def _refuse_duplicates(known: Sequence[str], names: Sequence[str]) -> None:
    count = Counter(known)
    twice = [name for name in dict.fromkeys(names) if count[name] > 1]
    if twice:
        raise DataError(
            f"The data have more than one column called {listing(map(repr, twice))}. Rename or drop the others, "
            "for example data.loc[:, ~data.columns.duplicated()]."
        )


def _keys(data: Any) -> Sequence[Any]:
    """The columns' own keys: strings, but pandas allows anything hashable."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return list(data.columns)
    if isinstance(data, Mapping):
        return list(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return list(data.dtype.names)
    if _is_arrow(data) or _is_stream(data):
        return list(data.schema.names)
    if _is_dask(data):
        return list(data.columns)
    if (frame := _narwhal(data)) is not None:
        return list(frame.collect_schema().names())
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__dataframe__"):
        return list(_exchanged(data).columns)
    raise DataError(_not_a_table(data))


def _select(data: Any, keys: list[Any]) -> pd.DataFrame:
    """A DataFrame that has at least the columns `keys`."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, (Mapping, np.ndarray)):
        return _from_arrays({key: data[key] for key in keys})
    if _is_stream(data):
        data = _streamed(data)
    if _is_dask(data):
        return data[keys].compute()
    if not _is_arrow(data) and (frame := _narwhal(data)) is not None:
        return _collected(frame.select(keys))
    if _is_arrow(data):
        chosen = data.to_table(columns=keys) if hasattr(data, "to_table") else data.select(keys)
        return chosen.to_pandas()
    return _exchanged(data)


def _from_arrays(arrays: dict[Any, Any]) -> pd.DataFrame:
    import pandas as pd

    sizes = {key: np.shape(value) for key, value in arrays.items()}
    for key, size in sizes.items():
        if isinstance(arrays[key], jax.core.Tracer):
            raise DataError(
                f"Column {key!r} of the data is traced by JAX; tables are read outside of transformations. What follows from "
                "statistics can be traced: stats = ml.statistics(model, data) once, then jax.grad of a function of stats."
            )
        if not size:
            raise DataError(
                f"Column {key!r} of the data is a single value. A list of records becomes a table by pandas.DataFrame(records)."
            )
        if len(size) != 1:
            raise DataError(f"Column {key!r} of the data must be one-dimensional; its shape is {size}.")
    if len(set(sizes.values())) > 1:
        shown = listing(f"{key!r} has {size[0]}" for key, size in sizes.items())
        raise DataError(f"The columns of the data differ in length: {shown}.")
    return pd.DataFrame({key: np.asarray(value) if isinstance(value, list) else value for key, value in arrays.items()})


def _exchanged(data: Any) -> pd.DataFrame:
    """Through the Arrow or the DataFrame interchange interface."""
    import pandas as pd

    if hasattr(data, "__arrow_c_stream__"):
        try:
            import pyarrow
        except ImportError:
            if not hasattr(data, "__dataframe__"):
                raise DataError(
                    f"Reading a {_type_name(data)} takes pyarrow: pip install pyarrow, or pass a pandas DataFrame."
                ) from None
        else:
            return pyarrow.table(data).to_pandas()
    return pd.api.interchange.from_dataframe(data)


def _narwhal(data: Any) -> Any:
    """A table of polars, DuckDB, Ibis, Modin and others, eager or lazy, as narwhals sees it; None for what it does not know."""
    import narwhals as nw

    frame = nw.from_native(data, pass_through=True)
    return frame if isinstance(frame, (nw.DataFrame, nw.LazyFrame)) else None


def _collected(frame: Any) -> pd.DataFrame:
    """The columns of such a table, of which no more than these are computed."""
    import pandas as pd

    frame = frame.collect() if hasattr(frame, "collect") else frame
    if frame.implementation.is_polars():  # whose to_pandas() takes pyarrow
        return pd.DataFrame({key: frame.get_column(key).to_numpy() for key in frame.columns})
    return frame.to_pandas()


def _is_dask(data: Any) -> bool:
    """A table of Dask, which narwhals leaves to a package of its own."""
    return hasattr(data, "compute") and hasattr(data, "npartitions") and hasattr(data, "columns")


def _is_stream(data: Any) -> bool:
    """An Arrow stream (pyarrow.RecordBatchReader, what DuckDB's .arrow() gives), which can be read once."""
    return hasattr(data, "read_next_batch") and hasattr(data, "read_all")


# what streams held, for as long as they live: a fit asks its data for their names and columns more than once
_STREAMED: WeakKeyDictionary = WeakKeyDictionary()


def held_of(stream: Any) -> Any:
    """The table that a stream held, where something has read it already; None otherwise."""
    return _STREAMED.get(stream) if _is_stream(stream) else None


def _streamed(stream: Any) -> Any:
    if stream not in _STREAMED:
        _STREAMED[stream] = stream.read_all()
    return _STREAMED[stream]


def _is_arrow(data: Any) -> bool:
    """pyarrow's Table, RecordBatch or Dataset."""
    if hasattr(data, "collect_schema"):  # of polars, which warns of the cost of `schema`
        return False
    return hasattr(getattr(data, "schema", None), "names") and (hasattr(data, "to_table") or hasattr(data, "to_pandas"))


def _type_name(data: object) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")


def _not_a_table(data: object) -> str:
    expected = "data must be a table with named columns (a pandas, polars or Arrow table, or a dict of arrays)"
    if isinstance(data, np.ndarray):
        return f"{expected}; an array has no names: pass pandas.DataFrame(array, columns=[...])."
    if isinstance(data, str):
        return f"{expected}, not text; read the file first, for example with pandas.read_csv({data!r})."
    return f"{expected}, not {_type_name(data)}."
