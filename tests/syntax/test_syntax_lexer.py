"""Tokens of the model text and where they stand."""

import pytest

from mlsem_jax import ModelSyntaxError
from mlsem_jax.syntax._lexer import tokenize


def kinds(text):
    return [(t.kind, t.text) for t in tokenize(text)]


def test_positions_count_from_one_and_skip_comments():
    tokens = tokenize("a =~ b # =~ c\n  d ! e\n;f")
    assert [(t.text, t.line, t.column) for t in tokens if t.kind in ("name", "op", "semicolon")] == [
        ("a", 1, 1),
        ("=~", 1, 3),
        ("b", 1, 6),
        ("d", 2, 3),
        (";", 3, 1),
        ("f", 3, 2),
    ]


def test_windows_line_ends_count_once():
    assert [(t.text, t.line) for t in tokenize("a\r\nb\rc") if t.kind == "name"] == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.parametrize("number", ["1", "0.5", ".5", "1e-3", "2.", "1E+4"])
def test_numbers(number):
    assert kinds(number)[0] == ("number", number)


@pytest.mark.parametrize("name", ["y1", "y.1", "_y", ".x", "größe", "变量", "a.b_c"])
def test_names_may_hold_dots_underscores_and_letters_of_any_script(name):
    assert kinds(name)[0] == ("name", name)


def test_quoted_names_lose_their_quotes():
    assert kinds("\"my var\" 'x'")[:2] == [("string", "my var"), ("string", "x")]


@pytest.mark.parametrize(
    "operator", ["=~", "~~", "~*~", "~", ":=", "==", "<", ">", ":", "+", "-", "*", "/", "^", "(", ")", ","]
)
def test_operators(operator):
    assert kinds(f"a{operator}b")[1] == ("op", operator)


@pytest.mark.parametrize("operator", ["%", "?", "<=", ">="])
def test_operators_that_lavaan_has_and_we_do_not_are_named(operator):
    with pytest.raises(ModelSyntaxError, match=r"not supported|write") as caught:
        tokenize(f"a {operator} b")
    assert (caught.value.line, caught.value.column) == (1, 3)


@pytest.mark.parametrize(("operator", "hint"), [("=~~", "=~"), ("~=", "=~"), ("=", "=="), ("~~~", "~~")])
def test_unknown_operators_get_the_nearest_known_ones(operator, hint):
    with pytest.raises(ModelSyntaxError, match="is not an operator") as caught:
        tokenize(f"f {operator} y")
    assert hint in str(caught.value)
    assert str(caught.value).splitlines()[-1] == "      ^"


def test_quotes_that_stay_open():
    with pytest.raises(ModelSyntaxError, match="not closed") as caught:
        tokenize('a ~ "b\nc ~ d')
    assert (caught.value.line, caught.value.column) == (1, 5)


def test_characters_without_meaning():
    with pytest.raises(ModelSyntaxError, match="has no meaning"):
        tokenize("a ~ b{1}")
