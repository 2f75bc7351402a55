"""`python -m mlsem_jax` is the command line `mlsem`."""

from __future__ import annotations

import sys

from mlsem_jax.cli import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
