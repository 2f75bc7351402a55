"""Statistics of several data sets as one pytree with a leading axis, padded to one shape: a batch of lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from mlsem_jax.likelihood._complete_term import CompleteTerm
from mlsem_jax.likelihood._pattern_term import PatternTerm
from mlsem_jax.likelihood._term import Statistics, first_data
from mlsem_jax.observed import CompleteStatistics, PatternStatistics, SizePools, bucket

# what cluster sizes that count 0 times are: any positive number does
_FILL = {"size": 1.0}


def stackable(statistics: Statistics) -> bool:
    """Whether these are of continuous variables alone, by closed forms: what `stack_statistics` can pad."""
    return all(isinstance(term, (CompleteTerm, PatternTerm)) for term in statistics.terms)


def stack_statistics(many: Sequence[Statistics]) -> Statistics:
    """Statistics (B of them) of one model as one whose arrays lead with the axis B.

    Data sets differ in which clusters are complete, in patterns of missing values and in cluster sizes. What one has fewer of is
    padding: clusters, patterns and sizes that count 0 times. ValueError where number of variables, groups or slopes differ.
    """
    complete = [first_data(one, CompleteTerm) for one in many]
    patterns = [first_data(one, PatternTerm) for one in many]
    terms: list[Any] = []
    if any(one is not None for one in complete):
        like = next(one for one in complete if one is not None)
        terms.append(CompleteTerm(_stack([_nothing(like) if one is None else one for one in complete])))
    if any(one is not None for one in patterns):
        like = next(one for one in patterns if one is not None)
        terms.append(PatternTerm(_stack([_nothing(like) if one is None else one for one in patterns])))
    pools = [one.pools for one in many]
    known = [one for one in pools if one is not None]
    return Statistics(tuple(terms), _stack(known) if len(known) == len(pools) else None)


def _nothing(like: CompleteStatistics | PatternStatistics) -> Any:
    """Statistics of no cluster, of the shape of others; what says where the effects are stays."""
    empty = _filled(like)
    return replace(empty, effects=like.effects) if isinstance(like, PatternStatistics) else empty


def _filled(part: Any) -> Any:
    """A record of arrays with nothing in them."""
    found = {f.name: _nothing_of(f.name, getattr(part, f.name)) for f in fields(part)}
    return type(part)(**found)


def _nothing_of(name: str, part: Any) -> Any:
    if is_dataclass(part):
        return _filled(part)
    return None if part is None else np.full_like(np.asarray(part), _FILL.get(name, 0))


def _stack(parts: Sequence[CompleteStatistics | PatternStatistics | SizePools | Any]) -> Any:
    """Dataclasses of arrays, field by field."""
    first = parts[0]
    return type(first)(**{f.name: _stacked([getattr(one, f.name) for one in parts], f.name) for f in fields(first)})


def _stacked(values: list[Any], name: str) -> Any:
    if is_dataclass(values[0]):
        return _stack(values)
    if all(value is None for value in values):
        return None
    arrays = [np.asarray(value) for value in values]
    shape = tuple(_length(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    out = np.full((len(arrays), *shape), _FILL.get(name, 0), np.result_type(*arrays))
    for lane, array in zip(out, arrays, strict=True):
        lane[tuple(slice(length) for length in array.shape)] = array
    return out


def _length(sizes: tuple[int, ...]) -> int:
    """One length for all: the longest, where they differ one of a few, so that other batches share compiled programs."""
    return sizes[0] if len(set(sizes)) == 1 else bucket(max(sizes))
