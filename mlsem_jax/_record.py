"""Frozen records that JAX takes for pytrees: what kernels are given and give back.

They are what `equinox.Module` is for classes of plain fields. A fit makes some dozens of them, and each takes a tenth of the time;
and a process that only fits need not import equinox, which takes as long as half of this library.
"""

from __future__ import annotations

import dataclasses
from typing import Any, dataclass_transform

import jax


def static(**options: Any) -> Any:
    """A field of a `Record` that is no leaf: hashable, and a part of what programs are compiled for. options: as of
    `dataclasses.field`.
    """
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field, static))
class Record:
    """Base of frozen dataclasses that are pytrees: every field is a child, but those that are `static`. Subclasses need no
    decorator. Two records are equal where their structure and all leaves are.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # which the line above made it
        leaves = [f.name for f in fields if not f.metadata.get("static")]
        jax.tree_util.register_dataclass(cls, leaves, [f.name for f in fields if f.metadata.get("static")])

    def __repr__(self) -> str:
        import equinox as eqx

        return eqx.tree_pformat(self)

    def __eq__(self, other: object) -> Any:
        import equinox as eqx

        return eqx.tree_equal(self, other)

    def __hash__(self) -> int:
        return hash(tuple(jax.tree.leaves(self)))
