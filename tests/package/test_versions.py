"""The versions of Python, jax and XLA that the package says it runs on, held against those that are here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from packaging.requirements import Requirement

from mlsem_jax.estimation.problem import _compiled
from mlsem_jax.numerics import known_option

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIRED = [Requirement(text) for text in PROJECT["dependencies"]]


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda r: r.name)
def test_what_is_installed_lies_within_the_bounds(requirement):
    """A release that someone installed here and the bounds exclude is one that users' pip leaves out."""
    assert requirement.specifier.contains(version(requirement.name), prereleases=True)


def test_jax_and_jaxlib_have_the_same_bounds_everywhere():
    bounds = {r.name: str(r.specifier) for r in REQUIRED}
    cuda = [Requirement(text) for text in PROJECT["optional-dependencies"]["cuda"]]
    assert bounds["jax"] == bounds["jaxlib"] == str(cuda[0].specifier)


def test_this_python_is_one_that_the_package_names():
    named = {c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    assert f"3.{sys.version_info.minor}" in named
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    tested = re.search(r"python-version: \[(.*)\]", workflow.read_text(encoding="utf-8"))
    assert tested is not None
    assert set(re.findall(r"3\.\d+", tested[1])) == named


def test_an_option_the_backend_knows_is_asked_for():
    option = known_option("xla_backend_optimization_level", 0)
    assert option == {"xla_backend_optimization_level": 0}
    assert float(jax.jit(lambda x: 2 * x, compiler_options=option)(1.5)) == 3.0


def test_an_option_it_does_not_know_is_left_out_and_compiles():
    option = known_option("xla_no_such_option_whatever", True)
    assert option is None
    assert float(jax.jit(lambda x: 2 * x, compiler_options=option)(1.5)) == 3.0


def test_whether_it_is_known_is_asked_once():
    known_option.cache_clear()
    for _ in range(3):
        known_option(*_compiled.QUICK_TO_COMPILE)
    assert known_option.cache_info().misses == 1


def test_every_xla_flag_of_this_session_is_known_to_a_fresh_process():
    """XLA ends a process that sets a flag it does not know, and pytest with it: the session's own must be known."""
    code = "import jax; print(float(jax.jit(lambda x: x + 1)(1.0)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "2.0"), done.stderr[-500:]


def test_the_conda_recipe_asks_for_the_same():
    recipe = (ROOT / "conda" / "meta.yaml").read_text(encoding="utf-8")
    run = re.search(r"  run:\n(.*?)\n\n", recipe, re.S)[1]
    asked = {words[0]: words[1] for line in run.splitlines() if len(words := line.strip(" -").split(" ", 1)) == 2}
    assert asked.pop("python") == PROJECT["requires-python"]
    assert {name: set(text.split(",")) for name, text in asked.items()} == {
        r.name: set(str(r.specifier).split(",")) for r in REQUIRED
    }
    assert f"version: {PROJECT['version']}" in recipe


def test_version_and_authors_are_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == PROJECT["version"]
    authors = re.search(r"^authors:\n((?:  .*\n)+)", citation, re.M)[1]
    assert re.findall(r'name: "(.*)"', authors) == [author["name"] for author in PROJECT["authors"]]
    assert re.search(
        rf"^## {re.escape(PROJECT['version'])}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )


def test_no_address_is_given_where_there_is_none():
    """Until `[project.urls]` names one, nothing else does: see "Releasing" in CONTRIBUTING.md."""
    if "urls" in PROJECT:
        return
    for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff", "mkdocs.yml", "conda/meta.yaml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"(github|gitlab|readthedocs|pypi)\.(com|io|org)/\S*mlsem|repo_url|site_url:", text), name
