"""`ml.efa`: exploratory factor analysis, of one level or with factors within and between clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from mlsem_jax._arguments import Refused, Rule, check, names, whole
from mlsem_jax._errors import DataError, IdentificationError, ModelError, nearest
from mlsem_jax._option_docs import with_options
from mlsem_jax.data import column_names
from mlsem_jax.fits import Fit
from mlsem_jax.fronts._fit_text import fit_text
from mlsem_jax.options import CommonOptions, read_options
from mlsem_jax.syntax import quoted

_LEVELS = ("within", "between")


@with_options(CommonOptions, "sem")
def efa(
    data: Any,
    nfactors: int | Mapping[str, int] = 1,
    vars: Sequence[str] | None = None,
    cluster: str | None = None,
    *,
    rotation: str | Mapping[str, str] = "geomin",
    rotation_args: Mapping[str, Any] | None = None,
    group: str | None = None,
    **options: Unpack[CommonOptions],
) -> Fit:
    """Exploratory factor analysis by maximum likelihood, of one level or of two, with standard errors of rotated estimates; of
    ordered items by WLSMV.

    **Arguments:**

    - `data`, `cluster`, `group`, `options`: as for [`mlsem_jax.sem`][].
    - `nfactors`: how many; with `cluster` at each level, `{"within": 2, "between": 1}`, or one number for both. A level with 0, or
      left out, is saturated.
    - `vars`: the items, columns of the data.
    - `rotation`: "geomin", "oblimin" (quartimin with gamma 0), "varimax" or "target", or one for each level.
    - `rotation_args`: `epsilon` of geomin (default 0.001), `gamma` of oblimin (0), `orthogonal` (False; varimax always),
      `kaiser` (False; of varimax True), `target` (items by factors, NaN for cells that are not specified; by level where they
      differ), `starts` (30 random ones) and their `seed`.

    Each level is rotated by itself, loadings divided by the implied standard deviations of that level before and multiplied by
    them afterwards. Factors have unit variance; but under a target they come in the order of their largest loadings, each with a
    positive sum. The rotated parameters maximise the likelihood where the criterion is stationary, and standard errors are those
    of the observed information bordered by these conditions (Jennrich 1973), the standardization differentiated too.

    **Returns:** a [`mlsem_jax.Fit`][]; `fit.rotation()` says how many minima of the criterion were found.

    **Raises:** ModelError, DataError; IdentificationError for more factors than the moments of the items can tell.
    """
    items = read_items(vars, data)
    counts = _counts(nfactors, cluster)
    for level, m in counts.items():
        _check_identified(len(items), m, level if cluster is not None else "")
    ordered = read_options({"ordered": options.get("ordered", ())})["ordered"]
    text = _text(items, counts, cluster is not None, items if ordered is True else ordered)
    given = {"rotation": rotation, "rotation_args": rotation_args}
    asked: dict[str, Any] = dict(**options) | {name: value for name, value in given.items() if value is not None}
    if cluster is None and not asked.get("ordered"):
        asked = {"meanstructure": True, "information": "observed"} | asked
    if max(counts.values()) == 1:  # nothing to rotate, but what is wrong is told all the same
        asked["rotation"] = rotation
    return fit_text("efa", text, data, cluster, group, asked)


def read_items(vars: Any, data: Any) -> tuple[str, ...]:
    if vars is None:
        raise ModelError("This needs the items: vars=['y1', 'y2', ...], columns of the data.")
    items = check("vars", vars, names("a column"))
    columns = column_names(data)
    for name in items:
        if name not in columns:
            raise DataError(f"vars: the data have no column {name!r}.{nearest(name, columns)}")
    if twice := [name for i, name in enumerate(items) if name in items[:i]]:
        raise ModelError(f"vars: {twice[0]!r} is there twice.")
    return tuple(items)


def _counts(nfactors: Any, cluster: str | None) -> dict[str, int]:
    """Factors by level."""
    if not isinstance(nfactors, Mapping):
        count = check("nfactors", nfactors, whole(1))
        return dict.fromkeys(_LEVELS if cluster is not None else _LEVELS[:1], count)
    if cluster is None:
        raise ModelError("nfactors by level needs cluster=, the column of clusters; without it give one number.")

    def read(value: Mapping[str, Any]) -> dict[str, int]:
        for name in value:
            if name not in _LEVELS:
                raise Refused(f"There is no level {name!r}.{nearest(name, _LEVELS)}")
        found = {name: whole(0).read(value.get(name, 0)) for name in _LEVELS}
        if not any(found.values()):
            raise Refused("One of the levels needs a factor.")
        return found

    return check("nfactors", nfactors, Rule("a number, or numbers by level, {'within': 2, 'between': 1}", read))


def _check_identified(p: int, m: int, level: str) -> None:
    """IdentificationError where a level has fewer moments than parameters."""
    if m and (m >= p or (p - m) ** 2 < p + m):
        most = max(k for k in range(p) if (p - k) ** 2 >= p + k)
        at = f" {level}" if level else ""
        raise IdentificationError(
            f"{p} items cannot tell {m} factor{'s' * (m > 1)}{at} apart: there are {p * (p + 1) // 2} variances and covariances "
            f"for {p * m + p - m * (m - 1) // 2} parameters. {p} items can have at most {most}."
        )


def _text(items: tuple[str, ...], counts: dict[str, int], two_levels: bool, ordered: Sequence[str] = ()) -> str:
    """The model text; names of factors are none of the items'. ordered: items whose variance at level 1 is no parameter."""
    written = [quoted(name) for name in items]
    lines = []
    for number, (level, m) in enumerate(counts.items(), 1):
        if two_levels:
            lines.append(f"level: {number}")
        stem = {"within": "fw", "between": "fb"}[level] if two_levels else "f"
        while any(f"{stem}{i + 1}" in items for i in range(m)):
            stem += "_"
        if m:
            left = " + ".join(f'efa("efa")*{stem}{i + 1}' for i in range(m))
            lines.append(f"{left} =~ {' + '.join(written)}")
        else:
            lines += _saturated(written, [] if number == 2 else [quoted(name) for name in ordered])
    return "\n".join(lines)


def _saturated(written: list[str], units: Sequence[str]) -> list[str]:
    """All covariances, and variances but those of `units`."""
    found = [(a, [b for b in written[i:] if b != a or a not in units]) for i, a in enumerate(written)]
    return [f"{a} ~~ {' + '.join(others)}" for a, others in found if others]
