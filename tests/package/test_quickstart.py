"""The newcomer's first minutes: the quick-start script, and what the README says."""

import importlib.util
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest

import mlsem_jax as ml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(folder: Path) -> str:
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "examples" / "quickstart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = io.StringIO()
    with redirect_stdout(out):
        module.main(folder)
    return out.getvalue()


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick") / "results"
    patch = pytest.MonkeyPatch()
    patch.setattr(ml, "enable_compilation_cache", lambda path=None: None)  # tests leave the user's cache alone
    text = run(folder)
    patch.undo()
    return text, folder


def test_it_shows_progress_and_the_summary(quickstart):
    text, _ = quickstart
    assert "2235 pupils in 100 schools" in text
    assert "Number of model parameters                        37" in text
    assert "How this was estimated" in text


def test_it_saves_the_results(quickstart):
    _, folder = quickstart
    assert ml.load(folder / "fit.json").converged
    estimates = pd.read_csv(folder / "estimates.csv")
    assert {"lhs", "op", "rhs", "est", "se", "std.all"} <= set(estimates)
    assert json.loads((folder / "fit_measures.json").read_text())["df"] == 35


def test_the_readme_shows_what_is_printed(quickstart):
    """Every line of the README's output block is a line of the script's output; '...' stands for what is left out."""
    text, _ = quickstart
    block = re.search(r"```text\n(.*?)```", README, re.S)[1]
    printed = [line.rstrip() for line in text.splitlines()]
    # numbers at rounding error depend on the machine
    tiny = ("Largest element", "Log-likelihood still")
    for line in block.splitlines():
        if line not in ("", "...") and not line.strip().startswith(tiny):
            assert line in printed, line


def test_the_readmes_code_runs(quickstart, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    exec(compile(code, "README.md", "exec"), {})
    assert "math ~" in capsys.readouterr().out


def test_the_readmes_model_is_the_scripts():
    model = re.search(r'model = """(.*?)"""', README, re.S)[1]
    script = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert model in script
