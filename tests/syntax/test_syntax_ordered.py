"""Ordered variables in a model text: the scales of latent responses."""

from __future__ import annotations

import pytest

from mlsem_jax import ModelSyntaxError
from mlsem_jax.syntax import SyntaxOptions, specify

FACTOR = "f =~ u1 + u2 + u3 + x"
COLUMNS = ["u1", "u2", "u3", "x"]


def specified(text: str):
    return specify(text, options=SyntaxOptions(), data_variables=COLUMNS, categories=dict.fromkeys(COLUMNS[:3], 3))


def test_a_scale_that_follows_adds_no_parameter():
    without, written = specified(FACTOR), specified(FACTOR + "\nu1 ~*~ u1\nu2 ~*~ u2")
    assert [p.name for p in written.parameters] == [p.name for p in without.parameters]
    assert set(written.warnings) - set(without.warnings) == {
        next(w for w in written.warnings if "scale of u1, u2" in w)
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("u1 ~*~ 1*u1", r"cannot be fixed, freed or labelled.*'u1 ~~ c\(1, NA\)\*u1'"),
        ("u1 ~*~ NA*u1", "cannot be fixed"),
        ("u1 ~*~ a*u1", "cannot be fixed"),
        ("u1 ~*~ u2", "is of one variable: write 'u1 ~.~ u1'"),
        ("u1 + u2 ~*~ u1", "is of one variable"),
        ("u1 ~*~ 1", "can stand only after"),
        ("x ~*~ x", "'x' is not declared ordered and has no scale: add it to ordered="),
    ],
)
def test_other_scales_say_what_to_write(line, sentence):
    with pytest.raises(ModelSyntaxError, match=sentence) as caught:
        specified(f"{FACTOR}\n{line}")
    assert caught.value.line == 2
