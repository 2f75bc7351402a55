"""The picture of the architecture is what the imports say."""

import importlib.util
import re
from pathlib import Path

import test_import_direction as direction

DOCS = Path(__file__).resolve().parents[2] / "docs"


def drawing():
    spec = importlib.util.spec_from_file_location("draw_architecture", DOCS / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_drawn_from_the_imports_of_today():
    module = drawing()
    assert module.PICTURE.read_text(encoding="utf-8") == module.svg(), "run python docs/draw_architecture.py"
    drawn = set(re.findall(r'<path id="(\w+)-(\w+)"', module.svg()))
    assert drawn == module.edges()
    assert ("likelihood", "models") in drawn


def test_it_shows_every_package_in_reading_order():
    module = drawing()
    packages = {path.parent.name for path in direction.ROOT.glob("*/__init__.py")} - {"datasets"}
    assert set(module.ORDER) == packages == set(module.SUBJECT)
    assert all(module.ORDER.index(user) > module.ORDER.index(used) for user, used in module.edges())
