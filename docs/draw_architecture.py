"""Draw which package imports which, from the imports themselves.

python docs/draw_architecture.py
"""

import ast
from pathlib import Path

import mlsem_jax

ROOT = Path(mlsem_jax.__file__).parent
PICTURE = Path(__file__).parent / "pictures" / "architecture.svg"
# reading order: a package imports only from those above it
ORDER = (
    "options",
    "numerics",
    "data",
    "files",
    "observed",
    "models",
    "likelihood",
    "ordinal",
    "estimation",
    "inference",
    "measurement",
    "report",
    "syntax",
    "fits",
    "networks",
    "fronts",
    "functional",
    "studies",
    "cli",
)
SUBJECT = {
    "options": "rules and table of options",
    "numerics": "sweeps, precision, delta method",
    "data": "tables to checked arrays",
    "files": "tables on disk",
    "observed": "sufficient statistics",
    "models": "theta to moments of each level",
    "likelihood": "a sum of terms: value, gradient, information",
    "ordinal": "statistics of ordinal outcomes",
    "estimation": "searches, statuses, batches",
    "inference": "variances, tests, fit, quantities",
    "measurement": "scales: reliability, rotation, two steps",
    "report": "summary, plots, exchange",
    "syntax": "model text",
    "fits": "Fit and its methods",
    "networks": "matrices of network models",
    "fronts": "from text and data to a fit",
    "functional": "the JAX layer, batches",
    "studies": "simulation studies and grids of them",
    "cli": "the command line",
}
LEFT, WIDTH, HEIGHT, STEP = 384, 400, 34, 48


def edges() -> set[tuple[str, str]]:
    """(package, package that it imports), imports for annotations alone left out."""
    found = set()
    for path in ROOT.rglob("*.py"):
        here = path.relative_to(ROOT).parts[0]
        for node in _run(ast.parse(path.read_text(encoding="utf-8")).body):
            module = getattr(node, "module", None) or ""
            names = [f"{module}.{a.name}" for a in node.names] if module == "mlsem_jax" else [module]
            for name in names:
                there = ([*name.split("."), ""])[1] if name.startswith("mlsem_jax.") else ""
                if here in SUBJECT and there in SUBJECT and here != there:
                    found.add((here, there))
    return found


def _run(body):
    """The `from` imports that run."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            yield node
        yield from _run([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


def svg() -> str:
    """Boxes in reading order, and on their left an arc up for every import; its colour is that of the package that imports."""
    middle = {name: 12 + row * STEP + HEIGHT / 2 for row, name in enumerate(ORDER)}
    height, width = 12 + len(ORDER) * STEP, LEFT + WIDTH + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for user, used in sorted(edges()):
        start, end, rows = middle[user], middle[used], ORDER.index(user) - ORDER.index(used)
        bend = LEFT - 28 * rows - 6
        hue = 360 * ORDER.index(user) // len(ORDER)
        out.append(
            f'<path id="{user}-{used}" d="M{LEFT} {start} C{bend} {start} {bend} {end} {LEFT} {end}" fill="none" '
            f'stroke="hsl({hue},55%,45%)" stroke-opacity="0.55"/>'
        )
    for name, y in middle.items():
        top = y - HEIGHT / 2
        out.append(
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="#eef3f8" stroke="#4477aa"/>'
        )
        out.append(
            f'<text x="{LEFT + 10}" y="{y + 5}"><tspan font-weight="bold">{name}</tspan> '
            f'<tspan fill="#555" font-size="11">{SUBJECT[name]}</tspan></text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
