"""A package imports only from those above it in the map of the house (CONTRIBUTING.md), no modules form a circle, and what is
private to a package is imported by no other.
"""

import ast
from pathlib import Path

import pytest

import mlsem_jax

ROOT = Path(mlsem_jax.__file__).parent

# Reading order. Names on one line are peers: they may not import from each other.
LAYERS = (
    (
        *(
            "_arguments",
            "_block_files",
            "_errors",
            "options",
            "_spread",
            "_status",
        ),
        *("_later", "_origin", "_other_names", "_record", "_typing", "_version"),
    ),
    ("numerics",),
    ("data", "datasets"),
    ("files",),
    ("observed",),
    ("models",),
    ("likelihood",),
    ("ordinal",),
    ("estimation",),
    ("inference",),
    ("measurement",),
    ("report",),
    ("syntax",),
    ("_option_docs",),
    ("fits",),
    ("networks",),
    ("fronts",),
    ("functional",),
    ("studies",),
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
        if module.split(".")[0] == "mlsem_jax":  # a name may be a module: from mlsem_jax import data
            self.found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]


def imports(source: str) -> list[tuple[int, str]]:
    """Lines and dotted names of what is imported; the last part may be a name in a module."""
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


def graph(root: Path = ROOT) -> dict[str, dict[str, int]]:
    """For every module the modules that it imports, wherever in it that is written, and the line."""
    paths = {}
    for path in root.rglob("*.py"):
        parts = ["mlsem_jax", *path.relative_to(root).with_suffix("").parts]
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found: dict[str, dict[str, int]] = {}
    for module, path in paths.items():
        found[module] = {}
        for line, name in imports(path.read_text(encoding="utf-8")):
            target = name if name in paths else name.rpartition(".")[0]
            if target in paths and target != module:
                found[module].setdefault(target, line)
    return found


def circles(edges: dict[str, dict[str, int]]) -> list[set[str]]:
    """Sets of modules each of which reaches all others of its set (strongly connected components of more than one)."""

    def reached(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for target in edges.get(todo.pop(), {}):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    reach = {module: reached(module) for module in edges}
    left, out = {module for module in edges if module in reach[module]}, []
    while left:
        module = min(left)
        out.append({other for other in reach[module] if module in reach[other]})
        left -= out[-1]
    return out


def private_imports(edges: dict[str, dict[str, int]]) -> list[tuple[str, str]]:
    """(module, private module of another package that it imports). A package may use what is private in those it lies in."""
    packages = {module.rpartition(".")[0] for module in edges}
    bad = []
    for module, targets in edges.items():
        inside = module if module in packages else module.rpartition(".")[0]
        for target in targets:
            package, _, name = target.rpartition(".")
            if name.startswith("_") and package != "mlsem_jax" and not f"{inside}.".startswith(f"{package}."):
                bad.append((module.removeprefix("mlsem_jax."), target.removeprefix("mlsem_jax.")))
    return sorted(bad)


def test_no_circle_between_modules():
    assert circles(graph()) == []


def test_no_package_imports_a_private_module_of_another():
    assert private_imports(graph()) == []


def test_no_name_of_a_package_hides_one_of_its_packages():
    for path in ROOT.rglob("*/__init__.py"):
        inside = {folder.parent.name for folder in path.parent.glob("*/__init__.py")}
        found = {
            alias.asname or alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not inside & found, path


def test_circles_and_private_imports_are_found(tmp_path):
    texts = {
        "__init__.py": "",
        "data/__init__.py": "from mlsem_jax.data._a import f",
        "data/_a.py": "def f():\n    from mlsem_jax.data import _b",
        "data/_b.py": "import mlsem_jax.data._a",
        "data/_c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mlsem_jax.data._d import x",
        "data/_d.py": "from mlsem_jax.data._c import y",
        "data/deep/__init__.py": "from mlsem_jax.data.deep._e import z",
        "data/deep/_e.py": "from mlsem_jax.data._c import y",
        "models/__init__.py": "from mlsem_jax.data._c import y",
        "data/_f.py": "from mlsem_jax.data.deep._e import z\nfrom mlsem_jax.data.deep import z",
    }
    for place, text in texts.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    edges = graph(tmp_path)
    assert circles(edges) == [{"mlsem_jax.data._a", "mlsem_jax.data._b"}]
    assert private_imports(edges) == [("data._f", "data.deep._e"), ("models", "data._c")]


def test_packages_import_only_from_those_above():
    bad = [problem for path in sorted(ROOT.rglob("*.py")) for problem in wrong_way(path)]
    assert not bad, "\n".join(bad)


def test_only_data_and_what_shows_results_know_pandas_at_import():
    """pandas takes a third of a second to import: at run time it is imported where it is used."""
    low = [
        n
        for name in ("numerics", "observed", "models", "likelihood", "estimation")
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
        ("fits/_fit.py", "from mlsem_jax.report import x", True),
        ("report/_text.py", "from mlsem_jax.fits import Fit", False),
        ("_api.py", "from mlsem_jax.fits import Fit", True),
        ("fits/_fit.py", "from mlsem_jax.fronts import sem", False),
    ],
)
def test_the_rule_itself(tmp_path, place, text, good):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert (wrong_way(path, tmp_path) == []) == good
