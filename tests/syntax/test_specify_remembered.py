"""Models that were specified before are remembered: nothing of a later call may differ for that."""

import pickle

import numpy as np
import pytest

import mlsem_jax as ml
from mlsem_jax._errors import ModelSyntaxError
from mlsem_jax.models import build
from mlsem_jax.syntax import SyntaxOptions, parse, specify

TEXT = "level: 1\n f =~ y1 + y2 + y3\nlevel: 2\n g =~ y1 + y2 + y3\n g ~ w"
NAMES = ("y1", "y2", "y3", "w", "id")


def specified(text=TEXT, names=NAMES, **options):
    return specify(text, options=SyntaxOptions.for_function("sem", **options), data_variables=names)


def test_the_same_model_is_specified_once():
    assert specified() is specified()
    assert parse(TEXT) is parse(TEXT)


@pytest.mark.parametrize(
    "options",
    [{"std_lv": True}, {"fixed_x": False}, {"effect_coding": True}],
)
def test_options_tell_models_apart(options):
    assert specified().parameters != specified(**options).parameters
    assert specified(**options) is specified(**options)


def test_columns_tell_models_apart():
    specified()
    with pytest.raises(ValueError, match="'w'"):
        specified(names=("y1", "y2", "y3", "id"))
    assert specified().variables == ("y1", "y2", "y3", "w")


def test_what_is_no_model_is_none_again():
    for _ in range(2):
        with pytest.raises(ModelSyntaxError):
            parse("level: 1\n f =~ ")


def test_rotation_targets_are_read_anew():
    """They are arrays, which are not compared."""
    text = 'efa("a")*f1 + efa("a")*f2 =~ y1 + y2 + y3 + y4 + y5'
    names = tuple(f"y{i}" for i in range(1, 6))
    found = []
    for value in (0.0, 1.0):
        target = np.full((5, 2), np.nan)
        target[0, 1] = target[1, 0] = value
        options = SyntaxOptions.for_function("sem", rotation="target", rotation_args={"target": target})
        found.append(specify(text, options=options, data_variables=names))
    assert found[0] is not found[1]


def test_what_fits_share_cannot_be_written_to():
    made = build(specified())
    for array in (made.index, made.structure.levels[0].lambda_.base, made.structure.levels[1].psi.core.index):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_what_was_worked_out_is_neither_compared_nor_pickled():
    specification = specified()
    build(specification)
    assert specification.derived
    again = pickle.loads(pickle.dumps(specification))
    assert again == specification
    assert not again.derived


def test_the_moments_of_covariates_are_those_of_each_data_set():
    """What the data decide is filled in for every build, though the model is remembered."""
    rng = np.random.default_rng(0)
    found = []
    for scale in (1.0, 3.0):
        x = scale * rng.normal(size=300)
        data = {"x": x, "y": x + rng.normal(size=300)}
        table = ml.sem("y ~ x", data).parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
        found.append(table["x", "~~", "x"] / np.var(x))
    assert np.allclose(found, 1.0)
