"""Model texts that are broken, huge or from a word processor end in the library's own errors, and soon."""

import random
import time

import numpy as np
import pytest

import mlsem_jax as ml
from mlsem_jax import ModelError, ModelSyntaxError
from mlsem_jax.datasets import load_schools
from mlsem_jax.models import Binary, Name, residual_function, values_by_label
from mlsem_jax.models._constraints import linear_form, solve_linear
from mlsem_jax.models._dual_numbers import defined_with_jacobian, residuals_with_jacobian
from mlsem_jax.models._expressions import DEEPEST, FUNCTIONS, chained, depth
from mlsem_jax.syntax import SyntaxOptions, parse, read_model, specify

BASE = "level: 1\n math1 ~ a*ses + b*girl\nlevel: 2\n math1 ~~ v*math1\n"
Y = [f"y{i}" for i in range(3000)]
COLUMNS = ["math1", "math2", "ses", "girl", *Y]
SEM = SyntaxOptions.for_function("sem")


def specified(text, options=SEM, columns=COLUMNS):
    return specify(text, options=options, data_variables=columns)


def definitions(*lines):
    return BASE + "".join(f"{line}\n" for line in lines)


LONG = {
    "sum": definitions("t := " + "+".join(["a"] * 10000)),
    "differences": definitions("t := " + "-".join(["a", "b"] * 2000)),
    "product": definitions("t := " + "*".join(["a"] * 4000)),
    "newlines in a formula": BASE.replace("~ a*", "~" + "\n" * 20000 + "a*"),
    "newlines before the operator": BASE.replace("math1 ~ a", "math1" + "\n # why \n" * 5000 + "~ a"),
    "equalities": BASE + "".join(f"{i}*a == {i}*b\n" for i in range(1, 5000)),
    "chain of definitions": definitions("d0 := a", *(f"d{i} := d{i - 1} + 1" for i in range(1, 5000))),
    "chain, last first": definitions(*(f"d{i} := d{i - 1}" for i in range(4999, 0, -1)), "d0 := a", "d4999 < 1"),
    "many parameters in a line": f"level: 1\n f =~ {'+'.join(Y)}\nlevel: 2\n y1 ~~ y1",
    "equal() of the one before": "level: 1\n f =~ y0 + "
    + "+".join(f'equal("f=~y{i - 1}")*y{i}' for i in range(1, 1500))
    + "\nlevel: 2\n y1 ~~ y1",
    "semicolons": ";" * 20000 + BASE,
    "comment": BASE + "#" * 500000,
}


@pytest.mark.parametrize("case", LONG)
def test_long_texts_are_read_in_time_that_grows_with_their_length(case):
    started = time.process_time()
    specified(LONG[case])
    assert time.process_time() - started < 8  # about half a second on a free machine; quadratic ways take minutes


