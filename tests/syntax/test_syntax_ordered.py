"""Ordered variables in a model text: the scales of latent responses."""

from __future__ import annotations

import pytest

from mlsem_jax import IdentificationError, ModelError, ModelSyntaxError
from mlsem_jax.syntax import SyntaxOptions, specify

FACTOR = "f =~ u1 + u2 + u3 + x"
COLUMNS = ["u1", "u2", "u3", "x"]


GROUPS = ("a", "b")


def specified(text: str, unit: float = 1.0, groups: tuple[str, ...] = (), **options):
    categories, chosen = dict.fromkeys(COLUMNS[:3], 3), SyntaxOptions(**options)
    return specify(text, options=chosen, data_variables=COLUMNS, categories=categories, unit=unit, group_labels=groups)


def test_a_scale_that_follows_adds_no_parameter():
    without, written = specified(FACTOR), specified(FACTOR + "\nu1 ~*~ u1\nu2 ~*~ u2")
    assert [p.name for p in written.parameters] == [p.name for p in without.parameters]
    assert set(written.warnings) - set(without.warnings) == {
        next(w for w in written.warnings if "scale of u1, u2" in w)
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("u1 ~*~ 0*u1", "must be above 0"),
        ("u1 ~*~ -1*u1", "must be above 0"),
        ("u1 ~~ u1\nu1 ~*~ 1*u1", "follows from its scale: leave 'u1 ~~ u1' out"),
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


def own(specification, op, group=1):
    """Free, value and label of the rows of u1 with an operator."""
    rows = [p for p in specification.parameters if p.op == op and p.lhs == p.rhs == "u1" and p.group == group]
    return [(p.free, p.value, p.shown_label) for p in rows]


@pytest.mark.parametrize("line", ["u1 ~*~ 1*u1", "u1 ~*~ a*u1 + 1*u1", "u2 ~*~ 0.5*u2"])
def test_values_of_scales_make_them_parameters(line):
    found = specified(f"{FACTOR}\n{line}")
    assert own(found, "~*~")[0][:2] == (False, 1.0)
    assert own(found, "~~") == [(False, None, "")]
    assert any("parameterization 'delta'" in w for w in found.warnings)


def test_parameters_of_both_parameterizations():
    theta, delta = specified(FACTOR), specified(FACTOR, parameterization="delta")
    assert own(theta, "~*~") == own(delta, "~~") == [(False, None, "")]
    assert own(theta, "~~") == own(delta, "~*~") == [(False, 1.0, "")]
    # those of a continuous variable are as ever
    assert not any(p.follows for p in delta.parameters if p.lhs == p.rhs == "x")


@pytest.mark.parametrize(("parameterization", "op"), [("theta", "~~"), ("delta", "~*~")])
def test_equal_thresholds_free_the_unit_of_later_groups(parameterization, op):
    def free(text="", *equal):
        return own(specified(FACTOR + text, groups=GROUPS, parameterization=parameterization, group_equal=equal), op, 2)

    assert free("", "thresholds", "loadings") == [(True, None, "")]
    assert free("", "intercepts") == [(True, None, "")]  # equal intercepts are equal thresholds
    assert free("", "loadings") == [(False, 1.0, "")]
    assert free(f"\nu1 {op} c(1, 1)*u1", "thresholds") == [(False, 1.0, "")]
    assert free(f"\nu1 {op} c(1, NA)*u1") == [(True, None, "")]


def test_equal_residuals_are_of_the_theta_parameterization():
    equal = ("thresholds", "residuals")
    assert own(specified(FACTOR, groups=GROUPS, group_equal=equal), "~~", 2) == [(False, 1.0, "")]
    with pytest.raises(ModelError, match="Take parameterization='theta'"):
        specified(FACTOR, groups=GROUPS, group_equal=equal, parameterization="delta")


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("u1 ~*~ NA*u1", {}, "freeing it needs thresholds that are fixed, or equal"),
        ("u1 ~*~ a*u1", {}, "fix it there: 'u1 ~.~ c.1, NA.*u1'"),
        ("u1 ~*~ u1", {"parameterization": "delta"}, "is the unit of its latent response"),
        ("u1 ~~ NA*u1", {}, "freeing it needs thresholds that are fixed, or equal"),
        (
            "u1 ~*~ 1*u1",
            {"parameterization": "theta"},
            "follows from its residual variance .* parameterization='delta'",
        ),
        ("u1 ~*~ 1*u1", {"unit": 3.29}, "parameterization='delta' is for the probit link"),
    ],
)
def test_what_is_not_identified_or_not_there(text, options, sentence):
    with pytest.raises((IdentificationError, ModelSyntaxError, ModelError), match=sentence):
        specified(f"{FACTOR}\n{text}", **options)


def test_thresholds_that_are_fixed_or_shared_are_a_unit():
    fixed = specified(f"{FACTOR}\nu1 | 0*t1 + 1*t2\nu1 ~*~ NA*u1")
    shared = specified(f"{FACTOR}\nu1 | a*t1 + b*t2\nu2 | a*t1 + b*t2\nu1 ~~ NA*u1")
    assert own(fixed, "~*~") == own(shared, "~~") == [(True, None, "")]


def test_scales_stand_at_the_level_of_the_unit():
    found = specified("level: 1\nf =~ u1 + u2 + u3\nlevel: 2\nu1 ~~ u1\nu1 ~*~ 1*u1\nu2 ~~ u2\nu3 ~~ u3")
    assert [p.level for p in found.parameters if p.op == "~*~"] == [1, 1, 1]
    assert any("written at level 2" in w for w in found.warnings)
