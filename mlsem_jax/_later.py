"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def found_later(package: str, homes: Mapping[str, str], names: dict[str, Any]) -> Callable[[str], Any]:
    """`__getattr__` of a package (PEP 562). homes: the full name of the module of each name; names: the package's globals, which
    keep what was found.

    The function raises AttributeError for names that have no home.
    """

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = getattr(importlib.import_module(homes[name]), name)
        return names[name]

    return found
