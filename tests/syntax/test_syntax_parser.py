"""Every feature of the grammar, as a tree."""

import pytest

from mlsem_jax import ModelSyntaxError
from mlsem_jax.models._constant_parts import constant
from mlsem_jax.syntax import parse


def formula(text):
    (only,) = parse(text).formulas
    return only


def modifiers(text):
    """(kind, values) of the modifiers of every term."""
    return [[(m.kind, m.values) for m in term.modifiers] for term in formula(text).terms]


def test_formula_with_sums_on_both_sides():
    f = formula("a + b ~ 1 + x + y.2")
    assert [m.name for m in f.lhs] == ["a", "b"]
    assert [t.name for t in f.terms] == [None, "x", "y.2"]
    assert f.op == "~"


def test_positions_of_terms():
    f = formula("\n  f =~ a*y1 +\n       y2")
    assert [(t.line, t.column) for t in f.terms] == [(2, 10), (3, 8)]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("2*x", [("fixed", (2.0,))]),
        ("-1.5*x", [("fixed", (-1.5,))]),
        ("1e-3*x", [("fixed", (1e-3,))]),
        ("1/4*x", [("fixed", (0.25,))]),
        ("sqrt(4)*x", [("fixed", (2.0,))]),
        ("(1 + 2)*x", [("fixed", (3.0,))]),
        ("2^3*x", [("fixed", (8.0,))]),
        ("NA*x", [("fixed", (None,))]),
        ("a*x", [("label", ("a",))]),
        ('label("a")*x', [("label", ("a",))]),
        ("start(0.5)*x", [("start", (0.5,))]),
        ("start(-0.5)*x", [("start", (-0.5,))]),
        ("start(c(1, 2))*x", [("start", (1.0, 2.0))]),
        ('equal("fw=~y2")*x', [("equal", ("fw=~y2",))]),
        ("c(a, b)*x", [("label", ("a", "b"))]),
        ('c("a", "")*x', [("label", ("a", ""))]),
        ("c(a, NA)*x", [("label", ("a", ""))]),
        ("c(1, NA)*x", [("fixed", (1.0, None))]),
        ("c(-1,.5)*x", [("fixed", (-1.0, 0.5))]),
        ('rv("s")*x', [("rv", ("s",))]),
        ("lower(0)*x", [("lower", (0.0,))]),
        ("a*start(.5)*x", [("label", ("a",)), ("start", (0.5,))]),
    ],
)
def test_modifiers(term, expected):
    assert modifiers(f"y ~ {term}") == [expected]


@pytest.mark.parametrize("text", ["y ~ 1", "y ~ 0*1", "y ~ NA*1", "y ~ a*1", "y ~ 0"])
def test_intercepts(text):
    assert [t.name for t in formula(text).terms] == [None]


@pytest.mark.parametrize(
    "text",
    [
        "f =~ y1 + y2 + y3",
        "f =~ y1 +\n y2 + y3",
        "f =~ y1 # first\n + y2\n\n + y3",
        "f\n=~ y1 + y2 + y3",
        "f =~\n y1 + y2 + y3;",
        "f=~y1+y2+y3",
        "'f' =~ \"y1\" + y2 + y3",
    ],
)
def test_a_formula_may_be_broken_at_operators(text):
    assert [t.name for t in formula(text).terms] == ["y1", "y2", "y3"]


def test_semicolons_part_formulas():
    assert len(parse("a ~ b; c ~ d;; e ~ f").formulas) == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2*3", 7),
        ("(1 + 2)*3", 9),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("6/3/2", 1),
        ("5 - 2 - 1", 2),
        ("2*-3", -6),
        ("2^-1", 0.5),
        ("exp(0) + sqrt(9)", 4),
        ("+1 -\n 1", 0),
    ],
)
def test_precedence(text, value):
    (definition,) = parse(f"d := {text}").definitions
    assert constant(definition.expression) == value


def test_constraints_and_definitions_keep_their_text():
    syntax = parse("l2  + l3 == 2*l4 # equal\n a > 0; b<1\n ind := a*b")
    assert [c.text for c in syntax.constraints] == ["l2 + l3 == 2*l4", "a > 0", "b<1"]
    assert [c.op for c in syntax.constraints] == ["==", ">", "<"]
    assert [(d.name, d.text, d.line) for d in syntax.definitions] == [("ind", "ind := a*b", 3)]