BROKEN = {
    "parentheses": (definitions("t := " + "(" * 500 + "a" + ")" * 500), "nested too deeply"),
    "open parentheses": ("(" * 50000, "no formula"),
    "minus signs": (definitions("t := " + "-" * 5000 + "a"), "nested too deeply"),
    "tower": (definitions("t := " + "^".join(["a"] * 5000)), "nested too deeply"),
    "modifier in parentheses": (BASE.replace("a*", "(" * 5000 + "1" + ")" * 5000 + "*"), "nested too deeply"),
    "c of c": (BASE.replace("a*", "c(" * 5000 + "1*"), r"not another c\("),
    "exp": (BASE.replace("a*", "(exp(1e10))*"), "no finite value"),
    "log": (BASE.replace("a*", "(log(-1))*"), "no finite value"),
    "zero": (BASE.replace("a*", "1/0*"), "no finite value"),
    "complex": (BASE.replace("a*", "((-8)^(1/3))*"), "no finite value"),
    "overflow": (BASE.replace("a*", "(1e308*10)*"), "no finite value"),
    "tower of numbers": (BASE.replace("a*", "(9^9^9^9)*"), "no finite value"),
    "nan": (BASE.replace("a*", "NaN*"), "no value of a parameter"),
    "inf": (BASE.replace("a*", "-Inf*"), "not a number|no value"),
    "huge": (BASE.replace("a*", "1e400*"), "too large"),
    "digits": (BASE.replace("a*", "9" * 5000 + "*"), "too large"),
    "tiny": (BASE.replace("a*", "start(1e-400)*"), "too small"),
    "defined 1/0": (definitions("t := a + 1/0"), "no finite value"),
    "defined a/0": (definitions("t := a/0"), "divides by 0"),
    "by a fixed 0": (definitions("t := 1/z").replace("b*", "0*z*"), "z is fixed at 0"),
    "doubling": (
        definitions("d0 := a", *(f"d{i} := d{i - 1} + d{i - 1}" for i in range(1, 60)), "d59 < 1"),
        "too large once",
    ),
    "circle": (definitions(*(f"d{i} := d{i - 1}" for i in range(1, 3000)), "d0 := d2999"), "defined by itself"),
    "long name": (BASE.replace("ses", "s" * 100000), "at most 1000"),
    "long quoted name": (BASE.replace("ses", "'" + "s" * 100000 + "'"), "at most 1000"),
    "no name": (BASE.replace("ses", '""'), "name is expected"),
    "NUL": (BASE.replace("ses", "s\0es"), r"x00"),
    "surrogate": (BASE.replace("ses", "s\ud800es"), r"ud800"),
    "levels": ("level: 1\n" * 3000, "second block"),
    "huge level": ("level: " + "9" * 300 + "\n y ~ x", "no level"),
    "superscript group": ("group: ²\n" + BASE, "one group"),
    "all with all": (
        f"level: 1\n {'+'.join(Y[:1000])} ~ {'+'.join(Y[1000:2000])}\nlevel: 2\n y1 ~~ y1",
        "1000000 parameters",
    ),
    "covariates": (f"level: 1\n y0 ~ {'+'.join(Y[1:])}\nlevel: 2\n y1 ~~ y1", "at most 50000"),
    "digit": (BASE.replace("math1", "1math"), "begins with a digit.*rename"),
    "arrow": (BASE + "ses -> math1", "y ~ x for a path"),
    "Mplus": ("level: 1\n f BY y1 y2", "BY is '=~'"),
    "=": (BASE + "f = y1", "=~"),
    "slope of a factor": ("level: 1\n f =~ y1 + y2 + y3\n y4 ~ rv('s')*f\nlevel: 2\n y4 ~~ s", "of factors are not"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_texts_end_in_words_and_soon(case):
    text, words = BROKEN[case]
    started = time.process_time()
    with pytest.raises((ModelSyntaxError, ModelError), match=words) as caught:
        specified(text)
    assert time.process_time() - started < 5
    assert len(str(caught.value)) < 2500
    if isinstance(caught.value, ModelSyntaxError):
        *_, shown, caret = str(caught.value).split("\n")
        assert shown.isprintable()
        assert len(caret) <= len(shown) + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("~", "\u02dc"),
        lambda t: t.replace("~", "\u223c"),
        lambda t: t.replace("~", "\uff5e").replace("*", "\u00d7"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\u2028"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace(" ", "\u00a0"),
        lambda t: t.replace("-", "\u2212"),
        lambda t: t.replace("-", "\u2013"),
        lambda t: t.replace(":", "\uff1a").replace("=", "\uff1d"),
        lambda t: t.replace('"', "\u201d"),
        lambda t: t.replace('"', "'"),
        lambda t: t.replace('"', "`"),
        lambda t: t.split("\n"),
        lambda t: tuple(t.split("\n")),
    ],
)
def test_texts_from_word_processors_and_in_pieces_mean_the_same(change):
    text = 'level: 1\n math1 ~ -1*"ses" + b*girl # it\'s fixed\nlevel: 2\n math1 ~~ math1\n t := b - 1\nb == 2*t'
    assert specified(read_model(change(text))).parameters == specified(text).parameters


def test_quoted_names_and_comments_keep_their_characters():
    text = 'level: 1\n "a–b" ~ `c ˜ d` # “ ‘ ˜ "\nlevel: 2\n "a–b" ~~ "a–b"'
    assert specified(text, columns=["a–b", "c ˜ d"]).within.observed == ("a–b", "c ˜ d")


def test_a_caret_stands_under_its_spot_in_a_long_line_and_after_odd_line_ends():
    with pytest.raises(ModelSyntaxError) as caught:
        parse("level: 1\u2028y ~ " + "x + " * 500 + "?" + " + x" * 500)
    *_, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^")] == "?"
    assert len(shown) < 150


def test_long_chains_are_shallow_and_keep_their_value():
    names = [Name(f"n{i}") for i in range(1000)]
    values = {f"n{i}": float(i % 7 + 1) for i in range(1000)}
    for operators in ("+-", "*/"):
        chain = [(random.Random(i).choice(operators), name) for i, name in enumerate(names[1:])]
        left = names[0]
        for operator, name in chain:
            left = Binary(operator, left, name)
        assert depth(chained(names[0], chain)) <= 12 < depth(left)
        assert chained(names[0], chain).evaluate(values) == pytest.approx(left.evaluate(values), rel=1e-12)


@pytest.mark.parametrize("function", [*FUNCTIONS, "neg"])
def test_slopes_are_those_of_jax(function):
    import jax

    call = f"{function}(a)" if function != "neg" else "-a"
    lines = [f"t := 2*{call}^2 - a*b/({call} + 3) + b^a", "u := t^3/(1 + t^2) - 2^b + a^2.5", "u + a*b < 3", "t == b^0"]
    syntax = parse("\n".join(lines))
    labels, natural = {"a": 0, "b": 1}, np.array([0.3, 0.7])
    with jax.enable_x64(True):

        def defined(x):
            found = values_by_label(x, labels, syntax.definitions)
            return jax.numpy.stack([found["t"], found["u"]])

        residuals = residual_function(syntax.constraints, labels, syntax.definitions)
        for mine, theirs in (
            (defined_with_jacobian(natural, labels, syntax.definitions), defined),
            (residuals_with_jacobian(natural, syntax.constraints, labels, syntax.definitions), residuals),
        ):
            x = jax.numpy.asarray(natural)
            np.testing.assert_allclose(mine[0], theirs(x), rtol=1e-12)
            np.testing.assert_allclose(mine[1], jax.jacfwd(theirs)(x), rtol=1e-10, atol=1e-12)


def test_linear_constraints_are_solved_from_their_coefficients():
    syntax = parse("2*(a - b)/4 == -c + exp(0)*3\n c + 1 == b*(2 - 1) - -d\n a == 7 - 3*d\n2*a == 14 - 6*d")
    labels = {name: i for i, name in enumerate("abcd")}
    np.testing.assert_allclose(linear_form(syntax.constraints[0].right, labels, 4), [0, 0, -1, 0, 3])
    offset, basis, kept = solve_linear(syntax.constraints, labels, 4)
    natural = offset + basis @ np.array([0.8])
    assert kept.tolist() == [0]
    values = dict(zip("abcd", natural, strict=True))
    for c in syntax.constraints:
        assert float(c.left.evaluate(values)) == pytest.approx(float(c.right.evaluate(values)), abs=1e-6)
    with pytest.raises(ModelError, match="contradicts"):
        solve_linear(parse("a == b\na == b + 1").constraints, labels, 4)


def test_effect_coding_with_long_scales_and_factors_in_a_circle():
    options = SyntaxOptions.for_function("sem", effect_coding=True)
    made = specified(f"level: 1\n f =~ {'+'.join(Y[:1500])}\nlevel: 2\n y1 ~~ y1", options)
    assert depth(made.constraints[0].right) < DEEPEST
    specified("level: 1\n f =~ g + y1\n g =~ f + y2\nlevel: 2\n y1 ~~ y1", options)


@pytest.mark.timeout(300)
def test_long_constraints_and_definitions_are_fitted_without_long_compilation():
    data = load_schools()
    plain = ml.sem(BASE, data, cluster="school")
    chain = [f"d{i} := exp(d{i - 1})/3" for i in range(1, 600)]
    text = definitions("t := " + "+".join(["a", "b*a"] * 1000), "d0 := a", *chain)
    text += "".join(f"a*b < {i}\n" for i in range(1, 150)) + "".join(f"a > b - {i}\n" for i in range(10, 400))
    started = time.process_time()
    fit = ml.sem(text, data, cluster="school")
    defined = fit.parameter_estimates(standardized=True).query("op == ':='").set_index("lhs")
    assert time.process_time() - started < 90
    a, b = plain.coef()["a"], plain.coef()["b"]
    assert defined.loc["t", "est"] == pytest.approx(1000 * (a + a * b), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (None, "None"),
        (3, "int is given as model"),
        (b"y ~ x", "decode"),
        ([], "empty list"),
        (["y ~ x", 3], "more than texts"),
        (np.ones((3, 1)), "ml_lvm"),
        ([[1], [1]], "ml_lvm"),
        ({"lambda": [[1]]}, "ml_lvm"),
        ("model.txt", r"Path\('model.txt'\).read_text"),
        (" my models/two level.lav ", "read_text"),
        ("", "model is empty"),
        (" \n\t\n", "model is empty"),
        ("# nothing\n! at all", "model is empty"),
        (object(), "object is given"),
    ],
)
def test_what_is_no_model_text_is_told_so(model, words):
    with pytest.raises((ModelError, ModelSyntaxError), match=words):
        ml.sem(model, load_schools(), cluster="school")


