"""Ordered outcomes of several data sets as one term with a leading axis, padded to one shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsem_jax.likelihood import ClusterSizes
from mlsem_jax.ordinal.full._cells import Cluster
from mlsem_jax.ordinal.full._term import Block, OrdinalTerm


def stack_terms(terms: Sequence[OrdinalTerm]) -> OrdinalTerm:
    """Terms (B of them) of one layout as one whose arrays lead with the axis B.

    Data sets have different numbers of distinct clusters, and of rows that differ in a cluster: what one has fewer of is padding,
    rows that count 0 times and clusters that count 0 times. Terms whose blocks of clusters differ get one block a group.
    """
    layouts = {term.layout for term in terms}
    if len(layouts) != 1:
        raise ValueError("Terms of several layouts cannot be stacked.")
    alike = {tuple(block.group for block in term.blocks) for term in terms}
    parts = [term.blocks if len(alike) == 1 else _by_group(term) for term in terms]
    blocks = tuple(_stacked(column) for column in zip(*parts, strict=True))
    lengths = [len(term.member) for term in terms]
    moved = [_moved(np.asarray(term.member), own, blocks) for term, own in zip(terms, parts, strict=True)]
    member = np.stack([_padded(one, max(lengths)) for one in moved])
    fields = [
        np.stack([_padded(getattr(term.clusters, name), max(lengths)) for term in terms])
        for name in ("group", "size", "count")
    ]
    values = np.stack([np.asarray(term.values) for term in terms])
    return OrdinalTerm(blocks, member, ClusterSizes(*fields), values, terms[0].layout)


def _padded(array: np.ndarray, length: int, axis: int = 0, value: float = 0) -> np.ndarray:
    array = np.asarray(array)
    widths = [(0, length - n if i == axis else 0) for i, n in enumerate(array.shape)]
    return np.pad(array, widths, constant_values=value)


def _moved(member: np.ndarray, blocks: Sequence[Block], stacked: Sequence[Block]) -> np.ndarray:
    """Which of the distinct clusters of the padded blocks, one block after the other, each cluster (J,) is."""
    old, new, found = 0, 0, np.zeros(len(member), int)
    for own, padded in zip(blocks, stacked, strict=True):
        here = (member >= old) & (member < old + len(own.count))
        found[here] = member[here] - old + new
        old, new = old + len(own.count), new + padded.count.shape[1]
    return found


def _by_group(term: OrdinalTerm) -> tuple[Block, ...]:
    """The blocks of each group as one; what they are padded with is missing answers of rows that count 0 times."""
    groups = sorted({block.group for block in term.blocks})
    return tuple(_joined([block for block in term.blocks if block.group == g]) for g in groups)


def _joined(blocks: Sequence[Block]) -> Block:
    longest = max(block.clusters.often.shape[1] for block in blocks)
    wide = [_with_rows(block.clusters, longest) for block in blocks]
    fields = [np.concatenate([getattr(c, name) for c in wide]) for name in Cluster.__dataclass_fields__]
    return Block(Cluster(*fields), np.concatenate([block.count for block in blocks]), blocks[0].group)


def _stacked(blocks: Sequence[Block]) -> Block:
    """Blocks of the same group, one of each data set, along a new first axis."""
    longest = max(block.clusters.often.shape[1] for block in blocks)
    most = max(len(block.count) for block in blocks)
    wide = [_with_rows(block.clusters, longest) for block in blocks]
    # clusters that are padding have the covariates of none, and answers that are missing
    fields = [
        np.stack([_padded(getattr(c, name), most, value=-1 if name == "answers" else 0) for c in wide])
        for name in Cluster.__dataclass_fields__
    ]
    return Block(Cluster(*fields), np.stack([_padded(block.count, most) for block in blocks]), blocks[0].group)


def _with_rows(clusters: Cluster, rows: int) -> Cluster:
    """Clusters (J) with padding up to so many rows."""
    fields = {
        name: getattr(clusters, name) if name == "between_x" else _padded(getattr(clusters, name), rows, axis=1)
        for name in Cluster.__dataclass_fields__
    }
    fields["answers"] = _padded(clusters.answers, rows, axis=1, value=-1)
    return Cluster(**fields)