def test_a_line_that_begins_with_a_minus_sign_is_a_constraint_of_its_own():
    assert [c.text for c in parse("a == b\n-c < 0").constraints] == ["a == b", "-c < 0"]


def test_headers_in_any_case_with_numbers_words_or_quotes():
    syntax = parse("Group: NL\nLEVEL:1\n a ~ b\nlevel : between\n a ~~ a\ngroup: 'N L'")
    assert [(h.kind, h.label) for h in syntax.headers("group") + syntax.headers("level")] == [
        ("group", "NL"),
        ("group", "N L"),
        ("level", "1"),
        ("level", "between"),
    ]
    assert syntax.has_levels
    assert syntax.has_groups
    assert not parse("f =~ y1").has_levels


def test_level_and_group_may_be_names_of_variables():
    assert formula("level ~ group").lhs[0].name == "level"


@pytest.mark.parametrize(
    ("text", "words", "line", "column"),
    [
        ("level 1:\n f =~ y", "level: 1", 1, 1),
        ("a ~ b\nlevel 2\n f =~ y", "level: 2", 2, 1),
        ("level:\n f =~ y", "'level:' needs a number or a word", 1, 1),
        ("levl: 1\n f =~ y", "Did you mean 'level'", 1, 5),
        ("level: 1 f =~ y", "new line", 1, 10),
        ("block: 1\n f =~ y", "not supported", 1, 1),
        ("f =~ y1 y2", "'+' or '*' is missing between 'y1' and 'y2'", 1, 9),
        ("f =~ y1 + 2y2", "write 2*x", 1, 11),
        ("f =~ 2", "number alone", 1, 6),
        ("f =~ y1 +\nlevel: 2\n", "'+' is followed by a block header", 1, 9),
        ("f =~ y1 +", "missing after this '+'", 1, 9),
        ("f =~ y1 +\ng ~ y2", "left over", 2, 3),
        ("f =~ y1\n~ x", "left-hand side of '~'", 2, 1),
        ("f =~", "right-hand side of '=~'", 1, 3),
        ("f =~ ; a ~ b", "right-hand side of '=~'", 1, 3),
        ("a ==", "right-hand side of '=='", 1, 3),
        ("f =~ y1 + start(0.5*y2", "not closed", 1, 16),
        ("f =~ y1 + foo(0.5)*y2", "no modifier 'foo()'", 1, 11),
        ("f =~ strat(0.5)*y2", "Did you mean 'start'", 1, 6),
        ("f =~ start(a)*y2", "takes a number", 1, 6),
        ("f =~ start(1, 2)*y2", "takes one value", 1, 6),
        ("f =~ label(1)*y2", "takes a word", 1, 6),
        ("f =~ c(a, 1)*y2", "not both", 1, 6),
        ("f =~ start(0.5)", "A variable is missing after 'start(...)'", 1, 6),
        ("efa('a') f =~ y1", "A factor is missing after efa", 1, 1),
        ("f =~ efa('a')*y1", "on the left of =~", 1, 6),
        ("2*f =~ y1", "A variable's name is expected", 1, 1),
        ("a*f =~ y1", "belong on the right-hand side", 1, 2),
        ("a:b ~ y1", "right-hand side only", 1, 2),
        ("y ~ a:2", "between two columns", 1, 6),
        ("y ~ x - z", "minus sign", 1, 7),
        ("y ~~ 1", "only after '~'", 1, 6),
        ("y1 + y2", "no formula", 1, 1),
        ("d := foo(a)", "no function 'foo'", 1, 6),
        ("d := a +", "missing here", 1, 9),
        ("d := (a + b", "not closed", 1, 6),
        ("d*2 := a", "must be one new name", 1, 1),
        ("a == b == c", "A second '=='", 1, 8),
        ("y ~ 1/0*x", "not a number", 1, 5),
        ("", "empty", 1, 1),
        ("# nothing\n", "empty", 2, 1),
    ],
)
def test_errors_point_at_the_spot(text, words, line, column):
    with pytest.raises(ModelSyntaxError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).splitlines()[-1] == " " * (4 + column - 1) + "^"


def test_a_model_that_is_no_text():
    with pytest.raises(ValueError, match="must be a text"):
        parse(None)
