"""The one table of options: every option has its row, its page and its place in signatures, and the page is what the table says."""

from __future__ import annotations

import importlib.util
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import mlsem_jax as ml
from mlsem_jax._arguments import Refused
from mlsem_jax._option_docs import RECORDS, default, values
from mlsem_jax.fronts._fit_text import split_options
from mlsem_jax.models import KINDS, kind_named
from mlsem_jax.networks._arguments import _FIT_OPTIONS, _NAMED
from mlsem_jax.options import _keywords as keywords
from mlsem_jax.options._options import OPTIONS
from mlsem_jax.options._table import NETWORKS, SECTIONS, TABLE

DOCS = Path(__file__).resolve().parents[2] / "docs"
# arguments that have a place of their own in signatures
ARGUMENTS = {"cluster", "group", "plausible_values", "only_converged"}
OF_RECORDS = {field.name for record in RECORDS for field in fields(record)}
FRONTS = (ml.sem, ml.cfa, ml.growth, ml.lavaan)
MATRICES = (ml.ml_lvm, ml.ml_lnm, ml.ml_rnm, ml.ml_lrnm)
OBSERVED = (ml.ml_varcov, ml.ml_ggm, ml.ml_corr)


def listed() -> dict[str, Any]:
    return {option.name: option for options in SECTIONS.values() for option in options}


def test_every_option_has_a_row_and_no_row_is_of_nothing():
    assert set(listed()) == OF_RECORDS | {"group_label"} | ARGUMENTS
    assert set(TABLE) - ARGUMENTS - {"clusters", "groups"} == set(OPTIONS)
    assert len(listed()) == sum(map(len, SECTIONS.values()))
    for option in TABLE.values():
        assert option.about.endswith(".")
        assert values(option)
        assert default(option)


def test_the_page_is_current():
    spec = importlib.util.spec_from_file_location("write_options", DOCS / "write_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/write_options.py"
    assert "options.md" in module.titles()


@pytest.mark.parametrize("option", [*listed().values(), *NETWORKS], ids=lambda option: option.name)
def test_the_page_that_explains_an_option_names_it(option):
    text = (DOCS / option.page).read_text(encoding="utf-8")
    assert re.search(rf"(?<![\w.]){option.name}\b(?=`|=| =)", text), f"{option.page} does not speak of {option.name}"
    assert option.page != "options.md"


def test_signatures_name_what_the_functions_take():
    for front in FRONTS:
        assert set(inspect.signature(front).parameters) == {"model", "data", *listed()}
        assert all(f"- `{name}`:" in front.__doc__ for name in listed())
    assert set(inspect.signature(ml.efa).parameters) - {"data", "nfactors", "vars"} == set(listed()) - {
        "plausible_values"
    }
    assert "sam_method" in inspect.signature(ml.sam).parameters
    assert set(inspect.signature(ml.diagnose).parameters) == {"data", "model", *listed()} - {
        "plausible_values",
    }
    steps = {"model", "data", "steps", "partial", "method", "alpha"}
    assert set(inspect.signature(ml.invariance).parameters) - steps == set(listed()) - {
        *("plausible_values", "only_converged", "group_equal", "rotation", "rotation_args")
    }
    of_a_model = set(inspect.signature(ml.model).parameters)
    assert {"std_lv", "missing", "sampling_weights", "ordered", "link", "group_equal"} < of_a_model
    assert not of_a_model & {"se", "estimator", "bounds", "iter_max", "h1", "replicate_weights"}, (
        "options of a fit, which are refused"
    )
    for front in (*MATRICES, *OBSERVED):
        taken = set(inspect.signature(front).parameters)
        assert {
            *_FIT_OPTIONS,
            *keywords.SurveyOptions.__annotations__,
            "clusters",
            "vars",
            "groups",
            "estimator",
        } <= taken
        assert f"{front.__name__}" in front.__qualname__


def test_network_functions_name_their_matrices_and_arguments():
    core = [kind_named(name) for name in KINDS]
    names = {name for kind in core for name in (kind.core, kind.scale) if name}
    of_levels = {
        f"{name}{part}_{where}" for name in names for part in ("_zeta", "_epsilon") for where in ("within", "between")
    }
    latent = {"lambda_", "lambda_within", "lambda_between", "nu", "nu_eta", "beta_within", "beta_between", *of_levels}
    shared = {*_FIT_OPTIONS, *keywords.SurveyOptions.__annotations__, "data"}
    for front in MATRICES:
        rest = set(inspect.signature(front).parameters) - shared - latent
        assert rest == set(_NAMED) - {"within", "between"} - latent, front
    observed = {f"{name}_{where}" for name in names for where in ("within", "between")} | {"mu"}
    for front in OBSERVED:
        rest = set(inspect.signature(front).parameters) - shared - observed - {"within", "between"}
        assert rest == {
            "clusters",
            "groups",
            "vars",
            "within_only",
            "between_only",
            "equal",
            "estimator",
            "information",
            "standardize",
        }


def test_types_name_the_words_that_the_rules_take():
    """The words an editor offers are the rule's, all of them and no others."""
    for name, hint in get_type_hints(keywords.SemOptions).items():
        words = [word for part in get_args(hint) for word in get_args(part) if isinstance(word, str)]
        for word in words:
            assert OPTIONS[name].read(word) is not None
        told = re.findall(r"'([\w.]+)'", OPTIONS[name].allowed) if words and name not in ("bounds", "rotation") else []
        assert set(told) - {"theta"} <= set(words), (name, set(told) - set(words))


@pytest.mark.parametrize("front", FRONTS, ids=lambda front: front.__name__)
def test_a_default_that_a_signature_shows_changes_nothing(front):
    shown = {
        name: parameter.default
        for name, parameter in inspect.signature(front).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ARGUMENTS
    }
    for name, value in shown.items():
        if value is not None:
            try:
                OPTIONS[name].read(value)
            except Refused:
                assert value in ("default",), name
    function: Any = front.__name__
    assert split_options(function, shown) == split_options(function, {})
