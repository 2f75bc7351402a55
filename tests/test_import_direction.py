"""A package imports only from those above it in the map of the house (CONTRIBUTING.md)."""

import ast
from pathlib import Path

import pytest

import mlsem_jax

ROOT = Path(mlsem_jax.__file__).parent

# Reading order. Names on one line are peers: they may not import from each other.
LAYERS = (
    ("_arguments", "_errors", "_options", "_status", "_typing", "_version"),
    ("numerics",),
    ("data", "datasets"),
    ("files",),
    ("statistics",),
    ("models",),
    ("likelihood",),
    ("estimation",),
    ("inference",),
    ("report",),
    ("syntax",),
    ("_resampling_methods", "_result_methods"),
    ("_fit",),
    ("networks",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS)  # modules of the public interface: whatever else lies directly in the package

# The layer that all share: exceptions, status codes and the glossary may use one another.
SHARED = RANK["_errors"]


def unit(module: str) -> str:
    """'mlsem_jax.data._frame' -> 'data'; '' for the package itself."""
    return ([*module.split("."), ""])[1]


def rank(name: str) -> int:
    return RANK.get(name, TOP)


class Imports(ast.NodeVisitor):
    """(line, module) of every import of the package that runs; those under TYPE_CHECKING do not."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_If(self, node: ast.If) -> None:
        guard = ast.unparse(node.test)
        for child in node.orelse if guard in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else [*node.body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "mlsem_jax"]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"line {node.lineno}: imports are absolute in this package"
        module = node.module or ""
        if module == "mlsem_jax":  # from mlsem_jax import data
            self.found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
        elif module.startswith("mlsem_jax."):
            self.found.append((node.lineno, module))


def imports(source: str) -> list[tuple[int, str]]:
    visitor = Imports()
    visitor.visit(ast.parse(source))
    return visitor.found


def wrong_way(path: Path, root: Path = ROOT) -> list[str]:
    here = path.relative_to(root).parts[0].removesuffix(".py")
    mine = rank(here)
    bad = []
    for line, module in imports(path.read_text(encoding="utf-8")):
        there = unit(module)
        allowed = here == there or rank(there) < mine or mine == TOP or (mine == rank(there) == SHARED)
        if not allowed:
            bad.append(f"{path.relative_to(root)}:{line} imports {module}")
    return bad


def test_packages_import_only_from_those_above():
    bad = [problem for path in sorted(ROOT.rglob("*.py")) for problem in wrong_way(path)]
    assert not bad, "\n".join(bad)


def test_only_data_and_what_shows_results_know_pandas_at_import():
    """pandas takes a third of a second to import: at run time it is imported where it is used."""
    low = [
        n
        for name in ("numerics", "statistics", "models", "likelihood", "estimation")
        for n in (ROOT / name).rglob("*.py")
    ]
    for path in low:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "pandas" for name in names), path


@pytest.mark.parametrize(
    ("place", "text", "good"),
    [
        ("data/_frame.py", "from mlsem_jax._errors import DataError", True),
        ("data/_frame.py", "from mlsem_jax.models import Level", False),
        (
            "data/_frame.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mlsem_jax.models import Level",
            True,
        ),
        ("data/_frame.py", "def f():\n    import mlsem_jax.models._specification", False),
        ("syntax/_parser.py", "from mlsem_jax.networks import x", False),
        ("syntax/_parser.py", "from mlsem_jax import models", True),
        ("_fit.py", "from mlsem_jax.report import x", True),
        ("report/_text.py", "from mlsem_jax._fit import Fit", False),
        ("_api.py", "from mlsem_jax._fit import Fit", True),
        ("_fit.py", "from mlsem_jax._api import sem", False),
    ],
)
def test_the_rule_itself(tmp_path, place, text, good):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert (wrong_way(path, tmp_path) == []) == good
