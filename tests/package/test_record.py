"""The base of the records that kernels take: frozen dataclasses that JAX knows as pytrees."""

from __future__ import annotations

import dataclasses
import pickle
from abc import ABC, abstractmethod
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlsem_jax._record import Record, static
from mlsem_jax._typing import Float, Int


class Point(Record):
    place: Float[np.ndarray, " q"]
    name: str = static(default="origin")
    more: tuple[Point, ...] = ()

    @property
    def norm(self):
        return (self.place**2).sum()


class Weighted(Point):
    weight: float = 1.0


class Shape(Record, ABC):
    @abstractmethod
    def area(self): ...


def test_every_field_is_a_child_but_those_that_are_static():
    point = Weighted(np.arange(3.0), "a", (Point(np.ones(2)),), 2.0)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(point)]
    assert paths == [".place", ".more[0].place", ".weight"]
    twice = jax.tree.map(lambda x: 2 * x, point)
    assert isinstance(twice, Weighted)
    assert (twice.name, twice.weight, twice.more[0].name) == ("a", 4.0, "origin")
    np.testing.assert_array_equal(twice.place, [0.0, 2.0, 4.0])


def test_a_static_field_decides_on_the_program():
    traced = []

    @jax.jit
    def norm(point):
        traced.append(point.name)
        return point.norm

    for name in ("a", "b", "a"):
        assert norm(Point(jnp.ones(2), name)) == 2.0
    assert traced == ["a", "b"]
    assert jax.vmap(norm)(Point(jnp.ones((4, 2)))).shape == (4,)
    assert jax.grad(norm)(Point(jnp.ones(2))).place.tolist() == [2.0, 2.0]


def test_a_record_cannot_be_changed_but_replaced():
    point = Point(np.zeros(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.place = np.ones(2)
    assert dataclasses.replace(point, name="b").name == "b"


def test_records_are_equal_where_structure_and_leaves_are():
    assert Point(np.ones(2)) == Point(np.ones(2))
    assert Point(np.ones(2)) != Point(np.zeros(2))
    assert Point(np.ones(2)) != Point(np.ones(2), "b")
    assert Point(np.ones(2)) != "text"
    assert len({Point((1.0, 2.0)), Point((1.0, 2.0)), Point((3.0, 2.0))}) == 2


def test_a_record_shows_shapes_and_goes_to_other_processes():
    point = Weighted(np.ones((100, 100)), "a")
    assert "f64[100,100]" in repr(point)
    assert len(repr(point)) < 200
    again = pickle.loads(pickle.dumps(point))
    assert again == point


def test_an_abstract_record_is_not_made():
    with pytest.raises(TypeError, match="abstract"):
        Shape()


def test_annotations_tell_kind_and_axes_where_they_are_read():
    assert Float[np.ndarray, " G  p"].dim_str == "G p"
    assert Int[jax.Array, ""].dim_str == ""
    array, none = get_args(get_type_hints(Optional)["place"])
    assert (array.dim_str, array.__name__.partition("[")[0], none) == ("J q", "Float", type(None))


class Optional(Record):
    place: Float[np.ndarray, "J q"] | None = None
