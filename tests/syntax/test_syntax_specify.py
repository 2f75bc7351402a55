"""From a model text to the complete table: defaults, blocks, groups, labels, slopes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsem_jax import ModelError, ModelSyntaxError
from mlsem_jax.syntax import SyntaxOptions, parse, specify

COLUMNS = [*(f"y{i}" for i in range(1, 9)), "x1", "x2", "x3", "w1", "w2", "school"]
WITHIN = "level: 1\n fw =~ y1 + y2 + y3\n"
BETWEEN = "level: 2\n fb =~ y1 + y2 + y3\n"


def spec(text, function="sem", groups=(), columns=COLUMNS, **options):
    options = SyntaxOptions.for_function(function, **options)
    return specify(text, options=options, data_variables=columns, group_labels=groups)


def table(text, level=None, group=None, **options):
    """lhs, op and rhs of each parameter -> the parameter."""
    return {
        f"{p.lhs}{p.op}{p.rhs}": p
        for p in spec(text, **options).parameters
        if level in (None, p.level) and group in (None, p.group)
    }


# ---- blocks


def test_the_tutorial_model():
    model = spec("level: 1\n fw =~ y1 + y2 + y3\n fw ~ x1 + x2\nlevel: 2\n fb =~ y1 + y2 + y3\n fb ~ w1")
    assert model.within.observed == ("y1", "y2", "y3", "x1", "x2")
    assert model.within.covariates == ("x1", "x2")
    assert model.between.latent == ("fb",)
    assert model.between.label == "2"
    assert model.groups == ()
    assert sum(p.free for p in model.parameters) == 18
    assert next(p for p in model.parameters if p.name == "fb~w1.l2").line == 6


@pytest.mark.parametrize(
    "text",
    [
        BETWEEN + WITHIN,
        "level: within\n fw =~ y1 + y2 + y3\nlevel: between\n fb =~ y1 + y2 + y3",
        "Level: Between\n fb =~ y1 + y2 + y3\nLEVEL: within\n fw =~ y1 + y2 + y3",
        "level: pupils\n fw =~ y1 + y2 + y3\nlevel: schools\n fb =~ y1 + y2 + y3",
        "level: schools\n fb =~ y1 + y2 + y3\nlevel: 1\n fw =~ y1 + y2 + y3",
    ],
)
def test_known_level_labels_mean_what_they_say_in_any_order(text):
    wanted, got = spec(WITHIN + BETWEEN), spec(text)
    assert [p.name for p in got.parameters] == [p.name for p in wanted.parameters]


def test_level_label_names_the_levels():
    text = "level: schools\n fb =~ y1 + y2 + y3\nlevel: pupils\n fw =~ y1 + y2 + y3"
    assert spec(text, level_label=("pupils", "schools")).within.latent == ("fw",)
    assert spec(text).within.latent == ("fb",)
    with pytest.raises(ModelSyntaxError, match="levels are pupils and classes"):
        spec(text, level_label=("pupils", "classes"))


def test_constraints_and_definitions_may_stand_in_blocks_or_outside():
    model = spec("d := a - b\n" + WITHIN + " fw ~~ a*fw\n a > 0\n" + BETWEEN + " fb ~~ b*fb\n a == 2*b")
    assert [d.name for d in model.definitions] == ["d"]
    assert [c.text for c in model.constraints] == ["a > 0", "a == 2*b"]


@pytest.mark.parametrize("missing", [WITHIN, WITHIN + "level: 2\n", "level: 2\n" + WITHIN])
def test_a_missing_or_empty_level_comes_with_a_block_to_paste(missing):
    with pytest.raises(ModelSyntaxError, match=r"Level 2 \(between\) is (missing|empty)") as caught:
        spec(missing)
    pasted = "level: 2\n  y1 ~~ y1 + y2 + y3\n  y2 ~~ y2 + y3\n  y3 ~~ y3"
    assert pasted in str(caught.value)
    assert spec(WITHIN + pasted).between.observed == ("y1", "y2", "y3")


def test_covariates_are_not_in_the_block_to_paste():
    with pytest.raises(ModelSyntaxError) as caught:
        spec("level: 2\n fb =~ y1 + y2\n fb ~ w1")
    assert "level: 1\n  y1 ~~ y1 + y2\n  y2 ~~ y2\n" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WITHIN + BETWEEN + "level: 3\n fc =~ y1 + y2", "three levels are not supported"),
        ("level: a\n y1~~y1\nlevel: b\n y1~~y1\nlevel: c\n y1~~y1", "third level"),
        (WITHIN + "level: 1\n fb =~ y1 + y2", "second block of level 1"),
        (WITHIN + "level: within\n fb =~ y1 + y2", "both mean level 1"),
        ("level: 0\n fw =~ y1 + y2 + y3\nlevel: 1\n fb =~ y1 + y2 + y3", "no level '0'"),
        ("y1 ~~ y1\n" + WITHIN + BETWEEN, "stands in no level"),
    ],
)
def test_wrong_levels(text, words):
    with pytest.raises(ModelSyntaxError) as caught:
        spec(text)
    assert words in str(caught.value)
    assert caught.value.line is not None


# ---- names


def test_unknown_variables_are_named_with_the_nearest_and_the_level():
    with pytest.raises(ModelSyntaxError) as caught:
        spec("level: 1\n fw =~ y1 + y22 + y3\n" + BETWEEN)
    for words in ("'y22'", "level 1 (within)", "'y2'", "neither a column of the data nor a factor"):
        assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (2, 13)


def test_a_factor_without_indicators_is_an_unknown_variable():
    with pytest.raises(ModelSyntaxError, match=r"'ability =~ \.\.\.' would define one") as caught:
        spec(WITHIN + " ability ~ x1\n" + BETWEEN)
    assert (caught.value.line, caught.value.column) == (3, 2)


def test_a_factor_of_the_other_level():
    with pytest.raises(ModelSyntaxError, match=r"'fw' is a factor of level 1 \(within\) only"):
        spec(WITHIN + BETWEEN + " fb ~ fw")


def test_without_columns_every_name_that_is_no_factor_is_observed():
    assert spec("level: 1\n f =~ a + b + c\nlevel: 2\n g =~ a + b + c", columns=None).variables == ("a", "b", "c")


def test_one_name_may_be_a_factor_of_both_levels():
    model = spec("level: 1\n f =~ y1 + y2 + y3\nlevel: 2\n f =~ y1 + y2 + y3")
    assert model.within.latent == model.between.latent == ("f",)


def test_a_factor_with_the_name_of_a_column_is_mentioned():
    assert "also a column of the data" in spec("level: 1\n y4 =~ y1 + y2 + y3\n" + BETWEEN).warnings[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (" y1 ~~ y2\n y2 ~~ y1", "already in line 3"),
        (" fw ~ x1\n fw ~ x1 + x2", "already in line 3"),
        (" fw ~ x1 + x1", "already on this right-hand side"),
        (" fw =~ 0.5*y2", "already in line 2"),
        (" fw ~ a*x1 + b*x1", "contradictory modifiers"),
        (" fw ~ 1*NA*x1", "contradictory modifiers"),
        (' fw ~ a*equal("b")*x1', "contradictory modifiers"),
        (" fw ~ fw", "its own predictor"),
        (" fx =~ fx", "its own indicator"),
        (" fw ~ c(a, b)*x1", "there are"),
    ],
)
def test_elements_written_twice_or_against_themselves(lines, words):
    with pytest.raises(ModelSyntaxError) as caught:
        spec(WITHIN + lines + "\n" + BETWEEN, groups=("1", "2", "3"))
    assert words in str(caught.value)


# ---- defaults


def test_modifiers_of_a_repeated_term_are_joined():
    rows = table("level: 1\n fw =~ NA*y1 + a*y1 + start(.5)*y2 + b*y2 + lower(0)*upper(2)*y3\n fw ~~ 1*fw\n" + BETWEEN)
    assert (rows["fw=~y1"].free, rows["fw=~y1"].label) == (True, "a")
    assert (rows["fw=~y2"].start, rows["fw=~y2"].label) == (0.5, "b")
    assert (rows["fw=~y3"].lower, rows["fw=~y3"].upper) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("function", "options", "free"),
    [
        ("sem", {}, True),
        ("cfa", {}, True),
        ("sem", {"auto_cov_lv_x": False}, None),
        ("sem", {"orthogonal": True}, False),
        ("lavaan", {}, None),
        ("lavaan", {"auto_cov_lv_x": True}, True),
    ],
)
def test_covariances_of_factors(function, options, free):
    text = "level: 1\n f =~ y1 + y2 + y3\n g =~ y4 + y5 + y6\nlevel: 2\n h =~ y1 + y2 + y3"
    row = table(text, function=function, **options).get("f~~g")
    assert (row and row.free) == free


def test_covariances_of_final_outcomes_are_factors_first():
    text = "level: 1\n y7 ~ x1\n f =~ y1 + y2 + y3\n g =~ y4 + y5 + y6\n g + f ~ x1\n y8 ~ f\n" + BETWEEN
    rows = [name for name, p in table(text, level=1).items() if p.op == "~~" and p.lhs != p.rhs]
    assert rows == ["g~~y7", "g~~y8", "y7~~y8"]


def test_single_indicators_measure_without_error():
    text = "level: 1\n f =~ y1\n g =~ y2 + y3\n" + BETWEEN
    assert table(text, level=1)["y1~~y1"].value == 0.0
    assert table(text, level=1, auto_fix_single=False)["y1~~y1"].free
    assert table("level: 1\n f =~ y1\n g =~ y1 + y2 + y3\n" + BETWEEN, level=1)["y1~~y1"].free


def test_scale_of_factors():
    text = "level: 1\n f =~ NA*y1 + y2\n g =~ start(2)*y3 + y4\n h =~ y5 + y6\n" + BETWEEN
    rows = table(text, level=1)
    assert rows["f=~y1"].free
    assert (rows["g=~y3"].free, rows["g=~y3"].value) == (False, 2.0)
    assert (rows["h=~y5"].free, rows["h=~y5"].value) == (False, 1.0)
    assert any("NA*y3" in w for w in spec(text).warnings)
    rows = table(text, level=1, std_lv=True)
    assert rows["g=~y3"].free
    assert [rows[f"{f}~~{f}"].value for f in "fgh"] == [1.0, 1.0, 1.0]


def test_effect_coding():
    model = spec("level: 1\n f =~ y1 + y2 + y3 + y4\n" + BETWEEN, effect_coding=True)
    assert [c.text for c in model.constraints] == [
        ".p1.==4-.p2.-.p3.-.p4.",
        ".p15.==3-.p16.-.p17.",
        ".p22.==0-.p23.-.p24.",
    ]
    means = {p.name: p.free for p in model.parameters if p.op == "~1" and p.lhs in ("f", "fb")}
    assert means == {"f~1": False, "fb~1.l2": True}
    assert len(spec(WITHIN + BETWEEN, effect_coding="loadings").constraints) == 2


def test_covariates_in_both_levels():
    text = WITHIN + " fw ~ x1 + x2\n" + BETWEEN + " fb ~ x1 + w1"
    model = spec(text)
    assert (model.within.covariates, model.between.covariates) == (("x1", "x2"), ("x1", "w1"))
    rows = table(text, level=1)
    assert all(rows[name].exo and not rows[name].free for name in ("x1~~x1", "x1~~x2", "x1~1", "x2~1"))
    assert (rows["x1~1"].value, rows["x2~1"].value) == (0.0, None)
    rows = table(text, level=1, fixed_x=False)
    assert [rows[name].free for name in ("x1~~x1", "x1~~x2", "x1~1", "x2~1")] == [True, True, False, True]
    assert spec(text, fixed_x=False).within.covariates == ()


def test_covariates_that_the_text_speaks_of_are_random():
    model = spec(WITHIN + " fw ~ x1 + x2\n x1 ~~ x1\n" + BETWEEN)
    assert model.within.covariates == ("x2",)
    assert any("x1" in w and "estimated with the model" in w for w in model.warnings)


def test_level_1_intercepts_of_variables_in_both_levels_are_zero():
    text = WITHIN + " y1 ~ 1\n" + BETWEEN
    assert table(text, level=1)["y1~1"].value == 0.0
    assert "at level 1 is fixed at 0" in spec(text).warnings[0]
    moved = table(text + " y1 ~ 0*1", level=1)
    assert moved["y1~1"].free


def test_growth_frees_the_means_of_factors_and_says_so():
    text = "level: 1\n iw =~ 1*y1 + 1*y2\n sw =~ 0*y1 + 1*y2\n{}level: 2\n ib =~ 1*y1 + 1*y2\n sb =~ 0*y1 + 1*y2"
    model = spec(text.format(""), function="growth")
    assert [p.name for p in model.parameters if p.op == "~1" and p.free] == ["iw~1", "sw~1", "ib~1.l2", "sb~1.l2"]
    assert "iw + sw ~ 0*1" in model.warnings[0]
    assert spec(text.format(" iw + sw ~ 0*1\n"), function="growth").warnings == ()


# ---- labels, equalities, constraints


@pytest.mark.parametrize("how", ['equal("fw=~y2")', 'equal("fw =~ y2")', 'equal("a")'])
def test_equal_shares_a_label(how):
    first = "a*y2" if "a" in how else "y2"
    rows = table(f"level: 1\n fw =~ y1 + {first} + {how}*y3\n" + BETWEEN)
    assert rows["fw=~y2"].label == rows["fw=~y3"].label == ("a" if "a" in how else ".p2.")


def test_equal_across_levels():
    rows = table(WITHIN + 'level: 2\n fb =~ y1 + equal("fw=~y2")*y2 + y3')
    assert rows["fb=~y2"].label == rows["fw=~y2"].label == ".p2."
    rows = table('level: 1\n fw =~ y1 + equal("fb=~y2.l2")*y2 + y3\n' + BETWEEN)
    assert rows["fb=~y2"].label == rows["fw=~y2"].label != ""


def test_equal_to_nothing():
    with pytest.raises(ModelSyntaxError, match=r"Did you mean 'fw=~y2'"):
        spec('level: 1\n fw =~ y1 + y2 + equal("fw=~y22")*y3\n' + BETWEEN)


def test_a_label_shared_with_a_fixed_parameter_fixes():
    model = spec("level: 1\n fw =~ a*y1 + a*y2 + y3\n" + BETWEEN)
    row = next(p for p in model.parameters if p.rhs == "y2")
    assert (row.free, row.value) == (False, 1.0)
    assert "shares the label 'a'" in model.warnings[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("l22 == 1", r"'l22' is not the label of a parameter. Did you mean 'l2'"),
        ("d := l22*2", "'l22' is not the label"),
        ("d := l2\nd := l3", "'d' is defined twice"),
        ("l2 := l3", "already the label"),
        ("d := e\ne := d", "defined by itself"),
        ("1 < 2", "no parameter label"),
    ],
)
def test_wrong_constraints(lines, words):
    with pytest.raises(ModelSyntaxError, match=words) as caught:
        spec("level: 1\n fw =~ y1 + l2*y2 + l3*y3\n" + BETWEEN + lines)
    assert caught.value.line is not None


def test_definitions_may_come_in_any_order_and_stand_in_constraints():
    text = "level: 1\n fw =~ y1 + a*y2 + b*y3\n" + BETWEEN + "e := 2*d\nd := a*b\ne == 1"
    model = spec(text)
    assert [d.name for d in model.definitions] == ["d", "e"]
    assert model.constraints[0].left.names() == {"a", "b"}
    assert model.definitions[1].expression.names() == {"d"}


# ---- random slopes


def test_random_slopes_are_latent_variables_of_level_2():
    model = spec('level: 1\n y1 ~ rv("s")*x1\nlevel: 2\n y1 + s ~ w1\n s ~~ y1')
    assert model.between.latent == ("s",)
    rows = {p.name: p for p in model.parameters}
    assert (rows["y1~x1"].random, rows["y1~x1"].free, rows["y1~x1"].value) == ("s", False, 0.0)
    assert all(rows[name].free for name in ("s~w1.l2", "s~~y1.l2", "s~~s.l2", "s~1.l2"))
    unmentioned = spec('level: 1\n y1 ~ rv("s")*x1\nlevel: 2\n y1 ~~ y1')
    assert [p.name for p in unmentioned.parameters if p.lhs == "s"] == ["s~~s.l2", "s~1.l2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WITHIN + BETWEEN + ' fb ~ rv("s")*w1', "level 1 only"),
        ('level: 1\n fw =~ y1 + rv("s")*y2\n' + BETWEEN, "cannot make a loading random"),
        (WITHIN + ' y1 ~~ rv("s")*y2\n' + BETWEEN, "before a predictor"),
        ('y1 ~ rv("s")*x1', "a model of one level does not have"),
        (WITHIN + ' fw ~ rv("x2")*x1\n' + BETWEEN, "is a column of the data"),
        (WITHIN + ' fw ~ rv("fb")*x1\n' + BETWEEN, "is a factor"),
        (WITHIN + ' fw ~ rv("s")*x1 + rv("s")*x2\n' + BETWEEN, "another random slope"),
        (WITHIN + ' fw ~ rv("s")*0.5*x1\n' + BETWEEN, "no value, start or label"),
        (WITHIN + ' fw ~ rv("s")*x1\n fw ~ s\n' + BETWEEN, "a variable of level 2"),
        (WITHIN + ' fw ~ rv("")*x1\n' + BETWEEN, "needs a name"),
    ],
)
def test_random_slopes_in_wrong_places(text, words):
    with pytest.raises(ModelSyntaxError) as caught:
        spec(text)
    assert words in str(caught.value)


# ---- groups

GROUPED = "group: {}\n" + WITHIN + BETWEEN + "group: {}\n" + WITHIN + BETWEEN


def test_level_blocks_alone_hold_for_every_group():
    model = spec(WITHIN + BETWEEN, groups=("NL", "BE"))
    written = spec(GROUPED.format("NL", "BE"), groups=("NL", "BE"))
    assert model.groups == ("NL", "BE")
    assert [p.name for p in model.parameters] == [p.name for p in written.parameters]
    assert model.parameters[-1].name == "fb~1.g2.l2"


@pytest.mark.parametrize("labels", [("NL", "BE"), ("1", "2"), ("NL", "2")])
def test_groups_by_label_or_number(labels):
    first, second = labels
    text = f"group: {second}\n{WITHIN} fw ~ x1\n{BETWEEN}group: {first}\n{WITHIN} fw ~ 0*x1\n{BETWEEN}"
    model = spec(text, groups=("NL", "BE"))
    assert [p.free for p in model.parameters if p.op == "~"] == [False, True]


def test_a_label_of_the_data_wins_over_a_number():
    text = f"group: 1\n{WITHIN} fw ~ x1\n{BETWEEN}group: 2\n{WITHIN} fw ~ 0*x1\n{BETWEEN}"
    assert [p.free for p in spec(text, groups=("2", "1")).parameters if p.op == "~"] == [False, True]


def test_groups_inside_levels():
    text = "level: 1\ngroup: A\n fw =~ y1 + y2\ngroup: B\n fw =~ y1 + 2*y2\nlevel: 2\n fb =~ y1 + y2"
    model = spec(text, groups=("A", "B"))
    assert [p.value for p in model.parameters if p.lhs == "fw" and p.rhs == "y2"] == [None, 2.0]
    assert [p.group for p in model.parameters if p.lhs == "fb" and p.rhs == "y2"] == [1, 2]


@pytest.mark.parametrize(
    ("text", "groups", "words"),
    [
        (GROUPED.format("NL", "DE"), ("NL", "BE"), "no group 'DE'; they have NL, BE"),
        (GROUPED.format("NL", "Be"), ("NL", "BE"), "Did you mean 'BE'"),
        (GROUPED.format(1, 3), ("NL", "BE"), "no group '3'"),
        (GROUPED.format(1, 2), (), "give the grouping column"),
        (GROUPED.format("NL", 1), ("NL", "BE"), "group '1' (which is 'NL' in the data)"),
        (GROUPED.format("NL", "NL"), ("NL", "BE"), "second block of group 'NL'"),
        ("group: NL\n" + WITHIN + BETWEEN, ("NL", "BE"), "no 'group:' block for BE"),
        ("group: NL\n fw =~ y1\n" + WITHIN + BETWEEN, ("NL", "BE"), "stands in no level"),
        (GROUPED.format("NL", "BE") + WITHIN, ("NL", "BE"), "second block of level 1"),
        ("group: NL\n" + WITHIN + BETWEEN + "group: BE\n" + WITHIN, ("NL", "BE"), "Level 2 (between) of group 'BE'"),
    ],
)
def test_wrong_groups(text, groups, words):
    with pytest.raises(ModelSyntaxError) as caught:
        spec(text, groups=groups)
    assert words in str(caught.value)


def test_groups_may_have_variables_of_their_own():
    text = "group: 1\n" + WITHIN + BETWEEN + " fb ~ w1\ngroup: 2\n" + WITHIN + " y4 ~~ y4\n" + BETWEEN
    model = spec(text, groups=("A", "B"))
    assert model.variables == ("y1", "y2", "y3", "y4", "w1")
    assert [model.group(g).variables for g in (1, 2)] == [("y1", "y2", "y3", "w1"), ("y1", "y2", "y3", "y4")]
    assert [model.group(g).between.covariates for g in (1, 2)] == [("w1",), ()]
    assert model.absent.tolist() == [[False, False, False, True, False], [False, False, False, False, True]]
    # a variable of level 1 alone has its mean there, in the group where it is one
    assert model.alone_within[1].tolist() == [False, False, False, True, False]
    means = {(p.group, p.level, p.lhs): p.free for p in model.parameters if p.op == "~1"}
    assert means[2, 1, "y4"]
    assert not means[1, 1, "y1"]


@pytest.mark.parametrize(
    ("one", "two", "sentence"),
    [
        (
            "f =~ y1 + y2 + y3",
            "y3 =~ y1 + y2 + y4",
            r"'y3' is a latent variable in group 'B' and an observed one in group 'A'",
        ),
        ("y1 ~ x1", "x1 ~ y1", r"'x1' is a fixed covariate in group 'A' but not in group 'B'.*'x1 ~~ x1' to group 'A'"),
        (
            "level: 1\n y1 ~ x1\nlevel: 2\n y1 ~ w1",
            "level: 1\n y1 ~ w1\nlevel: 2\n y1 ~~ y1",
            r"'w1' is at level 2 alone in group 'A' and at level 1 in group 'B'",
        ),
    ],
)
def test_a_variable_is_the_same_kind_of_thing_in_all_groups(one, two, sentence):
    with pytest.raises(ModelError, match=sentence):
        spec(f"group: 1\n{one}\ngroup: 2\n{two}", groups=("A", "B"))


def test_modifiers_by_group():
    text = "level: 1\n fw =~ y1 + c(a, b)*y2 + c(1, NA)*y3 + start(c(.1, .2))*y4 + k*y5\n" + BETWEEN
    model = spec(text, groups=("A", "B"))
    rows = {(p.rhs, p.group): p for p in model.parameters if p.op == "=~" and p.level == 1}
    assert [rows["y2", g].label for g in (1, 2)] == ["a", "b"]
    assert [rows["y3", g].free for g in (1, 2)] == [False, True]
    assert [rows["y4", g].start for g in (1, 2)] == [0.1, 0.2]
    assert [rows["y5", g].label for g in (1, 2)] == ["k", "k"]
    assert any("equal over groups: k" in w for w in model.warnings)


@pytest.mark.parametrize("groups", [(), ("A", "B", "C")])
def test_modifiers_for_another_number_of_groups(groups):
    with pytest.raises(ModelSyntaxError, match=r"c\(...\) has 2 values"):
        spec("level: 1\n fw =~ y1 + c(a, b)*y2 + y3\n" + BETWEEN, groups=groups)


def shared(model):
    """Names of the parameters of group 1 that are equal over groups."""
    labels = [p.label for p in model.parameters if p.group == 2 and p.label]
    return [p.but(label="").name for p in model.parameters if p.group == 1 and p.label and p.label in labels]


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("loadings", ["fw=~y2", "fw=~y3", "fb=~y2.l2", "fb=~y3.l2"]),
        ("intercepts", ["y1~1.l2", "y2~1.l2", "y3~1.l2"]),
        ("means", []),
        ("regressions", ["fw~x1"]),
        ("residuals", ["y1~~y1", "y2~~y2", "y3~~y3", "y1~~y1.l2", "y2~~y2.l2", "y3~~y3.l2"]),
        ("residual.covariances", ["y1~~y2.l2"]),
        ("lv.variances", ["fw~~fw", "fb~~fb.l2"]),
    ],
)
def test_group_equal(classes, names):
    text = WITHIN + " fw ~ x1\n" + BETWEEN + " y1 ~~ y2\n"
    assert shared(spec(text, groups=("A", "B"), group_equal=classes)) == names


def test_group_partial_exempts():
    model = spec(WITHIN + BETWEEN, groups=("A", "B"), group_equal="loadings", group_partial=["fw =~ y2", "fb=~y3.l2"])
    assert shared(model) == ["fw=~y3", "fb=~y2.l2"]
    with pytest.raises(ModelError, match=r"no parameter 'fw=~y9'. Did you mean"):
        spec(WITHIN + BETWEEN, groups=("A", "B"), group_equal="loadings", group_partial="fw=~y9")


def test_group_equal_leaves_labels_alone_and_spreads_fixed_values():
    text = "level: 1\n fw =~ y1 + c(a, b)*y2 + c(.5, NA)*y3\n" + BETWEEN
    model = spec(text, groups=("A", "B"), group_equal="loadings")
    rows = {(p.rhs, p.group): p for p in model.parameters if p.op == "=~" and p.level == 1}
    assert [rows["y2", g].label for g in (1, 2)] == ["a", "b"]
    assert [rows["y3", g].value for g in (1, 2)] == [0.5, 0.5]
    assert any("fixed in all" in w for w in model.warnings)


def test_group_equal_says_what_it_does_not_free():
    both = ["loadings", "intercepts"]
    (warning,) = spec(WITHIN + BETWEEN, groups=("A", "B"), group_equal=both).warnings
    assert "fb ~ c(0, NA)*1" in warning
    (warning,) = spec(GROUPED.format("A", "B"), groups=("A", "B"), group_equal=both).warnings
    assert "'fb ~ NA*1' in the level-2 block of group B" in warning
    freed = spec(WITHIN + BETWEEN + " fb ~ c(0, NA)*1", groups=("A", "B"), group_equal=both)
    assert freed.warnings == ()
    (warning,) = spec(WITHIN + BETWEEN, groups=("A", "B"), group_equal="loadings", std_lv=True).warnings
    assert "fw ~~ NA*fw" in warning


# ---- options


def test_unknown_options_and_values():
    with pytest.raises(ModelError, match=r"no option 'std_lvv'. Did you mean 'std_lv'"):
        SyntaxOptions.for_function("sem", std_lvv=True)
    with pytest.raises(ModelError, match=r"'loading' is not one of .* Did you mean 'loadings'"):
        SyntaxOptions.for_function("sem", group_equal="loading")
    with pytest.raises(ModelError, match="must be True or False"):
        SyntaxOptions.for_function("sem", fixed_x="no")
    with pytest.raises(ModelError, match="two words"):
        SyntaxOptions.for_function("sem", level_label=("a", "A"))
    with pytest.raises(ModelError, match="no function 'efa'"):
        SyntaxOptions.for_function("efa")


def test_two_levels_have_a_mean_structure():
    with pytest.raises(ModelError, match="the means of a variable in both levels are level-2 parameters"):
        spec(WITHIN + BETWEEN, meanstructure=False)
    assert spec(WITHIN + BETWEEN, meanstructure="default").means


def test_defaults_of_the_functions():
    sem, growth, lavaan = (SyntaxOptions.for_function(f) for f in ("sem", "growth", "lavaan"))
    assert sem == SyntaxOptions.for_function("cfa")
    assert (sem.int_ov_free, sem.int_lv_free) == (True, False)
    assert (growth.int_ov_free, growth.int_lv_free) == (False, True)
    assert not any((lavaan.auto_var, lavaan.auto_fix_first, lavaan.auto_cov_y, lavaan.int_ov_free))
    assert not SyntaxOptions.for_function("sem", std_lv=True).auto_fix_first


# ---- layout does not matter

MODEL_1 = ["fw =~ NA*y1 + a*y2 + start(0.5)*y3", "fw ~~ 1*fw", "fw ~ bw*x1 + x2", "y1 ~~ y2"]
MODEL_2 = ["fb =~ y1 + b*y2 + y3", "fb ~ w1", "y3 ~ 0*1"]
FREE_LINES = ["a == 2*b", "ind := a*b", "bw > -1"]
BLANKS = st.sampled_from(["", " ", "  ", "\t", "   "])
COMMENTS = st.sampled_from(["", "", " # a ~ b", " ! =~", "#"])
ENDS = st.sampled_from(["\n", "\n\n", "\n  # note\n", ";\n", "\r\n"])


def plain(model):
    """A specification without positions and without the text of constraints."""
    return (
        model.within,
        model.between,
        [p.but(line=0, column=0) for p in model.parameters],
        [(str(c.left), c.op, str(c.right)) for c in model.constraints],
        [(d.name, str(d.expression)) for d in model.definitions],
    )


@st.composite
def layouts(draw):
    """The model with blanks, breaks and comments drawn, blocks in either order, constraints anywhere."""

    def line(text):
        pieces = []
        for word in text.split():
            operator = word in ("+", "=~", "~~", "~", "==", ":=", ">")
            after = draw(COMMENTS) + "\n" if operator and draw(st.booleans()) else ""
            pieces.append((draw(BLANKS) + word + draw(BLANKS) + after) if operator else word)
        return draw(BLANKS) + "".join(pieces) + draw(COMMENTS) + draw(ENDS)

    blocks = []
    free = {where: [] for where in range(3)}
    for text in FREE_LINES:
        free[draw(st.integers(0, 2))].append(text)
    for number, (level, lines) in enumerate([("1", MODEL_1), ("2", MODEL_2)]):
        lines = list(lines)
        for text in free[number + 1]:
            lines.insert(draw(st.integers(0, len(lines))), text)
        word = draw(st.sampled_from(["level", "Level", "LEVEL"]))
        blocks.append(f"{word}{draw(BLANKS)}:{draw(BLANKS)}{level}{draw(COMMENTS)}\n" + "".join(map(line, lines)))
    return "".join(map(line, free[0])) + "".join(draw(st.permutations(blocks)))


WANTED = plain(spec("\n".join([*FREE_LINES, "level: 1", *MODEL_1, "level: 2", *MODEL_2])))


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_blanks_comments_breaks_and_order_of_blocks_change_nothing(text):
    got = plain(spec(text))
    assert got[:3] == WANTED[:3]
    assert sorted(got[3]) == sorted(WANTED[3])
    assert got[4] == WANTED[4]


@settings(max_examples=50, deadline=None)
@given(st.permutations(MODEL_1), st.permutations(MODEL_2))
def test_order_of_lines_changes_only_the_order_of_rows(first, second):
    model = spec("\n".join([*FREE_LINES, "level: 1", *first, "level: 2", *second]))
    assert sorted(map(repr, plain(model)[2])) == sorted(map(repr, WANTED[2]))
    assert (model.within, model.between) == WANTED[:2]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "y1", "=~", "~", "~~", "+", "*", "(", ")", "c", "1", "NA", "\n", ":", "level", '"', "=="])
    )
)
def test_any_text_is_read_or_refused_with_a_position(words):
    text = " ".join(words)
    problem = None
    try:
        parse(text)
    except ModelSyntaxError as raised:
        problem = raised
    assert problem is None or (problem.line is not None and problem.column is not None)
