"""The command line `mlsem`."""

from mlsem_jax.cli._main import main, parser

__all__ = [
    "main",
    "parser",
]