def test_arguments_in_the_wrong_order_are_told_so():
    data = load_schools()
    with pytest.raises(ModelError, match=r"write sem\(model, data"):
        ml.sem(data, BASE, cluster="school")
    with pytest.raises(ModelError, match=r"write diagnose\(data, model"):
        ml.diagnose(BASE, data, cluster="school")
    with pytest.raises(ModelError, match="read_partable"):
        ml.sem(ml.sem(BASE, data, cluster="school").parameter_estimates(), data, cluster="school")


def test_a_label_that_is_a_column_is_warned_of():
    def warnings(line):
        return specified(f"level: 1\n {line}\nlevel: 2\n math1 ~~ math1").warnings

    assert "'ses*girl' (line 2)" in warnings("math1 ~ ses*girl")[0]
    assert "ses + girl" in warnings("math1 ~ ses*girl")[0]
    assert "NA*girl" in warnings("math1 ~ na*girl")[0]
    assert not warnings("math1 ~ ses*girl + ses")
    assert not warnings("math1 ~ p*girl + NA*ses")


PARTS = ["~", "~~", "=~", ":=", "==", "<", "(", ")", "*", "+", "-", "^", ",", ":", ";", "\n", " ", '"', "'", "0", "1e9"]
PARTS += [
    "level: 2\n",
    "group: 1\n",
    "NA",
    "c(",
    "start(",
    "rv('s')*",
    "equal(",
    "exp(",
    "a",
    "f",
    "math1",
    "\0",
    "˜",
    "\r",
]
VALID = [
    BASE + "t := a - b^2\na > 0.1\n",
    "level: 1\n f =~ math1 + l*math2 + y1\n f ~ rv('s')*ses\nlevel: 2\n g =~ math1 + l*math2 + start(1)*y1\n s ~~ g\n g ~ 0*1\n",
    "level: within\n math1 + math2 ~ c(a)*ses + equal('a')*girl\n math1 ~~ math2\nlevel: between\n"
    " math1 ~~ 0*math2\n k := exp(-a/2)\n",
]


def mutated(text, source):
    for _ in range(source.randint(1, 3)):
        at, to = sorted(source.randrange(len(text) + 1) for _ in range(2))
        to = min(to, at + 12)
        text = source.choice(
            [
                text[:at] + source.choice(PARTS) + text[at:],
                text[:at] + text[to:],
                text[:at] + text[at:to] * source.choice([2, 3, 40]) + text[to:],
                text[:at] + chr(source.choice([source.randrange(128), source.randrange(0x3000)])) + text[at + 1 :],
            ]
        )
    return text


def survives(text, options=SEM):
    """Whether the text is a model; anything but the library's own errors comes through."""
    started = time.process_time()
    try:
        specified(text, options)
    except (ModelSyntaxError, ModelError):
        return False
    finally:
        assert time.process_time() - started < 5
    return True


def test_mutated_texts_end_in_the_library_s_own_errors():
    source = random.Random(16)
    options = [SEM, SyntaxOptions.for_function("cfa", effect_coding=True), SyntaxOptions.for_function("lavaan")]
    found = [survives(mutated(source.choice(VALID), source), source.choice(options)) for _ in range(600)]
    assert 0 < sum(found) < 600
